"""Train one network for each test fold, which it never reads, and store all that prediction needs with it.

in   `--features`  frames of featurize
     `--scaler`    `<split>.npz` of scale
out  `--models`    `<split>.keras`, see `stages.lib.model_file`
     `--plots`     `loss/<split>.csv` and `accuracy/<split>.csv`, by epoch, and both as `curves.png`
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from stages.lib.backend import start_backend
from stages.lib.errors import DataError, run
from stages.lib.features import Features, open_features
from stages.lib.figures import save_figure
from stages.lib.files import whole_folder, write_csv
from stages.lib.model_file import save_model
from stages.lib.params import load_params
from stages.lib.recipe import TrainParams
from stages.lib.scaling import Scaler
from stages.lib.segments import SegmentParams
from stages.lib.split import Split, SplitParams, make_splits
from stages.lib.train_figures import plot_curves


def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    args = parse_args(argv)
    params = load_params(args.params, TrainParams)
    segment = load_params(args.params, SegmentParams)
    features = open_features(args.features)
    splits = make_splits(load_params(args.params, SplitParams), features.folds)

    start_backend(params.backend)
    from stages.lib.training import train_model  # imports Keras, which must not come before its backend

    curves = {}
    with whole_folder(args.models) as models, whole_folder(args.plots) as plots:
        for split in splits:
            scaler = read_scaler(args.scaler / f"{split.name}.npz", features)
            model, facts, curves[split.name] = train_model(params, segment, features, split, scaler)
            save_model(models / f"{split.name}.keras", model, facts)
            write_curves(plots, split, curves[split.name])
            print(closing_line(split, params, model.count_params(), curves[split.name]))
        title = f"{params.model}, {features.facts['dataset']['title']}"
        save_figure(plots / "curves.png", plot_curves(curves, title))


def read_scaler(path: Path, features: Features) -> Scaler:
    """Read a scaler and see that it fits the features."""
    try:
        with np.load(path) as arrays:
            scaler = Scaler(arrays["mean"], arrays["deviation"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run 'dvc repro scale'") from None
    if scaler.mean.shape != (features.n_mels,):
        raise DataError(f"{path}: expected {features.n_mels} bands, found {scaler.mean.shape}; run 'dvc repro scale'")
    return scaler


def write_curves(plots: Path, split: Split, curves: pd.DataFrame) -> None:
    """Write loss and accuracy apart, since DVC draws a file as one plot."""
    for score in ("loss", "accuracy"):
        table = curves[["epoch", score, f"val_{score}"]].set_axis(["epoch", "training", "validation"], axis=1)
        write_csv(plots / score / f"{split.name}.csv", table)


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


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the paths, which dvc.yaml gives."""
    parser = argparse.ArgumentParser(prog="python -m stages.train", description=__doc__.splitlines()[0])
    for option in ("--params", "--features", "--scaler", "--models", "--plots"):
        parser.add_argument(option, type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
