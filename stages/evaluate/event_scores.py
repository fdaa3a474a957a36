"""Scores of detected events against reference events: the right class, at the right time.

Conventions
- An event is a start and an end in seconds and the name of a class. `reference` events are what there is, `estimated`
  ones what a model detects. Events of one class that overlap are two events.
- Each class is counted for itself; the counts of recordings are added up; F1 = 2 tp / (2 tp + fn + fp). The error rate
  of a class is (fn + fp) / (tp + fn), so it may be over 1 (Mesaros and others, as below, section 3.2, for one class).

Counts: true positives (tp), false negatives (fn), false positives (fp)
event         An estimated event is a true positive where it begins within `COLLAR_S` of a reference event and ends
              within as much of its end. Each event belongs to one pair at most, and the pairs are chosen to be as many
              as possible. Mesaros, Heittola, Virtanen: Metrics for polyphonic sound event detection, Applied Sciences
              6(6), 2016, section 3.2.2, there with a wider collar for the ends of long events.
intersection  An estimated event is a false positive unless reference events cover `COVERED` of it; a reference event
              is a true positive where estimated events that are no false positives cover `COVERED` of it. How an event
              is cut into parts does not matter. Bilen, Ferroni, Tuveri, Azcarreta, Krstulović: A framework for the
              robust evaluation of sound event detection, ICASSP 2020, equations 1 to 4, with both tolerances at
              `COVERED`.
segment       Segment-based, in segments of `SEGMENT_S`: a class is active in a segment if any part of an event of it
              is. Mesaros and others, as above, section 3.2.1.

sed_eval 0.2.1 and sed-scores-eval-np2 0.0.4 give the same counts. They are not used, since they depend on dcase_util,
which imports `pkg_resources`, gone from setuptools since version 82. `benchmarks/event_scores.py` compares with them in
an environment of its own.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from stages.lib.event_tables import Span

COLLAR_S = 0.5  # as asked in most tasks on recordings of this length, and the time step of predict
COVERED = 0.5  # share of an event
SEGMENT_S = 1.0
DECIMALS = 6  # of times: 0.1 + 0.2 is within 0.3
BACKGROUND_COLUMNS = [
    "background", "n_events", "event_f1", "intersection_f1", "segment_f1", "event_error_rate", "overlap_recall",
]  # fmt: skip
METHODS = ["event", "intersection", "segment"]
COUNTS = [f"{method}_{count}" for method in METHODS for count in ("tp", "fn", "fp")]
CLASS_COLUMNS = ["class", "n_events", *(f"{method}_f1" for method in METHODS), "event_error_rate", *COUNTS]


def count_events(reference: Sequence[Span], estimated: Sequence[Span], classes: Sequence[str]) -> pd.DataFrame:
    """Count one recording: one row per class, indexed by its name, and the columns `COUNTS`, int.

    Raises `ValueError` for a label that is no class, or an event that ends before it starts.
    """
    for span in [*reference, *estimated]:
        if span.label not in classes or not 0 <= span.start_s <= span.end_s:
            raise ValueError(f"{span}: expected a class of {list(classes)} and 0 <= start_s <= end_s")
    rows = []
    for name in classes:
        pair = times(reference, name), times(estimated, name)
        rows.append([*count_within_collar(*pair), *count_intersections(*pair), *count_segments(*pair)])
    return pd.DataFrame(rows, columns=COUNTS, index=pd.Index(classes, name="class"))


def times(spans: Sequence[Span], label: str) -> np.ndarray:
    """Starts and ends of the events of a class, float of shape (n_events, 2), in seconds, by start."""
    found = sorted((span.start_s, span.end_s) for span in spans if span.label == label)
    return np.array(found, dtype=float).reshape(-1, 2)


def count_within_collar(reference: np.ndarray, estimated: np.ndarray) -> tuple[int, int, int]:
    """tp, fn and fp of one class within the collar; both are float of shape (n_events, 2), in seconds."""
    apart_s = np.abs(reference[:, np.newaxis] - estimated[np.newaxis]).round(DECIMALS)  # [n_reference, n_estimated, 2]
    pairs = csr_array((apart_s <= COLLAR_S).all(axis=-1))
    tp = int(np.count_nonzero(maximum_bipartite_matching(pairs, perm_type="column") >= 0)) if pairs.nnz else 0
    return tp, len(reference) - tp, len(estimated) - tp


def count_intersections(reference: np.ndarray, estimated: np.ndarray) -> tuple[int, int, int]:
    """tp, fn and fp of one class by intersection; both are float of shape (n_events, 2), in seconds."""
    ends = np.minimum(reference[:, np.newaxis, 1], estimated[:, 1])
    overlap_s = np.maximum(ends - np.maximum(reference[:, np.newaxis, 0], estimated[:, 0]), 0)
    right = _covers(overlap_s.sum(axis=0), estimated)
    tp = int(_covers(overlap_s[:, right].sum(axis=1), reference).sum())
    return tp, len(reference) - tp, len(estimated) - int(right.sum())


def _covers(covered_s: np.ndarray, spans: np.ndarray) -> np.ndarray:
    return covered_s.round(DECIMALS) >= (COVERED * (spans[:, 1] - spans[:, 0])).round(DECIMALS)


def count_segments(reference: np.ndarray, estimated: np.ndarray) -> tuple[int, int, int]:
    """tp, fn and fp of one class in segments of `SEGMENT_S`; both are float of shape (n_events, 2), in seconds."""
    there, found = _active_segments(reference), _active_segments(estimated)
    return len(there & found), len(there - found), len(found - there)


def _active_segments(spans: np.ndarray) -> set[int]:
    return {
        segment
        for start_s, end_s in spans.round(DECIMALS).tolist()
        for segment in range(int(start_s // SEGMENT_S), int(-(-end_s // SEGMENT_S)))
    }


def summarise(counts: dict[int, pd.DataFrame], prefix: str) -> tuple[pd.DataFrame, dict[str, float]]:
    """The scores of all folds, from the counts of each, by fold.

    Returns a table with one row per class, of all folds together: `class`, `n_events`, the F1 of each of `METHODS` as
    `<method>_f1`, the error rate of events as `event_error_rate`, then the counts; and the numbers
    `<prefix>_<method>_f1`: macro means over the classes of a fold, averaged over the folds. Without a
    fold there are no numbers and no rows, without an event no numbers.
    """
    if not counts:
        return pd.DataFrame(columns=CLASS_COLUMNS), {}
    means = macro_means(list(counts.values()))
    numbers = {f"{prefix}_{method}_f1": round(float(means[f"{method}_f1"]), DECIMALS) for method in METHODS}
    if means.isna().any():  # noise alone: no clip could be placed
        numbers = {}
    return score_classes(sum(counts.values())), numbers


def score_classes(counts: pd.DataFrame) -> pd.DataFrame:
    """The scores and the counts of each class, one row each, columns `CLASS_COLUMNS`."""
    table = f1_scores(counts).add_suffix("_f1").join(counts)
    table["n_events"] = counts["event_tp"] + counts["event_fn"]
    table["event_error_rate"] = error_rates(counts)
    return table.reset_index()[CLASS_COLUMNS]


def add_counts(counts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The counts of all backgrounds together, from those of each by name."""
    return sum(counts.values())


