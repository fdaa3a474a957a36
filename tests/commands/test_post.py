"""Posting the report: one comment, on the right pull request, from facts that anyone may have written."""

import dataclasses
import subprocess
import sys

import cmarkgfm
import pytest

from helpers.facts import BASE, FACTS, HEAD
from helpers.github_stand_in import StandIn
from helpers.repository import ROOT
from stages.commands.pull_request import github
from stages.commands.pull_request import post as post_report
from stages.commands.pull_request.facts import Picture, load_facts, write_facts
from stages.lib.core.errors import DataError, EarError

KEPT, KEPT_BASE = "c" * 40, "d" * 40


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setattr(github, "WAITS_S", (0, 0))
    stand_in = StandIn()
    yield stand_in
    stand_in.server.shutdown()
    stand_in.server.server_close()


@pytest.fixture
def post(site, tmp_path, capsys):
    """Post facts as a workflow does; returns what the command said."""

    def run(facts=FACTS, head_repository="team/ear", head_sha=HEAD, text=None):
        path = tmp_path / "facts.json"
        path.write_text(write_facts(facts) if text is None else text)
        options = {
            "facts": path,
            "repository": "team/ear",
            "head-repository": head_repository,
            "head-branch": "topic",
            "head-sha": head_sha,
            "run-url": "https://github.com/team/ear/actions/runs/1",
            "api": site.address,
            "server": "https://github.com",
        }
        post_report.main([part for name, value in options.items() for part in (f"--{name}", str(value))])
        return capsys.readouterr().out.strip()

    return run


def test_the_first_run_creates_the_second_updates_the_third_changes_nothing(site, post):
    site.open_pull(7, HEAD)
    assert post() == "comment created on pull request 7"
    assert post(dataclasses.replace(FACTS, n_gained=5)) == "comment updated on pull request 7"
    assert post(dataclasses.replace(FACTS, n_gained=5)) == "comment unchanged on pull request 7"
    assert site.writes() == ["POST", "PATCH"]
    (comment,) = site.comments
    assert comment["issue"] == 7
    assert comment["body"].startswith("<!-- urban-ear-report -->\n## Accuracy 0.926 → 0.815")
    assert "5 clips recognised only here" in comment["body"]
    assert "[artefact of the run](https://github.com/team/ear/actions/runs/1)" in comment["body"]


def test_only_our_own_comment_is_touched(site, post):
    site.open_pull(7, HEAD)
    site.add_comment(7, "<!-- urban-ear-report -->\nmine", login="somebody")
    site.add_comment(7, "quoted: <!-- urban-ear-report -->")
    site.add_comment(8, "<!-- urban-ear-report -->\nof another")
    for _ in range(150):
        site.add_comment(7, "talk", login="somebody")
    ours = site.add_comment(7, "<!-- urban-ear-report -->\r\nold")
    before = [comment["body"] for comment in site.comments[:-1]]
    assert post() == "comment updated on pull request 7"
    assert [comment["body"] for comment in site.comments[:-1]] == before
    assert "Accuracy" in ours["body"]


def test_a_fork_is_found_by_its_branch_and_commit(site, post):
    site.open_pull(1, HEAD)  # a branch of ours with the same name
    site.open_pull(2, "e" * 40, repository="stranger/ear")
    site.open_pull(3, HEAD, repository="stranger/ear-copy")
    site.open_pull(4, HEAD, repository="stranger/ear")
    assert post(head_repository="stranger/ear") == "comment created on pull request 4"


def test_a_fork_that_was_deleted_and_a_branch_that_moved_on_get_nothing(site, post):
    site.open_pull(1, "e" * 40)
    site.pulls.append({"number": 2, "head": {"sha": HEAD, "ref": "topic", "repo": None}, "base": {"ref": "main"}})
    assert post() == f"no open pull request of team/ear into main has {HEAD} as its last commit; nothing posted"
    assert site.writes() == []


def test_of_two_pull_requests_from_one_branch_it_is_the_one_into_the_base_of_the_run(site, post):
    """As for a fix that goes into main and, ported back, into a release."""
    site.open_pull(6, HEAD, base="release")
    site.open_pull(7, HEAD)
    assert post() == "comment created on pull request 7"
    assert post(dataclasses.replace(FACTS, base_name="origin/release")) == "comment created on pull request 6"
    assert [comment["issue"] for comment in site.comments] == [7, 6]
    assert "nothing posted" in post(dataclasses.replace(FACTS, base_name="origin/other"))


def test_a_commit_of_results_on_top_is_still_the_same_pull_request(site, post):
    site.open_pull(7, KEPT)
    site.keep("reports/pr-7", KEPT, HEAD)
    assert post() == "comment created on pull request 7"


ADDRESSES = {
    "committed by both": ("team/ear", True, True, {}, (f"team/ear/raw/{BASE}", f"team/ear/raw/{HEAD}")),
    "made by runs, kept": (
        "team/ear", False, False, {"new": HEAD, "old": BASE}, (f"team/ear/raw/{KEPT_BASE}", f"team/ear/raw/{KEPT}"),
    ),
    "made by runs, not kept": ("team/ear", False, False, {}, None),
    "kept of an earlier run": ("team/ear", True, False, {"new": "e" * 40}, None),
    "a fork that committed": ("stranger/ear", True, True, {}, (f"team/ear/raw/{BASE}", f"stranger/ear/raw/{HEAD}")),
    "a fork that did not": ("stranger/ear", True, False, {"new": HEAD}, None),
}  # fmt: skip


