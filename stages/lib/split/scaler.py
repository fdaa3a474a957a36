"""The spectrogram scaler: mean and standard deviation of the bands over all frames of the training folds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stages.lib.core.errors import DataError
from stages.lib.core.params import section


@section("scale")
class ScaleParams:
    """Whether each band has its own mean and standard deviation or all share one."""

    per: Literal["band", "all"]


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation, float32 of shape (n_mels,); scaled = (log_mel - mean) / std."""

    mean: np.ndarray
    std: np.ndarray


def fit_scaler(params: ScaleParams, chunks: Iterable[np.ndarray]) -> Scaler:
    """Measure the scaler in one pass.

    `chunks` are arrays of shape (n_frames, n_mels). Counts, means and squared deviations of the chunks are merged in
    float64 (Chan, Golub, LeVeque 1979, eq. 2.1), which stays exact where sums of squares cancel. A band that never
    changes, such as an empty one, gets the standard deviation 1. Raises `DataError` where there is no frame.
    """
    count, mean, squares = 0, np.float64(0), np.float64(0)
    for chunk in chunks:
        values = np.asarray(chunk, dtype=np.float64)
        if params.per == "all":
            values = values.reshape(-1, 1)
        if not len(values):
            continue
        chunk_mean = values.mean(axis=0)
        difference, total = chunk_mean - mean, count + len(values)
        squares = squares + ((values - chunk_mean) ** 2).sum(axis=0) + difference**2 * (count * len(values) / total)
        mean = mean + difference * (len(values) / total)
        count = total
    if not count:
        raise DataError("the training folds hold no frame to measure the scaler on")
    std = np.sqrt(squares / count)
    std[std < 1e-6] = 1.0
    n_mels = chunk.shape[1]
    return Scaler(*(np.broadcast_to(values, n_mels).astype(np.float32) for values in (mean, std)))
