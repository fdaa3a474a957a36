"""Measure mean and standard deviation of the bands on the training folds of each model.

in   `--features`  frames of featurize
out  `--scaler`    `<split>.npz` for each model, with `mean` and `std`, float32 of shape (n_mels,)
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stages.lib.core.errors import run
from stages.lib.core.files import atomic_directory
from stages.lib.core.params import load_params
from stages.lib.core.progress import progress
from stages.lib.features.store import Features, open_features
from stages.lib.split.folds import SplitParams, make_splits
from stages.lib.split.scaler import ScaleParams, fit_scaler

FRAMES_PER_CHUNK = 65_536  # 75 MiB in float64 at 150 bands, whatever the size of the set


def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    args = parse_args(argv)
    params = load_params(args.params, ScaleParams)
    features = open_features(args.features)
    splits = make_splits(load_params(args.params, SplitParams), features.folds)

    with atomic_directory(args.scaler) as folder:
        for split in progress(splits, total=len(splits), desc="scale", unit="models"):
            scaler = fit_scaler(params, chunks(features, split.train))
            np.savez(folder / f"{split.name}.npz", mean=scaler.mean, std=scaler.std)
    names = ", ".join(split.name for split in splits)
    print(f"scale: {features.n_mels} bands measured on the training folds of {names}")


def chunks(features: Features, folds: list[int]) -> Iterator[np.ndarray]:
    """The frames of the clips of some folds, not of their variants, a bounded number at a time."""
    for fold in folds:
        n_frames = int(features.clips([fold])["n_frames"].sum())  # those of variants come after them
        for start in range(0, n_frames, FRAMES_PER_CHUNK):
            # Mapped anew, or what was read would stay mapped, and memory would seem to grow with the set.
            yield features.frames(fold)[start : min(start + FRAMES_PER_CHUNK, n_frames)]


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the paths, which dvc.yaml gives."""
    parser = argparse.ArgumentParser(prog="python -m stages.scale", description=__doc__.splitlines()[0])
    for option in ("--params", "--features", "--scaler"):
        parser.add_argument(option, type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
