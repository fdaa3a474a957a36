"""Reading tables as people save them: separators, encodings, and names of columns that mean the same."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stages.lib.core.errors import SourceError

# What the columns of a table of recordings are called, here and in those of DCASE, ESC-50, UrbanSound8K and Freesound,
# the preferred name first. Case, blanks and punctuation do not count. Those of Raven are not among them: its times may
# run on over several files.
COLUMNS = {
    "clip": ("path", "file", "file name", "file path", "audio file", "slice file name"),
    "class": ("class", "label", "category", "class name", "class label", "event label"),
    "fold": ("fold",),
    "source": ("source", "source id", "source file", "src file", "fsID", "freesound id", "recording id"),
    "start_s": ("start", "start_s", "start time", "onset"),
    "end_s": ("end", "end_s", "end time", "offset"),
}
DECIMAL_COMMA = re.compile(r"^([-+]?\d+),(\d+)$")


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV, the header too, each with the number of its line.

    Comma, semicolon or tab, UTF-8 or UTF-16, with or without byte-order mark and "sep=", any line ends. Raises
    `SourceError` where it is not text or has a quote that is not closed.
    """
    file = io.StringIO(read_text(path), newline="")
    n_before = 0  # lines before the header
    hint = re.fullmatch(r'"?sep=(.)"?\s*', file.readline(), re.IGNORECASE)  # Excel writes it, and reads it
    if hint:
        delimiter, n_before, start = hint[1], 1, file.tell()
    else:
        file.seek(0)
        delimiter, start = max(",;\t", key=file.readline().count), 0
    file.seek(start)
    lines = csv.reader(file, delimiter=delimiter, strict=True)  # else an open quote swallows what follows
    n_read = 0
    try:
        for cells in lines:
            n_read = lines.line_num
            yield n_before + n_read, cells
    except csv.Error as error:
        raise SourceError(
            f"{path.name} line {n_before + n_read + 1}: the row that begins here cannot be read ({error}); check its "
            "quotes, which come in pairs around a value"
        ) from None


def read_text(path: Path, form: str = "CSV") -> str:
    """The text of a file, by its byte-order mark, else as UTF-8; `form` is what it should be, for errors.

    Raises `SourceError` where it is not text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path.name}: cannot be read as {form} ({error.strerror})") from None
    if content.startswith(b"PK\x03\x04"):
        raise SourceError(f"{path.name}: a spreadsheet or a zip, not {form}; open it and save it as {form} in UTF-8")
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path.name}: not UTF-8 text ({error.reason}); save it as {form} in UTF-8") from None
    if "\0" in text:
        raise SourceError(f"{path.name}: not UTF-8 text (it holds zero bytes); save it as {form} in UTF-8")
    return text


def find_columns(table: str, header: list[str], columns: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The position in `header` of each of `columns` that is there; `columns` has the names that each may have.

    Raises `SourceError` where a column is there twice; `table` is the name of the file.
    """
    keys = [column_key(name) for name in header]
    found = {}
    for column, names in columns.items():
        for name in names:
            positions = [at for at, key in enumerate(keys) if key == column_key(name)]
            if len(positions) > 1:
                twice = ", ".join(header[at] for at in positions)
                raise SourceError(f"{table}: column {columns[column][0]} occurs more than once ({twice}); keep one")
            if positions:
                found[column] = positions[0]
                break
    return found


def column_key(name: str) -> str:
    """What stays of the name of a column where case, blanks and punctuation do not count."""
    return re.sub(r"[\W_]", "", name.casefold())