def summarise_backgrounds(
    counts: dict[int, dict[str, pd.DataFrame]], overlaps: dict[int, dict[str, tuple[float, float]]]
) -> pd.DataFrame:
    """The scores over each background, one row each, from the counts and seconds by fold and background.

    Columns: `background`, `n_events`, `<method>_f1` and `event_error_rate` as `macro_means` has them, `overlap_recall`:
    where two classes sound at once, the share of the seconds of both that is detected; NaN where none do.
    """
    rows = []
    for name in next(iter(counts.values()), {}):
        of_folds = [of_fold[name] for of_fold in counts.values()]
        found_s, total_s = (sum(of_fold[name][i] for of_fold in overlaps.values()) for i in (0, 1))
        n_events = sum(int((of_fold["event_tp"] + of_fold["event_fn"]).sum()) for of_fold in of_folds)
        recall = found_s / total_s if total_s else np.nan
        rows.append({"background": name, "n_events": n_events, **macro_means(of_folds), "overlap_recall": recall})
    return pd.DataFrame(rows, columns=BACKGROUND_COLUMNS)


def macro_means(counts: Sequence[pd.DataFrame]) -> pd.Series:
    """`<method>_f1` and `event_error_rate`: means over the classes of each of `counts`, averaged over these."""
    means = [
        {**f1_scores(each).mean().add_suffix("_f1"), "event_error_rate": error_rates(each).mean()} for each in counts
    ]
    return pd.DataFrame(means).mean()


def error_rates(counts: pd.DataFrame) -> pd.Series:
    """The error rate of the events of each row of counts; NaN for a class without a reference event."""
    n_events = counts["event_tp"] + counts["event_fn"]
    return ((counts["event_fn"] + counts["event_fp"]) / n_events.where(n_events > 0)).rename("event_error_rate")


def f1_scores(counts: pd.DataFrame) -> pd.DataFrame:
    """The F1 of each row of counts, columns `METHODS`; NaN for a class without a reference event."""
    scores = {}
    for method in METHODS:
        tp, fn, fp = (counts[f"{method}_{name}"].to_numpy(float) for name in ("tp", "fn", "fp"))
        with np.errstate(invalid="ignore"):
            scores[method] = np.where(tp + fn > 0, 2 * tp / (2 * tp + fn + fp), np.nan)
    return pd.DataFrame(scores, index=counts.index)
