"""Resampling of sources: what a score would have been on other recordings of the same kind.

Clips cut from one recording are alike, so a source is drawn with all its clips or not at all (the cluster bootstrap:
Davison and Hinkley 1997, Bootstrap Methods and their Application, section 3.8). A resample is one weight per source,
how often it was drawn; most scores follow from weighted sums of the sources: all resamples are one matrix product.
"""

from collections.abc import Sequence
from typing import overload

import numpy as np
from scipy import sparse, special

CELLS_AT_ONCE = 1 << 22  # of the arrays of `rank_scores`, which would otherwise grow with clips times resamples


def draw_sources(n_sources: int, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each source is in each resample of `n_sources` draws; int of shape (n_resamples, n_sources)."""
    return rng.multinomial(n_sources, np.full(n_sources, 1 / n_sources), size=n_resamples)


@overload
def sum_sources(source: np.ndarray, values: np.ndarray) -> np.ndarray: ...
@overload
def sum_sources(source: np.ndarray, values: sparse.csr_array) -> sparse.csr_array: ...
def sum_sources(source: np.ndarray, values: np.ndarray | sparse.csr_array) -> np.ndarray | sparse.csr_array:
    """Add up the clips of each source.

    `source` is int of shape (n_clips,), the number of the source from 0 without a gap; `values` is (n_clips, n),
    dense or sparse. Returns (n_sources, n) of the same kind.
    """
    n_clips = len(source)
    member = sparse.csr_array((np.ones(n_clips), (source, np.arange(n_clips))), shape=(source.max() + 1, n_clips))
    return member @ values


def one_hot(columns: np.ndarray, n_columns: int) -> sparse.csr_array:
    """One row per clip with a 1 in its column; sparse, of shape (n_clips, n_columns)."""
    n_clips = len(columns)
    return sparse.csr_array((np.ones(n_clips), (np.arange(n_clips), columns)), shape=(n_clips, n_columns))


def share_interval(samples: np.ndarray, shares: Sequence[float], n_sources: Sequence[int]) -> np.ndarray:
    """As `interval`, of shares of clips, each with the number of sources that it rests on.

    Where all clips are recognised, or none is, every resample says the same, which is no proof: the other end of the
    interval is then the exact one of as many independent trials as there are sources (Clopper and Pearson 1934).
    """
    bounds = interval(samples, shares)
    for i, (share, n) in enumerate(zip(shares, n_sources, strict=True)):
        if share == 1:
            bounds[:, i] = 0.025 ** (1 / n), 1
        elif share == 0:
            bounds[:, i] = 0, 1 - 0.025 ** (1 / n)
    return bounds


def interval(samples: np.ndarray, values: Sequence[float]) -> np.ndarray:
    """The 95 % interval of each value from its resamples: bias-corrected quantiles (Efron and
    Tibshirani 1993, An Introduction to the Bootstrap, section 14.3, without acceleration).

    `samples` is (n_resamples, n), `values` the n scores of the data itself. Drawing a clip twice raises an average
    precision, and a class that is not drawn leaves a macro mean, so plain quantiles can miss the very value; these are
    shifted by how many resamples lie below it. Returns float of shape (2, n); resamples that are NaN are left out, and
    where all are, the interval is NaN.
    """
    bounds = np.full((2, len(values)), np.nan)
    for i, value in enumerate(values):
        known = samples[~np.isnan(samples[:, i]), i]
        if len(known):
            below = ((known < value).sum() + (known == value).sum() / 2) / len(known)
            shift = special.ndtri(np.clip(below, 0.5 / len(known), 1 - 0.5 / len(known)))
            bounds[:, i] = np.quantile(known, special.ndtr(2 * shift + special.ndtri([0.025, 0.975])))
    return bounds


def rank_scores(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area under the ROC curve and average precision of one class, in each resample.

    `scores` is (n_clips,), higher for clips that look more like the class; `positive` bool of the same shape;
    `weights` (n_resamples, n_clips). Equal scores make one step of the curve. As scikit-learn defines both: the area by
    the trapezoidal rule, the precision as sum of (R_n - R_(n-1)) P_n. Returns two float arrays of shape (n_resamples,),
    NaN where a resample has no positive clip or, for the area, no negative one.
    """
    chunk = max(1, CELLS_AT_ONCE // max(1, len(scores)))
    parts = [_rank(scores, positive, weights[i : i + chunk]) for i in range(0, len(weights), chunk)]
    areas, precisions = zip(*parts, strict=True)
    return np.concatenate(areas), np.concatenate(precisions)


def _rank(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))  # last clip of each group of equal scores
    drawn = weights[:, order].astype(np.float64)
    found = np.cumsum(drawn, axis=1)[:, ends]  # [n_resamples, n_steps]
    true = np.cumsum(drawn * positive[order], axis=1)[:, ends]
    false = found - true
    new_true, new_false = (np.diff(counts, axis=1, prepend=0) for counts in (true, false))
    n_true, n_false = true[:, -1], false[:, -1]
    precision = np.divide(true, found, out=np.zeros_like(true), where=found > 0)
    # Each positive clip beats the negative ones after its step, and half of those in it.
    beaten = (new_true * (n_false[:, np.newaxis] - false + new_false / 2)).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return beaten / (n_true * n_false), (new_true * precision).sum(axis=1) / n_true
