"""Strong labels: which class sounds from when to when, in the forms of other programs.

label track  of Audacity, for one recording: start, end and label with tabs between them, no header. A line that begins
             with a backslash holds the frequencies of the label before it and is skipped. An empty file is that of a
             recording without an event.
event table  of sed_eval, dcase_util and DCASE, for many recordings: `EVENT_HEAD`, with tabs, commas or semicolons
             between them. Where there is a header, the columns may have any order and the names of
             `stages.lib.tables.COLUMNS`. A row with a file name alone is that of a recording without an event.

Classes may be written with blanks in the place of underscores, as predict writes them for people.
"""

import io
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.lib.core.errors import SourceError
from stages.lib.tables import COLUMNS, DECIMAL_COMMA, find_columns, read_rows, read_text

EVENT_HEAD = ("filename", "onset", "offset", "event_label")
N_SHOWN = 10  # classes in an error


@dataclass(frozen=True)
class Span:
    """A sound of the class `label` from `start_s` to `end_s`, in seconds."""

    start_s: float
    end_s: float
    label: str


def read_label_track(path: Path, classes: Sequence[str]) -> tuple[list[Span], list[str]]:
    """The events of a label track, in the order of its lines, and what is wrong, one line for each bad line of it.

    Raises `SourceError` where it is not text.
    """
    spans, problems = [], []
    names = _class_names(classes)
    for number, line in enumerate(io.StringIO(read_text(path, "a label track"), newline=None), start=1):
        cells = [cell.strip() for cell in line.split("\t")]
        if line.startswith("\\") or not any(cells):
            continue
        try:
            if len(cells) != 3:
                raise SourceError(f"expected start, end and label with tabs between them, found {line.strip()!r}")
            spans.append(_to_span(cells, names))
        except SourceError as error:
            problems.append(f"{path.name} line {number}: {error}")
    return spans, problems


def read_event_table(path: Path, classes: Sequence[str]) -> tuple[dict[str, list[Span]], list[str]]:
    """The events of an event table by file name, and what is wrong, one line for each bad row.

    File names are in composed form (NFC), with slashes. Raises `SourceError` where it is not text, has no row, or a
    header that lacks a column.
    """
    rows = [(line, [cell.strip() for cell in cells]) for line, cells in read_rows(path) if any(map(str.strip, cells))]
    if not rows:
        raise SourceError(f"{path.name}: expected rows of {', '.join(EVENT_HEAD)}, found an empty file")
    places = _find_places(path.name, rows[0][1])
    width = len(EVENT_HEAD)
    if places is None:
        places = list(range(width))
    else:
        width = len(rows.pop(0)[1])
    if not rows:
        raise SourceError(f"{path.name}: expected a row for each event, found none below the first line")
    events: dict[str, list[Span]] = {}
    problems = []
    names = _class_names(classes)
    for line, cells in rows:
        try:
            if any(cells[width:]):
                raise SourceError(f"expected {width} values, found {len(cells)}; quote those with separators")
            cells += [""] * width
            name, *of_event = (cells[place] for place in places)
            if not name:
                raise SourceError("expected the name of a recording, found a blank")
            of_recording = events.setdefault(unicodedata.normalize("NFC", name.replace("\\", "/")), [])
            if any(of_event):
                of_recording.append(_to_span(of_event, names))
        except SourceError as error:
            problems.append(f"{path.name} line {line}: {error}")
    return events, problems


def _find_places(table: str, cells: list[str]) -> list[int] | None:
    """Where file name, start, end and class stand, if `cells`, the first row, are a header; None where they are not."""
    needed = ("clip", "start_s", "end_s", "class")
    found = find_columns(table, cells, {name: COLUMNS[name] for name in needed})
    if len(found) < 2:  # a file, or a class, may be called as a column is
        return None
    if missing := [column for name, column in zip(needed, EVENT_HEAD, strict=True) if name not in found]:
        raise SourceError(
            f"{table}: column {', '.join(missing)} missing; expected {', '.join(EVENT_HEAD)}, found "
            f"{', '.join(map(repr, cells))}; correct the first line"
        )
    return [found[name] for name in needed]


def _class_names(classes: Sequence[str]) -> Mapping[str, str]:
    """The classes by the ways in which they may be written."""
    return {name.replace("_", " "): name for name in classes} | {name: name for name in classes}


def _to_span(cells: Sequence[str], names: Mapping[str, str]) -> Span:
    """The event of a row, start, end and class. Raises `SourceError` where it is none."""
    start, end, label = cells
    start_s, end_s = _seconds(start, "a start"), _seconds(end, "an end")
    if end_s <= start_s:
        raise SourceError(f"expected an end after the start, found {start} to {end}")
    name = names.get(unicodedata.normalize("NFC", label))
    if name is None:
        classes = list(dict.fromkeys(names.values()))
        more = f" and {len(classes) - N_SHOWN} more" if len(classes) > N_SHOWN else ""
        raise SourceError(f"expected a class ({', '.join(classes[:N_SHOWN])}{more}), found {label!r}")
    return Span(start_s, end_s, name)


def _seconds(text: str, what: str) -> float:
    """A time in seconds. Raises `SourceError` where it is none."""
    try:
        value = float(DECIMAL_COMMA.sub(r"\1.\2", text))
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise SourceError(f"expected {what} in seconds from 0 on, found {text!r}")
    return value