@pytest.mark.parametrize("state", ADDRESSES)
def test_pictures_are_shown_from_where_they_are_kept(site, post, state):
    repository, old_at_base, new_at_head, kept, expected = ADDRESSES[state]
    site.open_pull(7, HEAD, repository=repository)
    for side, ref, sha in (("new", "reports/pr-7", KEPT), ("old", "reports/pr-7-base", KEPT_BASE)):
        if side in kept:
            site.keep(ref, sha, kept[side])
    path = "metrics/evaluate/confusion.png"
    post(dataclasses.replace(FACTS, pictures=[Picture(path, True, True, old_at_base, new_at_head)]), repository)
    body = site.comments[0]["body"]
    if expected is None:
        assert "![" not in body
        assert "see them in the artefact" in body
    else:
        old, new = expected
        assert f"| ![old](https://github.com/{old}/{path}) | ![new](https://github.com/{new}/{path}) |" in body


def test_text_of_others_does_nothing(site, post):
    evil = "</code></details>@team ![x](https://evil.example/x.png) <!-- urban-ear-report -->\n# Approved\n`|\\"
    site.open_pull(7, HEAD, repository="stranger/ear", base=evil)
    params = [dataclasses.replace(FACTS.params[0], key=evil, old=evil)]
    post(dataclasses.replace(FACTS, base_name=evil, params=params, not_compared=evil), "stranger/ear")
    body = site.comments[0]["body"]
    page = cmarkgfm.github_flavored_markdown_to_html(body)
    assert 'src="https://evil' not in page
    assert 'href="https://evil' not in page
    assert "Approved</h1>" not in page


@pytest.mark.parametrize(
    ("text", "head_sha", "error"),
    [
        ("<html>", HEAD, "not JSON"),
        (None, "e" * 40, f"a report on {HEAD}, but the run was of {'e' * 40}; run it again"),
        (" " * 2_000_001, HEAD, "2,000,001 bytes, at most 2,000,000 are read"),
    ],
)
def test_facts_that_do_not_fit_are_not_posted(site, post, text, head_sha, error):
    site.open_pull(7, HEAD)
    with pytest.raises(DataError, match=error):
        post(text=text, head_sha=head_sha)
    assert site.calls == []


def test_a_file_that_is_none_is_named(tmp_path):
    with pytest.raises(DataError, match=r"facts\.json: no such file; the run left no report"):
        load_facts(tmp_path / "facts.json")
    (tmp_path / "facts.json").symlink_to("/etc/passwd")
    with pytest.raises(DataError, match="no such file"):
        load_facts(tmp_path / "facts.json")
    (tmp_path / "latin.json").write_bytes(b"\xff\xff")
    with pytest.raises(DataError, match="not UTF-8"):
        load_facts(tmp_path / "latin.json")


def test_a_server_that_fails_is_tried_again_and_a_refusal_is_one_line(site, post, monkeypatch):
    site.open_pull(7, HEAD)
    site.failures = [502, 503]
    assert post() == "comment created on pull request 7"
    site.failures = [500] * 3
    with pytest.raises(EarError, match=r"GET /repos/team/ear/pulls: 500 .*; see the permissions of the token"):
        post()
    monkeypatch.setenv("GITHUB_TOKEN", "wrong")
    with pytest.raises(EarError, match=r"GET /repos/team/ear/pulls: 401 "):
        post()
    monkeypatch.delenv("GITHUB_TOKEN")
    with pytest.raises(EarError, match="GITHUB_TOKEN is not set"):
        post()


def test_a_comment_is_never_made_twice(site, monkeypatch):
    site.failures = [500, 500]
    with pytest.raises(EarError, match=r"POST /repos/team/ear/issues/7/comments: 500"):
        github.GitHub(site.address, "team/ear", "secret").post("issues/7/comments", body="x")
    assert site.writes() == ["POST"]


def test_a_token_goes_to_https_alone():
    with pytest.raises(EarError, match=r"http://api\.example\.org: expected https, since a token is sent there"):
        github.GitHub("http://api.example.org", "team/ear", "secret")


def test_a_server_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(github, "WAITS_S", ())
    with pytest.raises(EarError, match=r"GET /repos/team/ear/pulls: .*refused"):
        github.GitHub("http://127.0.0.1:9", "team/ear", "secret").get("pulls")


@pytest.mark.parametrize("options", [["--repository", "team"], ["--head-sha", "main"], ["--head-repository", "a/b/c"]])
def test_names_that_are_none_are_refused(options, capsys):
    with pytest.raises(SystemExit, match="2"):
        post_report.main(options)
    assert f"argument {options[0]}: invalid" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["post", "keep", "tidy"])
def test_nothing_but_python_is_needed(name):
    """The jobs that may write install nothing: no package of others is there to be tampered with."""
    command = [sys.executable, "-S", "-m", f"stages.commands.pull_request.{name}", "--help"]
    assert "--help" in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
