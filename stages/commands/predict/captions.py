"""Events of a live stream as they come: captions for people, lines for programs."""

import shutil
import sys
from collections.abc import Callable, Sequence

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


class Beginnings:
    """Tells which events of a stream are new: one that waits for its end might come too late for people."""

    def __init__(self) -> None:
        """Nothing has begun yet."""
        self._known: set[tuple[float, str, bool]] = set()

    def take(self, detector: StreamDetector, ended: Sequence[Event]) -> list[Event]:
        """The events that began with the newest block, by start; `ended` are those that ended with it."""
        ongoing = detector.ongoing
        begun = [event for event in sorted([*ended, *ongoing], key=by_start) if _key(event) not in self._known]
        self._known = {_key(event) for event in ongoing}
        return begun


def _key(event: Event) -> tuple[float, str, bool]:
    """What stays the same while an event goes on."""
    return event.start_s, event.label, event.is_unsure


class BegunEvents:
    """A line for each event when it has begun."""

    def __init__(self) -> None:
        """Nothing was printed yet."""
        self._beginnings = Beginnings()

    def show(self, detector: StreamDetector, ended: Sequence[Event]) -> None:
        """Print the events that began with the newest block."""
        for event in self._beginnings.take(detector, ended):
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
