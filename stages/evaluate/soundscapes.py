"""What a model detects in soundscapes of the clips of its test fold, over backgrounds of several kinds.

steady      pink noise of one level
wandering   pink noise whose level wanders by 3 dB
coloured    noise of one level, whose colour is drawn between white and brown
recorded    the recordings of the folder `evaluate.backgrounds`, where it holds some

Over each kind of background the same clips come in the same order; a third of the soundscapes have pairs of clips that
overlap, see `stages.lib.soundscapes.compose`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from stages.evaluate.event_scores import count_events
from stages.evaluate.scores import EvaluateParams
from stages.lib.audio import load_mono
from stages.lib.core.errors import AudioError, DataError
from stages.lib.core.progress import progress
from stages.lib.event_tables import Span
from stages.lib.inference.detect import detect
from stages.lib.inference.events import Event, named_events
from stages.lib.inference.runtime import Model
from stages.lib.inference.streaming import make_featurizer
from stages.lib.model.metadata import ModelMetadata
from stages.lib.soundscapes.backgrounds import Background, coloured, recorded, steady, wandering
from stages.lib.soundscapes.compose import Placed, Soundscape, build_soundscapes, trim

SOUNDSCAPE_COLUMNS = [
    "fold", "background", "soundscape", "kind", "start_s", "end_s", "class", "clip", "snr_db", "confidence",
]  # fmt: skip


@dataclass(frozen=True)
class SoundscapeExample:
    """A soundscape to draw: the events detected in it, its features (n_frames, n_features), the model's metadata."""

    soundscape: Soundscape
    estimated: list[Event]
    features: np.ndarray
    metadata: ModelMetadata


@dataclass(frozen=True)
class SoundscapeDetections:
    """What a model detects in the soundscapes of one fold.

    `events` has one row per event, columns `SOUNDSCAPE_COLUMNS`. `counts` are, by background, the sum of what
    `stages.evaluate.event_scores.count_events` gives for each soundscape, `overlaps` what `count_overlaps` gives.
    `example` is the first soundscape; None where there are none.
    """

    events: pd.DataFrame
    counts: dict[str, pd.DataFrame]
    overlaps: dict[str, tuple[float, float]]
    example: SoundscapeExample | None


def make_backgrounds(sr: int, recordings: Sequence[Path]) -> dict[str, Background]:
    """The backgrounds of the soundscapes by their names; `recorded` only where there are recordings."""
    backgrounds = {"steady": steady(sr), "wandering": wandering(sr), "coloured": coloured(sr)}
    if recordings:
        backgrounds["recorded"] = recorded(sr, [partial(_load_background, path, sr) for path in recordings])
    return backgrounds


def _load_background(path: Path, sr: int) -> np.ndarray:
    try:
        y = trim(load_mono(path, sr))
    except AudioError as error:
        raise DataError(f"evaluate.backgrounds: {error}; move it elsewhere, or put it right") from None
    if not len(y):
        raise DataError(f"evaluate.backgrounds: {path}: is silent; move it elsewhere")
    return y


def detect_in_soundscapes(
    model: Model,
    fold: int,
    clips: pd.DataFrame,
    load: Callable[[str], np.ndarray],
    backgrounds: dict[str, Background],
    params: EvaluateParams,
    *,
    looks_ahead: bool = True,
) -> SoundscapeDetections:
    """Build soundscapes of `clips` (rows of a features index of this fold), and detect events in them.

    `load(clip)` gives the samples of a clip at the model's rate, float32 of shape (n_samples,). `looks_ahead` is that
    of `stages.lib.inference.detect.detect`.
    """
    metadata = model.metadata
    tables, counts, overlaps, example = [], {}, {}, None
    n = params.n_soundscapes * len(backgrounds)
    with progress(total=n, desc=f"soundscapes {metadata.name}", unit="soundscapes") as bar:
        for name, background in backgrounds.items() if params.n_soundscapes else ():
            detected = []
            for soundscape in compose(clips, load, fold, background, params, metadata.featurize.sr):
                events = detect(soundscape.y, model, sr=metadata.featurize.sr, looks_ahead=looks_ahead)
                detected.append((soundscape.placed, events))
                if example is None:
                    example = SoundscapeExample(soundscape, events, make_featurizer(model)(soundscape.y), metadata)
                bar.update()
            pairs = [(to_spans(placed), to_spans(named_events(events))) for placed, events in detected]
            counts[name] = sum(count_events(*pair, metadata.classes) for pair in pairs)
            shared = [count_overlaps(*pair) for pair in pairs]
            overlaps[name] = (sum(found_s for found_s, _ in shared), sum(total_s for _, total_s in shared))
            tables.append(list_events(fold, name, detected))
    events = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=SOUNDSCAPE_COLUMNS)
    return SoundscapeDetections(events, counts, overlaps, example)


def compose(
    clips: pd.DataFrame,
    load: Callable[[str], np.ndarray],
    fold: int,
    background: Background,
    params: EvaluateParams,
    sr: int,
) -> Iterator[Soundscape]:
    """The soundscapes of the `clips` of a fold over one background, at `sr` Hz; see `detect_in_soundscapes`."""
    return build_soundscapes(
        clips,
        load,
        background,
        sr=sr,
        n=params.n_soundscapes,
        duration_s=params.soundscape_s,
        snr_db=(params.soundscape_snr_db[0], params.soundscape_snr_db[1]),
        seed=(params.seed, fold),
    )


def list_events(
    fold: int, background: str, detected: Sequence[tuple[Sequence[Placed], Sequence[Event]]]
) -> pd.DataFrame:
    """The events of soundscapes, columns `SOUNDSCAPE_COLUMNS`: what was placed in each, then what was detected."""
    rows = [
        {"fold": fold, "background": background, "soundscape": number, "kind": kind, **asdict(event)}
        for number, (placed, events) in enumerate(detected, start=1)
        for kind, group in (("reference", placed), ("estimated", events))
        for event in group
    ]
    return pd.DataFrame(rows).rename(columns={"label": "class"}).reindex(columns=SOUNDSCAPE_COLUMNS)


def count_overlaps(reference: Sequence[Span], estimated: Sequence[Span]) -> tuple[float, float]:
    """Where two reference events of different classes overlap: the seconds of both, detected and in all.

    Each second of an overlap counts twice, once for each class; estimated events of one class do not overlap.
    """
    found_s = total_s = 0.0
    for i, one in enumerate(reference):
        for other in reference[:i]:
            start_s, end_s = max(one.start_s, other.start_s), min(one.end_s, other.end_s)
            if start_s >= end_s or one.label == other.label:
                continue
            total_s += 2 * (end_s - start_s)
            found_s += sum(
                max(0.0, min(span.end_s, end_s) - max(span.start_s, start_s))
                for span in estimated
                if span.label in (one.label, other.label)
            )
    return found_s, total_s


def to_spans(events: Sequence[Event] | Sequence[Placed]) -> list[Span]:
    """The events as what `stages.evaluate.event_scores` counts."""
    return [Span(event.start_s, event.end_s, event.label) for event in events]
