"""Training as a whole: recipes, curves, going on after an end, calibration in the model file."""

import os
import re
import threading
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from helpers.tones import TONES_HZ, run_featurize, write_params
from stages.lib.core.errors import ModelError, ParamsError
from stages.lib.core.files import read_json
from stages.lib.features.store import open_features
from stages.lib.model.archive import load_model, read_metadata
from stages.lib.model.backend import start_backend
from stages.lib.model.calibration import Calibration
from stages.lib.split.folds import Split
from stages.scale import __main__ as scale
from stages.train import __main__ as train

RICH = {
    "split": {"test_folds": [1, 3], "validation": "previous"},
    "augment": {
        "crop": "wrap", "gain_db": 6.0, "filter_db": 6.0, "mask_frames": 4, "mask_bands": 2, "mix": "between_class",
        "mix_alpha": 1.0,
    },
    "train": {"epochs": 4, "schedule": "plateau", "optimizer": "adamw", "weight_decay": 0.01, "average": 0.9,
              "patience": 4, "label_smoothing": 0.1, "class_weights": "balanced"},
}  # fmt: skip


def changed(params, changes):
    copied = yaml.safe_load(yaml.safe_dump(params))
    for name, keys in changes.items():
        copied[name] |= keys
    return copied


def run_train(out, features, params):
    options = [f"--params={write_params(out / 'params.yaml', params)}", f"--features={features}"]
    scale.main([*options, f"--scaler={out / 'scaler'}"])
    paths = [f"--scaler={out / 'scaler'}", f"--models={out / 'models'}", f"--plots={out / 'plots'}"]
    paths += [f"--metrics={out / 'train.json'}", f"--raw={out / 'raw'}"]
    train.main([*options, *paths, f"--checkpoints={out / 'checkpoints'}"])
    return out


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def variant_features(tones, small_params, tmp_path_factory) -> Path:
    """Features of the tones with a variant of each clip."""
    params = changed(small_params, {"featurize": {"pitch": [1.0]}})
    return run_featurize(tones, tmp_path_factory.mktemp("variants"), params)


@pytest.fixture(scope="module")
def rich_params(quick_params) -> dict:
    return changed(quick_params, RICH | {"featurize": {"pitch": [1.0]}})


@pytest.fixture(scope="module")
def unbroken(variant_features, rich_params, tmp_path_factory):
    """All elements of the recipe at once, two folds, run to the end."""
    return run_train(tmp_path_factory.mktemp("unbroken"), variant_features, rich_params)


class Killed(BaseException):
    """What a test raises where a process would be killed."""


@pytest.mark.parametrize(
    ("fold", "epoch"), [(1, 2), pytest.param(3, 0, marks=pytest.mark.slow), pytest.param(3, 3, marks=pytest.mark.slow)]
)
def test_a_training_that_was_killed_goes_on_and_gives_the_same_bytes(
    unbroken, variant_features, rich_params, tmp_path, monkeypatch, capfd, fold, epoch
):
    start_backend("tensorflow")
    from stages.train.checkpoint import Checkpoint

    written, folds_trained = Checkpoint.on_epoch_end, []

    def kill(self, at, logs):
        written(self, at, logs)
        if at == 0:
            folds_trained.append(fold)
        if at == epoch and len(folds_trained) == [1, 3].index(fold) + 1:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_epoch_end", kill)
        with pytest.raises(Killed):
            run_train(tmp_path, variant_features, rich_params)
    assert not (tmp_path / "models").exists()
    n_epochs = []
    monkeypatch.setattr(Checkpoint, "on_epoch_end", lambda *args: (n_epochs.append(args[1]), written(*args)))
    run_train(tmp_path, variant_features, rich_params)
    assert n_epochs == ([*range(epoch + 1, 4), *range(4)] if fold == 1 else [*range(epoch + 1, 4)])
    assert content(tmp_path / "models") == content(unbroken / "models")
    assert content(tmp_path / "plots") == content(unbroken / "plots")
    assert not list((tmp_path / "checkpoints").iterdir())


def test_another_recipe_does_not_go_on_from_this_one(variant_features, rich_params, tmp_path):
    start_backend("tensorflow")
    from stages.train.checkpoint import digest

    features = open_features(variant_features)
    files = [features.folder / "fold_1.npy"]
    assert digest({"epochs": 3}, files) == digest({"epochs": 3}, files)
    assert digest({"epochs": 3}, files) != digest({"epochs": 4}, files)
    assert digest({"epochs": 3}, files) != digest({"epochs": 3}, [features.folder / "fold_2.npy"])


