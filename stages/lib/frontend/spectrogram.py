"""From samples to features: log-mel frames, or what the parameters ask for in their place.

    samples -> frames, times a window -> |FFT| -> mel bands -> logarithm, dB or PCEN -> perhaps cepstrum (MFCC)

Conventions are librosa's: a frame is `win_length` samples times a periodic window, the FFT is not scaled, mel filters
are those of `librosa.filters.mel`. Frames are not centred: the first begins at the first sample and the last ends
within the recording, so that no frame holds anything but the recording; 4 s at the default settings make 150 frames.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pydantic
from pydantic import BeforeValidator, Field, ValidationInfo

from stages.lib.core.params import section
from stages.lib.frontend.loudness import LevelMeter
from stages.lib.frontend.mel import empty_bands, mel_filters

Positive = Annotated[float, Field(gt=0, strict=True)]
Count = Annotated[int, Field(ge=1)]
DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s)")


def blackman_harris(n_samples: int) -> np.ndarray:
    """The symmetric window of four terms with the least side lobes, -92 dB (Harris 1978, table 1); float64."""
    x = np.linspace(0, 2 * np.pi, n_samples)
    return 0.35875 - 0.48829 * np.cos(x) + 0.14128 * np.cos(2 * x) - 0.01168 * np.cos(3 * x)


WINDOWS: dict[str, Callable[[int], np.ndarray]] = {
    "hamming": np.hamming,
    "hann": np.hanning,
    "blackman": np.blackman,
    "blackmanharris": blackman_harris,
    "bartlett": np.bartlett,
    "boxcar": np.ones,
}


def _to_samples(value: Any, info: ValidationInfo) -> Any:
    """Turn a duration such as "53 ms" into samples at `featurize.sr`; a whole number is in samples already."""
    if isinstance(value, int) or value is None:
        return value
    match = DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError(
            f"featurize.{info.field_name}: expected samples, a whole number, or a duration such as '53 ms' or "
            f"'0.053 s', found {value!r}"
        )
    number, unit = match.groups()
    seconds = float(number) / (1000 if unit == "ms" else 1)
    return round(seconds * info.data["sr"]) if "sr" in info.data else 1  # a wrong rate is reported separately


def _or_window(value: Any, info: ValidationInfo) -> Any:
    """Where no length of the FFT is given, it is that of the window."""
    return info.data.get("win_length", 1) if value is None else value


Samples = Annotated[int, Field(ge=1), BeforeValidator(_to_samples)]


# As strict as a section, but for one thing: strictly, only an instance would do, not the mapping that YAML gives.
@pydantic.dataclasses.dataclass(frozen=True, config=pydantic.ConfigDict(extra="forbid", allow_inf_nan=False))
class PcenParams:
    """Parameters of per-channel energy normalisation, named as in `librosa.pcen`; the time constant in seconds."""

    gain: Annotated[float, Field(ge=0, strict=True)]
    bias: Positive
    power: Positive
    time_constant_s: Positive
    eps: Positive


@section("featurize")
class FeaturizeParams:
    """Parameters of the features; `sr`, `fmin`, `fmax` in Hz.

    `win_length` and `hop_length` are given in samples at `sr` or as durations, `n_fft` in samples or as None for that
    of the window; read here, all three are samples. What does not apply is None: `log_offset` with PCEN, `pcen` without
    it, `n_mfcc` for bands, `lifter` without `n_mfcc` or for none. `stretch` (factors of tempo) and `pitch` (semitones)
    name the variants of each clip, see `stages.featurize.variants`.
    """

    sr: Count
    window: Literal["hamming", "hann", "blackman", "blackmanharris", "bartlett", "boxcar"]
    win_length: Samples
    n_fft: Annotated[int, Field(ge=1), BeforeValidator(_or_window)]
    hop_length: Samples
    n_mels: Count
    fmin: Annotated[float, Field(ge=0)]
    fmax: Positive
    mel_scale: Literal["slaney", "htk"]
    mel_norm: Literal["slaney", "none"]
    power: Literal[1, 2]
    compression: Literal["log", "db", "pcen"]
    log_offset: Positive | None
    pcen: PcenParams | None
    n_mfcc: Count | None
    lifter: Positive | None
    stretch: list[Annotated[float, Field(ge=0.25, le=4)]]
    pitch: list[Annotated[float, Field(ge=-24, le=24)]]

    def __post_init__(self) -> None:
        """Name the keys that do not fit each other."""
        if self.win_length > self.n_fft:
            raise ValueError(
                f"featurize.win_length {self.win_length} is over featurize.n_fft {self.n_fft}; "
                "the window must fit into the FFT"
            )
        if self.hop_length > self.win_length:
            raise ValueError(
                f"featurize.hop_length {self.hop_length} is over featurize.win_length {self.win_length}; "
                "samples between two windows would be in no frame"
            )
        if self.fmax > self.sr / 2:
            raise ValueError(
                f"featurize.fmax {self.fmax:g} Hz is over half of featurize.sr {self.sr} Hz; "
                f"nothing above {self.sr / 2:g} Hz can be recorded at that rate"
            )
        if self.fmin >= self.fmax:
            raise ValueError(f"featurize.fmin {self.fmin:g} Hz is not below featurize.fmax {self.fmax:g} Hz")
        bins = np.arange(self.n_fft // 2 + 1) * self.sr / self.n_fft
        n_bins = int(np.count_nonzero((bins > self.fmin) & (bins < self.fmax)))
        if self.n_mels > n_bins:
            raise ValueError(
                f"featurize.n_mels {self.n_mels} is over the {n_bins} FFT bins between featurize.fmin {self.fmin:g} Hz "
                f"and featurize.fmax {self.fmax:g} Hz; lower it, or raise featurize.n_fft ({self.n_fft})"
            )
        self._check_compression()
        if self.n_mfcc is not None and self.n_mfcc > self.n_mels:
            raise ValueError(
                f"featurize.n_mfcc {self.n_mfcc} is over featurize.n_mels {self.n_mels}; "
                "as many bands have no more coefficients"
            )
        if self.lifter is not None and self.n_mfcc is None:
            raise ValueError(
                f"featurize.lifter {self.lifter:g} weights MFCC, but featurize.n_mfcc is null; set one of them"
            )
        for key, values, itself in (("stretch", self.stretch, 1), ("pitch", self.pitch, 0)):
            if itself in values or len(set(values)) < len(values):
                raise ValueError(
                    f"featurize.{key} {values}: expected different numbers other than {itself}, which is the clip"
                )

    def _check_compression(self) -> None:
        is_pcen = self.compression == "pcen"
        for key, value, applies in (("log_offset", self.log_offset, not is_pcen), ("pcen", self.pcen, is_pcen)):
            if applies and value is None:
                raise ValueError(f"featurize.{key} is null; featurize.compression {self.compression} needs it")
            if value is not None and not applies:
                raise ValueError(
                    f"featurize.{key} does not apply to featurize.compression {self.compression}; set it to null"
                )

    @property
    def kind(self) -> str:
        """What a frame holds: `log`, `db` or `pcen` of mel bands, or `mfcc`."""
        return self.compression if self.n_mfcc is None else "mfcc"

    @property
    def n_features(self) -> int:
        """Numbers per frame: bands, or coefficients."""
        return self.n_mfcc or self.n_mels


class Featurizer:
    """The transform from samples to features for one set of parameters.

    `window` is float32 of shape (win_length,), `filters` of shape (n_mels, n_bins), n_bins = 1 + n_fft // 2.
    `level` gives the greatest A-weighted level in dB of what `magnitudes` gives, see `stages.lib.frontend.loudness`.
    """

    def __init__(self, params: FeaturizeParams, *, numpy_only: bool = False) -> None:
        """Compute all that does not depend on the samples.

        SciPy computes many frames three times as fast as NumPy, and takes most of a second to import. With `numpy_only`
        it is not used: for a command that should start at once, on a few frames at a time. Features then differ in
        their last digits.
        """
        p = self.params = params
        self.window = WINDOWS[p.window](p.win_length + 1)[:-1].astype(np.float32)  # periodic, not symmetric
        self.filters = mel_filters(
            sr=p.sr,
            n_fft=p.n_fft,
            n_mels=p.n_mels,
            fmin=p.fmin,
            fmax=p.fmax,
            mel_scale=p.mel_scale,
            mel_norm=p.mel_norm,
        )
        self.level = LevelMeter(sr=p.sr, window=self.window, n_fft=p.n_fft, hop_length=p.hop_length)
        self._rfft: Callable[..., np.ndarray] = np.fft.rfft
        self._bands: Any = self.filters
        if not numpy_only:
            self._rfft, self._bands = _with_scipy(self.filters)
        self._cepstrum = None if p.n_mfcc is None else cepstrum_matrix(p.n_mels, p.n_mfcc, p.lifter)

    @property
    def empty_bands(self) -> list[int]:
        """See `empty_bands`."""
        return empty_bands(self.filters)

    @property
    def floor(self) -> float | list[float]:
        """The value that digital silence gets, or for MFCC the values of the coefficients."""
        silence = self.from_magnitudes(np.zeros((1, self.filters.shape[1]), dtype=np.float32))[0]
        return silence.tolist() if self.params.n_mfcc else float(silence[0])

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """The features of the samples `y`, float32 of shape (n_samples,); float32 of shape (n_frames, n_features)."""
        return self.from_magnitudes(self.magnitudes(y))

    def magnitudes(self, y: np.ndarray) -> np.ndarray:
        """|FFT| of the windowed frames of `y`, float32 of shape (n_samples,); float32 of shape (n_frames, n_bins)."""
        p = self.params
        if len(y) < p.win_length:
            y = np.pad(y, (0, p.win_length - len(y)))
        frames = np.lib.stride_tricks.sliding_window_view(y, p.win_length)[:: p.hop_length]  # [n_frames, win_length]
        return np.abs(self._rfft(frames * self.window, n=p.n_fft))

    def from_magnitudes(self, magnitudes: np.ndarray, memory: "PcenMemory | None" = None) -> np.ndarray:
        """The features of what `magnitudes` gives, which is left as it is; float32 of shape (n_frames, n_features).

        Frames of one recording may come in several calls with the same `memory`: PCEN alone looks back.
        """
        p = self.params
        spectra = np.square(magnitudes) if p.power == 2 else magnitudes
        mel = self._bands @ spectra.T  # [n_mels, n_frames]
        if p.pcen is not None:
            mel = pcen(mel, p.pcen, frame_rate=p.sr / p.hop_length, memory=memory)
        else:
            mel += np.float32(p.log_offset)
            np.log(mel, out=mel)
            if p.compression == "db":
                mel *= np.float32(20 / p.power / np.log(10))
        return (mel if self._cepstrum is None else self._cepstrum @ mel).T


def _with_scipy(filters: np.ndarray) -> tuple[Callable[..., np.ndarray], Any]:
    """SciPy's FFT, and the filters sparse: a band covers few of the bins, so 1 % of the products remain."""
    import scipy.fft
    import scipy.sparse

    return scipy.fft.rfft, scipy.sparse.csr_array(filters)


