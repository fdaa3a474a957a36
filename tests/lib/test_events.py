"""From rows of probabilities to events; a row lasts 0.5 s here."""

import numpy as np
import pytest

from stages.lib.core.labels import UNSURE
from stages.lib.inference.events import Event, EventFinder, EventSettings, SoundFinder, by_start

CLASSES = ["dog", "horn"]
PLAIN = EventSettings(
    min_confidence=0.5, release=0.8, min_duration_s=0.0, merge_gap_s=0.6, unsure_min_s=0.0, silence_db=-70.0
)
LOUD = -20.0


def find_events(rows, levels, thresholds=None, *, duration_s, settings):
    """All events of a whole grid, by start."""
    finder = EventFinder(CLASSES, thresholds, 0.5, settings)
    return sorted(finder.push(rows, levels) + finder.finish(duration_s), key=by_start)


def events_of(rows, *, thresholds=None, levels=None, duration_s=1e9, settings=PLAIN, **changed):
    """Events of rows of (dog, horn) as tuples without confidence."""
    settings = EventSettings(**{**vars(settings), **changed})
    rows = np.array(rows, dtype=float)
    levels = np.full(len(rows), LOUD) if levels is None else np.array(levels, dtype=float)
    found = find_events(rows, levels, thresholds, duration_s=duration_s, settings=settings)
    return [(event.start_s, event.end_s, event.label) for event in found]


def dog(*values):
    return [(value, 0.0) for value in values]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], []),
        (dog(0.9, 0.9), [(0, 1, "dog")]),
        (dog(0.1, 0.5, 0.1), [(0, 0.5, UNSURE), (0.5, 1, "dog"), (1, 1.5, UNSURE)]),  # active at the threshold
        (dog(0.9, 0.41, 0.39), [(0, 1, "dog"), (1, 1.5, UNSURE)]),  # goes on down to 0.8 of 0.5
        (dog(0.41, 0.9), [(0, 0.5, UNSURE), (0.5, 1, "dog")]),  # but does not begin there
        (dog(0.9, 0.1, 0.9), [(0, 1.5, "dog"), (0.5, 1, UNSURE)]),  # a pause of 0.5 s is bridged
        (dog(0.9, 0.1, 0.1, 0.9), [(0, 0.5, "dog"), (0.5, 1.5, UNSURE), (1.5, 2, "dog")]),  # one of 1 s is not
        ([(0.6, 0.6), (0.1, 0.9)], [(0, 0.5, "dog"), (0, 1, "horn")]),  # two at once
    ],
)
def test_events_by_hand(rows, expected):
    assert events_of(rows) == expected


def test_each_class_has_its_threshold_and_none_is_active_below_min_confidence():
    thresholds = {"dog": 0.8, "horn": 0.1}
    rows = [(0.7, 0.2), (0.85, 0.1), (0.3, 0.55)]
    assert events_of(rows, thresholds=thresholds) == [(0, 0.5, UNSURE), (0.5, 1, "dog"), (1, 1.5, "horn")]
    assert events_of(rows, thresholds=thresholds, min_confidence=0.05) == [(0, 1.5, "horn"), (0.5, 1, "dog")]


def test_short_events_are_left_out():
    rows = dog(0.9, 0.1, 0.1, 0.1, 0.9, 0.9)
    assert events_of(rows, min_duration_s=1.0, unsure_min_s=9.0) == [(2, 3, "dog")]
    assert events_of(rows, min_duration_s=1.0, unsure_min_s=1.5) == [(0.5, 2, UNSURE), (2, 3, "dog")]


@pytest.mark.parametrize("level", [-70.1, -93.0, -120.0])
def test_silence_holds_no_event_whatever_the_model_says(level):
    assert events_of(dog(0.99, 0.99, 0.2, 0.2), levels=[level] * 4) == []


def test_silence_ends_an_event():
    assert events_of(dog(*[0.9] * 6), levels=[LOUD] * 2 + [-99] * 2 + [LOUD] * 2) == [(0, 1, "dog"), (2, 3, "dog")]


