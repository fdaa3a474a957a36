"""Mel bands: the scale, and the filters that turn the bins of an FFT into bands.

The same numbers to the last bit as `librosa.filters.mel`, to which the tests hold them; without it, since importing
librosa takes as long as the features of a thousand clips.
"""

import numpy as np

# Slaney, Auditory Toolbox (1998): linear up to 1 kHz, logarithmic above.
HZ_PER_MEL = 200 / 3
LOG_FROM_HZ = 1000.0
LOG_FROM_MEL = LOG_FROM_HZ / HZ_PER_MEL
LOG_STEP = np.log(6.4) / 27.0  # 27 steps per factor of 6.4


def hz_to_mel(frequencies: np.ndarray | float, scale: str) -> np.ndarray:
    """Frequencies in Hz as mel, float64 of the same shape; `scale` is slaney, or htk (O'Shaughnessy 1987, eq. 4.2)."""
    hz = np.asarray(frequencies, dtype=np.float64)
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    above = LOG_FROM_MEL + np.log(np.maximum(hz, LOG_FROM_HZ) / LOG_FROM_HZ) / LOG_STEP
    return np.where(hz >= LOG_FROM_HZ, above, hz / HZ_PER_MEL)


def mel_to_hz(mels: np.ndarray | float, scale: str) -> np.ndarray:
    """The inverse of `hz_to_mel`."""
    mels = np.asarray(mels, dtype=np.float64)
    if scale == "htk":
        return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    above = LOG_FROM_HZ * np.exp(LOG_STEP * (mels - LOG_FROM_MEL))
    return np.where(mels >= LOG_FROM_MEL, above, HZ_PER_MEL * mels)


def mel_edges(n_mels: int, fmin: float, fmax: float, scale: str) -> np.ndarray:
    """The corners of the bands in Hz, float64 of shape (n_mels + 2,), equally far apart in mel.

    Band b begins at edge b, peaks at edge b + 1 and ends at edge b + 2.
    """
    return mel_to_hz(np.linspace(hz_to_mel(fmin, scale), hz_to_mel(fmax, scale), n_mels + 2), scale)


def band_at(frequencies: np.ndarray | float, *, n_mels: int, fmin: float, fmax: float, mel_scale: str) -> np.ndarray:
    """The band, as a fraction of bands, whose peak is at each frequency (Hz): float64 of the same shape.

    0 is the peak of the lowest band, `n_mels` - 1 that of the highest; `fmin` is at -1 and `fmax` at `n_mels`.
    """
    low, high = hz_to_mel(fmin, mel_scale), hz_to_mel(fmax, mel_scale)
    return (hz_to_mel(frequencies, mel_scale) - low) / (high - low) * (n_mels + 1) - 1


def mel_filters(
    *, sr: int, n_fft: int, n_mels: int, fmin: float, fmax: float, mel_scale: str, mel_norm: str
) -> np.ndarray:
    """Triangles over the bins of an FFT, float32 of shape (n_mels, 1 + n_fft // 2); `sr` and `f*` in Hz.

    With `mel_norm` slaney each has unit area (in Hz), with none the peak 1. A band so narrow that no bin falls into it
    is empty, see `empty_bands`.
    """
    edges = mel_edges(n_mels, fmin, fmax, mel_scale)
    widths = np.diff(edges)[:, None]
    distances = edges[:, None] - np.fft.rfftfreq(n_fft, 1.0 / sr)  # [n_mels + 2, n_bins]
    rising, falling = -distances[:-2] / widths[:-1], distances[2:] / widths[1:]
    filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    if mel_norm == "slaney":
        filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return filters


def empty_bands(filters: np.ndarray) -> list[int]:
    """The bands into which no bin of the FFT falls: they are at the floor for every sound."""
    return np.flatnonzero(~filters.any(axis=1)).tolist()
