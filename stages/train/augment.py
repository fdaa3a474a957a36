"""What training may change about a segment, so that the network learns the sound and not the recording.

All of it happens on batches of log-mel segments while they are cut. What a loudspeaker, a room or a second sound would
do to the waveform - gain, a filter, a mixture - is done to the mel values themselves: the stored logarithm is taken
back first, and taken again after.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import Field

from stages.lib.core.errors import ParamsError
from stages.lib.core.params import section
from stages.lib.model.metadata import ModelMetadata

T = TypeVar("T")

FILTER_PIECES = (2, 5)  # least and greatest number of pieces, each a line in dB, of a random filter


@section("augment")
class AugmentParams:
    """Random changes of training segments; each is off in the plain recipe.

    `gain_db` and `filter_db` are the largest change up or down in dB, `mask_frames` and `mask_bands` the largest width
    of a mask, `mix_alpha` both parameters of the Beta distribution of the mixing ratio (1: uniform).
    """

    crop: Literal["grid", "random", "wrap"]
    gain_db: Annotated[float, Field(ge=0)]
    filter_db: Annotated[float, Field(ge=0)]
    mask_frames: Annotated[int, Field(ge=0)]
    mask_bands: Annotated[int, Field(ge=0)]
    mix: Literal["none", "mixup", "between_class"]
    mix_alpha: Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class Augmenter:
    """Changes batches of raw log-mel segments.

    Stored is `unit` times the natural logarithm of mel values to the `power`, `log_offset` added. `mean` is that of the
    scaler, float32 of shape (n_mels,): what a mask shows.
    """

    params: AugmentParams
    unit: float
    log_offset: float
    power: int
    mean: np.ndarray

    def __call__(
        self,
        log_mel: np.ndarray,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
        levels_db: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mix each segment with its partner, where that is asked for; then its own gain, filter and masks.

        `log_mel`, `partners` and the result are float32 of shape (batch, frames, bands); `levels_db` the greatest
        A-weighted levels of the clips of both, (batch,) each. Also returned: the share of the first in the targets,
        (batch,), 1 without mixing.
        """
        p, batch = self.params, len(log_mel)
        share = np.ones(batch) if p.mix == "none" else rng.beta(p.mix_alpha, p.mix_alpha, batch)
        if p.mix == "mixup":
            weights = _each(share)
            log_mel = weights * log_mel + (1 - weights) * _needed(partners)
        if p.mix == "between_class" or p.gain_db or p.filter_db:  # one way there and back, which costs most
            mel = self.to_mel(log_mel)
            if p.mix == "between_class":
                weights1, weights2 = between_class_weights(share, *_needed(levels_db))
                mel = self.mix_power(mel, self.to_mel(_needed(partners)), weights1, weights2)
            if p.gain_db or p.filter_db:
                mel *= self.sample_gains(rng, batch, log_mel.shape[2])[:, np.newaxis]
            log_mel = self.to_log(mel)
        if p.mask_frames or p.mask_bands:
            log_mel = mask(log_mel, self.mean, rng, n_frames=p.mask_frames, n_bands=p.mask_bands)
        return log_mel, share

    def mix_power(self, first: np.ndarray, second: np.ndarray, weight1: np.ndarray, weight2: np.ndarray) -> np.ndarray:
        """Mel values of two sounds at once, their power weighted by `weight1` and `weight2`, (batch,).

        Writes into the two arrays, float32 (batch, frames, bands), of which the first is returned.
        """
        if self.power == 1:
            np.square(first, out=first)
            np.square(second, out=second)
        first *= _each(weight1)
        second *= _each(weight2)
        first += second
        return np.sqrt(first, out=first) if self.power == 1 else first

    def sample_gains(self, rng: np.random.Generator, batch: int, n_mels: int) -> np.ndarray:
        """What gain and filter multiply mel values by, float32 (batch, n_mels)."""
        change_db = np.zeros((batch, n_mels))
        if self.params.gain_db:
            change_db += rng.uniform(-self.params.gain_db, self.params.gain_db, (batch, 1))
        if self.params.filter_db:
            change_db += random_filters(rng, batch, n_mels, self.params.filter_db)
        return (10 ** (change_db * self.power / 20)).astype(np.float32)

    def to_mel(self, log_mel: np.ndarray) -> np.ndarray:
        """Mel values of what is stored."""
        mel = np.exp(log_mel / np.float32(self.unit))
        mel -= np.float32(self.log_offset)
        return np.maximum(mel, 0, out=mel)

    def to_log(self, mel: np.ndarray) -> np.ndarray:
        """Logarithm of mel values, as featurize stores it."""
        log = np.log(mel + np.float32(self.log_offset))
        log *= np.float32(self.unit)
        return log


