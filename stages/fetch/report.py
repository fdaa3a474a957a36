"""What fetch writes and prints about a dataset: its table, its description, its licence, classes and closing lines."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from stages.fetch.listing import Listing
from stages.fetch.messages import count, some
from stages.fetch.recordings import header_seconds
from stages.fetch.sources import Source
from stages.lib.core.files import write_csv, write_json
from stages.lib.core.parallel import parallel_map
from stages.lib.core.progress import progress


def write_listing(raw: Path, source: Source, listing: Listing, esc10: bool) -> None:
    """Write clips.csv, dataset.json and, where there is something in them, recordings.csv and LICENCE.txt."""
    write_csv(raw / "clips.csv", listing.clips)
    if len(listing.labels):
        write_csv(raw / "recordings.csv", listing.labels)
    write_json(raw / "dataset.json", describe(source, listing, esc10))
    if source.licence:
        (raw / "LICENCE.txt").write_text(licence_text(source) + "\n", encoding="utf-8", newline="\n")


def describe(source: Source, listing: Listing, esc10: bool) -> dict[str, Any]:
    """What later stages and the model card need to know about the dataset."""
    return {
        "name": source.name,
        "title": full_title(source, esc10),
        "synthetic": source.synthetic,
        "licence": source.licence,
        "citation": source.citation,
        "address": source.address,
        "classes": listing.classes,
        "class_ids": listing.class_ids,
        "folds": listing.folds,
        "sources": listing.sources,
        "unused_columns": listing.unused_columns,
        "n_files_without_row": len(listing.files_without_row),
    }


def full_title(source: Source, esc10: bool = False) -> str:
    """The title that every plot and report of the dataset carries; it says so where the data is synthetic."""
    return f"{source.title}{', the ESC-10 subset' if esc10 else ''}{' (synthetic)' if source.synthetic else ''}"


def licence_text(source: Source) -> str:
    """Title, licence and citation, one line each."""
    return "\n".join(
        [
            f"dataset: {full_title(source)}",
            f"licence: {source.licence or 'not stated'}",
            f"cite: {source.citation or 'not stated'}",
        ]
    )


def class_lines(listing: Listing, audio: Path) -> list[str]:
    """A table of the classes with their numbers of clips and sources and their hours, as the headers of files say."""
    clips, names = listing.clips.drop_duplicates(["clip", "class"]), listing.clips["clip"].unique()
    headers = parallel_map(header_seconds, [audio / name for name in names])
    seconds = list(progress(headers, total=len(names), desc="reading headers", unit="clips"))
    hours = pd.Series(seconds, index=names, dtype=float) / 3600
    rows = [("class", "clips", "sources", "hours")]
    for name in sorted({*listing.classes, *clips["class"]}):
        of_class = clips[clips["class"] == name]
        known = hours[of_class["clip"]].dropna()
        shown = name if name.isprintable() else repr(name)
        rows.append(
            (shown or "(blank)", f"{len(of_class):,}", f"{of_class['source'].nunique():,}", f"{known.sum():.3f}")
        )
    width = max(len(row[0]) for row in rows)
    lines = [f"{name:<{width}} {n_clips:>9} {n_sources:>9} {total:>9}" for name, n_clips, n_sources, total in rows]
    n_unknown = int(hours.isna().sum())
    if n_unknown:
        lines.append(f"hours are without {count(n_unknown, 'clip')} whose length no header says; validate decodes each")
    return lines


def closing_lines(
    source: Source, listing: Listing, failed: Iterable[str], audio: Path, notes: Iterable[str] = ()
) -> list[str]:
    """A note for each kind of thing that was changed or left out, and what was fetched, in numbers.

    `notes` are those on the files, which come after those of the listing.
    """
    notes, failed = [*listing.notes, *notes], list(failed)
    if failed:
        notes.append(f"{len(failed)} could not be copied or cut, so validate will reject them: {some(failed)}")
    without_row = listing.files_without_row
    if without_row:
        notes.append(f"{count(len(without_row), 'recording')} without a row: {some(without_row)}")
    clips = listing.clips
    n_missing = sum(not os.path.isfile(audio / clip) for clip in clips["clip"])
    folds = sorted(clips["fold"].unique(), key=lambda fold: (len(fold), fold))
    return [f"note: {note}" for note in notes] + [
        f"fetched {'synthetic ' if source.synthetic else ''}{source.name}: {count(len(clips), 'clip')} of "
        f"{count(clips['class'].nunique(), 'class', 'classes')} and {count(clips['source'].nunique(), 'source')} in "
        f"folds {', '.join(folds)}; {n_missing:,} without a file, {count(len(without_row), 'file')} without a row"
    ]
