"""The layouts of datasets: how the files of a dataset and its table become a listing of clips.

`LAYOUTS` holds the datasets that come with a table of their own; recordings without one are `own_recordings`. Values go
through as the table has them, tidied by `read_table`, since checking them is the task of validate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.fetch.classes import check_classes
from stages.fetch.listing import Listing, build_listing, check_clip, match_paths
from stages.fetch.messages import also, some
from stages.fetch.own_recordings import list_own_recordings
from stages.fetch.recordings import find_files
from stages.fetch.sources import FetchParams, Source
from stages.fetch.tables import CLIP_COLUMNS, read_table
from stages.lib.core.errors import SourceError


@dataclass(frozen=True)
class TableLayout:
    """A dataset with one table, and with its recordings below `audio/`.

    table: its path, relative to the folder of the dataset.
    columns: the column of the table for each of `CLIP_COLUMNS` that it has.
    known: its other columns, which are left out without a note.
    path: how the path of a recording below `audio/` is made of the columns of its row.
    """

    table: str
    columns: Mapping[str, str]
    known: tuple[str, ...] = ()
    path: str = "{clip}"


LAYOUTS = {
    "urbansound8k": TableLayout(
        table="metadata/UrbanSound8K.csv",
        columns={
            "clip": "slice_file_name",
            "class": "class",
            "class_id": "classID",
            "fold": "fold",
            "source": "fsID",
            "salience": "salience",
            "start_s": "start",
            "end_s": "end",
        },
        path="fold{fold}/{clip}",
    ),
    "esc50": TableLayout(
        table="meta/esc50.csv",
        columns={"clip": "filename", "class": "category", "class_id": "target", "fold": "fold", "source": "src_file"},
        known=("esc10", "take"),
    ),
}


def list_clips(place: Path, source: Source, params: FetchParams) -> Listing:
    """Read the dataset at `place` (a folder, or for the layout `folder` also a CSV) by the layout of `source`.

    Raises `SourceError` where it does not lie in that layout or its table cannot be used.
    """
    if source.layout == "folder":
        listing = list_own_recordings(place, source, params)
    elif source.layout in LAYOUTS:
        listing = _list_by_table(place, source, LAYOUTS[source.layout], params.esc10)
    else:
        raise SourceError(
            f"{source.name}: layout: expected one of {', '.join([*LAYOUTS, 'folder'])}, found {source.layout!r}; "
            "correct the file in data/sources/"
        )
    for clip in [*listing.clips["clip"].unique(), *listing.files_without_row]:
        check_clip(clip)
    for column in CLIP_COLUMNS[1:]:
        if any("\r" in text for text in listing.clips[column].unique()):
            raise SourceError(f"{place.name}: column {column} holds a carriage return within a value; remove it")
    if len(listing.files) == len(listing.files_without_row) and not listing.spans:
        raise SourceError(
            f"{place}: {len(listing.clips)} clips are listed, but none of their recordings was found; the first would "
            f"be {listing.clips['clip'].iloc[0]!r}; check that audio and table belong together{also(listing.notes)}"
        )
    return listing


def _list_by_table(place: Path, source: Source, layout: TableLayout, esc10: bool) -> Listing:
    top = _find_top(place, layout.table)
    columns = {name: [column] for name, column in layout.columns.items()}
    if esc10:
        columns["esc10"] = ["esc10"]
    table = read_table(top / layout.table, columns, required=columns, known=layout.known)
    everything, notes = find_files(top)
    found = {name.removeprefix("audio/"): path for name, path in everything.items() if name.startswith("audio/")}
    clips = table.rows
    clips["clip"] = [layout.path.format(**row) for row in clips.to_dict("records")]
    notes = [*table.notes, *match_paths(clips, found), *notes]
    if esc10:
        kept = clips["esc10"].str.lower() == "true"
        others = set(clips["clip"][~kept]) - set(clips["clip"][kept])
        clips, found = clips[kept], {name: path for name, path in found.items() if name not in others}
        if clips.empty:
            raise SourceError(f"{layout.table}: no clip of the ESC-10 subset; set fetch.esc10 to false")
    listing = build_listing(
        clips[CLIP_COLUMNS],
        found,
        source,
        sources="given by the table",
        unused_columns=table.unused_columns,
        notes=notes,
        other_files=[name for name in everything if not name.startswith("audio/") and name != layout.table],
    )
    check_classes(listing.classes)
    return listing


def _find_top(place: Path, table: str) -> Path:
    """The folder that holds `table`: `place` or one right below it."""
    folders = [place, *sorted(path for path in place.iterdir() if path.is_dir())] if place.is_dir() else []
    for folder in folders:
        if (folder / table).is_file():
            for path in (folder, folder / "audio", (folder / table).parent):
                if path.is_symlink() and path != place:
                    raise SourceError(
                        f"{path}: a link to a folder, in which DVC would miss changes; put the folder itself there, or "
                        "set fetch.source to where all of the dataset is"
                    )
            return folder
    found = some(sorted(path.name for path in place.iterdir())) if place.is_dir() else "a file"
    raise SourceError(
        f"{place.name}: expected audio/ and {table}, here or in one folder below, found {found or 'nothing'}; for "
        "recordings in folders of your own set fetch.dataset to folder"
    )