def test_no_event_outlasts_the_recording():
    assert events_of(dog(0.9, 0.9), duration_s=0.8) == [(0, 0.8, "dog")]


def test_confidence_is_the_mean_over_the_rows_that_hold_the_sound():
    rows = np.array(dog(0.9, 0.1, 0.7))
    found = find_events(rows, np.full(3, LOUD), duration_s=9, settings=PLAIN)
    assert found == [Event(0.0, 1.5, "dog", 0.8), Event(0.5, 1.0, UNSURE, 0.1, is_unsure=True)]


def test_any_split_of_the_rows_gives_the_same_events():
    rng = np.random.default_rng(0)
    rows, levels = 0.6 * rng.random((400, 2)), rng.uniform(-80, -20, 400)
    settings = EventSettings(unsure_min_s=1.0)
    whole = find_events(rows, levels, duration_s=200, settings=settings)
    assert len({event.label for event in whole}) == 3
    for cuts in (range(1, 400), [7], np.sort(rng.integers(0, 400, 30))):
        finder = EventFinder(CLASSES, None, 0.5, settings)
        pieces = zip(np.split(rows, cuts), np.split(levels, cuts), strict=True)
        found = [event for piece in pieces for event in finder.push(*piece)] + finder.finish(200)
        assert sorted(found, key=by_start) == whole


def test_an_ongoing_event_is_known_before_it_ends():
    finder = EventFinder(CLASSES, None, 0.5, EventSettings(min_duration_s=1.0))
    seen = [(finder.push(np.array([row]), np.array([LOUD])), finder.ongoing) for row in dog(0.9, 0.8, 0.9)]
    assert [ended for ended, _ in seen] == [[], [], []]
    assert [ongoing for _, ongoing in seen] == [
        [],
        [Event(0.0, 1.0, "dog", 0.85)],
        [Event(0.0, 1.5, "dog", 0.8667)],
    ]
    assert finder.finish(1.4) == [Event(0.0, 1.4, "dog", 0.8667)]
    assert finder.ongoing == []


def test_active_classes_of_one_segment():
    finder = EventFinder(CLASSES, {"dog": 0.5, "horn": 0.6}, 0.5, PLAIN)
    assert finder.active_classes(np.array([0.55, 0.65]), LOUD) == [("horn", 0.65), ("dog", 0.55)]
    assert finder.active_classes(np.array([0.3, 0.59]), LOUD) == [(UNSURE, 0.59)]
    assert finder.active_classes(np.array([0.9, 0.1]), -80.0) == []
    assert finder.active_classes(np.array([0.5, 0.1]), LOUD) == [("dog", 0.5)]  # active at the threshold


@pytest.mark.parametrize(
    ("settings", "rows", "expected"),
    [
        ({}, dog(0.5), [(0, 0.5, "dog")]),  # the threshold
        ({"unsure_min_s": 9.0}, dog(0.9, 0.4), [(0, 1, "dog")]),  # 0.8 of the threshold, exact in binary
        ({"min_duration_s": 1.25, "unsure_min_s": 9.0}, dog(0.9, 0.9), [(0, 1, "dog")]),  # half a row is allowed for
        ({"min_duration_s": 1.3, "unsure_min_s": 9.0}, dog(0.9, 0.9), []),
        ({"unsure_min_s": 1.25}, dog(0.1, 0.1), [(0, 1, UNSURE)]),
        ({"unsure_min_s": 1.3}, dog(0.1, 0.1), []),
        ({"merge_gap_s": 1.0, "unsure_min_s": 9.0}, dog(0.9, 0.1, 0.1, 0.9), [(0, 0.5, "dog"), (1.5, 2, "dog")]),
        ({"merge_gap_s": 1.01, "unsure_min_s": 9.0}, dog(0.9, 0.1, 0.1, 0.9), [(0, 2, "dog")]),
    ],
)
def test_at_the_limits(settings, rows, expected):
    assert events_of(rows, **settings) == expected