def test_early_stopping_ends_before_the_last_epoch(tone_features, quick_params, tmp_path):
    # At a learning rate of next to nothing no epoch is better than the first.
    params = changed(quick_params, {"train": {"epochs": 9, "patience": 2, "learning_rate": 1e-12}})
    run_train(tmp_path, tone_features, params)
    curve = pd.read_csv(tmp_path / "plots/loss.csv")
    assert 3 <= curve["epoch"].max() < 9


def test_calibration_is_fitted_on_the_validation_fold_and_kept(unbroken):
    metadata = read_metadata(unbroken / "models/fold_3.keras")
    assert metadata.calibration.folds == [2]
    assert metadata.calibration.n_clips == dict.fromkeys(TONES_HZ, 4)
    assert list(metadata.calibration.thresholds) == sorted(TONES_HZ)  # a JSON object, sorted by key
    assert metadata.calibration.temperature > 0
    assert metadata.train.schedule == "plateau"


def test_without_a_validation_fold_there_is_no_calibration(tone_features, quick_params, tmp_path, capsys):
    run_train(tmp_path, tone_features, changed(quick_params, {"split": {"validation": "none"}}))
    assert read_metadata(tmp_path / "models/fold_3.keras").calibration is None
    assert "fold_3: not calibrated, since split.validation is none" in capsys.readouterr().out


def test_a_model_on_everything_is_calibrated_by_models_that_leave_out_a_fold(
    tone_features, quick_params, tmp_path, capsys
):
    """Its own weights are those that it has without."""
    params = changed(quick_params, {"split": {"test_folds": []}, "train": {"calibration_folds": 2}})
    for n_folds in (2, 0):
        (tmp_path / str(n_folds)).mkdir()
        run_train(tmp_path / str(n_folds), tone_features, changed(params, {"train": {"calibration_folds": n_folds}}))
    with_it, without = tmp_path / "2", tmp_path / "0"
    calibration = read_metadata(with_it / "models/all.keras").calibration
    assert calibration.folds == [2, 3]
    assert calibration.n_clips == dict.fromkeys(TONES_HZ, 8)
    assert read_metadata(without / "models/all.keras").calibration is None
    weights = []
    for folder in (with_it, without):
        tables = ["all.csv"] if folder == with_it else []
        assert sorted(path.name for path in (folder / "models").iterdir()) == [*tables, "all.keras"]
        assert not list((folder / "checkpoints").iterdir())
        with zipfile.ZipFile(folder / "models/all.keras") as archive:
            weights.append(archive.read("model.weights.h5"))
    assert weights[0] == weights[1]
    assert set(pd.read_csv(with_it / "plots/loss.csv")["model"]) == {"all", "all_without_2", "all_without_3"}
    assert set(read_json(with_it / "train.json")) == {"validation_accuracy", "validation_log_loss"}
    assert read_json(without / "train.json") == {}
    clips = pd.read_csv(with_it / "models/all.csv")
    assert list(clips.columns) == ["clip", "fold", "source", "class", "predicted", "probability"]
    of_folds = open_features(tone_features).clips([2, 3])
    assert list(zip(clips["clip"], clips["fold"], strict=True)) == list(
        zip(of_folds["clip"], of_folds["fold"], strict=True)
    )
    right = clips["predicted"] == clips["class"]
    assert right.mean() == pytest.approx(read_json(with_it / "train.json")["validation_accuracy"], abs=1e-6)
    assert clips["probability"].between(1 / len(TONES_HZ), 1).all()
    assert "all: not calibrated, since train.calibration_folds is 0" in capsys.readouterr().out


def test_folds_that_cannot_be_left_out_are_refused(tone_features, quick_params, tmp_path):
    params = changed(quick_params, {"split": {"test_folds": []}, "train": {"calibration_folds": 4}})
    with pytest.raises(ParamsError, match=r"train\.calibration_folds 4: the data has 3 folds"):
        run_train(tmp_path, tone_features, params)


