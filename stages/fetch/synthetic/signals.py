"""What the sounds of `sample` are made of: periodic waves, shaped noise, slow random curves and decaying resonances.

Everything is float32 at `SR` Hz. Periodic sounds are read from a table of one period instead of summed sine by sine,
which makes forty harmonics as cheap as one.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from scipy import fft

SR = 24000  # Hz, the rate that everything is rendered at: half of it is well above the 8 kHz that the features reach
TABLE_SIZE = 4096  # points of one period; the nearest point is read, which leaves a noise some 40 dB down

Level = TypeVar("Level", float, np.ndarray)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """One value between `low` and `high`, both above zero, uniform in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def amplitude(level_db: Level) -> Level:
    """The factor that corresponds to a level in dB."""
    return 10.0 ** (level_db / 20.0)


def times(n_samples: int) -> np.ndarray:
    """The time of each sample in seconds, float32 of shape (n_samples,)."""
    return np.arange(n_samples, dtype=np.float32) / np.float32(SR)


def unit_rms(y: np.ndarray) -> np.ndarray:
    """`y` with a root mean square of 1; silence stays silence."""
    rms = np.sqrt(np.mean(np.square(y, dtype=np.float64)))
    return y if rms == 0 else (y / rms).astype(np.float32)


def period_table(harmonics: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One period of a wave with the given amplitudes of harmonics 1, 2, ... and random phases.

    Returns float32 of shape (TABLE_SIZE,) with a root mean square of 1.
    """
    spectrum = np.zeros(TABLE_SIZE // 2 + 1, dtype=np.complex64)
    phases = rng.uniform(0, 2 * np.pi, len(harmonics))
    spectrum[1 : len(harmonics) + 1] = harmonics * np.exp(1j * phases)
    return unit_rms(fft.irfft(spectrum, TABLE_SIZE))


def n_harmonics(f0: float, at_most: int, top_hz: float = 10000.0) -> int:
    """How many harmonics of `f0` Hz stay below `top_hz`, at least one and no more than `at_most`."""
    return int(np.clip(top_hz // f0, 1, at_most))


def read_table(table: np.ndarray, f0: float | np.ndarray, n_samples: int, phase: float = 0.0) -> np.ndarray:
    """The periodic wave of `table` at the frequency `f0` in Hz, one value or one per sample; `phase` is in periods."""
    steps = f0 / SR
    cycles = np.arange(n_samples) * steps if np.ndim(f0) == 0 else np.cumsum(steps, dtype=np.float64)
    index = ((cycles + phase) * TABLE_SIZE).astype(np.int64) & (TABLE_SIZE - 1)
    return table[index]


def random_curve(n_samples: int, rng: np.random.Generator, rate_hz: float, std: float) -> np.ndarray:
    """A slow random curve of zero mean: `rate_hz` normal values per second with `std`, interpolated linearly."""
    n_knots = int(n_samples / SR * rate_hz) + 2
    knots = rng.normal(0, std, n_knots)
    return np.interp(np.arange(n_samples), np.arange(n_knots) * (SR / rate_hz), knots).astype(np.float32)


def shaped_noise(n_samples: int, rng: np.random.Generator, shape: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Gaussian noise whose amplitude spectrum is `shape` of the frequency in Hz; root mean square 1.

    Returns float32 of shape (n_samples,). It is computed in the frequency domain, so it is periodic.
    """
    n_fft = fft.next_fast_len(n_samples, real=True)
    frequencies = fft.rfftfreq(n_fft, 1 / SR).astype(np.float32)
    parts = rng.standard_normal((2, len(frequencies)), dtype=np.float32)
    spectrum = (parts[0] + 1j * parts[1]) * shape(frequencies)
    return unit_rms(fft.irfft(spectrum, n_fft)[:n_samples])


def low_pass(cutoff_hz: float, slope_db: float) -> Callable[[np.ndarray], np.ndarray]:
    """A noise shape: flat to `cutoff_hz`, then falling by `slope_db` per octave."""
    half_order = np.float32(slope_db / 12.04)
    return lambda f: (1 + np.square(f / np.float32(cutoff_hz))) ** -half_order


def band_pass(centre_hz: float, q: float) -> Callable[[np.ndarray], np.ndarray]:
    """A noise shape: the response of a resonance at `centre_hz` with the quality `q`."""
    return lambda f: 1 / np.sqrt(1 + (q * (f / centre_hz - centre_hz / np.maximum(f, 1.0))) ** 2)


def formants(frequencies: np.ndarray, centres_hz: Sequence[float], widths_hz: Sequence[float]) -> np.ndarray:
    """The amplitude that resonances side by side pass at each frequency, each 2 dB below the one before it."""
    total = np.full(np.shape(frequencies), 0.01)
    for number, (centre, width) in enumerate(zip(centres_hz, widths_hz, strict=True)):
        total = total + amplitude(-2.0 * number) / (1 + ((frequencies - centre) / (width / 2)) ** 2)
    return total


def struck_body(modes_hz: np.ndarray, decays_s: np.ndarray, levels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The ring of a struck body: sines that decay exponentially, down to a thousandth of the slowest; peak 1.

    `modes_hz`, `decays_s` (time constants) and `levels` have the shape (n_modes,).
    """
    t = times(int(6.9 * float(np.max(decays_s)) * SR) + 1)[:, None]
    modes_hz, decays_s, levels = (np.asarray(values, dtype=np.float32) for values in (modes_hz, decays_s, levels))
    phases = rng.uniform(0, 2 * np.pi, len(modes_hz)).astype(np.float32)
    ring = (levels * np.exp(-t / decays_s) * np.sin(np.float32(2 * np.pi) * modes_hz * t + phases)).sum(axis=1)
    return (ring / np.max(np.abs(ring))).astype(np.float32)


def add_at(y: np.ndarray, start: int, sound: np.ndarray) -> None:
    """Add `sound` to `y` in place from the sample `start` on; what falls outside `y` is cut off."""
    first = max(0, -start)
    last = min(len(sound), len(y) - start)
    if last > first:
        y[start + first : start + last] += sound[first:last]


def gate(n_samples: int, attack_s: float, release_s: float) -> np.ndarray:
    """An envelope of `n_samples` that rises over `attack_s`, holds 1 and falls over `release_s`, along half cosines."""
    envelope = np.ones(n_samples, dtype=np.float32)
    n_attack = min(int(attack_s * SR), n_samples // 2)
    n_release = min(int(release_s * SR), n_samples // 2)
    envelope[:n_attack] = 0.5 - 0.5 * np.cos(np.pi * np.arange(n_attack) / max(n_attack, 1))
    envelope[n_samples - n_release :] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(n_release) / max(n_release, 1))
    return envelope


def renewal_times(duration_s: float, rate_hz: float, jitter: float, rng: np.random.Generator) -> np.ndarray:
    """Times of beats in seconds: intervals of 1 / `rate_hz`, each with a relative standard deviation of `jitter`;
    the first is at 0 or before."""
    n_beats = int(duration_s * rate_hz * 1.2) + 3
    intervals = (1 + jitter * np.clip(rng.standard_normal(n_beats), -3, 3)) / rate_hz
    beats = np.cumsum(intervals) - intervals[0] - rng.uniform(0, 1) / rate_hz
    return beats[beats < duration_s]


def harmonic_amplitudes(rng: np.random.Generator, count: int, fall: float) -> np.ndarray:
    """Amplitudes of `count` harmonics that fall as the `fall`-th power of their number, each varied by some dB."""
    return amplitude(rng.normal(0, 4, count)) / np.arange(1, count + 1) ** fall


def bump_table(width: float) -> np.ndarray:
    """One period of zero mean and root mean square 1 with a bump over the fraction `width` of it."""
    phase = np.arange(TABLE_SIZE) / TABLE_SIZE
    bump = np.exp(-0.5 * ((phase - 0.5) / (width / 3)) ** 2)
    return unit_rms((bump - bump.mean()).astype(np.float32))


def bursts(
    n_samples: int, rng: np.random.Generator, length_s: float, *, spread: float, gap_s: tuple[float, float]
) -> list[tuple[int, int]]:
    """Starts and lengths in samples of repeated sounds, the first of them whole and inside the clip."""
    total_s = n_samples / SR
    first_s = min(length_s * log_uniform(rng, 1 - spread, 1 + spread), 0.85 * total_s)
    start_s = rng.uniform(0.0, min(total_s - first_s, 0.4 * total_s))
    found = [(int(start_s * SR), int(first_s * SR))]
    end_s = start_s + first_s + rng.uniform(*gap_s)
    while end_s < total_s - 0.05 and rng.random() < 0.85:
        next_s = length_s * log_uniform(rng, 1 - spread, 1 + spread)
        found.append((int(end_s * SR), int(next_s * SR)))
        end_s += next_s + rng.uniform(*gap_s)
    return found


def pause_envelope(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """An envelope that is 1 but for one pause of a fifth to a half of the clip, anywhere in it."""
    n_rest = int(n_samples * rng.uniform(0.2, 0.5))
    start = int(rng.uniform(-0.5 * n_rest, n_samples - 0.5 * n_rest))
    envelope = np.ones(n_samples, dtype=np.float32)
    add_at(envelope, start, -0.98 * gate(n_rest, 0.08, 0.05))
    return envelope
