"""Misclassified clips, and which class is predicted as which."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stages.evaluate.scores import class_numbers, probability_table

N_LISTED = 5  # clips of a confusion to listen to
MISCLASSIFICATION_COLUMNS = ["clip", "fold", "source", "truth", "predicted", "confidence", "p_truth"]
CONFUSION_COLUMNS = ["truth", "predicted", "n_clips", "n_sources", "share", "listen"]


def find_misclassifications(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The clips that are predicted as another class, the most confident first.

    Columns: `clip`, `fold`, `source`, `truth`, `predicted`, `confidence` (the probability of `predicted`), `p_truth`.
    """
    probabilities = probability_table(predictions, classes)
    of_truth = probabilities[np.arange(len(predictions)), class_numbers(predictions["truth"], classes)]
    confidence = probabilities.max(axis=1, initial=0)
    table = predictions[MISCLASSIFICATION_COLUMNS[:5]].assign(confidence=confidence, p_truth=of_truth)
    return table[table["truth"] != table["predicted"]].sort_values(
        ["confidence", "clip"], ascending=[False, True], ignore_index=True
    )


def rank_confusions(misclassifications: pd.DataFrame, n_clips: pd.Series) -> pd.DataFrame:
    """Which class is predicted as which, most often first.

    `misclassifications` is what `find_misclassifications` returns, `n_clips` the number of test clips by class.
    Columns: `truth`, `predicted`, `n_clips`, `n_sources`, `share` (of the clips of the true class), `listen` (the
    `N_LISTED` most confident of these clips, separated by "; ").
    """
    rows = [
        (
            truth,
            predicted,
            len(rows),
            rows["source"].nunique(),
            len(rows) / n_clips[truth],
            "; ".join(rows["clip"].head(N_LISTED)),
        )
        for (truth, predicted), rows in misclassifications.groupby(["truth", "predicted"])
    ]
    return pd.DataFrame(rows, columns=CONFUSION_COLUMNS).sort_values(
        ["n_clips", "share", "truth", "predicted"], ascending=[False, False, True, True], ignore_index=True
    )
