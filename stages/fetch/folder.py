"""The layout `folder`: recordings of one's own, in class folders or with a table."""

import os
from pathlib import Path, PurePosixPath

import pandas as pd

from stages.fetch.archives import is_clutter
from stages.fetch.listing import CLIP_COLUMNS, Listing, build_listing, select_columns
from stages.fetch.messages import also, some
from stages.fetch.recordings import find_files, is_audio
from stages.fetch.sources import Source
from stages.fetch.tables import read_table
from stages.lib.core.errors import SourceError

FOLDER_TABLES = ("clips.csv", "metadata.csv")


def list_folder(place: Path, source: Source, n_folds: int) -> Listing:
    """The listing of class folders, or of a table with `path`, `class` and, where known, `fold` and `source`."""
    from stages.fetch.make_folds import make_folds, rare_classes  # scikit-learn takes seconds

    top = place.parent if place.is_file() else _unwrap(place)
    tables = [place] if place.is_file() else [top / name for name in FOLDER_TABLES if (top / name).is_file()]
    if tables:
        table = read_table(tables[0], ["path", "class"])
        table["path"] = [str(PurePosixPath(path)) if path else "" for path in table["path"]]
        clips = select_columns(
            table, {"clip": "path"} | {name: name for name in ("class", "fold", "source") if name in table}
        )
        # A CSV may lie anywhere, even in a home folder, so only what it names is looked at; in a folder, everything is.
        named = {path: top / path for path in table["path"] if path and os.path.lexists(top / path)}
        found, notes = (named, []) if place.is_file() else find_files(top)
    else:
        found, notes = _find_class_folders(top)
        clips = pd.DataFrame({"clip": list(found), "class": [clip.split("/")[0] for clip in found]}, dtype=str)
        clips = clips.reindex(columns=CLIP_COLUMNS, fill_value="")
    clips["source"] = clips["source"].where(clips["source"] != "", clips["clip"])
    classes = sorted(set(clips["class"]) - {""})
    if len(classes) < 2:
        raise SourceError(
            f"{top.name}: found {f'one class ({some(classes)})' if classes else 'no class'}, expected at least two; a "
            f"class is a folder right below fetch.source, or a name in the column class of a table{also(notes)}"
        )
    if any(clips["fold"]):
        _check_folds(clips["fold"], tables[0].name)
    else:
        of_clip = clips["class"].tolist(), clips["source"].tolist()
        clips["fold"] = make_folds(*of_clip, n_folds).astype(str)
        rare = [f"{name} ({n})" for name, n in rare_classes(*of_clip, n_folds).items()]
        if rare:
            notes.append(f"fewer sources than the {n_folds} folds, so not in each: {some(rare)}")
    return build_listing(clips, found, notes, source)


def _check_folds(folds: pd.Series, table: str) -> None:
    """Refuse folds that have names or count from 0; a few wrong values are left for validate to reject."""
    is_number = folds.str.fullmatch("[0-9]{1,9}")
    if not is_number.any() or (folds[is_number].astype(int) == 0).sum() > 1:
        raise SourceError(
            f"{table}: column fold: expected whole numbers from 1, found {some(sorted(set(folds) - {''}))}; number the "
            "folds from 1, or take the column out to have folds made"
        )


def _unwrap(folder: Path) -> Path:
    """The folder that holds the dataset: `folder` or the only one in it, and so on, as archives often wrap theirs.

    Goes down while there is exactly one folder, which holds folders or a table, with neither table nor recording beside
    it; a licence or the like beside it does not matter.
    """
    while True:
        inside = [path for path in folder.iterdir() if not is_clutter(path.name)]
        folders = [path for path in inside if path.is_dir()]
        if len(folders) != 1 or folders[0].is_symlink() or any(map(_is_table, inside)) or any(map(is_audio, inside)):
            return folder
        below = [path for path in folders[0].iterdir() if not is_clutter(path.name)]
        if not any(path.is_dir() or _is_table(path) for path in below) or any(map(is_audio, below)):
            return folder
        folder = folders[0]


def _is_table(path: Path) -> bool:
    return path.name in FOLDER_TABLES


def _find_class_folders(top: Path) -> tuple[dict[str, Path], list[str]]:
    """The recordings below the folders of `top`, and notes on what is no recording of a class."""
    everything, links = find_files(top)
    found = {name: path for name, path in everything.items() if "/" in name and is_audio(path)}
    classes = {name.split("/")[0] for name in found}
    folders = [path for path in sorted(top.iterdir()) if path.is_dir() and not path.is_symlink()]
    without = [f"{path.name}/" for path in folders if not is_clutter(path.name)]
    notes = links + [
        f"{len(names)} left out, {why}: {some(names)}"
        for why, names in (
            ("in no class folder", [name for name, path in everything.items() if "/" not in name and is_audio(path)]),
            ("not audio by their extension", [name for name, path in everything.items() if not is_audio(path)]),
            ("class folders without recordings", [name for name in without if name[:-1] not in classes]),
        )
        if names
    ]
    if not found:
        extensions = sorted({path.suffix.lower() for path in everything.values()})
        raise SourceError(
            f"{top.name}: expected CLASS/*.wav (or another format that soundfile reads) or one of "
            f"{', '.join(FOLDER_TABLES)}, found {' '.join([f'{len(everything)} files', *extensions])}{also(links)}"
        )
    return found, notes
