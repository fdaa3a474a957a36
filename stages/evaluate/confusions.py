"""Which classes are taken for which, and the clips to listen to."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stages.evaluate.scores import class_numbers, probability_table

MISTAKE_COLUMNS = ["clip", "fold", "source", "truth", "predicted", "confidence", "p_truth"]
CONFUSION_COLUMNS = ["truth", "predicted", "n_clips", "n_sources", "share", "listen"]


def rank_confusions(mistakes: pd.DataFrame, n_clips: pd.Series, n_listed: int = 5) -> pd.DataFrame:
    """Which classes are taken for which, most often first.

    `mistakes` is what `find_mistakes` returns, `n_clips` the number of test clips by class. Columns: `truth`,
    `predicted`, `n_clips`, `n_sources`, `share` (of the clips of the true class), `listen` (the `n_listed` most
    confident of these clips, apart by "; ").
    """
    rows = [
        (truth, predicted, len(rows), rows["source"].nunique(), len(rows) / n_clips[truth], _join(rows, n_listed))
        for (truth, predicted), rows in mistakes.groupby(["truth", "predicted"])
    ]
    return pd.DataFrame(rows, columns=CONFUSION_COLUMNS).sort_values(
        ["n_clips", "share", "truth", "predicted"], ascending=[False, False, True, True], ignore_index=True
    )


def _join(rows: pd.DataFrame, n_listed: int) -> str:
    return "; ".join(rows["clip"].iloc[:n_listed])


def find_mistakes(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The clips that are taken for another class, the most confident mistake first.

    Columns: `clip`, `fold`, `source`, `truth`, `predicted`, `confidence` (the probability of `predicted`), `p_truth`.
    """
    probabilities = probability_table(predictions, classes)
    of_truth = probabilities[np.arange(len(predictions)), class_numbers(predictions["truth"], classes)]
    table = predictions[MISTAKE_COLUMNS[:5]].assign(confidence=probabilities.max(axis=1, initial=0), p_truth=of_truth)
    return table[table["truth"] != table["predicted"]].sort_values(
        ["confidence", "clip"], ascending=[False, True], ignore_index=True
    )