def test_a_row_at_the_level_of_silence_holds_events():
    assert events_of(dog(0.9), levels=[-70.0]) == [(0, 0.5, "dog")]
    finder = EventFinder(CLASSES, None, 0.5, PLAIN)
    assert finder.active_classes(np.array([0.9, 0.1]), -70.0) == [("dog", 0.9)]


@pytest.mark.parametrize(("merge_gap_s", "row"), [(0.5, 1), (0.6, 2), (1.0, 2), (1.1, 3)])
def test_an_event_is_returned_with_the_row_that_makes_its_pause_too_long(merge_gap_s, row):
    finder = EventFinder(CLASSES, None, 0.5, EventSettings(merge_gap_s=merge_gap_s, unsure_min_s=9.0))
    returned = [finder.push(np.array([values]), np.array([LOUD])) for values in dog(0.9, 0.1, 0.1, 0.1, 0.1)]
    assert [i for i, ended in enumerate(returned) if ended] == [row]


def test_doubt_is_returned_with_the_row_in_which_a_class_becomes_active():
    finder = EventFinder(CLASSES, None, 0.5, PLAIN)
    returned = [finder.push(np.array([values]), np.array([LOUD])) for values in dog(0.1, 0.1, 0.9)]
    assert [[(event.label, event.is_unsure) for event in ended] for ended in returned] == [[], [], [(UNSURE, True)]]


def test_events_are_in_the_order_of_their_starts():
    """Of one push, though the second ends first; at the end, and while they go on, though they are of other classes."""
    rows = np.array([(0.9, 0.1), (0.9, 0.9), (0.9, 0.1), (0.9, 0.1), (0.1, 0.1), (0.1, 0.1)])
    finder = EventFinder(CLASSES, None, 0.5, EventSettings(unsure_min_s=9.0))
    assert [event.label for event in finder.push(rows, np.full(6, LOUD))] == ["dog", "horn"]
    finder = EventFinder(CLASSES, None, 0.5, EventSettings(unsure_min_s=9.0))
    finder.push(np.array([(0.1, 0.9), (0.9, 0.9)]), np.full(2, LOUD))
    assert [event.label for event in finder.ongoing] == ["horn", "dog"]
    assert [event.label for event in finder.finish(1.0)] == ["horn", "dog"]


def test_a_class_called_unsure_is_not_doubt():
    """An event of it need not last as long as doubt, and each is marked for what it is."""
    finder = EventFinder([UNSURE, "horn"], {UNSURE: 0.6, "horn": 0.5}, 0.5, EventSettings(unsure_min_s=2.0))
    rows = np.array([(0.9, 0.1), *[(0.3, 0.1)] * 4])
    found = sorted(finder.push(rows, np.full(5, LOUD)) + finder.finish(9.0), key=by_start)
    assert [(event.start_s, event.end_s, event.is_unsure) for event in found] == [(0, 0.5, False), (0.5, 2.5, True)]


SOUNDS = EventSettings(min_confidence=0.3, release=0.7, min_duration_s=0.5, merge_gap_s=1.1, unsure_min_s=2.0)


def sounds_of(rows, *, levels=None, in_one=True, **changed):
    """Events that a `SoundFinder` finds in rows of (dog, horn, anything), as tuples without confidence."""
    rows = np.array(rows, dtype=float)
    levels = np.full(len(rows), LOUD) if levels is None else np.array(levels, dtype=float)
    finder = SoundFinder(CLASSES, 0.5, EventSettings(**{**vars(SOUNDS), **changed}))
    parts = [slice(0, len(rows))] if in_one else [slice(i, i + 1) for i in range(len(rows))]
    found = [event for part in parts for event in finder.push(rows[part, :2], levels[part], rows[part, 2])]
    found += finder.finish(len(rows) * 0.5)
    return [(event.start_s, event.end_s, event.label) for event in found]


QUIET, DOG, HORN, ANY = (0.0, 0.0, 0.1), (0.9, 0.0, 0.9), (0.0, 0.9, 0.9), (0.2, 0.2, 0.9)


