"""How loud a recording is to the ear: the A-weighted level that mixing two recordings of different classes needs.

Tokozume, Ushiku, Harada, "Learning from between-class examples for deep sound recognition" (ICLR 2018, arXiv
1711.10282), section 3.2: the greatest A-weighted level over windows of 0.1 s. Here the windows are made of consecutive
frames of the spectrogram, whose spectra are there already: a transform of their own would take as long as the features.
0 dB is the level of a sine of 1 kHz that touches full scale (AES17).
"""

import numpy as np

WINDOW_S = 0.1  # seconds
FLOOR_DB = -120.0  # dB; digital silence, and all that is softer, gets this, below the noise of any converter


def a_weights(frequencies: np.ndarray) -> np.ndarray:
    """The A-weighting of power at `frequencies` (Hz), float64 of the same shape, 1 at 1 kHz (IEC 61672-1, annex E)."""
    f2 = np.square(np.asarray(frequencies, dtype=np.float64))
    f1, f2_, f3, f4 = 20.598997, 107.65265, 737.86223, 12194.217  # Hz, the poles
    response = f4**2 * f2**2 / ((f2 + f1**2) * np.sqrt((f2 + f2_**2) * (f2 + f3**2)) * (f2 + f4**2))
    return np.square(response * 10 ** (2.0 / 20))  # the standard gives 2.000 dB to bring 1 kHz to 0 dB


def to_db(power: np.ndarray | float) -> np.ndarray:
    """Powers as dB re 1, at least `FLOOR_DB`; float64 of the same shape."""
    return np.maximum(FLOOR_DB, 10 * np.log10(np.maximum(power, 1e-30)))


class LevelMeter:
    """Measures A-weighted levels from spectra of frames."""

    def __init__(self, *, sr: int, window: np.ndarray, n_fft: int, hop_length: int) -> None:
        """Take the rate in Hz, the window of a frame, float of shape (win_length,), FFT length and hop in samples."""
        weights = a_weights(np.arange(n_fft // 2 + 1) * sr / n_fft)
        weights[1 : (n_fft + 1) // 2] *= 2  # the bins of negative frequency; 0 Hz and sr / 2 have none
        # Parseval: this times |FFT|^2, summed, is the mean square of the frame, here relative to that of a full sine.
        full_scale = 0.5
        self._weights = (weights / (n_fft * np.square(window, dtype=np.float64).sum() * full_scale)).astype(np.float32)
        self._n_frames = max(1, 1 + round((WINDOW_S * sr - len(window)) / hop_length))

    def __call__(self, magnitudes: np.ndarray) -> float:
        """The greatest level in dB re full scale over windows of as many frames as span 0.1 s; at least `FLOOR_DB`.

        `magnitudes` are |FFT| of consecutive frames, float32 of shape (n_frames, 1 + n_fft // 2), n_frames at least 1.
        """
        power = self.frame_powers(magnitudes)
        sums = np.concatenate([[0.0], np.cumsum(power)])
        n = min(self._n_frames, len(power))
        greatest = float((sums[n:] - sums[:-n]).max()) / n
        return float(to_db(greatest))

    def frame_powers(self, magnitudes: np.ndarray) -> np.ndarray:
        """The A-weighted power of each frame, 1 for a sine of 1 kHz that touches full scale; float64 (n_frames,)."""
        return (np.square(magnitudes) @ self._weights).astype(np.float64)
