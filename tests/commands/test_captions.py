"""Following the events of a stream: each has one number from its beginning to its end, whatever is learnt of it."""

import numpy as np
import pytest

from stages.commands.predict.captions import EventFollower
from stages.lib.inference.events import Event, EventSettings, SoundFinder

CLASSES = ["dog", "horn"]
LOUD = -20.0


def event(start_s, end_s, label="dog", *, is_unsure=False):
    return Event(start_s, end_s, label, 0.9, is_unsure)


def follow(*steps):
    """The numbers that `EventFollower` gives for steps of (ongoing, ended): begun, ended and withdrawn ones of each."""
    follower = EventFollower()
    found = [follower.follow(*step) for step in steps]
    return [tuple([number for number, _ in kind] for kind in (c.begun, c.ended, c.withdrawn)) for c in found]


def test_an_event_has_one_number_from_its_beginning_to_its_end():
    steps = [([event(1, 2)], []), ([event(1, 3)], []), ([], [event(1, 4)]), ([event(5, 6)], [])]
    assert follow(*steps) == [([1], [], []), ([], [], []), ([], [1], []), ([2], [], [])]


def test_an_event_within_one_block_begins_and_ends_at_once():
    assert follow(([], [event(1, 2)])) == [([1], [1], [])]


def test_a_start_that_moves_leaves_the_event_the_same():
    assert follow(([event(3, 4)], []), ([event(2, 5)], []), ([], [event(2.5, 5)])) == [
        ([1], [], []), ([], [], []), ([], [1], []),
    ]  # fmt: skip


def test_a_class_that_changes_withdraws_the_event():
    assert follow(([event(1, 2)], []), ([event(1, 3, "horn")], []), ([], [event(1, 4, "horn")])) == [
        ([1], [], []), ([2], [], [1]), ([], [2], []),
    ]  # fmt: skip


def test_a_class_named_unsure_is_not_doubt():
    assert follow(([event(1, 2, "unsure", is_unsure=True)], []), ([event(1, 3, "unsure")], [])) == [
        ([1], [], []), ([2], [], [1]),
    ]  # fmt: skip


def test_the_one_with_the_same_start_is_the_same_where_an_event_falls_apart():
    whole, parts = [event(1, 6)], [event(0.5, 2), event(1, 5)]
    assert follow((whole, []), (parts, []), ([], parts)) == [([1], [], []), ([2], [], []), ([], [2, 1], [])]


def test_two_classes_at_once_are_two_events():
    both = [event(1, 3), event(1, 3, "horn")]
    assert follow((both, []), ([], both)) == [([1, 2], [], []), ([], [1, 2], [])]


@pytest.mark.parametrize("seed", range(20))
def test_what_began_of_any_sounds_ends_or_is_withdrawn(seed):
    rng = np.random.default_rng(seed)
    finder = SoundFinder(CLASSES, 0.5, EventSettings(min_confidence=0.3, merge_gap_s=1.5, unsure_min_s=2.0))
    follower, begun, over, ended = EventFollower(), set(), set(), []
    rows = rng.random((200, 3)).repeat(rng.integers(1, 6, 200), axis=0)
    for row in rows:
        new = finder.push(row[None, :2], np.array([LOUD]), row[2:])
        changes = follower.follow(finder.ongoing, new)
        begun |= {number for number, _ in changes.begun}
        over |= {number for number, _ in changes.ended + changes.withdrawn}
        ended += changes.ended
    last = follower.follow([], finder.finish(np.inf))
    ended += last.ended
    begun |= {number for number, _ in last.begun}
    assert over | {number for number, _ in last.ended + last.withdrawn} == begun
    assert len({number for number, _ in ended}) == len(ended) > 10
    in_one = SoundFinder(CLASSES, 0.5, EventSettings(min_confidence=0.3, merge_gap_s=1.5, unsure_min_s=2.0))
    expected = in_one.push(rows[:, :2], np.full(len(rows), LOUD), rows[:, 2]) + in_one.finish(np.inf)
    assert [of for _, of in ended] == expected
