"""Soundscapes: recordings composed of known clips at known times over a background, in which all events are known.

Clips stand one after another with pauses between. In a part of the soundscapes they come in pairs of two classes, the
second of which begins before the first has ended. Each clip is scaled to a drawn signal-to-noise ratio: the power of
its samples over that of the background, in dB, over the whole band. The level of the background is such that clips of
the mean ratio keep their own median level, so that the input of the network is about as loud as what it was trained on.
Edges of clips are faded by 10 ms.

An event lasts from the first to the last sample of a clip that is above -60 dB of its peak, since some datasets pad
their clips with silence. Longer clips are cut to a third of the soundscape. Classes take turns, and each clip is used
once before any is used again. All is drawn from one generator.

After Salamon, MacConnell, Cartwright, Li, Bello: Scaper: a library for soundscape synthesis and augmentation, WASPAA
2017.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stages.lib.soundscapes.backgrounds import Background

PAUSE_S = (1.0, 3.0)  # seconds between two clips, and before the first: room to tell where one ends
SHARED = (0.3, 0.7)  # of the shorter clip of a pair: the part during which both sound
OVERLAPPING_EVERY = 3  # soundscapes; the last of them has pairs
FADE_S = 0.01
TRIM_DB = -60.0  # re the peak of a clip
SILENT_DB = -50.0  # re full scale, of the background where no clip sets its level


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


def build_soundscapes(
    clips: pd.DataFrame,
    load: Callable[[str], np.ndarray],
    background: Background,
    *,
    sr: int,
    n: int,
    duration_s: float,
    snr_db: tuple[float, float],
    seed: tuple[int, ...],
) -> Iterator[Soundscape]:
    """Yield `n` soundscapes of `clips` (rows of a features index: `clip`, `class`); every third one has pairs.

    `load(clip)` gives the samples of a clip at `sr` Hz, float32 of shape (n_samples,). A clip that is silent throughout
    is skipped; where all are, the soundscapes hold the background alone.
    """
    rng, of_background = np.random.default_rng(seed).spawn(2)  # apart: the clips do not depend on the background
    queue = take_turns(clips, rng)
    n_samples = round(duration_s * sr)
    for number in range(n):
        in_pairs = number % OVERLAPPING_EVERY == OVERLAPPING_EVERY - 1
        parts: list[_Part] = []
        pairs_with: _Part | None = None  # the clip before, where it may overlap with the next
        at, n_silent = _draw_pause(rng, sr), 0
        while at < n_samples and n_silent < len(clips):
            clip, label = next(queue)
            y = trim(load(clip))[: n_samples // 3]
            if not len(y):
                n_silent += 1
                continue
            start = at
            if pairs_with is not None and pairs_with.label != label:
                start = pairs_with.end - round(rng.uniform(*SHARED) * min(len(pairs_with.y), len(y)))
            if start + len(y) > n_samples:
                queue = itertools.chain([(clip, label)], queue)  # the next soundscape begins with it
                break
            part = _Part(start, clip, label, y, round(rng.uniform(*snr_db), 1))
            parts.append(part)
            pairs_with = part if in_pairs and start == at else None
            at, n_silent = max(other.end for other in parts) + _draw_pause(rng, sr), 0
        yield _mix(parts, background(n_samples, of_background), sr, snr_db)


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


@dataclass(frozen=True)
class _Part:
    """A clip at the sample `start`."""

    start: int
    clip: str
    label: str
    y: np.ndarray
    snr_db: float

    @property
    def end(self) -> int:
        """The sample after its last."""
        return self.start + len(self.y)


def _draw_pause(rng: np.random.Generator, sr: int) -> int:
    return round(rng.uniform(*PAUSE_S) * sr)


def _mix(parts: list[_Part], background: np.ndarray, sr: int, snr_db: tuple[float, float]) -> Soundscape:
    """Add the parts to a background of mean power 1, and scale all so that the parts keep their median level."""
    y, powers = background, [np.mean(part.y.astype(np.float64) ** 2) for part in parts]
    for part, power in zip(parts, powers, strict=True):
        gain = np.sqrt(10 ** (part.snr_db / 10) / power)
        y[part.start : part.end] += gain * part.y * _fade(len(part.y), sr)
    level = np.median(powers) / 10 ** (np.mean(snr_db) / 10) if parts else 10 ** (SILENT_DB / 10)
    placed = [
        Placed(round(part.start / sr, 3), round(part.end / sr, 3), part.label, part.clip, part.snr_db) for part in parts
    ]
    return Soundscape((np.sqrt(level) * y).astype(np.float32), sorted(placed, key=lambda p: (p.start_s, p.end_s)))


def _fade(n_samples: int, sr: int) -> np.ndarray:
    """1 with raised-cosine edges of `FADE_S`, or of half of what is shorter than two; float64 of shape (n_samples,)."""
    n = min(round(FADE_S * sr), n_samples // 2)
    edge = (1 - np.cos(np.pi * (np.arange(n) + 0.5) / max(n, 1))) / 2
    return np.concatenate([edge, np.ones(n_samples - 2 * n), edge[::-1]])