@dataclass
class PcenMemory:
    """What PCEN keeps of the frames before: the slow mean at the last of them, float64 (n_mels,); None at the start."""

    slow: np.ndarray | None = None


def pcen(mel: np.ndarray, params: PcenParams, *, frame_rate: float, memory: PcenMemory | None = None) -> np.ndarray:
    """Per-channel energy normalisation: each band over its own slow mean, then a root (Wang et al. 2017, eq. 1 to 3).

    `mel` is float32 of shape (n_mels, n_frames), `frame_rate` in frames per second. As `librosa.pcen`, but for the
    start: the slow mean begins at the first frame, where librosa begins at 1, which suits samples up to 2^31 and would
    mute the first second of samples up to 1; or it goes on from `memory`, in which it is then left. Returns float32 of
    the same shape.
    """
    n = params.time_constant_s * frame_rate  # the time constant in frames
    b = (np.sqrt(1 + 4 * n**2) - 1) / (2 * n**2)
    smooth = mel.astype(np.float64)
    if memory is not None and memory.slow is not None:
        smooth[:, 0] = (1 - b) * memory.slow + b * smooth[:, 0]
    for i in range(1, mel.shape[1]):
        smooth[:, i] = (1 - b) * smooth[:, i - 1] + b * smooth[:, i]
    if memory is not None:
        memory.slow = smooth[:, -1].copy()
    scaled = mel * np.exp(-params.gain * (np.log(params.eps) + np.log1p(smooth / params.eps)))
    root = params.bias**params.power * np.expm1(params.power * np.log1p(scaled / params.bias))
    return root.astype(np.float32)


def cepstrum_matrix(n_mels: int, n_mfcc: int, lifter: float | None) -> np.ndarray:
    """What turns bands into MFCC: the orthonormal DCT-II, its rows weighted by the lifter, as librosa has it.

    Returns float32 of shape (n_mfcc, n_mels). The lifter L weights coefficient i with 1 + L / 2 * sin(pi * (i + 1) / L)
    (Juang, Rabiner, Wilpon 1987).
    """
    k, band = np.ogrid[:n_mfcc, :n_mels]
    matrix = np.sqrt(2 / n_mels) * np.cos(np.pi * k * (2 * band + 1) / (2 * n_mels))
    matrix[0] /= np.sqrt(2)
    if lifter is not None:
        matrix *= (1 + lifter / 2 * np.sin(np.pi * np.arange(1, n_mfcc + 1) / lifter))[:, None]
    return matrix.astype(np.float32)
