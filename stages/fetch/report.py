"""What fetch writes and prints about a dataset: its table, its description, its licence, and the closing lines."""

import os
from pathlib import Path
from typing import Any

from stages.fetch.listing import Listing
from stages.fetch.messages import some
from stages.fetch.sources import Source
from stages.lib.core.files import write_csv, write_json


def write_listing(raw: Path, source: Source, listing: Listing, esc10: bool) -> None:
    """Write clips.csv, dataset.json and, where the licence is known, LICENCE.txt."""
    write_csv(raw / "clips.csv", listing.clips)
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


def closing_lines(source: Source, listing: Listing, failed: list[str], audio: Path) -> list[str]:
    """A note for each kind of thing that was left out, and what was fetched, in numbers."""
    notes = list(listing.notes)
    if failed:
        notes.append(f"{len(failed)} could not be copied, so validate will reject them: {some(failed)}")
    if listing.files_without_row:
        notes.append(f"{len(listing.files_without_row)} recordings without a row: {some(listing.files_without_row)}")
    clips = listing.clips
    n_missing = sum(not os.path.isfile(audio / clip) for clip in clips["clip"])
    folds = sorted(clips["fold"].unique(), key=lambda fold: (len(fold), fold))
    return [f"note: {note}" for note in notes] + [
        f"fetched {'synthetic ' if source.synthetic else ''}{source.name}: {len(clips):,} clips of "
        f"{clips['class'].nunique()} classes and {clips['source'].nunique():,} sources in folds {', '.join(folds)}; "
        f"{n_missing:,} without a file, {len(listing.files_without_row):,} files without a row"
    ]
