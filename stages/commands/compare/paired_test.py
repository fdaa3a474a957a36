"""Is the difference between two runs significant? From the predictions of both on the same clips.

The test is a paired randomisation test over sources (Noreen 1989, Computer-Intensive Methods for Testing Hypotheses,
chapter 2; for classifiers Yeh 2000, COLING, section 3): were the runs equal, their predictions for a source could as
well be exchanged. Each randomisation exchanges those of each source with probability 1/2; the p-value is the share of
randomisations with a difference at least as great, counting the one that was observed (Phipson and Smyth 2010,
Statistical Applications in Genetics and Molecular Biology 9, eq. 2). A source is exchanged with all its clips, since
they are alike. Intervals of a difference come from drawing sources with replacement (`stages.evaluate.bootstrap`).
Several classes are several tests, so their p-values are corrected (Holm 1979, Scandinavian Journal of Statistics 6).

Both generalise to other recordings like these, not to another training: two seeds of one recipe differ too, by how much
only several seeds show.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stages.evaluate.bootstrap import draw_sources, interval, sum_sources
from stages.evaluate.scores import (
    class_numbers,
    count_classes,
    losses,
    probability_column,
    probability_table,
    score_counts,
)
from stages.lib.core.errors import DataError

COMPARED = ["accuracy", "balanced_accuracy", "macro_f1", "log_loss"]
NEEDED = ["clip", "fold", "source", "truth", "predicted"]
LEVEL = 0.05  # a difference is significant where its p-value is below


@dataclass(frozen=True)
class Comparison:
    """What two runs A and B have in common and where they differ; `difference` is B minus A.

    scores   one row per score of `COMPARED`: `score`, `a`, `b`, `difference`, `low`, `high` (95 % interval), `p`
    classes  one row per class, the greatest difference first: `class`, `n_clips`, `a`, `b` (recall), `difference`,
             `low`, `high`, `p` (corrected for the number of classes)
    changed  one row per clip that one run recognises and the other does not: `clip`, `fold`, `source`, `truth`,
             `predicted_a`, `predicted_b`, `better` ("a" or "b")
    """

    n_clips: int
    n_sources: int
    folds: list[int]
    scores: pd.DataFrame
    classes: pd.DataFrame
    changed: pd.DataFrame


def compare(a: pd.DataFrame, b: pd.DataFrame, *, n_draws: int = 10_000, seed: int = 1) -> Comparison:
    """Compare two tables of predictions, as evaluate writes them; scores are means over folds, as its own.

    Raises `DataError` where they are not of the same clips and classes.
    """
    classes = class_names(a)
    a, b = pair(a, b)
    truth = class_numbers(a["truth"], classes)
    folds = [np.flatnonzero(a["fold"] == fold) for fold in sorted(a["fold"].unique())]
    sums = [[_sum(run.iloc[rows], truth[rows], classes) for run in (a, b)] for rows in folds]

    observed_a, observed_b = (_score([of_fold[run].sum(axis=0, keepdims=True) for of_fold in sums]) for run in (0, 1))
    rng = np.random.default_rng(seed)
    drawn = [draw_sources(len(of_a), n_draws, rng).astype(float) for of_a, _ in sums]
    drawn_a, drawn_b = (
        _score([weights @ of_fold[run] for weights, of_fold in zip(drawn, sums, strict=True)]) for run in (0, 1)
    )
    # Where a source is exchanged, B's sums take the place of A's: the sums of A grow by what B has more.
    moved = [rng.integers(2, size=(n_draws, len(of_a))).astype(float) @ (of_b - of_a) for of_a, of_b in sums]
    swapped_a = _score([of_a.sum(axis=0) + more for (of_a, _), more in zip(sums, moved, strict=True)])
    swapped_b = _score([of_b.sum(axis=0) - more for (_, of_b), more in zip(sums, moved, strict=True)])
    differences = {name: observed_b[name] - observed_a[name] for name in observed_a}
    bounds = {name: interval(drawn_b[name] - drawn_a[name], differences[name][0]) for name in differences}
    p_values = {name: _p_value(swapped_b[name] - swapped_a[name], differences[name][0]) for name in differences}

    scores = pd.DataFrame(
        [
            (
                name,
                observed_a[name][0, 0],
                observed_b[name][0, 0],
                differences[name][0, 0],
                *bounds[name][:, 0],
                p_values[name][0],
            )
            for name in COMPARED
        ],
        columns=["score", "a", "b", "difference", "low", "high", "p"],
    )
    of_classes = pd.DataFrame(
        {
            "class": classes,
            "n_clips": np.bincount(truth, minlength=len(classes)),
            "a": observed_a["recall"][0],
            "b": observed_b["recall"][0],
            "difference": differences["recall"][0],
            "low": bounds["recall"][0],
            "high": bounds["recall"][1],
            "p": correct_holm(p_values["recall"]),
        }
    )
    of_classes = of_classes[of_classes["n_clips"] > 0].sort_values(
        "difference", key=lambda column: -column.abs(), kind="stable", ignore_index=True
    )
    n_sources = sum(len(of_a) for of_a, _ in sums)
    return Comparison(len(a), n_sources, sorted(a["fold"].unique().tolist()), scores, of_classes, find_changed(a, b))


def parse_predictions(text: str, where: str) -> pd.DataFrame:
    """Read the table of predictions in CSV that evaluate wrote. Raises `DataError`, which calls it `where`."""
    names = dict.fromkeys(["clip", "source", "truth", "predicted", "salience"], str)
    table = pd.read_csv(io.StringIO(text), dtype=names, keep_default_na=False) if text.strip() else pd.DataFrame()
    if missing := [name for name in NEEDED if name not in table] or ([] if class_names(table) else ["p_<class>"]):
        raise DataError(f"{where} has no column {missing[0]}; run 'dvc repro' there and commit")
    return table


def class_names(predictions: pd.DataFrame) -> list[str]:
    """The classes of a table of predictions, in the order of its columns of probabilities."""
    prefix = probability_column("")
    return [name.removeprefix(prefix) for name in predictions.columns if name.startswith(prefix)]


def pair(a: pd.DataFrame, b: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables with their rows in the order of A's clips. Raises `DataError` where they cannot be compared."""
    if sorted(class_names(a)) != sorted(class_names(b)):
        in_one = sorted(set(class_names(a)) ^ set(class_names(b)))
        raise DataError(f"the two runs have different classes, {in_one} in one alone; compare runs on the same data")
    if a.empty or b.empty:
        raise DataError(
            "a run has no predictions, since no model had a test fold; set split.test_folds and run it again"
        )
    only = [sorted(set(x["clip"]) - set(y["clip"])) for x, y in ((a, b), (b, a))]
    if only[0] or only[1]:
        example = (only[0] or only[1])[0]
        raise DataError(
            f"the two runs were tested on different clips: {len(only[0])} are in A alone and {len(only[1])} in B "
            f"alone, such as {example}; run both with the same data and split.test_folds"
        )
    a = a.sort_values("clip", kind="stable", ignore_index=True)
    b = b.sort_values("clip", kind="stable", ignore_index=True)
    for column in ("fold", "source", "truth"):
        other = np.flatnonzero((a[column] != b[column]).to_numpy())
        if len(other):
            row = other[0]
            raise DataError(
                f"{a['clip'][row]}: its {column} is {a[column][row]} in A and {b[column][row]} in B, and so for "
                f"{len(other)} clips; run both on the same data"
            )
    return a, b


