"""The model of one split: trained, calibrated, written into its folder of work in progress."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stages.lib.audio import load_mono
from stages.lib.core.errors import DataError
from stages.lib.features.store import Features, fold_file
from stages.lib.model.archive import save_model
from stages.lib.model.calibration import Calibration
from stages.lib.model.metadata import EventsMetadata, FramesMetadata
from stages.lib.split.folds import Split, hold_out
from stages.lib.split.scaler import Scaler
from stages.train.checkpoint import digest, locked
from stages.train.fit import (
    Inputs,
    calibrate_on,
    model_metadata,
    predict_fold,
    score_clips,
    table_of_clips,
    train_model,
)
from stages.train.frames import add_frame_head
from stages.train.frozen import BodyOutputs
from stages.train.recipe import TrainParams


@dataclass(frozen=True)
class SplitModel:
    """A trained model: its file, and what training it left.

    `curves` are those of `stages.train.fit.train_model` by the name of each network that was trained for it, `scores`
    those of `stages.train.fit.score_clips` and `held_out` the table of `stages.train.fit.table_of_clips`, both None
    without a fold that was held out, `folders` its work in progress.
    """

    path: Path
    curves: dict[str, pd.DataFrame]
    scores: dict[str, float] | None
    held_out: pd.DataFrame | None
    folders: list[Path]


def train_split(inputs: Inputs, split: Split, scaler_path: Path, checkpoints: Path, locks: ExitStack) -> SplitModel:
    """Train, calibrate and save the model of a split, and print what became of it.

    A model on everything is preceded by those that each leave out a fold to calibrate it on. The folders of the work in
    progress lie in `checkpoints`, and are locked until `locks` is closed. Raises `DataError` where the scaler does not
    fit, and what `stages.train.fit.train_model` raises.
    """
    scaler = read_scaler(scaler_path, inputs.features)
    curves, held_out, folders = {}, [], []
    bodies = BodyOutputs(inputs.features, batch_size=inputs.params.batch_size)
    for part in [*hold_out(split, inputs.params.calibration_folds), split]:
        metadata = model_metadata(inputs, part, scaler)
        files = [scaler_path, Path(inputs.params.weights), *input_files(inputs.features, part)]
        folder = checkpoints / digest(metadata.model_dump(), files)
        folders.append(folder)
        locks.enter_context(locked(folder))
        model, curves[part.name] = train_model(
            inputs, metadata, scaler, bodies, folder / "checkpoint.npz", folder / "live"
        )
        print(closing_line(part, inputs.params, model.count_params(), curves[part.name]))
        if part.validation is not None:
            held_out.append(predict_fold(model, metadata, inputs.features, part.validation))
    calibration = calibrate_on(held_out, inputs.features.classes) if held_out else None
    if remark := calibration_remark(split, calibration):
        print(remark)
    if inputs.events.n_soundscapes:
        model, step = add_frame_head(
            model,
            metadata,
            inputs.features.clips(split.train),
            lambda clip: load_mono(inputs.audio / clip, metadata.featurize.sr),
            inputs.events,
            inputs.params.seed,
        )
        frames = FramesMetadata(step=step, n_soundscapes=inputs.events.n_soundscapes)
        events = EventsMetadata(**{name: getattr(inputs.events, name) for name in EventsMetadata.model_fields})
        metadata = metadata.model_copy(update={"frames": frames, "events": events})
    path = folder / "model.keras"
    save_model(path, model, metadata.model_copy(update={"calibration": calibration}))
    if calibration is None:
        return SplitModel(path, curves, None, None, folders)
    table = table_of_clips(held_out, inputs.features.classes, calibration.temperature)
    return SplitModel(path, curves, score_clips(held_out), table, folders)


def read_scaler(path: Path, features: Features) -> Scaler:
    """Read a scaler. Raises `DataError` where it cannot be read or does not fit the features."""
    try:
        with np.load(path) as arrays:
            scaler = Scaler(arrays["mean"], arrays["std"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run 'dvc repro scale'") from None
    if scaler.mean.shape != (features.n_mels,):
        raise DataError(f"{path}: expected {features.n_mels} bands, found {scaler.mean.shape}; run 'dvc repro scale'")
    return scaler


def input_files(features: Features, split: Split) -> list[Path]:
    """The files that training reads: the test fold is not among them."""
    folds = [*split.train] if split.validation is None else [*split.train, split.validation]
    return [features.folder / "index.csv", *(fold_file(features.folder, fold) for fold in folds)]


def closing_line(split: Split, params: TrainParams, n_weights: int, curves: pd.DataFrame) -> str:
    """What was trained, and the scores of the last epoch."""
    last = curves.iloc[-1]
    validation = (
        "" if split.validation is None else f", {last['val_accuracy']:.3f} on validation fold {split.validation}"
    )
    return (
        f"train: {split.name}: {params.model}, {n_weights / 1e6:.2f} million weights, {len(curves)} epochs on folds "
        f"{split.train}; accuracy of segments {last['accuracy']:.3f} in training{validation}"
    )


def calibration_remark(split: Split, calibration: Calibration | None) -> str | None:
    """What a user must know about how sure the model is; None where it was calibrated and no limit was met."""
    if calibration is None:
        why = "split.validation is none" if split.test is not None else "train.calibration_folds is 0"
        return f"train: {split.name}: not calibrated, since {why}: its confidences are those of the network"
    if not calibration.limited:
        return None
    n_clips, folds = sum(calibration.n_clips.values()), ", ".join(map(str, calibration.folds))
    if calibration.temperature == 1:
        return (
            f"train: {split.name}: all {n_clips} clips of fold {folds} are classified as they should be, which does "
            "not show how sure the model may be; the temperature stays at 1"
        )
    return (
        f"train: {split.name}: the temperature ran into its limit at {calibration.temperature:g}; do not rely on "
        f"confidences, and compare training with validation on fold {folds}"
    )
