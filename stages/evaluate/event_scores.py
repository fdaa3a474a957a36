"""Scores of events: what was said to sound, and when, against what does.

Conventions
- An event is a start and an end in seconds and the name of a class. Events of a class that overlap are two events.
- Classes are counted apart, recordings are added up, and an F1 is 2 hits / (2 hits + missed + false).

Counts
event         a heard event is a hit where it begins within `COLLAR_S` of a true one and ends within as much of its end;
              each event counts in one pair at most, and the pairs are chosen to be as many as possible. Mesaros,
              Heittola, Virtanen: Metrics for polyphonic sound event detection, Applied Sciences 6(6), 2016, section
              3.2.2, there with a wider collar for the ends of long events.
intersection  a heard event is false unless true events cover `COVERED` of it; a true one is a hit where heard events
              that are not false cover `COVERED` of it. How an event is cut into parts does not matter. Bilen, Ferroni,
              Tuveri, Azcarreta, Krstulović: A framework for the robust evaluation of sound event detection, ICASSP
              2020, equations 1 to 4, with both tolerances at `COVERED`.
second        each second of the recording by itself: a class is there if any part of an event is in it. Mesaros and
              others, as above, section 3.2.1.

sed_eval 0.2.1 and sed-scores-eval-np2 0.0.4 give the same counts. They are not used, since they stand on dcase_util,
which imports `pkg_resources`, gone from setuptools since version 82. `benchmarks/event_scores.py` compares with them in
an environment of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

COLLAR_S = 0.5  # as asked in most tasks on recordings of this length, and one row of what predict hears
COVERED = 0.5  # share of an event
SECOND_S = 1.0
DECIMALS = 6  # of times: 0.1 + 0.2 is within 0.3
METHODS = ["event", "intersection", "second"]
COUNTS = [f"{method}_{count}" for method in METHODS for count in ("hits", "missed", "false")]


@dataclass(frozen=True)
class Span:
    """A sound of the class `label` from `start_s` to `end_s`, in seconds."""

    start_s: float
    end_s: float
    label: str


def count_events(truth: Sequence[Span], heard: Sequence[Span], classes: Sequence[str]) -> pd.DataFrame:
    """Count one recording: a row a class, indexed by its name, and the columns `COUNTS`, int.

    Raises `ValueError` for a label that is no class, or an event that ends before it starts.
    """
    for span in [*truth, *heard]:
        if span.label not in classes or not 0 <= span.start_s <= span.end_s:
            raise ValueError(f"{span}: expected a class of {list(classes)} and 0 <= start_s <= end_s")
    rows = []
    for name in classes:
        pair = [times(spans, name) for spans in (truth, heard)]
        rows.append([*count_within_collar(*pair), *count_intersections(*pair), *count_seconds(*pair)])
    return pd.DataFrame(rows, columns=COUNTS, index=pd.Index(classes, name="class"))


def times(spans: Sequence[Span], label: str) -> np.ndarray:
    """Starts and ends of the events of a class, float of shape (n_events, 2), in seconds, by start."""
    found = sorted((span.start_s, span.end_s) for span in spans if span.label == label)
    return np.array(found, dtype=float).reshape(-1, 2)


def count_within_collar(truth: np.ndarray, heard: np.ndarray) -> tuple[int, int, int]:
    """Hits, missed and false events of one class within the collar; both are float of shape (n_events, 2)."""
    apart_s = np.abs(truth[:, np.newaxis] - heard[np.newaxis]).round(DECIMALS)  # [n_true, n_heard, 2]
    pairs = csr_array((apart_s <= COLLAR_S).all(axis=-1))
    hits = int(np.count_nonzero(maximum_bipartite_matching(pairs, perm_type="column") >= 0)) if pairs.nnz else 0
    return hits, len(truth) - hits, len(heard) - hits


def count_intersections(truth: np.ndarray, heard: np.ndarray) -> tuple[int, int, int]:
    """Hits, missed and false events of one class by intersection; both are float of shape (n_events, 2)."""
    overlap_s = np.minimum(truth[:, np.newaxis, 1], heard[:, 1]) - np.maximum(truth[:, np.newaxis, 0], heard[:, 0])
    overlap_s = np.maximum(overlap_s, 0)  # [n_true, n_heard]
    right = _covers(overlap_s.sum(axis=0), heard)
    hits = int(_covers(overlap_s[:, right].sum(axis=1), truth).sum())
    return hits, len(truth) - hits, len(heard) - int(right.sum())


def _covers(covered_s: np.ndarray, spans: np.ndarray) -> np.ndarray:
    return covered_s.round(DECIMALS) >= (COVERED * (spans[:, 1] - spans[:, 0])).round(DECIMALS)


def count_seconds(truth: np.ndarray, heard: np.ndarray) -> tuple[int, int, int]:
    """Hits, missed and false seconds of one class; both are float of shape (n_events, 2)."""
    true, found = (
        {
            second
            for start_s, end_s in spans.round(DECIMALS).tolist()
            for second in range(int(start_s // SECOND_S), int(-(-end_s // SECOND_S)))
        }
        for spans in (truth, heard)
    )
    return len(true & found), len(true - found), len(found - true)


def summarise(counts: dict[int, pd.DataFrame]) -> tuple[pd.DataFrame, dict[str, float]]:
    """The scores of all folds, from the counts of each.

    Returns a table, a row a class, of all folds together: `class`, `n_events`, the F1 of each of `METHODS` as
    `<method>_f1`, then the counts; and numbers by name, the macro means over the classes of a fold, averaged over the
    folds: `n_soundscape_events` and `soundscape_<method>_f1`. Without a fold there are no numbers and no rows.
    """
    columns = ["class", "n_events", *(f"{method}_f1" for method in METHODS), *COUNTS]
    if not counts:
        return pd.DataFrame(columns=columns), {}
    total = sum(counts.values())
    table = f1_scores(total).add_suffix("_f1").join(total)
    table["n_events"] = total["event_hits"] + total["event_missed"]
    means = pd.DataFrame([f1_scores(of_fold).mean() for of_fold in counts.values()]).mean()
    numbers = {f"soundscape_{method}_f1": round(float(means[method]), DECIMALS) for method in METHODS}
    if means.isna().any():  # noise alone: no clip could be placed
        numbers = {}
    return table.reset_index()[columns], {"n_soundscape_events": int(table["n_events"].sum()), **numbers}


def f1_scores(counts: pd.DataFrame) -> pd.DataFrame:
    """The F1 of each row of counts, columns `METHODS`; NaN for a class that nothing of is there to be found."""
    scores = {}
    for method in METHODS:
        hits, missed, false = (counts[f"{method}_{name}"].to_numpy(float) for name in ("hits", "missed", "false"))
        with np.errstate(invalid="ignore"):
            scores[method] = np.where(hits + missed > 0, 2 * hits / (2 * hits + missed + false), np.nan)
    return pd.DataFrame(scores, index=counts.index)
