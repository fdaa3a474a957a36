"""Turn each accepted clip, and the variants of it that training may want, into log-mel frames, one file per fold.

in   `--raw`       audio and `dataset.json` of fetch
     `--accepted`  the table of accepted clips of validate
out  `--features`  `fold_<k>.npy`, `index.csv`, `facts.json`: see `stages.lib.features.store`
     `--plots`     `two_tones.png`, `classes.png` (one clip per class), `bands.png` (a clip in 10, 150, 1,000 bands)
"""

import argparse
from pathlib import Path

import pandas as pd

from stages.featurize.plan import ACCEPTED_COLUMNS, compute, facts_of, plan, warnings_of
from stages.lib.core.errors import run
from stages.lib.core.files import atomic_directory, read_json, write_csv, write_json
from stages.lib.core.params import load_params
from stages.lib.features.store import INDEX_COLUMNS, ORIGINAL, read_clips
from stages.lib.frontend.spectrogram import FeaturizeParams, Featurizer


def main(argv: list[str] | None = None) -> None:
    """Plan where the frames of each clip lie, compute and write them, and draw some."""
    args = parse_args(argv)
    params = load_params(args.params, FeaturizeParams)
    featurizer = Featurizer(params)
    dataset = read_json(args.raw / "dataset.json")
    index = plan(read_clips(args.accepted, ACCEPTED_COLUMNS), params)
    for line in warnings_of(index, featurizer):
        print(line)

    with atomic_directory(args.features) as folder, atomic_directory(args.plots) as plots:
        index["level_db"] = compute(index, args.raw / "audio", folder, featurizer)
        write_csv(folder / "index.csv", index[INDEX_COLUMNS])
        write_json(folder / "facts.json", facts_of(index, dataset, featurizer))
        # matplotlib takes as long to import as hundreds of clips take to compute: not before all else has succeeded.
        from stages.featurize.plots import draw

        draw(plots, index, args.raw / "audio", featurizer, dataset["title"])
    print(closing_line(index, params))


def closing_line(index: pd.DataFrame, params: FeaturizeParams) -> str:
    """What was written, in numbers."""
    n_clips = int((index["variant"] == ORIGINAL).sum())
    variants = f" and {len(index) - n_clips} variants" if len(index) > n_clips else ""
    unit = "bands" if params.n_mfcc is None else "coefficients"
    return (
        f"featurize: {n_clips} clips{variants}, {index['n_frames'].sum()} frames of {params.n_features} {unit}, "
        f"{index['fold'].nunique()} folds, {index['class'].nunique()} classes"
    )


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the paths, which dvc.yaml gives."""
    parser = argparse.ArgumentParser(prog="python -m stages.featurize", description=__doc__.splitlines()[0])
    for option in ("--params", "--raw", "--accepted", "--features", "--plots"):
        parser.add_argument(option, type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
