"""How often sounds of no class are named: without a class for other sounds, and with one of kinds that are expected.

    python -m stages.commands.recipe few
    dvc exp run featurize -S fetch.dataset=esc50 ...
    python -m benchmarks.other_sounds --fold 5

Run it where the stages up to featurize were run. Each draw takes three classes of the dataset to learn, `--clips`
recordings of each, from all folds but one, and puts as many recordings in all of three more classes into a class
`other`. The model is one on everything, calibrated by leaving out each fold. It is tested on the clips of the fold: of
the classes, of the kinds that `other` was made of, and of all further kinds, which it has never heard.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from stages.lib.core.files import write_json
from stages.lib.features.store import Features, fold_file, open_features
from stages.lib.model.archive import load_model, read_metadata
from stages.lib.model.calibration import apply_temperature, clip_probabilities
from stages.lib.model.segments import make_segmenter
from stages.scale import __main__ as scale
from stages.train import __main__ as train

PARAMS, FEATURES, RAW = Path("params.yaml"), Path("data/features"), Path("data/raw")
OTHER = "other"
N_CLASSES = 3  # to learn, and as many kinds in the class for other sounds


def main() -> None:
    """Train both models of each draw, print how each does and the means."""
    args = parse_args()
    features = open_features(FEATURES)
    rows = []
    for draw in range(args.draws):
        rng = np.random.default_rng([args.fold, args.clips, draw])
        kinds = rng.permutation(features.classes)
        known, heard = kinds[:N_CLASSES], kinds[N_CLASSES : 2 * N_CLASSES]
        clips = draw_clips(features, known, heard, args.fold, args.clips, rng)
        for name, table in (("without", clips[clips["class"] != OTHER]), ("with", clips)):
            with TemporaryDirectory() as folder:
                write_features(features, table, Path(folder) / "features")
                rows.append({"other": name} | run(Path(folder), features, args.fold, known, heard))
            print(f"draw {draw + 1}, {name} other: {rows[-1]}", flush=True)
    print(pd.DataFrame(rows).groupby("other").mean().round(3).T.to_string())


def draw_clips(
    features: Features, known: np.ndarray, heard: np.ndarray, fold: int, n: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Rows of the index: `n` clips of each of the classes `known`, and `n` in all of those in `heard`, as `OTHER`."""
    pool = features.clips([other for other in features.folds if other != fold])
    of_classes = [pool[pool["class"] == name].sample(n, random_state=rng) for name in known]
    of_others = pool[pool["class"].isin(heard)].sample(n, random_state=rng).assign(**{"class": OTHER})
    return pd.concat([*of_classes, of_others]).sort_index()


def write_features(features: Features, clips: pd.DataFrame, folder: Path) -> None:
    """Write the features of the rows `clips` of the index to `folder`."""
    folder.mkdir()
    clips = clips.copy()
    for number in sorted(clips["fold"].unique()):
        own, frames = clips[clips["fold"] == number], features.frames(number)
        clips.loc[own.index, "offset"] = np.cumsum([0, *own["n_frames"]])[:-1]
        np.save(
            fold_file(folder, number),
            np.concatenate([frames[row.offset : row.offset + row.n_frames] for row in own.itertuples()]),
        )
    clips.to_csv(folder / "index.csv", index=False)
    names, folds = sorted(clips["class"].unique()), sorted(clips["fold"].unique().tolist())
    write_json(folder / "facts.json", features.facts | {"classes": names, "folds": folds})


def run(folder: Path, features: Features, fold: int, known: np.ndarray, heard: np.ndarray) -> dict[str, float]:
    """Train on the features in `folder`; how the clips of the fold are classified, or named though of no class."""
    yaml = YAML()
    params = yaml.load(PARAMS)
    params["split"]["test_folds"] = []
    params["events"]["n_soundscapes"] = 0  # clips are what is counted
    params["train"]["calibration_folds"] = len(open_features(folder / "features").folds)
    yaml.dump(params, folder / "params.yaml")
    options = [f"--params={folder / 'params.yaml'}", f"--features={folder / 'features'}"]
    scale.main([*options, f"--scaler={folder / 'scaler'}"])
    paths = {"scaler": "scaler", "models": "models", "plots": "plots", "metrics": "train.json", "checkpoints": "work"}
    train.main([*options, f"--raw={RAW}", *(f"--{option}={folder / path}" for option, path in paths.items())])

    path = folder / "models" / "all.keras"
    metadata, model = read_metadata(path), load_model(path)
    segmenter, frames = make_segmenter(metadata), features.frames(fold)
    clips = features.clips([fold])
    segments = [
        [
            segmenter.cut(frames[row.offset : row.offset + row.n_frames], start)
            for start in segmenter.starts(row.n_frames)
        ]
        for row in clips.itertuples()
    ]
    clip_rows = np.repeat(np.arange(len(clips)), [len(group) for group in segments])
    scores = model.predict(np.concatenate([np.stack(group) for group in segments]), verbose=0)
    of_clips = clip_probabilities(apply_temperature(scores, metadata.temperature), clip_rows)
    predicted = np.array(metadata.classes)[of_clips.argmax(axis=1)]
    is_known, is_heard = (clips["class"].isin(names).to_numpy() for names in (known, heard))
    found = {"clips of the classes right": float((predicted == clips["class"])[is_known].mean())}
    for kind, which in (("of kinds in other", is_heard), ("of further kinds", ~is_known & ~is_heard)):
        for least in (0.5, 0.9):
            named = (predicted != OTHER) & (of_clips.max(axis=1) >= least)
            found[f"{kind} named with {least:.0%} or more"] = float(named[which].mean())
    return found


def parse_args() -> argparse.Namespace:
    """Read how much."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.other_sounds", description=__doc__.splitlines()[0])
    parser.add_argument("--fold", type=int, default=5, help="to test on")
    parser.add_argument("--clips", type=int, default=20, help="recordings of each class to learn from, and of others")
    parser.add_argument("--draws", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
