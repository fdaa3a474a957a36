"""Git and DVC as commands: their own reason is shown where they refuse, and names of any letters come through."""

import json
import os

import psutil
import pytest

from helpers.repository import GIT_IDENTITY
from stages.commands import dvc as dvc_module
from stages.commands.dvc import dvc, failure, follow_dvc, outputs_not_to_push
from stages.commands.git import GitError, find_reason, git
from stages.commands.revisions import find_commit, list_files, read_blob
from stages.lib.core.errors import EarError


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name, value in GIT_IDENTITY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--initial-branch", "main")
    git("commit", "--quiet", "--allow-empty", "--message", "first")
    return tmp_path


REASONS = {
    "the first of several lines": (
        "fatal: detected dubious ownership in repository at '/x'\n"
        "To add an exception for this directory, call:\n\n\tgit config --global --add safe.directory /x\n",
        "detected dubious ownership in repository at '/x'",
    ),
    "a server that refuses": (
        "remote: error: GH006: Protected branch update failed for refs/heads/main.        \n"
        "To https://github.com/team/ear\n"
        " ! [remote rejected] HEAD -> main (protected branch hook declined)\n"
        "error: failed to push some refs to 'https://github.com/team/ear'\n",
        "GH006: Protected branch update failed for refs/heads/main.; "
        "[remote rejected] HEAD -> main (protected branch hook declined); "
        "failed to push some refs to 'https://github.com/team/ear'",
    ),
    "a password": (
        "fatal: unable to access 'https://x-access-token:secret@github.com/team/ear/': 403\n",
        "unable to access 'https://github.com/team/ear/': 403",
    ),
    "something else": ("warning: x\nsomething else\n", "something else"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("case", REASONS)
def test_the_reason_of_git_is_found_in_what_it_says(case):
    said, reason = REASONS[case]
    assert find_reason(said) == reason


def test_a_refusal_of_git_names_the_command_and_the_reason(repository):
    with pytest.raises(GitError, match=r"^'git switch' failed: invalid reference: nowhere; correct that"):
        git("switch", "nowhere")
    with pytest.raises(GitError, match=r"'git status' failed: .*absent: no such folder"):
        git("status", folder=repository / "absent")


def test_a_repository_that_git_distrusts_is_not_taken_for_one_without_the_revision(repository, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(EarError, match=r"cannot read its Git repository .*dubious ownership"):
        find_commit("HEAD")


@pytest.mark.parametrize("name", ["Straße 日本.txt", "two\nlines.txt", os.fsdecode(b"latin-\xe4.txt"), '"quoted".txt'])
def test_names_of_any_letters_come_through(repository, name):
    (repository / "metrics").mkdir()
    (repository / "metrics" / name).write_bytes(b"content")
    in_workspace = list_files("workspace", repository.joinpath("metrics").relative_to(repository))
    assert list(in_workspace) == [f"metrics/{name}"]
    git("add", "--", f"metrics/{name}")
    git("commit", "--quiet", "--message", "second")
    assert list_files("HEAD", repository.joinpath("metrics").relative_to(repository)) == in_workspace
    assert read_blob(in_workspace[f"metrics/{name}"]) == b"content"


def test_a_failure_of_dvc_is_one_line_with_its_reason(repository):
    with pytest.raises(EarError, match=r"^'dvc status' failed: you are not inside of a DVC repository.*; correct that"):
        dvc("status")
    assert str(failure(["repro"], "")) == "'dvc repro' failed: it gave no reason; correct that first"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("ERROR: Could not override 'train.sed'.\nTo append use +train.sed=1\n", "Could not override 'train.sed'"),
        ("ERROR: It is taken. To overwrite run:\n\n\tdvc exp run -f ...\n\n\nHaving any troubles?\n",
         "It is taken. To overwrite run: dvc exp run -f ..."),
        ("ERROR: failed:\n", "failed:"),
    ],
)  # fmt: skip
def test_the_reason_of_dvc_is_neither_cut_off_nor_punctuated_twice(said, reason):
    assert str(failure(["exp", "run"], said)) == f"'dvc exp run' failed: {reason}; correct that first"


def test_a_command_that_takes_too_long_is_ended_with_what_it_started(tmp_path, monkeypatch):
    """A stand-in of DVC that starts a stage which ignores polite words."""
    script = "echo \"Running stage 'train':\"\n(trap '' TERM; exec sleep 600) & echo $! > stage.pid\nwait"
    stand_in(tmp_path, monkeypatch, script)
    monkeypatch.setattr(dvc_module, "GRACE_S", 0.1)
    assert follow_dvc("repro", folder=tmp_path, show=False, limit_s=2) == (None, "Running stage 'train':\n")
    assert ends(int((tmp_path / "stage.pid").read_text()))


def stand_in(tmp_path, monkeypatch, script):
    """A command `dvc` that runs a script."""
    (tmp_path / "dvc").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "dvc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def ends(pid):
    """Whether a process ends, which after a signal takes the system a moment."""
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            process.wait(timeout=10)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_what_dvc_prints_is_given_without_its_last_end_of_line(tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, 'echo "$@"; echo "Straße"; echo warning >&2')
    assert dvc("metrics", "diff") == "metrics diff\nStraße"


def test_a_command_is_ended_where_this_process_is_interrupted(tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, "echo $$; exec sleep 600")
    pids = []

    def interrupt(text):
        if text.strip().isdigit():
            pids.append(int(text))
            raise KeyboardInterrupt

    monkeypatch.setattr(dvc_module.sys.stdout, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        follow_dvc("repro", folder=tmp_path)
    assert ends(pids[0])


def test_outputs_that_are_not_to_be_pushed_are_read_from_the_pipeline(repository, monkeypatch):
    dvc("init", "--quiet")
    stage = {"cmd": "x", "outs": [{"data/raw": {"push": False}}, "data/models", {"other": {"push": True}}]}
    (repository / "dvc.yaml").write_text(json.dumps({"stages": {"fetch": stage}}))
    assert outputs_not_to_push() == {"data/raw"}


def test_what_dvc_prints_is_shown_as_it_comes_or_not(repository, capsys):
    status, said = follow_dvc("status", folder=repository)
    assert status
    assert capsys.readouterr().out == f"dvc status in {repository}\n{said}"
    assert follow_dvc("status", show=False) == (status, said)
    assert capsys.readouterr().out == ""
