"""Scores of clips, from the probabilities of their segments.

Conventions
- A table of predictions has one row per clip (or segment): `fold`, `source`, `truth`, `predicted` and the probability
  of each class in `p_<class>`; classes are compared by name, and `classes` is the order of rows and columns.
- A score is the mean over the folds that were tested, as published results are, and its standard deviation is that over
  the folds. Macro means are over the classes that a fold has. Scores of one class or one group of clips, and the
  calibration error, are of all test clips together: a fold has too few of them.
- 95 % intervals come from resampling the sources of each fold (`stages.evaluate.bootstrap`).
- What cannot be computed is NaN: the area under a curve where a fold holds one class, say.

scores: accuracy, balanced_accuracy, macro_f1, roc_auc and average_precision (each class against the rest, macro): more
is better. log_loss (nats per clip) and calibration_error: less is better.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field
from scipy import sparse
from sklearn import metrics

from stages.evaluate.bootstrap import draw_sources, interval, one_hot, rank_scores, share_interval, sum_sources
from stages.lib.core.params import section

SCORES = ["accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "average_precision", "log_loss", "calibration_error"]
DECIMALS = 6  # of stored probabilities
FLOOR = 10.0**-DECIMALS  # the least probability that the log loss knows: a stored 0 may be anything below it
COMPARED = [name for name in SCORES if name != "roc_auc"]  # of them the metrics file has; the area is near 1 for most
DURATION_EDGES_S = [0.5, 1, 2, 4, 8, 16, 32]
CLASS_COLUMNS = [
    "class", "n_clips", "n_sources", "recall", "recall_low", "recall_high", "precision", "f1", "f1_low", "f1_high",
    "roc_auc", "average_precision", "predicted_as",
]  # fmt: skip
GROUP_COLUMNS = ["kind", "group", "n_clips", "n_sources", "accuracy", "low", "high"]
SALIENCES = {"1": "foreground", "2": "background"}


@section("evaluate")
class EvaluateParams:
    """How intervals and calibration are estimated, what soundscapes consist of (`stages.evaluate.soundscapes`), among
    it the folder of recorded backgrounds, and the folder of unknown sounds (`stages.evaluate.unknown`).
    """

    n_bootstrap: Annotated[int, Field(ge=1)]
    calibration_bins: Annotated[int, Field(ge=1)]
    n_soundscapes: Annotated[int, Field(ge=0)]
    soundscape_s: Annotated[float, Field(ge=5, le=600)]
    soundscape_snr_db: Annotated[list[Annotated[float, Field(ge=-40, le=80)]], Field(min_length=2, max_length=2)]
    backgrounds: str
    unknown: str
    seed: Annotated[int, Field(ge=0)]

    def __post_init__(self) -> None:
        """Refuse a range whose ends are swapped."""
        low, high = self.soundscape_snr_db
        if low > high:
            raise ValueError(f"evaluate.soundscape_snr_db: expected the least value first, found {[low, high]}")


def probability_column(name: str) -> str:
    """The column of a class: with a prefix, since a class may be called "source"."""
    return f"p_{name}"


def probability_table(predictions: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """The probabilities of a table, float of shape (n_rows, n_classes), by name in the order of `classes`."""
    return predictions[[probability_column(name) for name in classes]].to_numpy(dtype=float)


def count_confusions(truth: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Confusion matrix, int of shape (n_classes, n_classes), true classes as rows; zeros where there is no clip."""
    if not len(truth):
        return np.zeros((len(classes), len(classes)), dtype=int)
    return metrics.confusion_matrix(truth, predicted, labels=list(classes))


def score_fold(rows: pd.DataFrame, classes: Sequence[str]) -> dict[str, float]:
    """The scores of the rows of one fold, by scikit-learn; `calibration_error` is not among them."""
    truth, predicted = rows["truth"], rows["predicted"]
    probabilities = probability_table(rows, classes)
    present = [name for name in classes if (truth == name).any()]
    precisions, areas = [], []
    for name in present:
        positive, scores = truth == name, rows[probability_column(name)]
        precisions.append(metrics.average_precision_score(positive, scores))
        areas.append(metrics.roc_auc_score(positive, scores) if len(present) > 1 else np.nan)
    return {
        "accuracy": metrics.accuracy_score(truth, predicted),
        "balanced_accuracy": metrics.recall_score(truth, predicted, labels=present, average="macro", zero_division=0),
        "macro_f1": metrics.f1_score(truth, predicted, labels=present, average="macro", zero_division=0),
        "roc_auc": float(np.mean(areas)),
        "average_precision": float(np.mean(precisions)),
        "log_loss": float(losses(probabilities, class_numbers(truth, classes)).mean()),
    }


