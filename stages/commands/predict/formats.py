"""Events as text, for people and for programs."""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stages.lib.event_tables import EVENT_HEAD
from stages.lib.inference.events import Event, named_events


def clock(seconds: float) -> str:
    """A time as 00:12.0, or 1:00:12.0 from an hour on."""
    tenths = math.floor(seconds * 10 + 0.5)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours}:' if hours else ''}{minutes:02}:{tenths / 10:04.1f}"


def encodable(name: str) -> str:
    """A name that can be written as UTF-8, even where that of the file system is not text."""
    return name.encode("utf-8", "backslashreplace").decode()


def printable(name: str) -> str:
    """A name for people: without what a terminal would obey, such as a line feed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in encodable(name))


def spoken(label: str) -> str:
    """The name of a class as people read it."""
    return printable(label.replace("_", " "))


def table(name: str, events: Sequence[Event], duration_s: float) -> str:
    """The events of a recording as lines below its name."""
    head = f"{name} ({clock(duration_s)})"
    if not events:
        return f"{head}\n  no event"
    width = max(len(clock(event.end_s)) for event in events)
    lines = [
        f"  {clock(event.start_s):>{width}} to {clock(event.end_s):>{width}}  {event.confidence:4.0%}  "
        f"{spoken(event.label)}"
        for event in events
    ]
    return "\n".join([head, *lines])


def finished_line(event: Event) -> str:
    """An event that has ended, in a line."""
    return f"{clock(event.start_s)} to {clock(event.end_s)}  {event.confidence:4.0%}  {spoken(event.label)}"


def begun_line(event: Event) -> str:
    """An event that has begun, in a line."""
    return f"{clock(event.start_s)}  {event.confidence:4.0%}  {spoken(event.label)}"


def caption(end_s: float, active_classes: Sequence[tuple[str, float]], width: int) -> str:
    """What sounds now, in one line of at most `width` characters; `active_classes` are labels and probabilities."""
    text = ", ".join(f"{spoken(label)} {probability:.0%}" for label, probability in active_classes) or "-"
    return f"{clock(end_s)}  {text}"[:width]


def as_dict(event: Event) -> dict[str, float | str | bool]:
    """An event as programs read it."""
    return {
        "start_s": event.start_s,
        "end_s": event.end_s,
        "class": event.label,
        "confidence": event.confidence,
        "unsure": event.is_unsure,
    }


def json_line(name: str, event: Event) -> str:
    """An event as one JSON object."""
    return json.dumps({"file": name, **as_dict(event)}, ensure_ascii=False)


def csv_line(name: str, event: Event) -> str:
    """An event as a row of `CSV`."""
    times = f"{event.start_s:.3f}", f"{event.end_s:.3f}"
    return _row([name, *times, event.label, f"{event.confidence:.4f}"], ",")


def tsv_line(name: str, event: Event) -> str:
    """An event as a row of `TSV`."""
    return _row([name, f"{event.start_s:.3f}", f"{event.end_s:.3f}", event.label], "\t")


def _row(cells: Sequence[str], delimiter: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="").writerow(cells)
    return out.getvalue()


@dataclass(frozen=True)
class LineFormat:
    """Events as programs read them: `head`, then for each event the `line` of its recording's name and itself.

    `unsure` says whether those that name no class are among them.
    """

    head: str | None
    line: Callable[[str, Event], str]
    unsure: bool = True

    def lines(self, name: str, events: Sequence[Event]) -> list[str]:
        """The lines of events of one recording, without their ends."""
        return [self.line(name, event) for event in (events if self.unsure else named_events(events))]


JSON = LineFormat(None, json_line)
CSV = LineFormat("file,start_s,end_s,class,confidence", csv_line)
TSV = LineFormat("\t".join(EVENT_HEAD), tsv_line, unsure=False)  # a score would count them as those of a class


def audacity_labels(events: Sequence[Event]) -> str:
    """Events as the text of a label track of Audacity: start, end and label, with tabs between them."""
    return "".join(f"{event.start_s:.6f}\t{event.end_s:.6f}\t{spoken(event.label)}\n" for event in events)
