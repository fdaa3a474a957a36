"""The pipeline as DVC runs it: real runs, on small data, in a copy of the repository."""

import io
import re
import shutil
import time

import numpy as np
import pandas as pd
import psutil
import pytest

from helpers.workspace import ALL, Workspace, run_small, write_tone
from stages.lib.core.files import read_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small(tmp_path_factory, small_params) -> Workspace:
    """A workspace on a folder of tones, run once."""
    return run_small(tmp_path_factory, small_params)


def test_a_second_run_runs_nothing(small):
    assert small.repro() == []


def test_the_report_is_made_but_not_kept(small):
    report = small.root / "metrics/evaluate/report.html"
    assert "data:audio/mpeg" in report.read_text() or "<p>None.</p>" in report.read_text()  # mistakes, where there are
    assert "report.html" not in small.run("git", "ls-files")
    report.unlink()
    assert small.repro() == []


# Each change is made on top of the ones before it, or DVC would find the earlier state in its cache and run nothing.
CHANGES = {
    "learning rate": (lambda w: w.set_params(train={"learning_rate": 0.005}), ["train", "evaluate"]),
    "bands": (lambda w: w.set_params(featurize={"n_mels": 20}), ALL[2:]),
    "hop": (lambda w: w.set_params(featurize={"hop_length": 100}), ALL[2:]),
    "segment length": (lambda w: w.set_params(segment={"duration_s": 0.6}), ["train", "evaluate"]),
    "test fold": (lambda w: w.set_params(split={"test_folds": [2]}), ["scale", "train", "evaluate"]),
    "a threshold that rejects clips": (lambda w: w.set_params(validate={"min_duration_s": 0.35}), ALL[1:]),
    "a threshold that changes no verdict": (lambda w: w.set_params(validate={"min_duration_s": 0.36}), ["validate"]),
    "a helper of evaluate": (
        lambda w: w.edit("stages/evaluate/bootstrap.py", "[0.025, 0.975]", "[0.1, 0.9]"),
        ["evaluate"],
    ),
    "a helper of scale": (
        lambda w: w.edit("stages/lib/split/scaler.py", "np.sqrt(squares / count)", "np.sqrt(squares / count) * 1.01"),
        ["scale", "train", "evaluate"],
    ),
    "a recording added": (lambda w: write_tone(w.source / "low" / "new.wav", 310.0, 0.9, seed=99), ALL),
    "a comment in params.yaml": (lambda w: w.edit("params.yaml", "train:", "# a comment\ntrain:"), []),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reruns_exactly_what_depends_on_it(small, change):
    make, expected = CHANGES[change]
    make(small)
    assert small.repro() == expected
    assert small.repro() == []


def test_parameters_that_were_tried_before_take_features_and_model_from_the_cache(small):
    before = {path.name: path.read_bytes() for path in (small.root / "metrics/train").glob("*.json")}
    small.set_params(featurize={"n_mels": 18})
    assert small.repro() == ALL[2:]
    small.set_params(featurize={"n_mels": 20})
    assert small.repro() == ["evaluate"]
    assert {path.name: path.read_bytes() for path in (small.root / "metrics/train").glob("*.json")} == before


@pytest.mark.parametrize("killed", [["dvc"], ["stage"], ["dvc", "stage"]], ids="+".join)
def test_a_killed_run_goes_on_and_gives_what_an_unbroken_one_gives(small, killed):
    small.set_params(train={"epochs": 20, "seed": 100 + len(killed) + killed.count("dvc")})
    dvc = small.start("dvc", "repro")
    checkpoints = small.root / "checkpoints"
    wait_until(lambda: list(checkpoints.glob("*/checkpoint.npz")))
    stage = next(p for p in psutil.Process(dvc.pid).children(recursive=True) if "stages.train" in p.cmdline())
    for process in killed:
        {"dvc": dvc, "stage": stage}[process].kill()
    dvc.wait()
    assert not (small.root / "data/models").exists()
    assert list(checkpoints.glob("*/checkpoint.npz"))
    assert small.repro() == ["train", "evaluate"]
    assert not list(checkpoints.iterdir())
    lock = (small.root / "dvc.lock").read_bytes()
    assert small.repro("--force", "--single-item", "train") == ["train"]
    assert (small.root / "dvc.lock").read_bytes() == lock


def wait_until(condition, timeout_s=120):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_two_forced_runs_and_two_clones_give_the_same_lock(small, tmp_path):
    small.commit()
    lock = (small.root / "dvc.lock").read_bytes()
    assert small.repro("--force") == ALL
    assert (small.root / "dvc.lock").read_bytes() == lock
    clone = Workspace(tmp_path)
    shutil.copy(small.root / "params.yaml", clone.root / "params.yaml")
    for name in ("resampling", "scaling"):
        shutil.copy(small.root / f"stages/lib/{name}.py", clone.root / f"stages/lib/{name}.py")
    (clone.root / "dvc.lock").unlink(missing_ok=True)
    assert clone.repro() == ALL
    assert (clone.root / "dvc.lock").read_bytes() == lock
    small.commit()
    assert small.run("git", "status", "--porcelain") == ""


def test_experiments_are_queued_run_two_at_a_time_and_compared(small):
    small.commit()
    for rate in ("0.003", "0.004"):
        small.run("dvc", "exp", "run", "--queue", "--name", f"rate-{rate[-1]}", "-S", f"train.learning_rate={rate}")
    small.run("dvc", "queue", "start", "--jobs", "2")
    small.run("dvc", "queue", "logs", "--follow", "rate-3", check=False)
    small.run("dvc", "queue", "logs", "--follow", "rate-4", check=False)
    for _ in range(60):
        status = small.run("dvc", "queue", "status")
        if "Running" not in status and "Queued" not in status:
            break
        small.run("sleep", "2")
    assert status.count("Success") == 2, status
    table = small.run("dvc", "exp", "show", "--csv")
    rates = set(pd.read_csv(io.StringIO(table))["train.learning_rate"])
    assert {0.003, 0.004} <= rates
    assert "train.learning_rate" in small.run("dvc", "params", "diff", "rate-3", "rate-4")
    assert "accuracy" in small.run("dvc", "metrics", "diff", "--all", "rate-3", "rate-4")
    compared = small.run("python", "-m", "stages.commands.compare", "rate-3", "rate-4")
    assert re.search(r"^accuracy +\d", compared, re.MULTILINE), compared


def test_dag_and_plots_can_be_shown(small):
    dag = small.run("dvc", "dag")
    assert all(stage in dag for stage in ALL)
    small.run("dvc", "plots", "show", "--out", "plots")
    page = (small.root / "plots" / "index.html").read_text()
    for picture in ("confusion.png", "curves.png"):
        assert picture in page
    for plot in ("training/loss.tsv", "validation/accuracy.tsv", "true class by predicted class"):
        assert plot in page


@pytest.mark.parametrize(
    ("dataset", "source", "fold", "n_clips"),
    [("urbansound8k", "UrbanSound8K-mini.tar.gz", 3, 615), ("esc50", "ESC-10", 5, 400)],
)
def test_real_recordings_run_through_with_three_parameters_set(real_data, tmp_path, dataset, source, fold, n_clips):
    workspace = Workspace(tmp_path)
    settings = [f"fetch.dataset={dataset}", f"fetch.source={real_data / source}", f"split.test_folds=[{fold}]"]
    workspace.run("dvc", "exp", "run", *(part for setting in settings for part in ("-S", setting)))
    accepted, rejected = (pd.read_csv(tmp_path / f"data/clips/{name}.csv") for name in ("accepted", "rejected"))
    assert len(accepted) + len(rejected) == n_clips
    metrics = read_json(tmp_path / "metrics/evaluate.json")
    print(f"{dataset}: accuracy {metrics['accuracy']} of {metrics['n_clips']} clips of fold {fold}")
    assert metrics["n_clips"] == (accepted["fold"] == fold).sum()
    assert metrics["accuracy"] > 2 / accepted["class"].nunique()  # twice what guessing gets


def test_the_sample_is_hard_enough_to_learn_from(tmp_path):
    """The default model lands between 70 and 95 %, and ten bands are not enough: means of three seeds."""
    workspace = Workspace(tmp_path)
    accuracies = {150: [], 10: []}
    for n_mels, found in accuracies.items():
        for seed in (1, 2, 3):
            workspace.set_params(featurize={"n_mels": n_mels}, train={"seed": seed})
            workspace.repro()
            found.append(read_json(tmp_path / "metrics/evaluate.json")["accuracy"])
    print(f"accuracy on fold 10 of the sample (synthetic) by bands: {accuracies}")
    means = {n_mels: np.mean(found) for n_mels, found in accuracies.items()}
    assert 0.70 <= means[150] <= 0.95
    assert means[10] <= means[150] - 0.05
