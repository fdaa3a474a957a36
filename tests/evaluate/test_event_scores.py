"""Scores of events, against cases counted by hand."""

import numpy as np
import pandas as pd
import pytest

from stages.evaluate.event_scores import (
    COUNTS,
    METHODS,
    count_events,
    f1_scores,
    summarise,
    summarise_backgrounds,
)
from stages.lib.event_tables import Span

CLASSES = ["dog", "horn"]
DOG = Span(2.0, 4.0, "dog")


def spans(*pairs, label="dog"):
    return [Span(start_s, end_s, label) for start_s, end_s in pairs]


# reference and estimated events of one class; tp, fn, fp: within the collar, by intersection, by segments of 1 s
CASES = {
    "nothing at all": ([], [], (0, 0, 0), (0, 0, 0), (0, 0, 0)),
    "nothing detected": ([(2, 4)], [], (0, 1, 0), (0, 1, 0), (0, 2, 0)),
    "nothing there": ([], [(2, 4)], (0, 0, 1), (0, 0, 1), (0, 0, 2)),
    "as it is": ([(2, 4)], [(2, 4)], (1, 0, 0), (1, 0, 0), (2, 0, 0)),
    "at the edge of the collar": ([(2, 4)], [(2.5, 3.5)], (1, 0, 0), (1, 0, 0), (2, 0, 0)),
    "though sums are rounded": ([(0.1, 4)], [(0.6, 3.5)], (1, 0, 0), (1, 0, 0), (4, 0, 0)),
    "though differences are rounded": ([(0.6, 4)], [(1.1, 4)], (1, 0, 0), (1, 0, 0), (3, 1, 0)),
    "far apart": ([(2, 4)], [(10, 12)], (0, 1, 1), (0, 1, 1), (0, 2, 2)),
    "half of 0.1 + 0.2": ([(0, 0.1 + 0.2)], [(0, 0.15)], (1, 0, 0), (1, 0, 0), (1, 0, 0)),
    "0.7 - 0.4 is half of 0.6": ([(0.4, 1.0)], [(0.4, 0.7)], (1, 0, 0), (1, 0, 0), (1, 0, 0)),
    "edges of seconds are rounded": ([(0.3 * 3 + 0.1, 10 * (0.1 + 0.2))], [(1, 3)], (1, 0, 0), (1, 0, 0), (2, 0, 0)),
    "begins too late": ([(2, 4)], [(2.51, 4)], (0, 1, 1), (1, 0, 0), (2, 0, 0)),
    "ends too late": ([(2, 4)], [(2, 4.51)], (0, 1, 1), (1, 0, 0), (2, 0, 1)),
    "half of it is detected": ([(2, 4)], [(3, 4)], (0, 1, 1), (1, 0, 0), (1, 1, 0)),
    "less than half of it is detected": ([(2, 4)], [(3.1, 4)], (0, 1, 1), (0, 1, 0), (1, 1, 0)),
    "half of what is detected is right": ([(2, 4)], [(2, 6)], (0, 1, 1), (1, 0, 0), (2, 0, 2)),
    "less than half of what is detected is right": ([(2, 4)], [(2, 6.2)], (0, 1, 1), (0, 1, 1), (2, 0, 3)),
    "two are detected as one": ([(2, 4), (5, 7)], [(2, 7)], (0, 2, 1), (2, 0, 0), (4, 0, 1)),
    "one is detected as two": ([(2, 6)], [(2, 3.5), (4.5, 6)], (0, 1, 2), (1, 0, 0), (4, 0, 0)),
    # the first estimated event fits both reference events; only if it is paired with the first has each a partner
    "most pairs are looked for": ([(2, 4), (2.4, 4.4)], [(2.2, 4.2), (2.8, 4.8)], (2, 0, 0), (2, 0, 0), (3, 0, 0)),
    "one event counts once": ([(2, 4)], [(2, 4), (2.1, 4.1)], (1, 0, 1), (1, 0, 0), (2, 0, 1)),
}