@pytest.mark.parametrize("in_one", [True, False])
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([QUIET, DOG, DOG, QUIET, QUIET, QUIET], [(0.5, 1.5, "dog")]),
        ([QUIET, DOG, HORN, DOG, QUIET, QUIET, QUIET], [(0.5, 2.0, "dog")]),  # one name, that of the mean
        ([DOG, QUIET, QUIET, DOG], [(0.0, 2.0, "dog")]),  # a gap of 1 s is bridged
        ([DOG, QUIET, QUIET, QUIET, DOG], [(0.0, 0.5, "dog"), (2.0, 2.5, "dog")]),
        ([ANY, DOG, DOG, DOG, ANY], [(0.0, 2.5, "dog")]),  # what is sustained reaches to the ends of the sound
        ([DOG] * 4 + [(0.9, 0.9, 0.9)] * 2 + [HORN] * 4, [(0.0, 3.0, "dog"), (2.0, 5.0, "horn")]),  # both at once
        ([ANY] * 9 + [DOG] * 3, [(4.5, 6.0, "dog")]),  # but not from afar
        ([DOG] * 3 + [ANY] * 7 + [DOG] * 3, [(0.0, 6.5, "dog")]),  # again within 4 s
        ([DOG] * 3 + [ANY] * 9 + [DOG] * 3, [(0.0, 1.5, "dog"), (6.0, 7.5, "dog")]),  # and later
        ([DOG] * 3 + [HORN] * 3 + [DOG] * 3, [(0.0, 1.5, "dog"), (1.5, 3.0, "horn"), (3.0, 4.5, "dog")]),
        ([ANY] * 3, []),  # too short to be unsure of
        ([ANY] * 4, [(0.0, 2.0, UNSURE)]),
        ([(0.9, 0.0, 0.1)] * 4, []),  # nothing sounds
    ],
)
def test_sounds_are_found_first_and_then_named(rows, expected, in_one):
    assert sounds_of(rows, in_one=in_one, min_confidence=0.3) == expected


def test_a_class_that_has_ended_is_told_in_a_sound_that_goes_on_for_ever():
    finder = SoundFinder(CLASSES, 0.5, SOUNDS)
    rows = np.array(([DOG] * 4 + [ANY] * 16 + [HORN] * 4 + [ANY] * 16) * 50)
    told = []
    for i in range(len(rows)):
        ended = finder.push(rows[i : i + 1, :2], np.array([LOUD]), rows[i : i + 1, 2])
        told += [(event.label, event.start_s, event.end_s, (i + 1) * 0.5) for event in ended]
        assert len(finder.ongoing) <= 1
    assert told[:3] == [("dog", 0.0, 2.0, 8.0), ("horn", 10.0, 12.0, 18.0), ("dog", 20.0, 22.0, 28.0)]
    assert len(told) == 100
    assert finder.finish(2000.0) == []


def test_silence_and_short_sounds_are_no_events():
    assert sounds_of([DOG] * 4, levels=[-80.0] * 4) == []
    assert sounds_of([QUIET, DOG, *[QUIET] * 3], min_duration_s=1.0) == []


def test_what_sounds_now_is_known_before_it_ends():
    finder = SoundFinder(CLASSES, 0.5, SOUNDS)
    rows = np.array([QUIET, DOG, DOG])
    assert finder.push(rows[:, :2], np.full(3, LOUD), rows[:, 2]) == []
    assert finder.ongoing == [Event(0.5, 1.5, "dog", 0.9)]
    assert finder.active_classes(np.array([0.9, 0.6]), LOUD, 0.9) == [("dog", 0.9), ("horn", 0.6)]
    assert finder.active_classes(np.array([0.2, 0.1]), LOUD, 0.9) == [(UNSURE, 0.2)]
    assert finder.active_classes(np.array([0.9, 0.1]), LOUD, 0.2) == []
    assert finder.active_classes(np.array([0.9, 0.1]), -80.0, 0.9) == []
