"""How well few recordings of each class do: trainings on random draws of them, tested on a whole fold.

    python -m stages.commands.recipe few
    dvc exp run featurize -S fetch.dataset=esc50 ... -S 'split.test_folds=[5]' -S split.validation=none
    python -m benchmarks.few 5 10 20

Run it where the stages up to featurize were run, with one test fold and no validation fold in params.yaml. What is
drawn from the other folds depends on the number of clips and of the draw alone, so that every recipe gets the same.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from stages.lib.core.params import load_params
from stages.lib.features.store import Features, fold_file, open_features
from stages.lib.model.archive import load_model, read_metadata
from stages.lib.model.calibration import clip_probabilities
from stages.lib.split.folds import SplitParams
from stages.scale import __main__ as scale
from stages.train import __main__ as train
from stages.train.recipe import TrainParams

PARAMS, FEATURES, RAW = Path("params.yaml"), Path("data/features"), Path("data/raw")


def main() -> None:
    """Train on each draw and print its accuracy; then the means."""
    args = parse_args()
    features = open_features(FEATURES)
    (fold,) = load_params(PARAMS, SplitParams).test_folds
    rows = []
    for n in args.n_clips:
        for draw in range(args.draws):
            with TemporaryDirectory() as folder:
                write_draw(features, fold, n, draw, Path(folder) / "features")
                accuracy, seconds = run(Path(folder), fold)
            rows.append({"clips per class": n, "accuracy": accuracy, "seconds": seconds})
            print(f"{n} clips of each class, draw {draw + 1}: {accuracy:.2%}, {seconds:.0f} s", flush=True)
    print(pd.DataFrame(rows).groupby("clips per class").agg(["mean", "min", "max"]).round(4).to_string())
    print(f"model: {load_params(PARAMS, TrainParams).model}; test fold {fold}; {args.draws} draws each")


def write_draw(features: Features, fold: int, n: int, draw: int, folder: Path) -> None:
    """Write the features of `n` random clips of each class, and of all clips of the test fold, to `folder`."""
    rng = np.random.default_rng([n, draw])
    pool = features.clips([other for other in features.folds if other != fold])
    drawn = [rng.choice(rows["clip"].to_numpy(), n, replace=False) for _, rows in pool.groupby("class")]
    clips = features.clips(features.folds)
    clips = clips[clips["clip"].isin(np.concatenate(drawn)) | (clips["fold"] == fold)].copy()
    folder.mkdir()
    for number in features.folds:
        own = clips[clips["fold"] == number]
        frames = features.frames(number)
        spans = [frames[row.offset : row.offset + row.n_frames] for row in own.itertuples()]
        clips.loc[own.index, "offset"] = np.cumsum([0, *own["n_frames"]])[:-1]
        np.save(fold_file(folder, number), np.concatenate([frames[:0], *spans]))
    clips.to_csv(folder / "index.csv", index=False)
    (folder / "facts.json").write_bytes((features.folder / "facts.json").read_bytes())


def run(folder: Path, fold: int) -> tuple[float, float]:
    """Scale and train on the features in `folder`; the accuracy of the clips of the test fold, and seconds of train."""
    yaml = YAML()
    params = yaml.load(PARAMS)
    params["events"]["n_soundscapes"] = 0  # clips are what is counted
    yaml.dump(params, folder / "params.yaml")
    options = [f"--params={folder / 'params.yaml'}", f"--features={folder / 'features'}"]
    scale.main([*options, f"--scaler={folder / 'scaler'}"])
    paths = {"scaler": "scaler", "models": "models", "plots": "plots", "metrics": "train.json", "checkpoints": "work"}
    begun = time.perf_counter()
    train.main([*options, f"--raw={RAW}", *(f"--{option}={folder / path}" for option, path in paths.items())])
    seconds = time.perf_counter() - begun
    from stages.train.fit import predict_fold  # imports Keras, which must not come before its backend

    path = folder / "models" / f"fold_{fold}.keras"
    held_out = predict_fold(load_model(path), read_metadata(path), open_features(folder / "features"), fold)
    of_clips = clip_probabilities(held_out.probabilities, held_out.clip_rows)
    return float((of_clips.argmax(axis=1) == held_out.class_ids).mean()), seconds


def parse_args() -> argparse.Namespace:
    """Read how many."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.few", description=__doc__.splitlines()[0])
    parser.add_argument("n_clips", nargs="+", type=int, help="clips of each class to learn from")
    parser.add_argument("--draws", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
