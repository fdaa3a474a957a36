"""Where and with what a source of `sample` is recorded: the background noise, the echo of the
place, and the recording chain.

A `Place` is drawn once for a source, and all its clips share it.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from scipy import fft

from stages.fetch.synthetic.signals import (
    SR,
    add_at,
    amplitude,
    band_pass,
    log_uniform,
    low_pass,
    random_curve,
    shaped_noise,
    struck_body,
    unit_rms,
)

BACKGROUNDS = ("traffic", "wind", "rain", "room", "crowd")
N_PAD = SR  # samples of silence after a clip before it is filtered, so that the echo does not wrap round to its start
BLOCK = SR // 20  # samples, 50 ms: the resolution at which the level is followed


@dataclass(frozen=True)
class Equaliser:
    """Two shelves and three peaks on a logarithmic frequency axis, gains in dB: body, distance and microphone."""

    corners_hz: tuple[float, float]
    shelves_db: tuple[float, ...]
    peaks_hz: tuple[float, ...]
    peaks_db: tuple[float, ...]
    peaks_octaves: tuple[float, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, depth_db: float) -> Self:
        """A random curve whose shelves and peaks each reach at most `depth_db` up or down."""
        return cls(
            corners_hz=(log_uniform(rng, 150, 600), log_uniform(rng, 1500, 5000)),
            shelves_db=tuple(rng.uniform(-depth_db, depth_db, 2)),
            peaks_hz=tuple(log_uniform(rng, 150, 6000) for _ in range(3)),
            peaks_db=tuple(rng.uniform(-depth_db, depth_db, 3)),
            peaks_octaves=tuple(rng.uniform(0.3, 1.2, 3)),
        )

    def gain(self, frequencies: np.ndarray) -> np.ndarray:
        """The factor at each frequency in Hz, of the same shape."""
        # The curve is smooth, so it is computed at 64 points and interpolated linearly: a tenth of the time.
        octaves = np.linspace(4.0, 14.0, 64)
        low, high = (np.log2(corner) for corner in self.corners_hz)
        level_db = self.shelves_db[0] / (1 + 4.0 ** (octaves - low))
        level_db += self.shelves_db[1] / (1 + 4.0 ** (high - octaves))
        for centre, peak_db, width in zip(self.peaks_hz, self.peaks_db, self.peaks_octaves, strict=True):
            level_db += peak_db * np.exp(-0.5 * ((octaves - np.log2(centre)) / width) ** 2)
        return np.interp(np.log2(np.maximum(frequencies, 16.0)), octaves, amplitude(level_db)).astype(np.float32)


@dataclass(frozen=True)
class Place:
    """The traits that all clips of a source share.

    background : one of `BACKGROUNDS`, with the corner and slope of its noise and how much its level varies
    knocks_per_s : how often something unrelated is struck nearby
    path, recording_chain : the frequency response of the way to the microphone, and of the recording chain
    echo_s, echo_db : decay constant of the echo and its level against the direct sound
    low_cut_hz, high_cut_hz : what the recording chain passes
    """

    background: str
    background_corner_hz: float
    background_slope_db: float
    background_swell_db: float
    knocks_per_s: float
    path: Equaliser
    recording_chain: Equaliser
    echo_s: float
    echo_db: float
    low_cut_hz: float
    high_cut_hz: float
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator, depth_db: float) -> Self:
        """A random place and recording chain, whose equalisers reach at most `depth_db` up or down."""
        background = str(rng.choice(BACKGROUNDS))
        corner_hz = {
            "traffic": (80, 500),
            "wind": (60, 300),
            "rain": (6000, 9000),
            "room": (100, 800),
            "crowd": (400, 900),
        }
        swell_db = {"traffic": 3.0, "wind": 5.0, "rain": 0.7, "room": 0.5, "crowd": 3.0}
        return cls(
            background=background,
            background_corner_hz=log_uniform(rng, *corner_hz[background]),
            background_slope_db=rng.uniform(6, 9) if background in ("wind", "crowd") else rng.uniform(3, 6),
            background_swell_db=swell_db[background] * rng.uniform(0.5, 1.2),
            knocks_per_s=rng.choice([0.0, 0.0, rng.uniform(0.2, 1.0)]),
            path=Equaliser.draw(rng, depth_db),
            recording_chain=Equaliser.draw(rng, depth_db),
            echo_s=log_uniform(rng, 0.02, 0.15),
            echo_db=rng.uniform(-18, 0),
            low_cut_hz=log_uniform(rng, 30, 150),
            high_cut_hz=log_uniform(rng, 5000, 11000),
            seed=int(rng.integers(2**31)),
        )

    def record(self, sound: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The sound as it arrives at the microphone and the background noise, each float32 of shape (n_samples,).

        Both have passed the recording chain; the sound has the echo of the place besides. Their levels are arbitrary.
        """
        n_samples = len(sound)
        n_fft = fft.next_fast_len(n_samples + N_PAD, real=True)
        background = self._background(n_samples, rng)
        path, recording_chain = _responses(self, n_fft)
        return (
            fft.irfft(fft.rfft(sound.astype(np.float32), n_fft) * path, n_fft)[:n_samples],
            fft.irfft(fft.rfft(background, n_fft) * recording_chain, n_fft)[:n_samples],
        )

    def _band(self, frequencies: np.ndarray) -> np.ndarray:
        low = 1 / np.sqrt(1 + (self.low_cut_hz / np.maximum(frequencies, 1.0)) ** 4)
        high = 1 / np.sqrt(1 + (frequencies / self.high_cut_hz) ** 8)
        return (low * high).astype(np.float32)

    def _echo(self) -> np.ndarray:
        """The response of the place: the direct sound, then noise that decays; the same for all clips of a source."""
        rng = np.random.default_rng(self.seed)
        n_echo = int(5 * self.echo_s * SR)
        tail = rng.standard_normal(n_echo, dtype=np.float32) * np.exp(
            -np.arange(n_echo, dtype=np.float32) / (self.echo_s * SR)
        )
        response = np.float32(amplitude(self.echo_db)) * tail / np.sqrt(np.sum(tail**2))
        response[0] += 1
        return response

    def _background(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        shape = low_pass(self.background_corner_hz, self.background_slope_db)
        if self.background == "crowd":  # far-off speech: noise with the long-term spectrum and the rhythm of syllables
            corner = self.background_corner_hz
            background = shaped_noise(n_samples, rng, lambda f: low_pass(corner, 9.0)(f) * f / (f + 150))
            background *= amplitude(random_curve(n_samples, rng, 6.0, self.background_swell_db))
        else:
            background = shaped_noise(n_samples, rng, shape)
            background *= amplitude(random_curve(n_samples, rng, 1.0, self.background_swell_db))
        if self.background == "rain":
            drop = unit_rms(shaped_noise(SR // 200, rng, band_pass(4000, 0.7)))
            for start in rng.integers(0, n_samples, n_samples * 40 // SR):
                add_at(background, int(start), np.float32(log_uniform(rng, 0.5, 4)) * drop)
        for _ in range(rng.poisson(self.knocks_per_s * n_samples / SR)):
            modes_hz = np.exp(rng.uniform(np.log(200), np.log(5000), 4))
            knock = struck_body(modes_hz, rng.uniform(0.005, 0.05, 4), np.ones(4), rng)
            add_at(background, int(rng.integers(n_samples)), np.float32(log_uniform(rng, 2, 8)) * knock)
        return background


@lru_cache(maxsize=2)  # most clips of a source are equally long
def _responses(place: Place, n_fft: int) -> tuple[np.ndarray, np.ndarray]:
    """The frequency responses for sound and background, at the `n_fft` // 2 + 1 frequencies of a transform."""
    frequencies = fft.rfftfreq(n_fft, 1 / SR).astype(np.float32)
    recording_chain = place.recording_chain.gain(frequencies) * place._band(frequencies)
    return fft.rfft(place._echo(), n_fft) * (recording_chain * place.path.gain(frequencies)), recording_chain


def active_power(y: np.ndarray) -> float:
    """The power of `y` while it sounds: the mean over blocks of 50 ms, each weighted by its own power.

    For a steady sound that is its mean power; for one burst in silence, about the power of the burst.
    """
    n_blocks = max(1, len(y) // BLOCK)
    power = np.square(y[: n_blocks * BLOCK].reshape(n_blocks, -1), dtype=np.float64).mean(axis=1)
    return float(np.sum(power**2) / np.sum(power))


def mix(sound: np.ndarray, background: np.ndarray, snr_db: float) -> tuple[np.ndarray, np.ndarray]:
    """Scale `background` so that the active power of the sound is `snr_db` above its mean power; returns both."""
    background_power = float(np.mean(np.square(background, dtype=np.float64)))
    factor = np.sqrt(active_power(sound) / background_power) * amplitude(-snr_db)
    return sound, np.float32(factor) * background
