"""Reading tables of clips as people save them."""

import csv
from collections import Counter
from pathlib import Path

import pandas as pd

from stages.lib.core.errors import SourceError


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a CSV as text: comma, semicolon or tab, with or without byte-order mark, any line ends, extra columns.

    A short row ends in blanks. Raises `SourceError` for a table that is not UTF-8, is empty, lacks one of `columns`, or
    has a row that is too long or a quote that is not closed.
    """
    n_read = 0  # lines
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = max(",;\t", key=file.readline().count)
            file.seek(0)
            lines = csv.reader(file, delimiter=delimiter, strict=True)  # else an open quote swallows what follows
            header = [name.strip() for name in next(lines, [])]
            rows, n_read = [], lines.line_num
            for cells in lines:
                n_read = lines.line_num
                if any(cells[len(header) :]):
                    raise SourceError(
                        f"{path.name} line {lines.line_num}: expected {len(header)} values, found {len(cells)}; put "
                        "values that hold the separator into quotes"
                    )
                if any(cells):
                    rows.append((cells + [""] * len(header))[: len(header)])
    except UnicodeDecodeError as error:
        raise SourceError(f"{path.name}: not UTF-8 text ({error.reason}); save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise SourceError(
            f"{path.name} line {n_read + 1}: the row that begins here cannot be read ({error}); check its quotes, "
            "which come in pairs around a value"
        ) from None
    except OSError as error:
        raise SourceError(f"{path.name}: cannot be read as CSV ({error})") from None
    missing = [name for name in columns if name not in header]
    if missing:
        raise SourceError(
            f"{path.name}: column {', '.join(missing)} missing; expected {', '.join(columns)}, found "
            f"{', '.join(map(repr, header)) or 'an empty file'}; correct the first line"
        )
    twice = sorted(name for name, n in Counter(header).items() if n > 1 and name in columns)
    if twice:
        raise SourceError(f"{path.name}: column {', '.join(twice)} occurs more than once; keep one")
    if not rows:
        raise SourceError(f"{path.name}: expected a row for each clip, found none below the first line")
    return pd.DataFrame(rows, columns=header, dtype=str)
