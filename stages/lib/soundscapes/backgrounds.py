"""Backgrounds of soundscapes: noise of several kinds, and recordings.

A background is a function of a number of samples and a generator. It returns float64 of shape (n_samples,) with mean
power 1, and is drawn anew at each call.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

Background = Callable[[int, np.random.Generator], np.ndarray]

PINK = 1.0  # exponent
BROWN = 2.0
LOWEST_HZ = 20.0  # below, the power of the noise stays the same
WANDER_DB = 3.0  # standard deviation
WANDER_S = 3.0
CROSSFADE_S = 0.5
SHAPE_SAMPLES = 1024  # of the spectrum that noise is shaped by


def coloured_noise(n_samples: int, sr: int, rng: np.random.Generator, exponent: float) -> np.ndarray:
    """Noise whose power falls with frequency to the power of `exponent` from `LOWEST_HZ` on, of mean power 1.

    0 is white, 1 pink (-3 dB per octave), 2 brown (-6 dB per octave). Returns float64 of shape (n_samples,).
    """
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    spectrum /= np.maximum(np.fft.rfftfreq(n_samples, 1 / sr), LOWEST_HZ) ** (exponent / 2)
    return _of_power_1(np.fft.irfft(spectrum, n=n_samples))


def steady(sr: int) -> Background:
    """Pink noise, whose power falls by 3 dB per octave as that of far traffic and wind roughly does."""
    return lambda n_samples, rng: coloured_noise(n_samples, sr, rng, PINK)


def wandering(sr: int, std_db: float = WANDER_DB) -> Background:
    """Pink noise whose level in dB moves in straight lines between normal values of `std_db` every `WANDER_S`."""

    def draw(n_samples: int, rng: np.random.Generator) -> np.ndarray:
        noise = coloured_noise(n_samples, sr, rng, PINK)
        return _of_power_1(noise * wandering_gain(n_samples, sr, rng, std_db))

    return draw


def wandering_gain(n_samples: int, sr: int, rng: np.random.Generator, std_db: float) -> np.ndarray:
    """The factor by which a level wanders, see `wandering`; float64 of shape (n_samples,)."""
    at_s = np.arange(n_samples) / sr
    nodes_s = np.arange(0, at_s[-1] + 2 * WANDER_S, WANDER_S)
    return 10 ** (np.interp(at_s, nodes_s, std_db * rng.standard_normal(len(nodes_s))) / 20)


def coloured(sr: int) -> Background:
    """Noise of an exponent between white and brown, drawn each time."""
    return lambda n_samples, rng: coloured_noise(n_samples, sr, rng, rng.uniform(0.0, BROWN))


def shaped(sr: int, clips: Sequence[str], load: Callable[[str], np.ndarray]) -> Background:
    """Noise with the spectrum of a clip drawn each time, at a level that wanders: like its sound, but without events.

    `load(clip)` gives samples at `sr` Hz, float32 of shape (n_samples,); pink noise where all of them are 0.
    """

    def draw(n_samples: int, rng: np.random.Generator) -> np.ndarray:
        y = load(clips[int(rng.integers(len(clips)))])
        size = min(SHAPE_SAMPLES, len(y)) // 2 * 2
        pieces = y[: len(y) // size * size].reshape(-1, size) if size else np.zeros((1, 2))
        shape = np.sqrt((np.abs(np.fft.rfft(pieces * np.hanning(pieces.shape[1]))) ** 2).mean(axis=0))
        if not shape.any():
            return coloured_noise(n_samples, sr, rng, PINK)
        spectrum = np.fft.rfft(rng.standard_normal(n_samples))
        spectrum *= np.interp(np.linspace(0, 1, len(spectrum)), np.linspace(0, 1, len(shape)), shape)
        return _of_power_1(np.fft.irfft(spectrum, n=n_samples) * wandering_gain(n_samples, sr, rng, WANDER_DB))

    return draw


def recorded(sr: int, load: Sequence[Callable[[], np.ndarray]]) -> Background:
    """Recordings by turns, from a drawn position on; one that is too short is repeated, faded into itself.

    Each of `load` gives the samples of a recording at `sr` Hz, float32 of shape (n_samples,), at least one of them not
    silent.
    """
    turns = itertools.cycle(load)

    def draw(n_samples: int, rng: np.random.Generator) -> np.ndarray:
        y = next(turns)().astype(np.float64)
        if len(y) < n_samples:
            y = _repeat(y, n_samples, min(round(CROSSFADE_S * sr), len(y) // 2))
        start = int(rng.integers(len(y) - n_samples + 1))
        return _of_power_1(y[start : start + n_samples])

    return draw


def _repeat(y: np.ndarray, n_samples: int, n_fade: int) -> np.ndarray:
    """At least `n_samples` of `y` in a loop; its last `n_fade` fade into its first with equal power."""
    fade = np.sin(np.pi / 2 * (np.arange(n_fade) + 0.5) / max(n_fade, 1))
    period = y[: len(y) - n_fade].copy()
    period[:n_fade] = fade * y[:n_fade] + fade[::-1] * y[len(y) - n_fade :]
    return np.resize(period, n_samples + len(period))


def _of_power_1(y: np.ndarray) -> np.ndarray:
    """Scaled to mean power 1; silence stays silent."""
    power = np.mean(y**2)
    return y / np.sqrt(power) if power else y
