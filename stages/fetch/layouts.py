"""The layouts of datasets: how the files of a dataset and its table become a listing of clips.

Each reader takes the unpacked folder and returns a `Listing`: one row per clip with the values exactly as the table of
the dataset has them, since checking them is the task of validate.
"""

from pathlib import Path

from stages.fetch.folder import list_folder
from stages.fetch.listing import CLIP_COLUMNS, Listing, build_listing, check_clip, select_columns
from stages.fetch.messages import also, some
from stages.fetch.recordings import find_files
from stages.fetch.sources import FetchParams, Source
from stages.fetch.tables import read_table
from stages.lib.core.errors import SourceError

# Columns of the tables of two datasets, by the name that each gets here.
URBANSOUND8K = {
    "clip": "slice_file_name",
    "class": "class",
    "class_id": "classID",
    "fold": "fold",
    "source": "fsID",
    "salience": "salience",
    "start_s": "start",
    "end_s": "end",
}
ESC50 = {"clip": "filename", "class": "category", "class_id": "target", "fold": "fold", "source": "src_file"}


def list_clips(place: Path, source: Source, params: FetchParams) -> Listing:
    """Read the dataset at `place` (a folder, or for the layout `folder` also a CSV) by the layout of `source`.

    Raises `SourceError` where it does not lie in that layout or its table cannot be used.
    """
    if source.layout == "urbansound8k":
        listing = _list_urbansound8k(place, source)
    elif source.layout == "esc50":
        listing = _list_esc50(place, source, params.esc10)
    else:
        listing = list_folder(place, source, params.n_folds)
    for clip in [*listing.clips["clip"].unique(), *listing.files_without_row]:
        check_clip(clip)
    for column in CLIP_COLUMNS[1:]:
        if any("\r" in text for text in listing.clips[column].unique()):
            raise SourceError(f"{place.name}: column {column} holds a carriage return within a value; remove it")
    if len(listing.files) == len(listing.files_without_row):
        raise SourceError(
            f"{place}: {len(listing.clips)} clips are listed, but none of their recordings was found; the first would "
            f"be {listing.clips['clip'].iloc[0]!r}; check that audio and table belong together{also(listing.notes)}"
        )
    return listing


def _list_urbansound8k(place: Path, source: Source) -> Listing:
    top = _find_top(place, "metadata/UrbanSound8K.csv")
    clips = select_columns(read_table(top / "metadata/UrbanSound8K.csv", list(URBANSOUND8K.values())), URBANSOUND8K)
    clips["clip"] = "fold" + clips["fold"] + "/" + clips["clip"]
    return build_listing(clips, *find_files(top / "audio"), source)


def _list_esc50(place: Path, source: Source, esc10: bool) -> Listing:
    top = _find_top(place, "meta/esc50.csv")
    table = read_table(top / "meta/esc50.csv", [*ESC50.values(), *(["esc10"] if esc10 else [])])
    clips, (found, notes) = select_columns(table, ESC50), find_files(top / "audio")
    if esc10:
        kept = table["esc10"].str.lower() == "true"
        others = set(clips["clip"][~kept]) - set(clips["clip"][kept])
        clips, found = clips[kept], {name: path for name, path in found.items() if name not in others}
    return build_listing(clips, found, notes, source)


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