def _sum(run: pd.DataFrame, truth: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Counts of `count_classes` and the loss of each source, (n_sources, 3 * n_classes + 1), in the order of names."""
    source = pd.factorize(run["source"], sort=True)[0]
    counts = count_classes(truth, class_numbers(run["predicted"], classes), len(classes))
    loss = sum_sources(source, losses(probability_table(run, classes), truth)[:, np.newaxis])
    return np.hstack([sum_sources(source, counts).toarray(), loss])


def _score(sums: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Scores (n_draws, 1), means over folds, and `recall` (n_draws, n_classes), from the sums of each fold over its
    sources, (n_draws, 3 * n_classes + 1).
    """
    folds = [score_counts(of_fold[:, :-1]) for of_fold in sums]
    n_classes = sums[0].shape[1] // 3
    for scores, of_fold in zip(folds, sums, strict=True):
        scores["log_loss"] = of_fold[:, -1] / of_fold[:, n_classes : 2 * n_classes].sum(axis=1)
    means = {name: np.mean([scores[name] for scores in folds], axis=0)[:, np.newaxis] for name in COMPARED}
    return means | {"recall": score_counts(np.sum(sums, axis=0)[:, :-1])["recall"]}


def _p_value(differences: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """The share of randomisations that differ as much, (n,), of differences (n_draws, n); 1 where nothing differs."""
    as_great = np.abs(differences) >= np.abs(observed) - 1e-12  # sums in another order differ in the last digits
    return (1 + as_great.sum(axis=0)) / (1 + len(differences))


def correct_holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's correction of several p-values: those that stay below a level hold together at that level."""
    order = np.argsort(p_values, kind="stable")
    raised = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(raised, 1)
    return corrected


def find_changed(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """The clips that one of two paired tables recognises and the other does not: see `Comparison`."""
    right_a, right_b = (a["predicted"] == a["truth"]).to_numpy(), (b["predicted"] == b["truth"]).to_numpy()
    table = a[["clip", "fold", "source", "truth"]].assign(
        predicted_a=a["predicted"], predicted_b=b["predicted"], better=np.where(right_a, "a", "b")
    )
    return table[right_a != right_b].sort_values(["better", "truth", "clip"], ignore_index=True)
