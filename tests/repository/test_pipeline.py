"""The pipeline as DVC runs it: real runs, on small data, in copies of the repository."""

import time
from collections.abc import Callable

import pandas as pd
import psutil
import pytest

from helpers.workspace import ALL, Clone, CloneWithData, Workspace, write_tone
from stages.lib.core.files import read_json

pytestmark = pytest.mark.slow


@pytest.fixture
def small(finished, tmp_path) -> Workspace:
    """A workspace on a folder of tones in which all is up to date."""
    return CloneWithData(finished, tmp_path / "workspace")


def test_a_second_run_runs_nothing_even_without_the_report_which_is_not_kept(small):
    assert not (small.root / "metrics/evaluate/report.html").exists()  # made by the run, in no clone
    assert small.repro() == []


def test_the_report_can_play_what_it_shows(finished):
    page = (finished.root / "metrics/evaluate/report.html").read_text()
    assert "data:audio/mpeg" in page or "<p>None.</p>" in page  # of the errors, where there are any


def set_params(**sections: dict) -> Callable[[Workspace], None]:
    return lambda workspace: workspace.set_params(**sections)


def edit(name: str, old: str, new: str) -> Callable[[Workspace], None]:
    return lambda workspace: workspace.edit(name, old, new)


CHANGES = {
    "learning rate": (set_params(train={"learning_rate": 0.005}), ["train", "evaluate"]),
    "segment length": (set_params(segment={"duration_s": 0.6}), ["train", "evaluate"]),
    "bands": (set_params(featurize={"n_mels": 20}), ALL[2:]),
    "test fold": (set_params(split={"test_folds": [2]}), ["scale", "train", "evaluate"]),
    "a threshold that rejects clips": (set_params(validate={"min_duration_s": 0.35}), ALL[1:]),
    "a threshold that changes no verdict": (set_params(validate={"min_duration_s": 0.06}), ["validate"]),
    "code of evaluate": (edit("stages/evaluate/bootstrap.py", "[0.025, 0.975]", "[0.1, 0.9]"), ["evaluate"]),
    "code of the split": (
        edit("stages/lib/split/scaler.py", "np.sqrt(squares / count)", "np.sqrt(squares / count) * 1.01"),
        ["scale", "train", "evaluate"],
    ),
    "text of the report": (edit("stages/evaluate/report.html.jinja", "Test results", "Results"), ["evaluate"]),
    "a picture of evaluate": (edit("stages/evaluate/training_plots.py", "figsize=(9,", "figsize=(10,"), ["evaluate"]),
    "how pictures are saved": (
        edit("stages/lib/plotting.py", "dpi=100", "dpi=90"),
        ["validate", "featurize", "evaluate"],
    ),
    "a comment in params.yaml": (edit("params.yaml", "train:", "# a comment\ntrain:"), []),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reruns_exactly_what_depends_on_it(small, change):
    make, expected = CHANGES[change]
    make(small)
    assert small.repro() == expected


def test_a_recording_added_reruns_everything(small, tmp_path):
    small.own_source(tmp_path / "recordings")
    write_tone(small.source / "low" / "new.wav", 310.0, 0.9, seed=99)
    assert small.repro() == ALL


def test_parameters_that_were_tried_before_take_features_and_model_from_the_cache(small):
    before = training_scores(small)
    small.set_params(featurize={"n_mels": 18})
    assert small.repro("train") == ["featurize", "scale", "train"]
    assert training_scores(small) != before
    small.set_params(featurize={"n_mels": 16})
    assert small.repro() == []
    assert training_scores(small) == before


def training_scores(workspace: Workspace) -> dict:
    return read_json(workspace.root / "metrics/train.json")


def test_a_run_that_was_cut_off_goes_on_and_gives_what_an_unbroken_one_gives(small):
    """DVC and the stage are killed at once, as by a loss of power; tests of train kill it at each point of its work."""
    small.set_params(train={"epochs": 20})
    dvc = small.start("dvc", "repro", "train")
    checkpoints = small.root / "checkpoints"
    wait_until(lambda: list(checkpoints.glob("*/checkpoint.npz")))
    stage = next(p for p in psutil.Process(dvc.pid).children(recursive=True) if "stages.train" in p.cmdline())
    dvc.kill()
    stage.kill()
    dvc.wait()
    assert not (small.root / "data/models").exists()
    assert list(checkpoints.glob("*/checkpoint.npz"))
    assert small.repro("train") == ["train"]
    assert not list(checkpoints.iterdir())
    lock = (small.root / "dvc.lock").read_bytes()
    assert small.repro("--force", "--single-item", "train") == ["train"]
    assert (small.root / "dvc.lock").read_bytes() == lock


def wait_until(condition: Callable[[], object], timeout_s: float = 120) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_clone_without_data_comes_to_the_same_lock_and_metrics(finished, tmp_path):
    clone = Clone(finished, tmp_path / "clone")
    assert clone.repro() == ALL
    assert clone.run("git", "status", "--porcelain") == ""


def test_dag_and_plots_can_be_shown(small):
    dag = small.run("dvc", "dag")
    assert all(stage in dag for stage in ALL)
    assert "WARNING" not in small.run("dvc", "plots", "show", "--out", "plots")
    page = (small.root / "plots" / "index.html").read_text()
    for picture in ("classes.png", "soundscape.png"):
        assert picture in page
    for plot in ("metrics_train_loss_csv", "metrics_train_accuracy_csv", "Segments by epoch", "by true and predicted"):
        assert plot in page


@pytest.mark.parametrize(
    ("dataset", "source", "fold", "n_clips"),
    [("urbansound8k", "UrbanSound8K-mini.tar.gz", 3, 615), ("esc50", "ESC-10", 5, 400)],
)
def test_real_recordings_run_through_with_three_parameters_set(real_data, tmp_path, dataset, source, fold, n_clips):
    workspace = Workspace.create(tmp_path)
    settings = [f"fetch.dataset={dataset}", f"fetch.source={real_data / source}", f"split.test_folds=[{fold}]"]
    settings.append("train.epochs=2")  # enough to see that it learns; docs/training.md has what more give
    workspace.run("dvc", "exp", "run", *(part for setting in settings for part in ("-S", setting)))
    accepted, rejected = (pd.read_csv(tmp_path / f"data/clips/{name}.csv") for name in ("accepted", "rejected"))
    assert len(accepted) + len(rejected) == n_clips
    metrics = read_json(tmp_path / "metrics/evaluate.json")
    print(f"{dataset}: accuracy {metrics['accuracy']} of {metrics['n_clips']} clips of fold {fold}")
    assert metrics["n_clips"] == (accepted["fold"] == fold).sum()
    assert metrics["accuracy"] > 2 / accepted["class"].nunique()  # twice what guessing gets
