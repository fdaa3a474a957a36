"""Soundscapes: recordings composed of known clips at known times over noise, to measure what is detected when.

A soundscape is pink noise, whose power falls by 3 dB per octave as that of far traffic and wind roughly does, with
clips one after another and pauses between. Each clip is scaled to a drawn signal-to-noise ratio: the power of its
samples over that of the noise, in dB, over the whole band. The level of the noise is such that clips of the mean ratio
keep their own median level, so that the input of the network is about as loud as what it was trained on. Edges of clips
are faded by 10 ms.

A reference event lasts from the first to the last sample of a clip that is above -60 dB of its peak, since some
datasets pad their clips with silence. Longer clips are cut to a third of the soundscape. Classes take turns, and each
clip of the fold is used once before any is used again. All is drawn from one generator, seeded with seed and fold.

After Salamon, MacConnell, Cartwright, Li, Bello: Scaper: a library for soundscape synthesis and augmentation, WASPAA
2017.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stages.evaluate.event_scores import Span
from stages.lib.inference.events import Event
from stages.lib.model.metadata import ModelMetadata

PAUSE_S = (1.0, 3.0)  # seconds between two clips, and before the first: room to tell where one ends
FADE_S = 0.01
TRIM_DB = -60.0  # re the peak of a clip
PINK = 1.0  # exponent
LOWEST_HZ = 20.0  # below, the power of the noise stays the same
SILENT_DB = -50.0  # re full scale, of the noise where no clip sets its level


@dataclass(frozen=True)
class Placed:
    """A clip in a soundscape, from `start_s` to `end_s`, and its signal-to-noise ratio in dB."""

    start_s: float
    end_s: float
    label: str
    clip: str
    snr_db: float


@dataclass(frozen=True)
class Soundscape:
    """Samples, float32 of shape (n_samples,), and the clips in them, by start."""

    y: np.ndarray
    placed: list[Placed]

    @property
    def reference(self) -> list[Span]:
        """The events that there are to detect."""
        return to_spans(self.placed)


@dataclass(frozen=True)
class SoundscapeExample:
    """A soundscape to draw: the events detected in it, its features (n_frames, n_features), the model's metadata."""

    soundscape: Soundscape
    estimated: list[Event]
    features: np.ndarray
    metadata: ModelMetadata


def build_soundscapes(
    clips: pd.DataFrame,
    load: Callable[[str], np.ndarray],
    *,
    sr: int,
    n: int,
    duration_s: float,
    snr_db: tuple[float, float],
    seed: tuple[int, ...],
) -> Iterator[Soundscape]:
    """Yield `n` soundscapes of `clips` (rows of a features index: `clip`, `class`).

    `load(clip)` gives the samples of a clip at `sr` Hz, float32 of shape (n_samples,). A clip that is silent throughout
    is skipped; where all are, the soundscapes hold noise alone.
    """
    rng = np.random.default_rng(seed)
    queue = take_turns(clips, rng)
    n_samples = round(duration_s * sr)
    for _ in range(n):
        parts: list[_Part] = []
        at, n_silent = _draw_pause(rng, sr), 0
        while at < n_samples and n_silent < len(clips):
            clip, label = next(queue)
            y = trim(load(clip))[: n_samples // 3]
            if not len(y):
                n_silent += 1
                continue
            if at + len(y) > n_samples:
                queue = itertools.chain([(clip, label)], queue)  # the next soundscape begins with it
                break
            parts.append(_Part(at, clip, label, y, round(rng.uniform(*snr_db), 1)))
            at, n_silent = at + len(y) + _draw_pause(rng, sr), 0
        yield _mix(parts, coloured_noise(n_samples, sr, rng, PINK), sr, snr_db)


def take_turns(clips: pd.DataFrame, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Clips with their classes, without end: in each round one clip of each class, in random order."""
    left: dict[str, list[str]] = {name: [] for name in sorted(clips["class"].unique())}
    while left:
        for name in rng.permutation(sorted(left)).tolist():
            if not left[name]:
                left[name] = rng.permutation(sorted(clips.loc[clips["class"] == name, "clip"])).tolist()
            yield left[name].pop(), name


def trim(y: np.ndarray) -> np.ndarray:
    """The samples `y`, float32 of shape (n_samples,), from the first to the last above `TRIM_DB` of the peak."""
    loud = np.flatnonzero(np.abs(y) > 10 ** (TRIM_DB / 20) * np.abs(y).max(initial=0))
    return y[loud[0] : loud[-1] + 1] if len(loud) else y[:0]


def coloured_noise(n_samples: int, sr: int, rng: np.random.Generator, exponent: float) -> np.ndarray:
    """Noise whose power falls with frequency to the power of `exponent` from `LOWEST_HZ` on, of mean power 1.

    0 is white, 1 pink (-3 dB per octave), 2 brown (-6 dB per octave). Returns float64 of shape (n_samples,).
    """
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    spectrum /= np.maximum(np.fft.rfftfreq(n_samples, 1 / sr), LOWEST_HZ) ** (exponent / 2)
    noise = np.fft.irfft(spectrum, n=n_samples)
    return noise / np.sqrt(np.mean(noise**2))


@dataclass(frozen=True)
class _Part:
    """A clip at the sample `start`."""

    start: int
    clip: str
    label: str
    y: np.ndarray
    snr_db: float


def _draw_pause(rng: np.random.Generator, sr: int) -> int:
    return round(rng.uniform(*PAUSE_S) * sr)


def _mix(parts: list[_Part], noise: np.ndarray, sr: int, snr_db: tuple[float, float]) -> Soundscape:
    """Add the parts to `noise` of mean power 1, and scale all so that the parts keep their median level."""
    y, powers = noise, [np.mean(part.y.astype(np.float64) ** 2) for part in parts]
    for part, power in zip(parts, powers, strict=True):
        gain = np.sqrt(10 ** (part.snr_db / 10) / power)
        y[part.start : part.start + len(part.y)] += gain * part.y * _fade(len(part.y), sr)
    level = np.median(powers) / 10 ** (np.mean(snr_db) / 10) if parts else 10 ** (SILENT_DB / 10)
    placed = [
        Placed(round(part.start / sr, 3), round((part.start + len(part.y)) / sr, 3), part.label, part.clip, part.snr_db)
        for part in parts
    ]
    return Soundscape((np.sqrt(level) * y).astype(np.float32), placed)


def _fade(n_samples: int, sr: int) -> np.ndarray:
    """1 with raised-cosine edges of `FADE_S`, or of half of what is shorter than two; float64 of shape (n_samples,)."""
    n = min(round(FADE_S * sr), n_samples // 2)
    edge = (1 - np.cos(np.pi * (np.arange(n) + 0.5) / max(n, 1))) / 2
    return np.concatenate([edge, np.ones(n_samples - 2 * n), edge[::-1]])


def named_events(events: Sequence[Event]) -> list[Event]:
    """The events that name a class; an unsure one claims none."""
    return [event for event in events if not event.is_unsure]


def to_spans(events: Sequence[Event] | Sequence[Placed]) -> list[Span]:
    """The events as what `stages.evaluate.event_scores` counts."""
    return [Span(event.start_s, event.end_s, event.label) for event in events]
