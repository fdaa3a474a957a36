"""Results are kept as commits on top of those that were run, with nothing else in them."""

import dataclasses
from pathlib import Path

import pytest

from helpers.facts import FACTS
from helpers.repository import GIT_IDENTITY
from stages.commands.git import git
from stages.commands.pull_request import keep
from stages.commands.pull_request.facts import write_facts
from stages.lib.core.errors import DataError, EarError


@pytest.fixture
def origin(tmp_path, monkeypatch):
    """A bare remote with `main` and `topic`, results of both sides next to it, and a clone of `main` to work in."""
    for name, value in GIT_IDENTITY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--bare", "--initial-branch", "main", "origin.git")
    git("config", "uploadpack.allowAnySHA1InWant", "true", folder=Path("origin.git"))
    git("init", "--quiet", "--initial-branch", "main", "author")
    write(Path("author"), "base")
    commits = []
    for branch, code in (("main", "a"), ("topic", "b")):
        git("switch", "--quiet", "--force-create", branch, folder=Path("author"))
        Path("author/code.py").write_text(code)
        git("add", "--all", folder=Path("author"))
        git("commit", "--quiet", "--message", branch, folder=Path("author"))
        git("push", "--quiet", "../origin.git", branch, folder=Path("author"))
        commits.append(git("rev-parse", "HEAD", folder=Path("author")))
    git("clone", "--quiet", "--depth=1", f"file://{tmp_path}/origin.git", "trusted")
    write(Path("results/old"), "base of this machine")
    write(Path("results/new"), "new")
    Path("results/new/code.py").write_text("evil")  # what a run could bring along
    Path("results/new/metrics/deeper").mkdir()
    Path("results/new/metrics/deeper/Straße.csv").write_text("x")
    base, head = commits
    Path("facts.json").write_text(write_facts(dataclasses.replace(FACTS, base=base, head=head)))
    monkeypatch.chdir("trusted")
    return tmp_path / "origin.git", base, head


def write(folder, content):
    (folder / "metrics").mkdir(parents=True)
    (folder / "dvc.lock").write_text(content)
    (folder / "metrics/scores.json").write_text(content)


def call(head, *options):
    keep.main(["--results", "../results", "--facts", "../facts.json", "--head-sha", head, "--number", "7", *options])


def test_results_of_both_sides_are_kept_on_their_commits_and_nothing_but_results(origin, capsys):
    remote, base, head = origin
    call(head)
    said = capsys.readouterr().out
    for ref, parent, content in (("pr-7", head, "new"), ("pr-7-base", base, "base of this machine")):
        kept = git("rev-parse", f"refs/reports/{ref}", folder=remote)
        assert f"kept {kept} on {parent} as refs/reports/{ref}\n" in said
        assert git("rev-parse", f"{kept}^", folder=remote) == parent
        assert git("show", f"{kept}:metrics/scores.json", folder=remote) == content
        assert git("show", f"{kept}:code.py", folder=remote) == ("b" if parent == head else "a")
    assert git("show", "refs/reports/pr-7:metrics/deeper/Straße.csv", folder=remote) == "x"
    assert git("rev-parse", "topic", folder=remote) == head
    first = git("rev-parse", "refs/reports/pr-7", folder=remote)
    call(head)  # the same results make the same commit
    assert git("rev-parse", "refs/reports/pr-7", folder=remote) == first


def test_results_go_to_the_branch_when_it_is_named(origin, capsys):
    remote, _, head = origin
    call(head, "--branch", "topic")
    assert "committed to topic" in capsys.readouterr().out
    assert git("rev-parse", "topic", folder=remote) == git("rev-parse", "refs/reports/pr-7", folder=remote)


def test_results_that_the_commit_holds_are_not_kept_again(origin, capsys):
    remote, _, head = origin
    for name in ("dvc.lock", "metrics/scores.json"):
        (Path("../results/new") / name).write_text("base")
    Path("../results/new/metrics/deeper/Straße.csv").unlink()
    (Path("../results/old") / "dvc.lock").unlink()  # the base was not run
    call(head)
    assert capsys.readouterr().out == ""
    assert git("for-each-ref", "refs/reports", folder=remote) == ""


def test_a_branch_that_moved_on_is_not_overwritten(origin):
    remote, _, head = origin
    author = Path("../author")
    git("commit", "--quiet", "--allow-empty", "--message", "later", folder=author)
    git("push", "--quiet", "../origin.git", "topic", folder=author)
    with pytest.raises(EarError, match=rf"topic: the results of {head} cannot be pushed there \(\[rejected\].*\); "):
        call(head, "--branch", "topic")
    assert git("rev-parse", "topic", folder=remote) == git("rev-parse", "HEAD", folder=author)


def test_facts_of_another_run_are_refused(origin):
    with pytest.raises(DataError, match=r"a report on .*, but the run was of eeee"):
        call("e" * 40)
