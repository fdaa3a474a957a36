"""Events as text, for people and for programs."""

import csv
import io
import json
import math
from collections.abc import Sequence

from stages.lib.inference.events import Event

CSV_HEAD = "file,start_s,end_s,class,confidence"


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
    """An event as a row below `CSV_HEAD`, without the end of the line."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(
        [name, f"{event.start_s:.3f}", f"{event.end_s:.3f}", event.label, f"{event.confidence:.4f}"]
    )
    return out.getvalue()


def audacity_labels(events: Sequence[Event]) -> str:
    """Events as the text of a label track of Audacity: start, end and label, with tabs between them."""
    return "".join(f"{event.start_s:.6f}\t{event.end_s:.6f}\t{spoken(event.label)}\n" for event in events)
