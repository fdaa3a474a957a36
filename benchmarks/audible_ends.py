"""How well could events be found at all? The share of events in soundscapes whose ends can be heard where they are.

    python -m benchmarks.audible_ends --folds 5

An event lasts as long as its clip, of which a soft end may lie under the background. In the soundscapes that `evaluate`
makes of the clips of the folds, over steady noise, an end is audible where the power of the clip, over 50 ms, comes
within `FLOOR_DB` of the mean power of the background no further than 0.5 s away from it. No detector can be expected to
place the others, so the share of events with two such ends bounds the recall within 0.5 s.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from stages.evaluate.scores import EvaluateParams
from stages.evaluate.soundscapes import compose
from stages.lib.audio import load_mono
from stages.lib.core.params import load_params
from stages.lib.features.store import open_features
from stages.lib.soundscapes.backgrounds import steady
from stages.lib.soundscapes.compose import trim

PARAMS = Path("params.yaml")
FLOOR_DB = -5.0  # re the power of the background
WINDOW_S = 0.05
COLLAR_S = 0.5


def main() -> None:
    """Print the share by class, and that of all."""
    args = parse_args()
    features, params = open_features(args.features), load_params(PARAMS, EvaluateParams)
    params = replace(params, n_soundscapes=args.soundscapes)
    sr = features.facts["featurize"]["sr"]
    rows = []

    def load(clip: str) -> np.ndarray:
        return load_mono(args.raw / "audio" / clip, sr)

    for fold in args.folds:
        for soundscape in compose(features.clips([fold]), load, fold, steady(sr), params, sr):
            for event in soundscape.placed:
                n_samples = round((event.end_s - event.start_s) * sr)
                y = trim(load(event.clip))[:n_samples]
                rows.append((event.label, *audible_ends(y, event.snr_db, sr)))
    table = pd.DataFrame(rows, columns=["class", "start", "end"]).assign(both=lambda t: t["start"] & t["end"])
    print(table.groupby("class").mean().assign(events=table.groupby("class").size()).round(2).to_string())
    print(f"both ends audible: {table['both'].mean():.3f} of {len(table)} events")


def audible_ends(y: np.ndarray, snr_db: float, sr: int) -> tuple[bool, bool]:
    """Whether the start and the end of a clip, float32 of shape (n_samples,), can be heard over noise."""
    n = round(WINDOW_S * sr)
    power = y.astype(np.float64) ** 2
    floor = power.mean() / 10 ** ((snr_db - FLOOR_DB) / 10)
    loud = np.flatnonzero(np.convolve(power, np.full(n, 1 / n), "same") > floor)
    if not len(loud):
        return False, False
    return bool(loud[0] <= COLLAR_S * sr), bool(len(y) - 1 - loud[-1] <= COLLAR_S * sr)


def parse_args() -> argparse.Namespace:
    """Read which folds, and where the data is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audible_ends", description=__doc__.splitlines()[0])
    parser.add_argument("--folds", nargs="+", type=int, required=True)
    parser.add_argument("--features", type=Path, default=Path("data/features"))
    parser.add_argument("--raw", type=Path, default=Path("data/raw"))
    parser.add_argument("--soundscapes", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    main()
