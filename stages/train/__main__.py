"""Train one network for each test fold, which it never reads, and store all that prediction needs with it.

in   `--features`  frames of featurize
     `--scaler`    `<split>.npz` of scale
     train.weights (of the parameters)
                   a file of data/weights/, which says where pretrained weights come from, or that there are none
out  `--models`    `<split>.keras`, see `stages.lib.model.archive`
     `--plots`     `loss.csv` and `accuracy.csv`: those of segments by epoch, model and side (training, validation)
     `--metrics`   accuracy and log loss of the clips of the validation folds, by which settings are to be chosen, so
                   that the test folds stay unseen; the means of several models

A model on everything has no validation fold. It is calibrated on the predictions of models that each leave out one of
the last `train.calibration_folds` folds and are otherwise trained as it is, with its scaler; they are not kept.

`--checkpoints` holds work in progress, one folder per model, from which a training that was killed goes on, and in
which DVCLive writes the curves (`live`). The stage removes its own when all its models are there; otherwise it may be
deleted at any time.
"""

import argparse
import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from stages.lib.core.errors import DataError, run
from stages.lib.core.files import atomic_directory, write_csv, write_json
from stages.lib.core.params import load_params
from stages.lib.features.store import Features, fold_file, open_features
from stages.lib.model.archive import save_model
from stages.lib.model.backend import start_backend
from stages.lib.model.calibration import Calibration
from stages.lib.model.segments import SegmentParams
from stages.lib.split.folds import Split, SplitParams, hold_out, make_splits
from stages.lib.split.scaler import Scaler
from stages.train.augment import AugmentParams
from stages.train.recipe import TrainParams
from stages.train.weights import load_pretrained


def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    args = parse_args(argv)
    params = load_params(args.params, TrainParams)
    augment = load_params(args.params, AugmentParams)
    segment = load_params(args.params, SegmentParams)
    features = open_features(args.features)
    splits = make_splits(load_params(args.params, SplitParams), features.folds)

    start_backend(params.backend)
    from stages.train.checkpoint import digest, locked  # these import Keras, which must not come before its backend
    from stages.train.fit import calibrate_on, model_metadata, predict_fold, score_clips, train_model
    from stages.train.networks import find_network

    weights_path = Path(params.weights)
    pretrained = load_pretrained(
        weights_path,
        params.model,
        needed=find_network(params.model).pretrained,
        featurize=features.facts["featurize"],
    )
    if pretrained is not None:
        print(
            f"weights: {pretrained.about.title}\nlicence: {pretrained.about.licence}\ncite: {pretrained.about.citation}"
        )

    shutil.rmtree(args.plots, ignore_errors=True)
    folders, finished, scores, all_curves = [], {}, [], {}
    with ExitStack() as locks:
        for split in splits:
            scaler_path = args.scaler / f"{split.name}.npz"
            scaler = read_scaler(scaler_path, features)
            held_out = []
            for part in [*hold_out(split, params.calibration_folds), split]:
                metadata = model_metadata(params, augment, segment, features, part, scaler, pretrained)
                inputs = [scaler_path, weights_path, *input_files(features, part)]
                folder = args.checkpoints / digest(metadata.model_dump(), inputs)
                locks.enter_context(locked(folder))
                folders.append(folder)
                model, curves = train_model(
                    params,
                    augment,
                    metadata,
                    features,
                    part,
                    scaler,
                    pretrained,
                    folder / "checkpoint.npz",
                    folder / "live",
                )
                all_curves[part.name] = curves
                print(closing_line(part, params, model.count_params(), curves))
                if part.validation is not None:
                    held_out.append(predict_fold(model, metadata, features, part.validation))
            scores += [score_clips(held_out)] if held_out else []
            calibration = calibrate_on(held_out, features.classes) if held_out else None
            if remark := calibration_remark(split, calibration):
                print(remark)
            finished[split.name] = folder / "model.keras"
            save_model(finished[split.name], model, metadata.model_copy(update={"calibration": calibration}))
        with atomic_directory(args.models) as models:
            for name, path in finished.items():
                shutil.copy(path, models / f"{name}.keras")
        for score in ("loss", "accuracy"):
            write_csv(args.plots / f"{score}.csv", curve_table(all_curves, score))
        write_json(args.metrics, pd.DataFrame(scores).mean().round(6).to_dict())
        for folder in folders:
            shutil.rmtree(folder)


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


def curve_table(curves: dict[str, pd.DataFrame], score: str) -> pd.DataFrame:
    """One row per epoch, model and side: `epoch`, `model`, `side`, and the score of segments under its name."""
    parts = [
        pd.DataFrame({"epoch": table["epoch"], "model": name, "side": side, score: table[column].round(6)}).dropna()
        for name, table in curves.items()
        for side, column in (("training", score), ("validation", f"val_{score}"))
    ]
    return pd.concat(parts)


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


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the paths, which dvc.yaml gives."""
    parser = argparse.ArgumentParser(prog="python -m stages.train", description=__doc__.splitlines()[0])
    for option in ("--params", "--features", "--scaler", "--models", "--plots", "--metrics", "--checkpoints"):
        parser.add_argument(option, type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
