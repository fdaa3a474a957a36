"""Kept results of pull requests that were closed long ago are deleted, and no others."""

from datetime import UTC, datetime, timedelta

import pytest

from helpers.github_stand_in import StandIn
from helpers.repository import GIT_IDENTITY
from stages.commands.git import git
from stages.commands.pull_request import tidy
from stages.lib.core.errors import EarError


def test_results_stay_some_weeks_after_a_pull_request_was_closed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--bare", "origin.git")
    git("init", "--quiet", "work")
    monkeypatch.chdir(tmp_path / "work")
    git("commit", "--quiet", "--allow-empty", "--message", "x", environment=GIT_IDENTITY)
    refs = ["heads/main", *(f"reports/{name}" for name in ("pr-1", "pr-2", "pr-2-base", "pr-3", "pr-4", "notes"))]
    git("push", "--quiet", str(tmp_path / "origin.git"), *(f"HEAD:refs/{ref}" for ref in refs))
    site = StandIn()
    for number, days in ((1, None), (2, 40), (3, 20)):  # the fourth is none
        site.open_pull(number, "a" * 40)
        if days is not None:
            site.pulls[-1]["closed_at"] = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    options = ["--repository", "team/ear", "--remote", str(tmp_path / "origin.git"), "--api", site.address]
    try:
        tidy.main(options)
        assert capsys.readouterr().out == "deleted 3 of 5 refs of kept results\n"
        left = git("for-each-ref", "--format=%(refname)", folder=tmp_path / "origin.git").splitlines()
        assert left == ["refs/heads/main", "refs/reports/notes", "refs/reports/pr-1", "refs/reports/pr-3"]
        tidy.main(options)
        assert capsys.readouterr().out == "deleted 0 of 2 refs of kept results\n"
    finally:
        site.server.shutdown()
        site.server.server_close()


def test_without_a_token_it_says_so(monkeypatch):
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    with pytest.raises(EarError, match="GITHUB_TOKEN is not set"):
        tidy.main(["--repository", "team/ear"])
