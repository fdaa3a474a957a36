"""Stretched and pitched variants of a recording, for training.

A phase vocoder (Flanagan, Golden 1966; Dolson 1986, "The phase vocoder: a tutorial"), the same as librosa's, with
the sums over frames as array operations, so that it is fast and threads run side by side.
"""

import numpy as np
import scipy.fft
import soxr

WINDOW_S = 0.09  # seconds; rounded to a power of two: 2,048 samples at 22,050 Hz, as librosa has it


def variant_names(stretch: list[float], pitch: list[float]) -> list[str]:
    """The variants of a clip other than itself, in order: "stretch 0.81" by its factor, "pitch -2" by its semitones."""
    return [f"stretch {factor:.12g}" for factor in stretch] + [f"pitch {semitones:.12g}" for semitones in pitch]


def variant_length(n_samples: int, variant: str) -> int:
    """The number of samples that a variant of a recording of `n_samples` has; "" is the recording itself."""
    if not variant:
        return n_samples
    kind, number = _parse(variant)
    return max(1, round(n_samples / number)) if kind == "stretch" else n_samples


def make_variant(y: np.ndarray, sr: int, variant: str) -> np.ndarray:
    """The samples of a variant of `y`, float32 of shape (n_samples,), at `sr` Hz.

    Returns float32 of shape (variant_length(n_samples, variant),).
    """
    kind, number = _parse(variant)
    return time_stretch(y, sr, number) if kind == "stretch" else pitch_shift(y, sr, number)


def time_stretch(y: np.ndarray, sr: int, factor: float) -> np.ndarray:
    """Play `y` `factor` times as fast at the same pitch.

    `y` is float32 of shape (n_samples,), `sr` its rate in Hz. Returns float32 of shape
    (max(1, round(n_samples / factor)),).
    """
    n_fft = 2 ** max(5, round(np.log2(WINDOW_S * sr)))
    hop = n_fft // 4
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(y, n_fft // 2), n_fft)[::hop]
    spectra = np.pad(scipy.fft.rfft(frames * window), ((0, 2), (0, 0)))  # [n_frames + 2, n_bins], silence at the end

    position = np.arange(0, len(spectra) - 2, factor)  # of each new frame, in old frames
    before = position.astype(int)
    share = (position - before).astype(np.float32)[:, None]
    magnitudes = np.abs(spectra)
    # The phase that a bin gains from one frame to the next is that of a product of directions: no angle is computed.
    silent = magnitudes == 0
    spectra /= np.where(silent, 1, magnitudes)
    spectra[silent] = 1
    turns = spectra[1:] * spectra[:-1].conj()
    stretched_spectra = np.empty((len(position), spectra.shape[1]), dtype=np.complex64)
    phase = spectra[0].copy()
    for frame, k in zip(stretched_spectra, before, strict=True):
        frame[:] = phase
        phase *= turns[k]
    stretched_spectra *= (1 - share) * magnitudes[before] + share * magnitudes[before + 1]

    pieces = (scipy.fft.irfft(stretched_spectra, n=n_fft) * window).reshape(len(stretched_spectra), 4, hop)
    squares = np.square(window).reshape(4, hop)
    total, weight = np.zeros((2, len(stretched_spectra) + 3, hop), dtype=np.float32)
    for i in range(4):
        total[i : i + len(stretched_spectra)] += pieces[:, i]
        weight[i : i + len(stretched_spectra)] += squares[i]
    stretched = (total / np.maximum(weight, 1e-8)).ravel()[n_fft // 2 :]
    return _fit(stretched, max(1, round(len(y) / factor)))


def pitch_shift(y: np.ndarray, sr: int, semitones: float) -> np.ndarray:
    """Move the pitch of `y` up by `semitones` at the same length: stretched, then resampled back.

    `y` is float32 of shape (n_samples,), `sr` its rate in Hz. Returns float32 of the same shape.
    """
    ratio = 2 ** (semitones / 12)
    return _fit(soxr.resample(time_stretch(y, sr, 1 / ratio), sr * ratio, sr, quality="HQ"), len(y))


def _fit(y: np.ndarray, n_samples: int) -> np.ndarray:
    return np.pad(y, (0, max(0, n_samples - len(y))))[:n_samples]


def _parse(variant: str) -> tuple[str, float]:
    kind, number = variant.split()
    return kind, float(number)
