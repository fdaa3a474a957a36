"""What the report workflow runs of the pipeline, with a stand-in of DVC on real repositories of Git."""

import json
from pathlib import Path

import pytest

from helpers.repository import GIT_IDENTITY
from stages.commands.git import git
from stages.commands.pull_request import rerun
from stages.lib.core.errors import EarError

RAN = "Running stage 'train':\n> python\n"
UNCHANGED = "Stage 'train' didn't change, skipping\nData and pipelines are up to date.\n"


class StandIn:
    """DVC: answers by verb and side ("here" or "base"), and notes what it was asked."""

    def __init__(self):
        self.calls = []
        self.remote = True
        self.missing = []
        self.answers = {}

    def side(self, folder):
        return "base" if folder else "here"

    def dvc(self, *arguments, folder=None):
        if arguments[:2] == ("config", "--list"):
            return "core.analytics=false\ncore.remote=store" if self.remote else "core.analytics=false"
        if arguments[:2] == ("data", "status"):
            return json.dumps({"not_in_remote": self.missing} if self.missing else {})
        return ".dvc/cache" if arguments == ("cache", "dir") else ""

    def follow_dvc(self, *arguments, folder=None, limit_s=None):
        self.calls.append((self.side(folder), *arguments))
        answer = self.answers.get((self.side(folder), *arguments[:1]), (0, ""))
        if callable(answer):
            answer = answer(Path(folder or "."))
        return answer


@pytest.fixture
def dvc(tmp_path, monkeypatch):
    """A repository with a branch `main` and one from it, `topic`, which is checked out and adds a DVC remote."""
    stand_in = StandIn()
    monkeypatch.setattr(rerun, "dvc", stand_in.dvc)
    monkeypatch.setattr(rerun, "follow_dvc", stand_in.follow_dvc)
    for name, value in GIT_IDENTITY.items():
        monkeypatch.setenv(name, value)
    repository = tmp_path / "repository"
    repository.mkdir()
    monkeypatch.chdir(repository)
    git("init", "--quiet", "--initial-branch", "main")
    for name in (".dvc/config", "metrics/scores Straße.json", "dvc.lock"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("base")
    git("add", "--all")
    git("commit", "--quiet", "--message", "base")
    git("checkout", "--quiet", "-b", "topic")
    Path(".dvc/config").write_text("with a remote")
    git("commit", "--quiet", "--all", "--message", "add a remote")
    Path(".dvc/config.local").write_text("secrets")
    return stand_in


def call(verb, *options):
    rerun.main([verb, "main", "--folder", "../base", "--log", "../log.json", *options])


def log():
    return json.loads(Path("../log.json").read_text())


def writes(content):
    """A run of the pipeline that leaves other results."""

    def run(folder):
        (folder / "metrics/scores Straße.json").write_text(content)
        return 0, RAN

    return run


@pytest.mark.parametrize("verb", ["pull", "push", "check"])
def test_without_a_remote_there_is_nothing_to_do(dvc, verb, capsys):
    dvc.remote = False
    call(verb)
    assert "no DVC remote is set" in capsys.readouterr().out
    assert dvc.calls == []


def test_both_sides_use_the_remote_of_the_branch(dvc):
    """The base knows no remote, or an old one: with its own configuration it would fail, or push to the old place."""
    call("pull")
    assert dvc.calls == [(side, "pull", "--run-cache", "--allow-missing") for side in ("here", "base")]
    assert git("rev-parse", "HEAD", folder=Path("../base")) == git("rev-parse", "main")
    assert Path("../base/.dvc/config").read_text() == "with a remote"
    assert Path("../base/.dvc/config.local").read_text() == "secrets"
    call("push")
    assert dvc.calls[2:] == [(side, "push", "--run-cache") for side in ("here", "base")]


def test_a_remote_that_cannot_be_reached_is_said(dvc):
    dvc.answers = {("base", "pull"): (1, "")}
    with pytest.raises(EarError, match="'dvc pull' failed, see above"):
        call("pull")
    dvc.answers = {("here", "push"): (1, "")}
    with pytest.raises(EarError, match="'dvc push' failed, see above; check the address and the rights"):
        call("push")


def test_what_is_up_to_date_runs_on_neither_side(dvc):
    dvc.answers = {("here", "repro"): (0, UNCHANGED)}
    call("run", "--results", "../results")
    assert dvc.calls == [("here", "repro", "--allow-missing", "--dry")]
    assert log() == {"head": {"train": "unchanged"}, "base": {}, "base_results": None}
    assert Path("../results/new/metrics/scores Straße.json").read_text() == "base"
    assert not Path("../results/old").exists()


def test_what_changed_runs_on_both_and_other_results_of_the_base_are_kept(dvc):
    dvc.answers = {("here", "repro"): writes("new"), ("base", "repro"): writes("base of this machine")}
    call("run", "--pull", "--results", "../results")
    assert ("here", "repro", "--pull") in dvc.calls
    assert ("base", "repro", "--pull") in dvc.calls
    assert log()["head"] == log()["base"] == {"train": "ran"}
    kept = log()["base_results"]
    assert git("rev-parse", rerun.KEPT_REF) == kept
    assert git("rev-parse", f"{kept}^") == git("rev-parse", "main")
    assert git("show", f"{kept}:metrics/scores Straße.json") == "base of this machine"
    assert git("diff", "-z", "--name-only", f"{kept}^", kept).split("\0")[0] == "metrics/scores Straße.json"
    for side, content in (("new", "new"), ("old", "base of this machine")):
        assert Path(f"../results/{side}/metrics/scores Straße.json").read_text() == content
        assert Path(f"../results/{side}/dvc.lock").is_file()


def test_a_base_that_gives_what_it_holds_has_no_other_results(dvc):
    dvc.answers = {("here", "repro"): writes("new"), ("base", "repro"): (0, RAN)}
    call("run", "--results", "../results")
    assert log() == {"head": {"train": "ran"}, "base": {"train": "ran"}, "base_results": None}
    assert not Path("../results/old").exists()


def test_a_base_that_fails_does_not_fail_the_run(dvc):
    dvc.answers = {("here", "repro"): writes("new"), ("base", "repro"): (1, "ERROR: failed to reproduce 'train': x\n")}
    call("run")
    assert log() == {"head": {"train": "ran"}, "base": {"train": "failed"}, "base_results": None}


@pytest.mark.parametrize(
    ("answer", "became", "message"),
    [
        ((1, RAN + "ERROR: failed to reproduce 'train': x\n"), "failed", "a stage failed, see above"),
        ((None, RAN), "timed out", r"a stage was stopped after 90 minutes; allow more with --minutes"),
    ],
)
def test_a_run_that_does_not_end_well_is_noted_before_it_fails(dvc, answer, became, message):
    dvc.answers = {("here", "repro"): answer}
    with pytest.raises(EarError, match=message):
        call("run", "--minutes", "90")
    assert log()["head"] == {"train": became}
    assert not Path("../base").exists()


def test_data_that_the_remote_lacks_is_named(dvc):
    call("check")
    dvc.missing = ["data/raw/", "data/models/"]
    with pytest.raises(EarError, match="data/models/, data/raw/: not in the DVC remote; run 'dvc push' where the pipe"):
        call("check")


def test_a_folder_of_something_else_is_left_alone(dvc):
    git("clone", "--quiet", ".", "../base")
    with pytest.raises(EarError, match=r"\.\./base: exists, and is not a clone at [0-9a-f]{40}; remove it or"):
        call("pull")
