"""Reading tables of clips as people save them, and tidying what certainly means the same."""

import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stages.fetch.messages import count, some
from stages.lib.core.errors import SourceError
from stages.lib.tables import DECIMAL_COMMA, column_key, find_columns, read_rows

CLIP_COLUMNS = ["clip", "class", "class_id", "fold", "source", "salience", "start_s", "end_s"]
WHOLE_NUMBERS = ("class_id", "fold", "salience")
SECONDS = ("start_s", "end_s")


@dataclass(frozen=True)
class Table:
    """A table of clips.

    rows: one row per clip, all text: `CLIP_COLUMNS`, '' where the table has no such column, then what else was asked
    for. Blanks around values are stripped, class names are in composed form (NFC), whole numbers written as 1.0 are 1,
    seconds written as 1,5 are 1.5.
    unused_columns: the names of its other columns.
    notes: one line for each kind of change, and on columns that have other names or are not used.
    """

    rows: pd.DataFrame
    unused_columns: list[str]
    notes: list[str]


def read_table(
    path: Path,
    columns: Mapping[str, Sequence[str]],
    required: Collection[str],
    known: Collection[str] = (),
) -> Table:
    """Read a CSV: comma, semicolon or tab, UTF-8 or UTF-16, with or without byte-order mark and "sep=", any line ends.

    `columns` has for each column of the result the names that it may have in the table, the preferred one first;
    case and everything but letters and digits do not count. `required` are those that must be there; `known` are
    columns of the table that are not used and need no note.
    A short row ends in blanks. Raises `SourceError` for a table that is not text, is empty, lacks a column, or has a
    row that is too long or a quote that is not closed.
    """
    header, rows = _read_header_and_rows(path)
    found = find_columns(path.name, header, columns)
    missing = [columns[name][0] for name in required if name not in found]
    if missing:
        raise SourceError(
            f"{path.name}: column {', '.join(missing)} missing; expected {', '.join(columns[n][0] for n in required)}, "
            f"found {', '.join(map(repr, header)) or 'an empty file'}; correct the first line"
        )
    if not rows:
        raise SourceError(f"{path.name}: expected a row for each clip, found none below the first line")
    at_of = {name: [row[at] for row in rows] for name, at in found.items()}
    result = pd.DataFrame(
        {name: at_of.get(name, "") for name in [*CLIP_COLUMNS, *(n for n in columns if n not in CLIP_COLUMNS)]},
        index=range(len(rows)),
        dtype=str,
    )
    used = set(found.values()) | {at for at, name in enumerate(header) if column_key(name) in map(column_key, known)}
    unused = [
        name or f"(column {at + 1}, without a name)"
        for at, name in enumerate(header)
        if at not in used and (name or any(row[at].strip() for row in rows))
    ]
    notes = []
    renamed = [f"{columns[name][0]} from {header[at]}" for name, at in found.items() if header[at] != columns[name][0]]
    if renamed:
        notes.append(f"{path.name}: columns recognised by another name: {', '.join(renamed)}")
    if unused:
        notes.append(f"{path.name}: {count(len(unused), 'column')} not used: {some(unused, 20)}")
    return Table(result, unused, [*notes, *_tidy(result, path.name)])


def _read_header_and_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """The header and the rows that are not empty, each as long as the header."""
    lines = read_rows(path)
    header = [name.strip() for name in next(lines, (0, []))[1]]
    rows = []
    for line, cells in lines:
        if any(cells[len(header) :]):
            raise SourceError(
                f"{path.name} line {line}: expected {len(header)} values, found {len(cells)}; put values that hold the "
                "separator, such as decimal commas, into quotes"
            )
        if any(cells):
            rows.append((cells + [""] * len(header))[: len(header)])
    return header, rows


def _tidy(rows: pd.DataFrame, table: str) -> list[str]:
    """Tidy `rows` in place; returns a note for each kind of change."""
    changes: dict[str, Counter[str]] = {}

    def change(column: str, new: pd.Series, what: str) -> None:
        n_changed = int((new != rows[column]).sum())
        if n_changed:
            changes.setdefault(what, Counter())[column] += n_changed
            rows[column] = new

    for column in rows.columns.drop("clip"):  # paths are matched with files first: a file name may end in a blank
        change(column, rows[column].str.strip(), "with blanks around them, stripped")
    for column in WHOLE_NUMBERS:
        change(column, rows[column].str.replace(r"^(\d+)[.,]0+$", r"\1", regex=True), "such as 1.0, read as 1")
    for column in SECONDS:
        change(column, rows[column].str.replace(DECIMAL_COMMA, r"\1.\2", regex=True), "such as 1,5, read as 1.5")
    composed = rows["class"].map(lambda text: unicodedata.normalize("NFC", text))
    change("class", composed, "with accents as characters of their own, composed")
    return [
        f"{table}: {count(sum(of_column.values()), 'value')} {what} ({', '.join(of_column)})"
        for what, of_column in changes.items()
    ]
