"""Events of a live stream as they come: captions for people, lines for programs."""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stages.commands.predict.formats import begun_line, caption, finished_line
from stages.lib.inference.detect import StreamDetector
from stages.lib.inference.events import Event, by_start

CLEAR_LINE = "\r\x1b[K"


class EndedEvents:
    """A line for each event that has ended, as programs read it."""

    def __init__(self, lines: Callable[[Sequence[Event]], list[str]]) -> None:
        """Take how events are written as lines."""
        self._lines = lines

    def show(self, detector: StreamDetector, ended: Sequence[Event]) -> None:
        """Print the events that ended with the newest block."""
        for line in self._lines(ended):
            print(line, flush=True)

    def close(self) -> None:
        """Nothing is left to print."""


@dataclass(frozen=True)
class Changes:
    """What the newest block changed, each event with its number, in the order of their starts.

    What `begun` lists has lasted long enough to count. `withdrawn` are events that had begun, as far as was known, and
    did not end: with what came after them the same sound has another name.
    """

    begun: list[tuple[int, Event]]
    ended: list[tuple[int, Event]]
    withdrawn: list[tuple[int, Event]]


class EventFollower:
    """Follows the events of a stream from block to block and numbers them, so that people need not wait for the end.

    An event that goes on is known in part. Its start may yet move, which leaves it the same event; where its class
    changes, it is withdrawn and another one begins.
    """

    def __init__(self) -> None:
        """Nothing has begun yet."""
        self._n = 0
        self._known: dict[int, Event] = {}

    def follow(self, ongoing: Sequence[Event], ended: Sequence[Event]) -> Changes:
        """Take the events that go on after the newest block, and those that ended with it."""
        left = dict(self._known)
        numbers: dict[Event, int] = {}
        begun: list[tuple[int, Event]] = []
        events = sorted([*ended, *ongoing], key=by_start)
        # Of two events of a class, which one that began earlier is the same is only sure by its start.
        for is_same in (_starts_with, _overlaps):
            for event in events:
                number = next((n for n, known in left.items() if event not in numbers and is_same(known, event)), None)
                if number is not None:
                    numbers[event] = number
                    del left[number]
        for event in events:
            if event not in numbers:
                self._n += 1
                numbers[event] = self._n
                begun.append((self._n, event))
        self._known = {numbers[event]: event for event in ongoing}
        return Changes(begun, [(numbers[event], event) for event in ended], list(left.items()))


def _starts_with(known: Event, event: Event) -> bool:
    return _is_named_as(known, event) and known.start_s == event.start_s


def _overlaps(known: Event, event: Event) -> bool:
    return _is_named_as(known, event) and known.start_s < event.end_s and event.start_s < known.end_s


def _is_named_as(known: Event, event: Event) -> bool:
    return (known.label, known.is_unsure) == (event.label, event.is_unsure)


class BegunEvents:
    """A line for each event when it has begun."""

    def __init__(self) -> None:
        """Nothing was printed yet."""
        self._follower = EventFollower()

    def show(self, detector: StreamDetector, ended: Sequence[Event]) -> None:
        """Print the events that began with the newest block."""
        for _, event in self._follower.follow(detector.ongoing, ended).begun:
            print(begun_line(event), flush=True)

    def close(self) -> None:
        """Nothing is left to print."""


class TerminalCaptions:
    """The last line of a terminal, rewritten with what the newest segment holds; events that ended stay above it."""

    def __init__(self) -> None:
        """No segment was shown yet."""
        self._shown_until_s = 0.0

    def show(self, detector: StreamDetector, ended: Sequence[Event]) -> None:
        """Print the events that ended, and rewrite the caption where there is a new segment."""
        for event in ended:
            print(f"{CLEAR_LINE}{finished_line(event)}", flush=True)
        newest = detector.newest
        if newest is not None and (ended or newest.end_s > self._shown_until_s):
            width = shutil.get_terminal_size().columns - 1
            text = caption(newest.end_s, detector.active_classes(newest), width)
            print(f"{CLEAR_LINE}{text}", end="", flush=True)
            self._shown_until_s = newest.end_s

    def close(self) -> None:
        """Remove the caption: nothing sounds any more."""
        print(CLEAR_LINE, end="", flush=True)


Display = EndedEvents | BegunEvents | TerminalCaptions


def choose_display(lines: Callable[[Sequence[Event]], list[str]] | None) -> Display:
    """What shows events as they come: `lines` writes them for programs, None is for people."""
    if lines is not None:
        return EndedEvents(lines)
    return TerminalCaptions() if sys.stdout.isatty() else BegunEvents()
