"""What `.ci/run` asserts after the main command ran in a clean clone."""

import subprocess
import sys

import pytest

from helpers.repository import ROOT
from helpers.workspace import Workspace

LOCK = "stages:\n  featurize: {md5: a}\n  train: {md5: b}\n"


@pytest.fixture
def clone(tmp_path):
    """A clone in which the pipeline ran and came to what is committed."""
    workspace = Workspace(tmp_path)
    for name, content in {
        "dvc.lock": LOCK,
        "metrics/evaluate.json": '{"accuracy": 0.8}',
        "metrics/train/loss.tsv": "1\n",
        "metrics/validate.json": "{}",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    workspace.run("git", "init", "--quiet")
    workspace.commit()
    return tmp_path


def check(clone):
    command = [sys.executable, str(ROOT / ".ci/check_clone.py"), str(clone)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_clone_that_came_to_the_same_passes(clone):
    done = check(clone)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "accuracy 0.8; differ from the commit, on this processor: none of them\n"


def test_what_train_and_evaluate_write_may_differ(clone):
    (clone / "dvc.lock").write_text(LOCK.replace("b", "c"))
    (clone / "metrics/train/loss.tsv").write_text("2\n")
    (clone / "metrics/evaluate.json").write_text('{"accuracy": 0.81}')
    done = check(clone)
    assert done.returncode == 0, done.stderr
    assert "dvc.lock, metrics/evaluate.json, metrics/train/loss.tsv" in done.stdout


PROBLEMS = {
    "accuracy too low": ("metrics/evaluate.json", '{"accuracy": 0.69}', "accuracy 0.69, expected 0.7 to 0.97"),
    "accuracy too high": ("metrics/evaluate.json", '{"accuracy": 0.98}', "accuracy 0.98, expected 0.7 to 0.97"),
    "another stage": ("dvc.lock", LOCK.replace(": a", ": c"), "dvc.lock: stage 'featurize' differs from the commit"),
    "a stage that is gone": ("dvc.lock", "stages:\n  train: {md5: b}\n", "stage 'featurize' differs"),
    "metrics of another stage": ("metrics/validate.json", "[]", "metrics/validate.json: differs from the commit"),
    "an untracked file": ("metrics/train.png", "", "metrics/train.png: differs from the commit"),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_anything_else_fails_and_says_why(clone, case):
    name, content, message = PROBLEMS[case]
    (clone / name).write_text(content)
    done = check(clone)
    assert done.returncode == 1
    assert message in done.stderr