@pytest.mark.parametrize("case", CASES)
def test_counts_are_those_counted_by_hand(case):
    reference, estimated, *expected = CASES[case]
    counts = count_events(spans(*reference), spans(*estimated), CLASSES)
    assert counts.loc["dog", COUNTS].tolist() == [number for three in expected for number in three]
    assert not counts.loc["horn"].any()


def test_another_class_is_no_true_positive():
    counts = count_events([DOG], [Span(2.0, 4.0, "horn")], CLASSES)
    assert counts.loc["dog", COUNTS].tolist() == [0, 1, 0, 0, 1, 0, 0, 2, 0]
    assert counts.loc["horn", COUNTS].tolist() == [0, 0, 1, 0, 0, 1, 0, 0, 2]


@pytest.mark.parametrize(
    ("span", "message"),
    [
        (Span(2, 4, "cat"), r"label='cat'.*expected a class of \['dog', 'horn'\]"),
        (Span(4, 2, "dog"), "0 <= start_s <= end_s"),
        (Span(-1, 2, "dog"), "0 <= start_s <= end_s"),
        (Span(np.nan, 2, "dog"), "0 <= start_s <= end_s"),
    ],
)
def test_events_that_cannot_be_are_refused(span, message):
    with pytest.raises(ValueError, match=message):
        count_events([], [span], CLASSES)


def counts_of(dog, horn):
    return pd.DataFrame([dog * 3, horn * 3], columns=COUNTS, index=pd.Index(CLASSES, name="class"))


def test_f1_follows_from_the_counts():
    scores = f1_scores(counts_of([3, 1, 2], [0, 0, 4]))
    assert scores.loc["dog"].tolist() == pytest.approx([2 * 3 / (2 * 3 + 1 + 2)] * 3)
    assert scores.loc["horn"].isna().all()  # nothing there: no score, as elsewhere


def test_numbers_are_means_of_folds_and_the_table_is_of_all_together():
    table, numbers = summarise({1: counts_of([1, 0, 0], [0, 1, 1]), 2: counts_of([1, 1, 0], [0, 0, 5])}, "soundscape")
    for method in METHODS:
        # fold 1: mean of 1 and 0; fold 2: 2/3, and no horn
        assert numbers[f"soundscape_{method}_f1"] == 0.583333  # (1/2 + 2/3) / 2, as stored
    assert table["class"].tolist() == CLASSES
    assert table["n_events"].tolist() == [3, 1]
    assert table["event_f1"].tolist() == pytest.approx([2 * 2 / (2 * 2 + 1), 0])
    assert table["event_error_rate"].tolist() == pytest.approx([1 / 3, 7])


def test_backgrounds_are_scored_one_by_one():
    counts = {
        1: {"steady": counts_of([1, 0, 0], [0, 1, 1]), "wandering": counts_of([0, 2, 0], [0, 2, 0])},
        2: {"steady": counts_of([1, 1, 0], [0, 0, 5]), "wandering": counts_of([2, 0, 0], [2, 0, 0])},
    }
    overlaps = {1: {"steady": (0.0, 0.0), "wandering": (1.0, 4.0)}, 2: {"steady": (0.0, 0.0), "wandering": (2.0, 8.0)}}
    table = summarise_backgrounds(counts, overlaps).set_index("background")
    assert table.loc["steady", "event_f1"] == pytest.approx(7 / 12)
    assert table.loc["wandering", ["n_events", "segment_f1", "event_error_rate"]].tolist() == [8, 0.5, 0.5]
    assert table["overlap_recall"].tolist() == pytest.approx([np.nan, 0.25], nan_ok=True)
    assert len(summarise_backgrounds({}, {})) == 0


def test_without_a_fold_or_an_event_there_are_no_numbers():
    table, numbers = summarise({}, "soundscape")
    assert (len(table), numbers) == (0, {})
    assert summarise({1: counts_of([0, 0, 0], [0, 0, 0])}, "soundscape")[1] == {}
