"""Which settings of events find them best? All combinations of some values, on soundscapes of the validation folds.

    python -m benchmarks.event_settings data/models/*.keras
    python -m benchmarks.event_settings data/models/fold_10.keras --release 0.5 0.7 --backgrounds FOLDER

Each model, which needs a head for frames, scores the soundscapes that `evaluate` makes, but of clips of its validation
fold; what it gives is kept, and events are found in it with each combination. Printed is the F1 of events within 0.5 s
at both ends, the mean over models and backgrounds, of the best combinations and of that of `params.yaml`; and the line
that sets the best one. Test folds have no part in it. Two combinations of which one is ahead by less than the range of
the models are level: keep what you have then.
"""

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.events import recordings_in
from stages.evaluate.event_scores import count_events, macro_means
from stages.evaluate.scores import EvaluateParams
from stages.evaluate.soundscapes import compose, make_backgrounds, to_spans
from stages.lib.audio import load_mono
from stages.lib.core.params import load_params
from stages.lib.core.progress import progress
from stages.lib.event_tables import Span
from stages.lib.features.store import Features, open_features
from stages.lib.inference.events import EventSettings, SoundFinder, named_events
from stages.lib.inference.runtime import Model, open_model
from stages.lib.inference.streaming import ScoreGrid, StreamingClassifier
from stages.train.recipe import EventParams

PARAMS = Path("params.yaml")
VALUES = {
    "min_confidence": [0.3, 0.4, 0.5, 0.6],
    "release": [0.5, 0.7, 0.85],
    "min_duration_s": [0.1, 0.3, 0.5],
    "merge_gap_s": [0.3, 0.6, 1.0],
}
N_SHOWN = 5


@dataclass(frozen=True)
class Scored:
    """A soundscape: the events in it, the rows that a model gives of it, their length and its own in seconds."""

    background: str
    reference: list[Span]
    rows: list[ScoreGrid]
    row_s: float
    duration_s: float


def main() -> None:
    """Score the soundscapes of each model, try the combinations, and print the table."""
    args = parse_args()
    features, params = open_features(args.features), load_params(PARAMS, EvaluateParams)
    params = replace(params, n_soundscapes=args.soundscapes)
    events = load_params(PARAMS, EventParams)
    now = EventSettings(**{name: getattr(events, name) for name in EventSettings.__dataclass_fields__})
    combinations = [
        replace(now, **dict(zip(VALUES, values, strict=True)))
        for values in itertools.product(*(getattr(args, name) for name in VALUES))
    ]
    if now not in combinations:
        combinations.append(now)
    rows = []
    for path in args.models:
        model = open_model(path)
        fold = model.metadata.split.validation
        if model.metadata.frames is None or fold is None:
            raise SystemExit(f"{path}: has no {'validation fold' if fold is None else 'head for frames'}")
        scored, name = score_soundscapes(model, fold, features, params, args), model.metadata.name
        for settings in progress(combinations, total=len(combinations), desc=f"settings {name}", unit="settings"):
            f1 = score_events(scored, model.metadata.classes, settings)
            rows.append({"model": path.name} | {name: getattr(settings, name) for name in VALUES} | {"F1": f1})
    table = pd.DataFrame(rows).groupby(list(VALUES))["F1"].agg(["mean", "min", "max"]).sort_values("mean")
    print(table.iloc[::-1].head(N_SHOWN).round(3).to_string())
    own = table.loc[tuple(asdict(now)[name] for name in VALUES)]
    print(f"{PARAMS}: {own['mean']:.3f} ({own['min']:.3f} to {own['max']:.3f})")
    best = zip(VALUES, table.index[-1], strict=True)
    print("dvc exp run", *(f"-S events.{name}={value:g}" for name, value in best))


def score_soundscapes(
    model: Model, fold: int, features: Features, params: EvaluateParams, args: argparse.Namespace
) -> list[Scored]:
    """What a model gives of the soundscapes of a fold."""
    sr = model.metadata.featurize.sr
    backgrounds = make_backgrounds(sr, recordings_in(args.backgrounds))
    clips = features.clips([fold])
    scored = []

    def load(clip: str) -> np.ndarray:
        return load_mono(args.raw / "audio" / clip, sr)

    n = len(backgrounds) * params.n_soundscapes
    with progress(total=n, desc=f"soundscapes {model.metadata.name}", unit="soundscapes") as bar:
        for name, background in backgrounds.items():
            for soundscape in compose(clips, load, fold, background, params, sr):
                classifier = StreamingClassifier(model, sr)
                rows = [classifier.push(soundscape.y[:, np.newaxis]), classifier.finish()]
                reference = to_spans(soundscape.placed)
                scored.append(Scored(name, reference, rows, classifier.row_s, classifier.duration_s))
                bar.update()
    return scored


def score_events(scored: Sequence[Scored], classes: Sequence[str], settings: EventSettings) -> float:
    """F1 of events within the collar, the mean over backgrounds."""
    counts: dict[str, pd.DataFrame] = {}
    for one in scored:
        finder = SoundFinder(classes, one.row_s, settings)
        found = [event for grid in one.rows for event in finder.push(grid.probabilities, grid.levels, grid.something)]
        found += finder.finish(one.duration_s)
        of_one = count_events(one.reference, to_spans(named_events(found)), classes)
        counts[one.background] = counts[one.background] + of_one if one.background in counts else of_one
    return float(np.mean([macro_means([of_background])["event_f1"] for of_background in counts.values()]))


def parse_args() -> argparse.Namespace:
    """Read which models, which values, and on what."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.event_settings", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    for name, values in VALUES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", nargs="+", type=float, default=values)
    parser.add_argument("--features", type=Path, default=Path("data/features"))
    parser.add_argument("--raw", type=Path, default=Path("data/raw"))
    parser.add_argument("--soundscapes", type=int, default=10, help="over each background")
    parser.add_argument("--backgrounds", type=Path, help="folder of recordings, as a further background")
    return parser.parse_args()


if __name__ == "__main__":
    main()
