"""Train one network for each test fold, which it never reads, and store all that prediction needs with it.

in   `--features`  frames of featurize
     `--scaler`    `<split>.npz` of scale
     `--raw`       of fetch: `audio/`, of whose training clips the soundscapes are made that the head for frames learns
     train.weights (of the parameters)
                   a file of data/weights/, which says where pretrained weights come from, or that there are none
out  `--models`    `<split>.keras`, see `stages.lib.model.archive`, and `<split>.csv`: for each clip of the folds that a
                   model was calibrated on, what a network that was not trained on it predicts
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

import pandas as pd

from stages.lib.core.errors import run
from stages.lib.core.files import atomic_directory, write_csv, write_json
from stages.lib.core.params import load_params
from stages.lib.features.store import open_features
from stages.lib.model.backend import start_backend
from stages.lib.model.segments import SegmentParams
from stages.lib.split.folds import SplitParams, make_splits
from stages.train.augment import AugmentParams
from stages.train.recipe import EventParams, TrainParams
from stages.train.weights import load_pretrained


def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    args = parse_args(argv)
    params = load_params(args.params, TrainParams)
    augment = load_params(args.params, AugmentParams)
    segment = load_params(args.params, SegmentParams)
    events = load_params(args.params, EventParams)
    features = open_features(args.features)
    splits = make_splits(load_params(args.params, SplitParams), features.folds)

    start_backend(params.backend)
    from stages.train.fit import Inputs  # these import Keras, which must not come before its backend
    from stages.train.networks import find_network
    from stages.train.split_model import train_split

    pretrained = load_pretrained(
        Path(params.weights),
        params.model,
        needed=find_network(params.model).pretrained,
        featurize=features.facts["featurize"],
    )
    if pretrained is not None:
        print(
            f"weights: {pretrained.about.title}\nlicence: {pretrained.about.licence}\ncite: {pretrained.about.citation}"
        )

    shutil.rmtree(args.plots, ignore_errors=True)
    inputs = Inputs(params, augment, segment, features, pretrained, events, args.raw / "audio")
    with ExitStack() as locks:
        models = {
            split.name: train_split(inputs, split, args.scaler / f"{split.name}.npz", args.checkpoints, locks)
            for split in splits
        }
        with atomic_directory(args.models) as folder:
            for name, model in models.items():
                shutil.copy(model.path, folder / f"{name}.keras")
                if model.held_out is not None:
                    write_csv(folder / f"{name}.csv", model.held_out)
        curves = {name: table for model in models.values() for name, table in model.curves.items()}
        for score in ("loss", "accuracy"):
            write_csv(args.plots / f"{score}.csv", curve_table(curves, score))
        scores = pd.DataFrame([model.scores for model in models.values() if model.scores is not None])
        write_json(args.metrics, scores.mean().round(6).to_dict())
        for model in models.values():
            for work in model.folders:
                shutil.rmtree(work)


def curve_table(curves: dict[str, pd.DataFrame], score: str) -> pd.DataFrame:
    """One row per epoch, model and side: `epoch`, `model`, `side`, and the score of segments under its name."""
    parts = [
        pd.DataFrame({"epoch": table["epoch"], "model": name, "side": side, score: table[column].round(6)}).dropna()
        for name, table in curves.items()
        for side, column in (("training", score), ("validation", f"val_{score}"))
    ]
    return pd.concat(parts)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the paths, which dvc.yaml gives."""
    parser = argparse.ArgumentParser(prog="python -m stages.train", description=__doc__.splitlines()[0])
    for option in ("--params", "--raw", "--features", "--scaler", "--models", "--plots", "--metrics", "--checkpoints"):
        parser.add_argument(option, type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
