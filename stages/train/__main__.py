"""Train one network for each test fold, which it never reads, and store all that prediction needs with it.

in   `--features`  frames of featurize
     `--scaler`    `<split>.npz` of scale
     train.weights (of the parameters)
                   a file of data/weights/, which says where pretrained weights come from, or that there are none
out  `--models`    `<split>.keras`, see `stages.lib.model.archive`
     `--plots`     loss and accuracy of segments by epoch: `<split>/`, which DVCLive writes while training goes on, and
                   evaluate draws; `validation.json`: accuracy and log loss of the clips of the validation folds, by
                   which settings are to be chosen, so that the test folds stay unseen; the means of several models

`--checkpoints` holds what is under way, a folder a model, from which a training that was killed goes on. The stage
removes its own when all its models are there; otherwise it may be deleted at any time.
"""

import argparse
import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from stages.lib.core.errors import DataError, run
from stages.lib.core.files import atomic_directory, write_json
from stages.lib.core.params import load_params
from stages.lib.features.store import Features, fold_file, open_features
from stages.lib.model.archive import save_model
from stages.lib.model.backend import start_backend
from stages.lib.model.segments import SegmentParams
from stages.lib.split.folds import Split, SplitParams, make_splits
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
    from stages.train.fit import model_metadata, train_model, validate_model
    from stages.train.networks import find_network

    weights_path = Path(params.weights)
    pretrained = load_pretrained(
        weights_path,
        params.model,
        needed=find_network(params.model).pretrained,
        featurize=features.facts["featurize"],
    )

    shutil.rmtree(args.plots, ignore_errors=True)
    folders, scores = {}, []
    with ExitStack() as locks:
        for split in splits:
            scaler_path = args.scaler / f"{split.name}.npz"
            scaler = read_scaler(scaler_path, features)
            metadata = model_metadata(params, augment, segment, features, split, scaler, pretrained)
            inputs = [scaler_path, weights_path, *input_files(features, split)]
            folder = args.checkpoints / digest(metadata.model_dump(), inputs)
            locks.enter_context(locked(folder))
            folders[split.name] = folder
            model, curves = train_model(
                params,
                augment,
                metadata,
                features,
                split,
                scaler,
                pretrained,
                folder / "checkpoint.npz",
                args.plots / split.name,
            )
            calibration, validation = validate_model(model, metadata, features, split)
            scores.append(validation)
            save_model(folder / "model.keras", model, metadata.model_copy(update={"calibration": calibration}))
            print(closing_line(split, params, model.count_params(), curves))
        with atomic_directory(args.models) as models:
            for name, folder in folders.items():
                shutil.copy(folder / "model.keras", models / f"{name}.keras")
        write_json(args.plots / "validation.json", pd.DataFrame(scores).mean().round(6).to_dict())
        for folder in folders.values():
            shutil.rmtree(folder)


def read_scaler(path: Path, features: Features) -> Scaler:
    """Read a scaler and see that it fits the features."""
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


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the paths, which dvc.yaml gives."""
    parser = argparse.ArgumentParser(prog="python -m stages.train", description=__doc__.splitlines()[0])
    for option in ("--params", "--features", "--scaler", "--models", "--plots", "--checkpoints"):
        parser.add_argument(option, type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