def make_augmenter(params: AugmentParams, metadata: ModelMetadata) -> Augmenter:
    """The augmenter for the features that the metadata of a model describes.

    Raises `ParamsError` for a change of mel values where the features are not a logarithm that can be taken back.
    """
    power, log_offset, kind = metadata.featurize.power, metadata.featurize.log_offset, metadata.kind
    mean = np.asarray(metadata.scaler_mean, dtype=np.float32)
    if kind in ("log", "db") and log_offset is not None:
        unit = 1.0 if kind == "log" else 20 / power / np.log(10)
        return Augmenter(params, unit, log_offset, power, mean)
    changes = {"gain_db": params.gain_db, "filter_db": params.filter_db, "mix": params.mix == "between_class"}
    for key, is_on in changes.items():
        if is_on:
            raise ParamsError(
                f"augment.{key} {getattr(params, key)} changes mel values, which cannot be computed from features of "
                f"the kind {kind}; turn it off, or set featurize.compression to log or db and featurize.n_mfcc to null"
            )
    return Augmenter(params, 1.0, 0.0, 1, mean)


def between_class_weights(
    ratio: np.ndarray, level1_db: np.ndarray, level2_db: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the power of each sound of a mixture is multiplied by, (batch,) each.

    The first is to be as loud as its share `ratio` says, whatever its level: p = 1 / (1 + 10^((G1 - G2) / 20) (1 - r)
    / r), and the waveform (p x1 + (1 - p) x2) / sqrt(p^2 + (1 - p)^2). Of sounds that are not correlated the powers
    add. Tokozume, Ushiku, Harada: Learning from between-class examples for deep sound recognition, ICLR 2018, eq. 1
    and 2.
    """
    ratio = np.clip(ratio, 1e-6, 1 - 1e-6)
    p = 1 / (1 + 10 ** ((level1_db - level2_db) / 20) * (1 - ratio) / ratio)
    total = p**2 + (1 - p) ** 2
    return p**2 / total, (1 - p) ** 2 / total


def random_filters(rng: np.random.Generator, batch: int, n_mels: int, depth_db: float) -> np.ndarray:
    """Random filters, straight between corners in dB, (batch, n_mels): the linear FilterAugment.

    Nam, Kim, Park: FilterAugment: an acoustic environmental data augmentation method, ICASSP 2022.
    """
    filters = np.empty((batch, n_mels))
    for i in range(batch):
        n_corners = 1 + rng.integers(FILTER_PIECES[0], FILTER_PIECES[1], endpoint=True)
        inner = np.sort(rng.uniform(0, n_mels - 1, n_corners - 2))
        corners = [0, *inner, n_mels - 1]
        filters[i] = np.interp(np.arange(n_mels), corners, rng.uniform(-depth_db, depth_db, n_corners))
    return filters


def mask(log_mel: np.ndarray, mean: np.ndarray, rng: np.random.Generator, *, n_frames: int, n_bands: int) -> np.ndarray:
    """Put the mean into up to `n_frames` neighbouring frames and up to `n_bands` neighbouring bands of each segment.

    One mask in time and one in frequency: Park et al.: SpecAugment, Interspeech 2019, section 2.
    """
    masked = log_mel.copy()
    for segment in masked:
        for axis, widest in ((0, n_frames), (1, n_bands)):
            size = segment.shape[axis]
            width = rng.integers(0, min(widest, size) + 1)
            start = rng.integers(0, size - width + 1)
            span = slice(start, start + width)
            if axis == 0:
                segment[span] = mean
            else:
                segment[:, span] = mean[span]
    return masked


def _needed(value: T | None) -> T:
    """What mixing needs. Raises `TypeError` where it was not given."""
    if value is None:
        raise TypeError("augment: mixing needs the partners of a batch, and the levels of both")
    return value


def _each(weights: np.ndarray) -> np.ndarray:
    """Weights of segments, (batch,), to multiply a batch by: float32 (batch, 1, 1)."""
    return weights[:, np.newaxis, np.newaxis].astype(np.float32)