@pytest.mark.parametrize(
    ("calibration", "remark"),
    [
        ({"temperature": 0.8, "limited": False}, None),
        ({"temperature": 1.0, "limited": True}, r"all 12 clips of fold 2, 3 are classified as they should be, which"),
        ({"temperature": 19.99, "limited": True}, r"the temperature ran into its limit at 19\.99; do not rely on"),
    ],
)
def test_a_limit_of_the_temperature_is_reported(calibration, remark):
    start_backend("tensorflow")
    from stages.train.split_model import calibration_remark

    rest = {"thresholds": {}, "folds": [2, 3], "n_clips": {"low": 5, "high": 7}}
    found = calibration_remark(Split([1], None, None), Calibration(**calibration | rest))
    assert (found is None) if remark is None else re.search(f"^train: all: {remark}", found)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.weekly)])
def test_half_precision_trains(tone_features, small_params, tmp_path, precision):
    run_train(tmp_path, tone_features, changed(small_params, {"train": {"precision": precision}}))
    model = load_model(tmp_path / "models/fold_3.keras")
    policies = {layer.dtype_policy.name for layer in model.layers if "conv" in layer.name}
    assert policies == {precision}
    assert np.isfinite(model.predict(np.zeros((1, *model.input_shape[1:])), verbose=0)).all()


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle", "plateau"])
def test_schedules_stay_below_the_learning_rate_and_end_where_they_should(params, schedule):
    start_backend("tensorflow")
    from stages.train.optimizer import make_optimizer
    from stages.train.recipe import TrainParams

    optimizer = make_optimizer(TrainParams(**params["train"] | {"schedule": schedule, "learning_rate": 0.01}), 100, [])
    rate = optimizer._learning_rate
    rates = [float(rate(step)) if callable(rate) else 0.01 for step in range(101)]
    assert max(rates) == pytest.approx(0.01)
    first, last = {"cosine": (0.01, 0), "one_cycle": (0.01 / 25, 0)}.get(schedule, (0.01, 0.01))
    assert (rates[0], rates[-1]) == (pytest.approx(first), pytest.approx(last, abs=1e-9))
    if schedule == "one_cycle":
        assert int(np.argmax(rates)) == 30


def test_weight_decay_leaves_offsets_and_normalisation_alone(params):
    start_backend("tensorflow")
    import keras

    from stages.train.optimizer import make_optimizer
    from stages.train.recipe import TrainParams

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    recipe = TrainParams(**params["train"] | {"optimizer": "adamw", "weight_decay": 0.5, "schedule": "constant"})
    optimizer = make_optimizer(recipe, 100, [])
    optimizer.build(model.trainable_variables)
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    optimizer.apply([np.zeros(variable.shape) for variable in model.trainable_variables])
    changed = [variable.name for variable in model.trainable_variables if not np.allclose(variable, 1)]
    assert changed == ["kernel"]


def test_weight_decay_without_adamw_is_refused(params):
    from stages.train.recipe import TrainParams

    with pytest.raises(
        ValueError, match=r"train\.weight_decay 0\.1 is only for train\.optimizer adamw, found adam; set"
    ):
        TrainParams(**params["train"] | {"optimizer": "adam", "weight_decay": 0.1})


def test_patience_without_a_validation_fold_is_refused(tone_features, quick_params, tmp_path):
    params = changed(quick_params, {"train": {"patience": 2}, "split": {"validation": "none"}})
    with pytest.raises(ParamsError, match=r"train\.patience 2 watches a validation fold, which fold_3 does not have"):
        run_train(tmp_path, tone_features, params)


def test_a_stage_without_its_dvc_ends(monkeypatch):
    start_backend("tensorflow")
    from stages.train.checkpoint import Orphaned

    monkeypatch.setenv("DVC_STAGE", "train")
    watch = Orphaned()
    watch.on_train_batch_end(0)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(
        ModelError, match="the dvc that started this has ended; run 'dvc repro', which goes on from here"
    ):
        watch.on_train_batch_end(1)
    monkeypatch.delenv("DVC_STAGE")
    watch.on_train_batch_end(2)


def test_a_second_process_waits_for_the_first(tmp_path, monkeypatch):
    start_backend("tensorflow")
    from stages.train import checkpoint

    waits, order = threading.Event(), []
    monkeypatch.setattr("builtins.print", lambda text, file: (order.append(text), waits.set()))

    def second():
        with checkpoint.locked(tmp_path / "work"):
            order.append("second")

    with checkpoint.locked(tmp_path / "work"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(timeout=30)
        order.append("first")
    thread.join(timeout=30)
    assert "another process is training the same model" in order[0]
    assert order[1:] == ["first", "second"]
