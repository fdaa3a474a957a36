"""Write a table of recordings to fill in: `python -m stages.commands.clips FOLDER`.

Written is FOLDER/clips.csv, or the file that --output names, with one row per recording and the columns

path    of the recording, relative to the folder of the table
class   the folder right below FOLDER, or below one that is named like a split (train, test, fold1); else blank
source  blank, for the original recording: clips that are parts of one get one name; left blank, fetch.source_from says
fold    the number of a folder such as fold3; else blank, and where all are blank fetch makes the folds

A file that is there already is not overwritten. `fetch.dataset=folder` reads the table; docs/your-recordings.md says
more.
"""

import argparse
import os
import re
from pathlib import Path

import pandas as pd

from stages.fetch.classes import is_split
from stages.fetch.messages import count
from stages.fetch.own_recordings import TABLES
from stages.fetch.recordings import find_files, is_audio
from stages.lib.core.errors import SourceError, run
from stages.lib.core.files import write_csv


def main(argv: list[str] | None = None) -> None:
    """List the recordings of a folder in a table."""
    args = parse_args(argv)
    output = args.output or args.folder / TABLES[0]
    if os.path.lexists(output):
        raise SourceError(f"{output}: it is there already; move it away, or give another --output")
    if not args.folder.is_dir():
        raise SourceError(f"{args.folder}: no such folder; give the folder that holds the recordings")
    found, notes = find_files(args.folder)
    names = [name for name in found if is_audio(name)]
    if not names:
        raise SourceError(
            f"{args.folder}: expected recordings, found {count(len(found), 'file')} and none of them audio"
        )
    table = guess_labels(names)
    table["path"] = [os.path.relpath(found[name], output.parent).replace(os.sep, "/") for name in names]
    write_csv(output, table)
    n_blank = int((table["class"] == "").sum())
    print("\n".join(f"note: {note}" for note in notes), end="\n" if notes else "")
    print(
        f"{output}: {count(len(table), 'recording')}, {n_blank} without a class; fill in class, and source and fold "
        "where you know them, and set fetch.dataset to folder and fetch.source to the folder of the table"
    )


def guess_labels(names: list[str]) -> pd.DataFrame:
    """One row per path in `names` with what its folders say: path, class, source, fold, '' where unknown."""
    rows = []
    for name in names:
        folders = name.split("/")[:-1]
        numbers = [match[1] for folder in folders if (match := re.fullmatch(r"fold[-_ ]?(\d+)", folder, re.IGNORECASE))]
        labels = [folder for folder in folders if not is_split(folder)]
        rows.append((name, labels[0].strip() if labels else "", "", str(int(numbers[0])) if numbers else ""))
    return pd.DataFrame(rows, columns=["path", "class", "source", "fold"], dtype=str)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.commands.clips",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the folder that holds the recordings")
    parser.add_argument("--output", type=Path, help="the table to write (FOLDER/clips.csv)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