def score_folds(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """One row per fold: `fold`, `n_clips` (its rows), and the scores of `score_fold`."""
    rows = [
        {"fold": fold, "n_clips": len(rows)} | score_fold(rows, classes) for fold, rows in predictions.groupby("fold")
    ]
    return pd.DataFrame(rows, columns=["fold", "n_clips", *SCORES[:-1]])


def class_numbers(names: pd.Series, classes: Sequence[str]) -> np.ndarray:
    """The position of each name in `classes`, int of shape (n_rows,)."""
    return pd.Categorical(names, categories=list(classes)).codes.astype(np.intp)


def losses(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The cross-entropy of each row in nats, float of shape (n_rows,).

    Probabilities are raised to `FLOOR` and scaled to the sum 1, so that one that was rounded to 0 stays finite.
    """
    raised = np.maximum(probabilities, FLOOR)
    return -np.log(raised[np.arange(len(raised)), truth] / raised.sum(axis=1))


def bin_numbers(confidence: np.ndarray, n_bins: int) -> np.ndarray:
    """The bin of equal width between 0 and 1 that each confidence falls into; the upper edge belongs to a bin."""
    return np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)


def score_calibration(predictions: pd.DataFrame, classes: Sequence[str], n_bins: int) -> pd.DataFrame:
    """One row per bin of confidence, the probability of the predicted class, that holds clips.

    Columns: `from`, `to` (edges), `n_clips`, `confidence` (mean), `accuracy`.
    """
    confidence = probability_table(predictions, classes).max(axis=1, initial=0)
    table = pd.DataFrame(
        {
            "bin": bin_numbers(confidence, n_bins),
            "confidence": confidence,
            "accuracy": (predictions["truth"] == predictions["predicted"]).to_numpy(dtype=float),
        }
    )
    bins = table.groupby("bin").agg(
        n_clips=("bin", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
    )
    bins.insert(0, "from", bins.index / n_bins)
    bins.insert(1, "to", (bins.index + 1) / n_bins)
    return bins.reset_index(drop=True)


def calibration_error(bins: pd.DataFrame) -> float:
    """The expected calibration error (Guo, Pleiss, Sun, Weinberger 2017, eq. 3) of a table of `score_calibration`."""
    if bins.empty:
        return np.nan
    return float(np.average((bins["accuracy"] - bins["confidence"]).abs(), weights=bins["n_clips"]))


def count_classes(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> sparse.csr_array:
    """What the scores of a confusion matrix need of each clip: sparse, of shape (n_clips, 3 * n_classes).

    A 1 in the first third where the clip is of that class and recognised, in the second where it is of that class, in
    the last where that class is predicted. `truth` and `predicted` are numbers of classes, int of shape (n_clips,).
    """
    true, assigned = one_hot(truth, n_classes), one_hot(predicted, n_classes)
    return sparse.hstack([true * assigned, true, assigned], format="csr")


def score_counts(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of sums of rows of `count_classes`, (..., 3 * n_classes); macro means are over classes that have clips."""
    right, n_true, n_predicted = np.split(counts, 3, axis=-1)
    with np.errstate(invalid="ignore"):
        recall = np.where(n_true > 0, right / n_true, np.nan)
        f1 = np.where(n_true > 0, 2 * right / (n_true + n_predicted), np.nan)
        return {
            "accuracy": right.sum(axis=-1) / n_true.sum(axis=-1),
            "balanced_accuracy": np.nanmean(recall, axis=-1),
            "macro_f1": np.nanmean(f1, axis=-1),
            "recall": recall,
            "f1": f1,
        }


def group_clips(predictions: pd.DataFrame) -> pd.DataFrame:
    """The groups of clips that get an accuracy of their own: one column of flags for each, named (kind, group).

    `salience` where the data has it, and `duration`, to a tenth of a second: a clip of 3.99 s is one of 4. Groups
    without a clip are left out.
    """
    groups = {("salience", name): (predictions["salience"] == value).to_numpy() for value, name in SALIENCES.items()}
    duration_s = predictions["duration_s"].astype(float).round(1).to_numpy()
    edges = [0, *DURATION_EDGES_S, np.inf]
    for low, high in itertools.pairwise(edges):
        name = f"under {high:g} s" if not low else f"{low:g} s and over" if np.isinf(high) else f"{low:g} to {high:g} s"
        groups["duration", name] = (duration_s >= low) & (duration_s < high)
    table = pd.DataFrame({key: flags for key, flags in groups.items() if flags.any()}, index=predictions.index)
    if table.columns.empty:
        table.columns = pd.MultiIndex.from_tuples([], names=["kind", "group"])
    return table


@dataclass(frozen=True)
class Resamples:
    """Scores of `n_bootstrap` resamples; each array has that as its first axis."""

    scores: dict[str, np.ndarray]
    folds: dict[int, np.ndarray]
    recall: np.ndarray
    f1: np.ndarray
    groups: np.ndarray


def resample(
    predictions: pd.DataFrame, classes: Sequence[str], groups: pd.DataFrame, params: EvaluateParams
) -> Resamples:
    """Score resamples of the sources of each fold: `scores` (means over folds), the accuracy of each fold, `recall` and
    `f1` of shape (n_bootstrap, n_classes), and the accuracy of each column of `groups` (n_bootstrap, n_groups).
    """
    rng = np.random.default_rng(params.seed)
    n_classes, n_bins, n_draws = len(classes), params.calibration_bins, params.n_bootstrap
    probabilities = probability_table(predictions, classes)
    truth, predicted = (class_numbers(predictions[name], classes) for name in ("truth", "predicted"))
    confidence = probabilities.max(axis=1)
    right = (truth == predicted).astype(float)
    member = groups.to_numpy(dtype=float)
    columns = np.column_stack([losses(probabilities, truth), member, member * right[:, np.newaxis]])
    gap = one_hot(bin_numbers(confidence, n_bins), n_bins).multiply((right - confidence)[:, np.newaxis]).tocsr()
    counts = count_classes(truth, predicted, n_classes)

    by_fold: dict[str, list[np.ndarray]] = {name: [] for name in SCORES[:-1]}
    folds: dict[int, np.ndarray] = {}
    counted, gaps = np.zeros((n_draws, counts.shape[1])), np.zeros((n_draws, n_bins))
    sums, n_clips = np.zeros((n_draws, columns.shape[1])), np.zeros(n_draws)
    for fold, rows in predictions.reset_index(drop=True).groupby("fold"):
        at, source = rows.index.to_numpy(), pd.factorize(rows["source"])[0]
        drawn = draw_sources(source.max() + 1, n_draws, rng).astype(float)
        found = drawn @ sum_sources(source, counts[at])
        summed = drawn @ sum_sources(source, columns[at])
        scores = score_counts(found)
        n_of_fold = drawn @ np.bincount(source)
        for name in ("accuracy", "balanced_accuracy", "macro_f1"):
            by_fold[name].append(scores[name])
        by_fold["log_loss"].append(summed[:, 0] / n_of_fold)
        ranks = [rank_scores(probabilities[at, i], truth[at] == i, drawn[:, source]) for i in np.unique(truth[at])]
        for name, values in zip(("roc_auc", "average_precision"), zip(*ranks, strict=True), strict=True):
            by_fold[name].append(_mean(values))
        folds[int(fold)] = scores["accuracy"]
        counted += found
        sums += summed
        n_clips += n_of_fold
        gaps += drawn @ sum_sources(source, gap[at])
    scores = {name: _mean(values) for name, values in by_fold.items()}
    scores["calibration_error"] = np.abs(gaps).sum(axis=1) / n_clips
    pooled = score_counts(counted)
    n_groups = member.shape[1]
    with np.errstate(invalid="ignore"):
        of_groups = sums[:, 1 + n_groups :] / sums[:, 1 : 1 + n_groups]
    return Resamples(scores, folds, pooled["recall"], pooled["f1"], of_groups)


def _mean(values: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of arrays of equal shape where they are numbers; NaN where none is."""
    stacked = np.stack(values)
    known = ~np.isnan(stacked)
    with np.errstate(invalid="ignore"):
        return np.where(known, stacked, 0).sum(axis=0) / known.sum(axis=0)


@dataclass(frozen=True)
class Results:
    """Tables of results; `low` and `high` are the 95 % interval of the column before them.

    scores       one row per score: `score`, `clips`, `low`, `high`, `std` (over the folds), `segments`
    folds        one row per fold: `fold`, `n_clips`, `n_sources`, `accuracy`, `low`, `high` and the other scores
    classes      one row per class: `class`, `n_clips`, `n_sources`, `recall`, `recall_low`, `recall_high`, `precision`,
                 `f1`, `f1_low`, `f1_high`, `roc_auc`, `average_precision`, `predicted_as` (the class it is most often
                 confused with)
    groups       one row per group of `group_clips`: `kind`, `group`, `n_clips`, `n_sources`, `accuracy`, `low`, `high`
    calibration  one row per bin, see `score_calibration`
    """

    scores: pd.DataFrame
    folds: pd.DataFrame
    classes: pd.DataFrame
    groups: pd.DataFrame
    calibration: pd.DataFrame


def score(predictions: pd.DataFrame, segments: pd.DataFrame, classes: Sequence[str], params: EvaluateParams) -> Results:
    """Score a table of clips and one of their segments; both may be empty, and then so are the results.

    `predictions` also has `salience` ("1" foreground, "2" background, or blank) and `duration_s`.
    """
    flags = group_clips(predictions)
    calibration = score_calibration(predictions, classes, params.calibration_bins)
    if predictions.empty:
        return _no_results(calibration)
    draws = resample(predictions, classes, flags, params)
    folds, of_segments = score_folds(predictions, classes), score_folds(segments, classes)
    clips = [*folds[SCORES[:-1]].mean(), calibration_error(calibration)]
    low, high = interval(np.column_stack([draws.scores[name] for name in SCORES]), clips)
    n_sources = predictions.groupby("fold")["source"].nunique()
    low[0], high[0] = share_interval(draws.scores["accuracy"][:, np.newaxis], clips[:1], [n_sources.sum()])[:, 0]
    segment_error = calibration_error(score_calibration(segments, classes, params.calibration_bins))
    scores = pd.DataFrame(
        {
            "score": SCORES,
            "clips": clips,
            "low": low,
            "high": high,
            "std": [*folds[SCORES[:-1]].std(), np.nan],  # n - 1 in the denominator; NaN of one fold
            "segments": [*of_segments[SCORES[:-1]].mean(), segment_error],
        }
    )
    low, high = share_interval(
        np.column_stack([draws.folds[fold] for fold in folds["fold"]]), folds["accuracy"], n_sources
    )
    folds.insert(2, "n_sources", n_sources.to_numpy())
    folds.insert(4, "low", low)
    folds.insert(5, "high", high)
    return Results(
        scores,
        folds,
        _score_classes(predictions, classes, draws),
        _score_groups(predictions, flags, draws),
        calibration,
    )


def score_classes(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """One row per class, without intervals: as `classes` of `Results`. No row where there is no clip."""
    if predictions.empty:
        return pd.DataFrame(columns=CLASS_COLUMNS)
    truth = predictions["truth"]
    precision, recall, f1, n_clips = metrics.precision_recall_fscore_support(
        truth, predictions["predicted"], labels=list(classes), zero_division=0
    )
    wrong = count_confusions(truth, predictions["predicted"], classes)
    np.fill_diagonal(wrong, 0)
    rows = []
    for i, name in enumerate(classes):
        positive, scores = truth == name, predictions[probability_column(name)]
        here = n_clips[i] > 0
        rows.append(
            {
                "class": name,
                "n_clips": n_clips[i],
                "n_sources": predictions.loc[positive, "source"].nunique(),
                "recall": recall[i] if here else np.nan,
                "precision": precision[i],
                "f1": f1[i] if here else np.nan,
                "roc_auc": metrics.roc_auc_score(positive, scores) if 0 < positive.sum() < len(truth) else np.nan,
                "average_precision": metrics.average_precision_score(positive, scores) if here else np.nan,
                "predicted_as": classes[wrong[i].argmax()] if wrong[i].any() else "",
            }
        )
    return pd.DataFrame(rows)


def _score_classes(predictions: pd.DataFrame, classes: Sequence[str], draws: Resamples) -> pd.DataFrame:
    table = score_classes(predictions, classes)
    table["recall_low"], table["recall_high"] = share_interval(draws.recall, table["recall"], table["n_sources"])
    table["f1_low"], table["f1_high"] = interval(draws.f1, table["f1"])
    return table[CLASS_COLUMNS]


def _score_groups(predictions: pd.DataFrame, flags: pd.DataFrame, draws: Resamples) -> pd.DataFrame:
    right = (predictions["truth"] == predictions["predicted"]).to_numpy()
    rows = []
    for key in flags.columns:
        chosen = flags[key].to_numpy()
        rows.append((*key, chosen.sum(), predictions.loc[chosen, "source"].nunique(), right[chosen].mean()))
    table = pd.DataFrame(rows, columns=GROUP_COLUMNS[:5])
    table["low"], table["high"] = share_interval(draws.groups, table["accuracy"], table["n_sources"])
    return table


def _no_results(calibration: pd.DataFrame) -> Results:
    scores = pd.DataFrame(columns=["score", "clips", "low", "high", "std", "segments"])
    folds = pd.DataFrame(columns=["fold", "n_clips", "n_sources", "accuracy", "low", "high", *SCORES[1:-1]])
    return Results(scores, folds, pd.DataFrame(columns=CLASS_COLUMNS), pd.DataFrame(columns=GROUP_COLUMNS), calibration)


def flat_metrics(results: Results) -> dict[str, float]:
    """The numbers that runs are compared by: the scores `COMPARED` of clips, the interval of the accuracy and, of
    several folds, its standard deviation. Rounded, and without what cannot be computed.
    """
    scores = results.scores.set_index("score")
    found = scores["clips"].reindex(COMPARED).to_dict()
    if "accuracy" in scores.index:
        found |= {f"accuracy_{column}": scores.loc["accuracy", column] for column in ("low", "high", "std")}
    return {name: round(float(value), DECIMALS) for name, value in found.items() if np.isfinite(value)}
