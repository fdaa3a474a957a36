"""From samples to log-mel frames.

Conventions are librosa's: a frame is `win_length` samples times a periodic window, the FFT is not scaled, mel filters
are `librosa.filters.mel`. Frames are not centred: the first begins at the first sample and the last ends within the
recording, so that no frame holds anything but the recording; 4 s at the default settings make 150 frames.
"""

import warnings
from typing import Annotated, Literal

import librosa
import numpy as np
import scipy.fft
import scipy.sparse
from pydantic import Field

from stages.lib.loudness import LevelMeter
from stages.lib.params import section

Positive = Annotated[int, Field(ge=1)]


@section("featurize")
class FeaturizeParams:
    """Parameters of the log-mel spectrogram; `sr`, `fmin`, `fmax` in Hz, lengths in samples at `sr`.

    `stretch` (factors of tempo) and `pitch` (semitones) name the variants of each clip, see `stages.lib.variants`.
    """

    sr: Positive
    window: Literal["hamming", "hann", "blackman", "boxcar"]
    win_length: Positive
    n_fft: Positive
    hop_length: Positive
    n_mels: Positive
    fmin: Annotated[float, Field(ge=0)]
    fmax: Annotated[float, Field(gt=0)]
    mel_scale: Literal["slaney", "htk"]
    mel_norm: Literal["slaney", "none"]
    power: Literal[1, 2]
    log_offset: Annotated[float, Field(gt=0)]
    stretch: list[Annotated[float, Field(ge=0.25, le=4)]]
    pitch: list[Annotated[float, Field(ge=-24, le=24)]]

    def __post_init__(self) -> None:
        """Name the keys that do not fit each other."""
        if self.win_length > self.n_fft:
            raise ValueError(
                f"featurize.win_length {self.win_length} is over featurize.n_fft {self.n_fft}; "
                "the window must fit into the FFT"
            )
        if self.fmax > self.sr / 2:
            raise ValueError(
                f"featurize.fmax {self.fmax:g} Hz is over half of featurize.sr {self.sr} Hz; "
                f"nothing above {self.sr / 2:g} Hz can be recorded at that rate"
            )
        if self.fmin >= self.fmax:
            raise ValueError(f"featurize.fmin {self.fmin:g} Hz is not below featurize.fmax {self.fmax:g} Hz")
        for key, values, itself in (("stretch", self.stretch, 1), ("pitch", self.pitch, 0)):
            if itself in values or len(set(values)) < len(values):
                raise ValueError(
                    f"featurize.{key} {values}: expected different numbers other than {itself}, which is the clip"
                )


WINDOWS = {"hamming": np.hamming, "hann": np.hanning, "blackman": np.blackman, "boxcar": np.ones}


class LogMel:
    """The transform from samples to log-mel frames for one set of parameters."""

    def __init__(self, params: FeaturizeParams) -> None:
        """Compute the window, float32 of shape (win_length,), and the mel filters, sparse (n_mels, 1 + n_fft // 2).

        `level` gives the greatest A-weighted level of what `magnitudes` gives, see `stages.lib.loudness`.
        """
        self.params = params
        self.window = WINDOWS[params.window](params.win_length + 1)[:-1].astype(np.float32)  # periodic, not symmetric
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", UserWarning
            )  # of empty bands: `empty_bands` says which, for the stage to tell
            filters = librosa.filters.mel(
                sr=params.sr,
                n_fft=params.n_fft,
                n_mels=params.n_mels,
                fmin=params.fmin,
                fmax=params.fmax,
                htk=params.mel_scale == "htk",
                norm=None if params.mel_norm == "none" else params.mel_norm,
            )
        self.filters = scipy.sparse.csr_array(filters)  # a band covers few of the bins: 1 % of the products remain
        self.level = LevelMeter(sr=params.sr, window=self.window, n_fft=params.n_fft, hop_length=params.hop_length)

    @property
    def empty_bands(self) -> list[int]:
        """The bands so narrow that no bin of the FFT falls into them: they are at the floor for every sound."""
        return np.flatnonzero(np.diff(self.filters.indptr) == 0).tolist()

    @property
    def floor(self) -> float:
        """The value that digital silence gets."""
        return float(np.log(np.float32(self.params.log_offset)))

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Log-mel frames of the samples `y`, float32 of shape (n_samples,).

        Returns float32 of shape (n_frames, n_mels): log(filters @ |FFT|^power + log_offset).
        """
        return self.from_magnitudes(self.magnitudes(y))

    def magnitudes(self, y: np.ndarray) -> np.ndarray:
        """|FFT| of the windowed frames of `y`, float32 of shape (n_samples,); float32 of shape (n_frames, n_bins)."""
        p = self.params
        if len(y) < p.win_length:
            y = np.pad(y, (0, p.win_length - len(y)))
        frames = np.lib.stride_tricks.sliding_window_view(y, p.win_length)[:: p.hop_length]  # [n_frames, win_length]
        return np.abs(scipy.fft.rfft(frames * self.window, n=p.n_fft))

    def from_magnitudes(self, magnitudes: np.ndarray) -> np.ndarray:
        """Log-mel frames, float32 of shape (n_frames, n_mels), of what `magnitudes` gives, which is left as it is."""
        spectra = np.square(magnitudes) if self.params.power == 2 else magnitudes
        mel = self.filters @ spectra.T  # [n_mels, n_frames]
        mel += np.float32(self.params.log_offset)
        return np.log(mel, out=mel).T
