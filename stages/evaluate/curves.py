"""Curves of one class against the rest: precision by recall, and true by false positive rate (ROC)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn import metrics

from stages.evaluate.scores import probability_column


def precision_recall(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of one class as the threshold rises: recall falls from 1 to 0.

    `positive` is bool of shape (n_clips,) and true somewhere, `scores` float of the same shape.
    """
    precision, recall, _ = metrics.precision_recall_curve(positive, scores, drop_intermediate=True)
    return precision, recall


def roc(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rate of one class as the threshold falls, from (0, 0) to (1, 1).

    Arguments as of `precision_recall`; `positive` is also false somewhere.
    """
    false_rate, true_rate, _ = metrics.roc_curve(positive, scores)
    return false_rate, true_rate


def mean_precision_recall(predictions: pd.DataFrame, classes: Sequence[str], n_points: int = 101) -> pd.DataFrame:
    """The mean precision of the classes that have clips, at `n_points` equal steps of `recall`.

    The precision at a recall is the highest at that recall or a greater one. No row where there is no clip.
    """
    steps, precisions = np.linspace(0, 1, n_points), []
    for positive, scores in each_class(predictions, classes):
        if positive.any():
            precision, recall = precision_recall(positive, scores)
            # Points with at least that recall come first.
            reached = np.searchsorted(-recall, -steps, side="right")
            precisions.append(np.maximum.accumulate(precision)[reached - 1])
    if not precisions:
        return pd.DataFrame(columns=["recall", "precision"])
    return pd.DataFrame({"recall": steps, "precision": np.mean(precisions, axis=0)})


def mean_roc(predictions: pd.DataFrame, classes: Sequence[str], n_points: int = 101) -> pd.DataFrame:
    """The mean `true_positive_rate` of the classes, from the origin and at `n_points` equal steps of
    `false_positive_rate`. Classes without clips are left out. No row where there is no clip, or one class alone.
    """
    steps, rates = np.linspace(0, 1, n_points), []
    for positive, scores in each_class(predictions, classes):
        if positive.any() and not positive.all():
            rates.append(np.interp(steps, *roc(positive, scores)))
    if not rates:
        return pd.DataFrame(columns=["false_positive_rate", "true_positive_rate"])
    origin = [0.0]  # at a rate of 0 the curves rise
    return pd.DataFrame(
        {
            "false_positive_rate": np.append(origin, steps),
            "true_positive_rate": np.append(origin, np.mean(rates, axis=0)),
        }
    )


def each_class(predictions: pd.DataFrame, classes: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Whether a clip is of the class, and its probability of it: one pair of arrays per class."""
    return [
        ((predictions["truth"] == name).to_numpy(), predictions[probability_column(name)].to_numpy(dtype=float))
        for name in classes
    ]
