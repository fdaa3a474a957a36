"""What training may change about a segment, so that the net learns the sound and not the recording.

All of it happens on batches of log-mel segments while they are cut. What a loudspeaker, a room or a second sound would
do to the waveform - gain, a filter, a mixture - is done to the mel values themselves: the stored logarithm is taken
back first, and taken again after.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from stages.lib.errors import ParamsError
from stages.lib.params import section

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

    def __call__(self, log_mel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Gain, filter and masks, each segment its own. `log_mel` and the result are float32 (batch, frames, bands)."""
        p, (batch, _, n_mels) = self.params, log_mel.shape
        change_db = np.zeros((batch, n_mels))
        if p.gain_db:
            change_db += rng.uniform(-p.gain_db, p.gain_db, (batch, 1))
        if p.filter_db:
            change_db += random_filters(rng, batch, n_mels, p.filter_db)
        if p.gain_db or p.filter_db:
            factors = 10 ** (change_db * self.power / 20)
            log_mel = self.to_log(self.to_mel(log_mel) * factors[:, np.newaxis].astype(np.float32))
        if p.mask_frames or p.mask_bands:
            log_mel = mask(log_mel, self.mean, rng, n_frames=p.mask_frames, n_bands=p.mask_bands)
        return log_mel

    def mix(
        self, pair: tuple[np.ndarray, np.ndarray], levels_db: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mix each segment of one batch with its partner in another, both float32 of shape (batch, frames, bands).

        `levels_db` are the greatest A-weighted levels of their clips, (batch,). Returns the mixtures and the share of
        the first in the targets, (batch,).
        """
        ratio = rng.beta(self.params.mix_alpha, self.params.mix_alpha, len(pair[0]))
        if self.params.mix == "mixup":
            weights = ratio[:, np.newaxis, np.newaxis].astype(np.float32)
            return weights * pair[0] + (1 - weights) * pair[1], ratio
        weights = between_class_weights(ratio, *levels_db)
        first, second = (
            weight[:, np.newaxis, np.newaxis].astype(np.float32) * self.to_mel(segments) ** (2 // self.power)
            for weight, segments in zip(weights, pair, strict=True)
        )
        return self.to_log((first + second) ** np.float32(self.power / 2)), ratio

    def to_mel(self, log_mel: np.ndarray) -> np.ndarray:
        """Mel values of what is stored."""
        return np.maximum(np.exp(log_mel / np.float32(self.unit)) - np.float32(self.log_offset), 0)

    def to_log(self, mel: np.ndarray) -> np.ndarray:
        """Logarithm of mel values, as featurize stores it."""
        return np.float32(self.unit) * np.log(mel + np.float32(self.log_offset))


def make_augmenter(params: AugmentParams, facts: dict[str, Any]) -> Augmenter:
    """The augmenter for the features that the facts of a model (see `stages.lib.model_file`) describe.

    Raises `ParamsError` for a change of mel values where the features are not a logarithm that can be taken back.
    """
    featurize, kind = facts["featurize"], facts["kind"]
    mean = np.asarray(facts["scaler_mean"], dtype=np.float32)
    if kind in ("log", "db"):
        unit = 1.0 if kind == "log" else 20 / featurize["power"] / np.log(10)
        return Augmenter(params, unit, featurize["log_offset"], featurize["power"], mean)
    changes = {"gain_db": params.gain_db, "filter_db": params.filter_db, "mix": params.mix == "between_class"}
    for key, is_on in changes.items():
        if is_on:
            raise ParamsError(
                f"augment.{key} {getattr(params, key)} changes mel values, which cannot be had back from features of "
                f"the kind {kind}; turn it off, or set featurize.compression to log or db and featurize.n_mfcc to null"
            )
    return Augmenter(params, 1.0, 0.0, 1, mean)


def between_class_weights(
    ratio: np.ndarray, level1_db: np.ndarray, level2_db: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the power of each sound of a mixture is multiplied by, (batch,) each.

    The first is to be heard with the share `ratio`, whatever its level: p = 1 / (1 + 10^((G1 - G2) / 20) (1 - r) / r),
    and the waveform (p x1 + (1 - p) x2) / sqrt(p^2 + (1 - p)^2). Of sounds that are not correlated the powers add.
    Tokozume, Ushiku, Harada: Learning from between-class examples for deep sound recognition, ICLR 2018, eq. 1 and 2.
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
