"""A test of unknown sounds: how often a model names sounds that are of none of its classes.

In training and on the test folds every sound is of a class; outdoors most are not, and a classifier that has to choose
among its classes may still be certain of one of them. Two kinds of sounds are detected just as the predict
command does, with its default settings:

noise       white, pink and brown noise of `NOISE_S` at each of `LEVELS_DB`, generated from the seed: loud traffic or
            wind, a quiet street, a quiet room
recordings  the audio files of the folder `evaluate.unknown`, which should hold no sound of any class

A recording is named where an event of a class is detected in it, and its confidence is that of the most confident one.
Events of a class called `OTHER` are left out: for these sounds that name is right.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from stages.evaluate.scores import DECIMALS
from stages.lib.audio import open_audio
from stages.lib.core.errors import AudioError, DataError
from stages.lib.core.labels import OTHER
from stages.lib.core.progress import progress
from stages.lib.inference.detect import StreamDetector, detect
from stages.lib.inference.events import Event, named_events
from stages.lib.inference.runtime import Model
from stages.lib.soundscapes.backgrounds import BROWN, PINK, coloured_noise

NOISE_S = 10.0
EXPONENTS = {"white": 0.0, "pink": PINK, "brown": BROWN}  # of `coloured_noise`
LEVELS_DB = (-20, -40, -60)  # re full scale, of the root mean square
CONFIDENT = 0.9  # the confidence from which on a wrong name counts in the metrics
CONFIDENCES = (0.0, 0.5, 0.6, 0.7, 0.8, CONFIDENT, 0.95)
NOISE, RECORDINGS = "noise", "recordings"
UNKNOWN_COLUMNS = [
    "model", "kind", "recording", "duration_s", "class", "confidence", "n_named", "named_s", "unsure_s",
]  # fmt: skip
SUMMARY_COLUMNS = ["kind", "min_confidence", "n_recordings", "named", "events_per_hour"]
METRICS = {NOISE: "noise_confident_rate", RECORDINGS: "unknown_confident_rate"}


def generate_noise(sr: int, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """The noise signals with their names, such as "pink -40 dB"; float32 of shape (n_samples,) at `sr` Hz."""
    rng = np.random.default_rng(seed)
    for colour, exponent in EXPONENTS.items():
        noise = coloured_noise(round(NOISE_S * sr), sr, rng, exponent)
        for level_db in LEVELS_DB:
            yield f"{colour} {level_db} dB", (10 ** (level_db / 20) * noise).astype(np.float32)


def detect_unknown(model: Model, folder: Path, recordings: Sequence[Path], seed: int) -> pd.DataFrame:
    """What the model detects in noise and in the recordings of `folder`: one row per signal, `UNKNOWN_COLUMNS`.

    `recording` is the name of the noise or the path below `folder`; `class` and `confidence` are those of the most
    confident event that names a class, blank and 0 where there is none; `n_named` is the number of events that name a
    class, `named_s` and `unsure_s` add up the durations of these, and of those that are unsure.

    Raises `DataError` where a recording cannot be read to its end.
    """
    sr = model.metadata.featurize.sr
    rows = [_summarise_events(NOISE, name, NOISE_S, detect(y, model, sr=sr)) for name, y in generate_noise(sr, seed)]
    bar = progress(recordings, total=len(recordings), desc=f"unknown sounds {model.metadata.name}", unit="recordings")
    for path in bar:
        name = path.relative_to(folder).as_posix()
        try:
            with open_audio(path) as opened:
                detector = StreamDetector(model, opened.sr)
                events = detector.detect(opened.blocks())
            if problem := opened.problem():
                raise AudioError(problem)
            rows.append(_summarise_events(RECORDINGS, name, detector.duration_s, events))
        except AudioError as error:
            reason = str(error).removeprefix(f"{path.name}: ")
            raise DataError(f"evaluate.unknown: {path}: {reason}; move it elsewhere, or put it right") from None
    return pd.DataFrame(rows).assign(model=model.metadata.name)[UNKNOWN_COLUMNS]


def _summarise_events(kind: str, recording: str, duration_s: float, events: list[Event]) -> dict[str, object]:
    named = [event for event in named_events(events) if event.label != OTHER]
    best = max(named, key=lambda event: event.confidence, default=None)
    return {
        "kind": kind,
        "recording": recording,
        "duration_s": round(duration_s, 3),
        "class": best.label if best else "",
        "confidence": best.confidence if best else 0.0,
        "n_named": len(named),
        "named_s": round(sum(event.end_s - event.start_s for event in named), 3),
        "unsure_s": round(sum(event.end_s - event.start_s for event in events if event.is_unsure), 3),
    }


def summarise_unknown(unknown: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, float]]:
    """How often unknown sounds are named, over all models.

    Returns a table, one row per kind and least confidence: `kind`, `min_confidence`, `n_recordings` (of each model),
    `named` (share of the recordings that are named with at least that confidence; 0: that are named at all) and
    `events_per_hour` (events of all confidences that name a class, in an hour of these sounds); and the shares for
    `CONFIDENT` by their names in the metrics.
    """
    rows = []
    for kind, of_kind in unknown.groupby("kind"):
        n_recordings = of_kind["recording"].nunique()
        per_hour = 3600 * of_kind["n_named"].sum() / of_kind["duration_s"].sum()
        for least in CONFIDENCES:
            named = (of_kind["class"] != "") & (of_kind["confidence"] >= least)
            rows.append((kind, least, n_recordings, named.mean(), per_hour))
    table = pd.DataFrame(rows, columns=SUMMARY_COLUMNS)
    confident = table[table["min_confidence"] == CONFIDENT].set_index("kind")["named"]
    return table, {METRICS[kind]: round(float(share), DECIMALS) for kind, share in confident.items()}
