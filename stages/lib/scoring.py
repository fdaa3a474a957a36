"""Scores of clips, from the probabilities of their segments.

Conventions: rows of a confusion matrix are true classes, columns predicted ones, in the order of `classes`; classes are
compared by name. Where several folds were tested, a score is the mean over the folds, as published results are. 95 %
intervals come from resampling sources, not clips, since the slices of one recording are alike.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from stages.lib.params import section


@section("evaluate")
class EvaluateParams:
    """How intervals are estimated."""

    n_bootstrap: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)]


def average_segments(probabilities: np.ndarray, clip_rows: np.ndarray) -> np.ndarray:
    """Average the segments of each clip.

    `probabilities` is (n_segments, n_classes), `clip_rows` int of shape (n_segments,), ascending from 0 without a gap.
    Returns (n_clips, n_classes).
    """
    firsts = np.flatnonzero(np.diff(clip_rows, prepend=-1))
    return np.add.reduceat(probabilities, firsts, axis=0) / np.bincount(clip_rows)[:, np.newaxis]


def count_confusions(truth: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Confusion matrix, int of shape (n_classes, n_classes); zeros where there is no clip."""
    if not len(truth):
        return np.zeros((len(classes), len(classes)), dtype=int)
    return confusion_matrix(truth, predicted, labels=list(classes))


def score_classes(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """A row a class: `class`, `precision`, `recall`, `f1` (0 where it was never predicted), `n_clips`.

    No row where there is no clip.
    """
    if predictions.empty:
        return pd.DataFrame(columns=["class", "precision", "recall", "f1", "n_clips"])
    precision, recall, f1, n_clips = precision_recall_fscore_support(
        predictions["truth"], predictions["predicted"], labels=list(classes), zero_division=0
    )
    return pd.DataFrame({"class": classes, "precision": precision, "recall": recall, "f1": f1, "n_clips": n_clips})


def score_folds(predictions: pd.DataFrame) -> pd.DataFrame:
    """A row a fold: `fold`, `accuracy`, `macro_f1` (over the classes that the fold has)."""
    rows = []
    for fold, clips in predictions.groupby("fold"):
        truth, predicted = clips["truth"], clips["predicted"]
        f1 = f1_score(truth, predicted, labels=sorted(set(truth)), average="macro", zero_division=0)
        rows.append({"fold": fold, "accuracy": accuracy_score(truth, predicted), "macro_f1": f1})
    return pd.DataFrame(rows)


def bootstrap_accuracy(predictions: pd.DataFrame, params: EvaluateParams) -> tuple[float, float]:
    """The 95 % interval of the accuracy (mean over folds), by resampling the sources of each fold with replacement."""
    rng = np.random.default_rng(params.seed)
    correct = predictions["truth"] == predictions["predicted"]
    accuracies = np.zeros(params.n_bootstrap)
    for _, fold in predictions.assign(correct=correct).groupby("fold"):
        sources = fold.groupby("source")["correct"].agg(["sum", "count"]).to_numpy()  # [n_sources, 2]
        drawn = rng.integers(len(sources), size=(params.n_bootstrap, len(sources)))
        hits, clips = sources[drawn].sum(axis=1).T
        accuracies += hits / clips
    low, high = np.quantile(accuracies / predictions["fold"].nunique(), [0.025, 0.975])
    return float(low), float(high)
