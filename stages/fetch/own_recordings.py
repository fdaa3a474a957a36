"""The layout `folder`: recordings of one's own, in class folders or with a table.

docs/your-recordings.md says how both look.
"""

import os
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from stages.fetch.classes import check_classes, is_split
from stages.fetch.clutter import is_system_file, is_system_folder
from stages.fetch.listing import Listing, build_listing, locate, match_paths
from stages.fetch.messages import also, count, some
from stages.fetch.recordings import find_files, is_audio
from stages.fetch.sources import FetchParams, Source
from stages.fetch.spans import list_labels, plan_spans
from stages.fetch.tables import CLIP_COLUMNS, Table, read_table
from stages.lib.core.errors import SourceError
from stages.lib.tables import COLUMNS

TABLES = ("clips.csv", "metadata.csv")
SPREADSHEETS = (".csv", ".ods", ".parquet", ".tsv", ".xls", ".xlsx")


def list_own_recordings(place: Path, source: Source, params: FetchParams) -> Listing:
    """The listing of a folder of class folders, of a folder with a table, or of a table that was named itself."""
    top = place.parent if place.is_file() else _unwrap(place)
    path = place if place.is_file() else next((top / name for name in TABLES if (top / name).is_file()), None)
    if path is None:
        table, (found, other_files, notes) = None, _find_class_folders(top)
        clips = pd.DataFrame({"clip": list(found), "class": [_class_of(clip) for clip in found]}, dtype=str)
        clips = clips.reindex(columns=CLIP_COLUMNS, fill_value="")
    else:
        table = read_table(path, COLUMNS, required=("clip", "class"))
        clips, found, notes = _match_table(table, top, only_named=place.is_file())
        other_files = []
        found.pop(path.name, None)
    recordings, files = clips["clip"], locate(clips, found)
    clips, spans, notes_on_spans = plan_spans(clips, files)
    cut = {span.path for span in spans.values()}
    is_cut = {recording: path in cut for recording, path in files.items()}
    sources, more = _fill_sources(clips, recordings, is_cut, params.source_from, in_class_folders=table is None)
    notes += more + notes_on_spans
    labels, more = list_labels(recordings, clips, files, spans)
    notes += more
    check_classes(sorted(set(clips["class"]) - {""}))
    _check_number_of_classes(clips, top, notes)
    notes += _fill_folds(clips, path, params.n_folds)
    return build_listing(
        clips,
        found,
        source,
        sources=sources,
        unused_columns=table.unused_columns if table else [],
        notes=notes,
        spans=spans,
        labels=labels,
        other_files=other_files,
    )


def _match_table(table: Table, top: Path, only_named: bool) -> tuple[pd.DataFrame, dict[str, Path], list[str]]:
    """The rows of the table, the files that may be theirs, and notes.

    A table may lie anywhere, even in a home folder: where it was named itself, only what it names is looked at.
    """
    clips = table.rows
    found, skipped = (_named_files(clips, top), []) if only_named else find_files(top)
    notes = [*table.notes, *match_paths(clips, found), *skipped]
    clips["clip"] = [str(PurePosixPath(path)) if path else "" for path in clips["clip"]]
    if only_named:
        found = _named_files(clips, top)  # by their paths as they are written now
    names = sorted(set(clips["class"]) - {""})
    if names and all(map(is_split, names)):
        raise SourceError(
            f"{top.name}: every class of the table is the name of a split, not of a sound: {some(names)}; name the "
            "column of the sounds class, and number the splits from 1 in a column fold"
        )
    return clips, found, notes


def _named_files(clips: pd.DataFrame, top: Path) -> dict[str, Path]:
    return {path: top / path for path in clips["clip"].unique() if path and os.path.lexists(top / path)}


def _find_class_folders(top: Path) -> tuple[dict[str, Path], list[str], list[str]]:
    """The recordings below the folders of `top`, the other files, and notes."""
    everything, notes = find_files(top)
    found = {name: path for name, path in everything.items() if "/" in name and is_audio(name)}
    tables = [name for name in everything if "/" not in name and name.lower().endswith(SPREADSHEETS)]
    if tables:
        raise SourceError(
            f"{top.name}: {some(tables)} next to the folders, but the only tables that fetch reads by itself are "
            f"{' and '.join(TABLES)}; if it says what the recordings are, save it as {TABLES[0]} with the columns path "
            "and class; if the folders are the classes, move it elsewhere"
        )
    _refuse_splits(top, found)
    tidied = sorted({name.split("/")[0] for name in found if _class_of(name) != name.split("/")[0]})
    loose = [name for name in everything if "/" not in name and is_audio(name)]
    without = sorted(
        {path.name for path in _folders(top) if not path.is_symlink()} - {name.split("/")[0] for name in found}
    )
    notes += [
        f"{what}: {some(names)}"
        for what, names in (
            (f"{count(len(tidied), 'class folder')} read without blanks around the name, accents composed", tidied),
            (f"{count(len(loose), 'recording')} in no class folder, not used", loose),
            (f"{count(len(without), 'folder')} without recordings", [f"{name}/" for name in without]),
        )
        if names
    ]
    if not found:
        extensions = sorted({PurePosixPath(name).suffix.lower() for name in everything})
        raise SourceError(
            f"{top.name}: expected CLASS/*.wav (or another audio format) or one of {', '.join(TABLES)}, found "
            f"{' '.join([f'{len(everything)} files', *extensions])}{also(notes)}"
        )
    return found, [name for name in everything if name not in found and name not in loose], notes


def _refuse_splits(top: Path, found: Iterable[str]) -> None:
    """Raise `SourceError` where folders that would be classes are parts of a dataset, such as train, test and fold1.

    A train is also a vehicle: a single folder of that name that holds recordings itself, among others, is a class.
    """
    folders = {name.split("/")[0] for name in found}
    splits = sorted(filter(is_split, folders))
    is_vehicle = splits and [name.lower() for name in splits] == ["train"] and len(folders) > 2
    if is_vehicle and all(name.count("/") == 1 for name in found if name.startswith(f"{splits[0]}/")):
        return
    if splits:
        in_folds = all(name.lower().startswith("fold") for name in splits)
        raise SourceError(
            f"{top.name}: folders with the names of splits, not of classes: {some(splits)}; write a table with "
            "'python -m stages.commands.clips FOLDER', which has columns for class and fold, or set fetch.source to "
            "one of the folders, or rename them"
            f"{'; if this is the audio of UrbanSound8K, set fetch.dataset to urbansound8k' if in_folds else ''}"
        )


def _class_of(clip: str) -> str:
    return unicodedata.normalize("NFC", clip.split("/")[0].strip())


def _fill_sources(
    clips: pd.DataFrame, recordings: pd.Series, is_cut: Mapping[str, bool], source_from: str, in_class_folders: bool
) -> tuple[str, list[str]]:
    """Fill in the sources that `clips` lacks, by `fetch.source_from`; returns where they come from, and notes.

    `recordings` has the path of the recording of each row; `is_cut` says whether clips are cut out of it, where there
    is a file.
    """
    blank = clips["source"] == ""
    if not blank.any():
        return "given by the table", []
    paths = recordings[blank]
    of_files = [is_cut[path] for path in paths if path in is_cut]
    if source_from == "file" and of_files and all(of_files):
        found, sources = paths, "the recording that each was cut from"
        how = "the source of a clip is the recording that it was cut from"
    elif source_from == "file":
        found, sources = paths, "one per file"
        how = "each file is its own source; where several are parts of one recording, set fetch.source_from"
    elif source_from == "folder":
        found, sources = _folders_of(paths, in_class_folders), "one per folder"
        how = "the source of a file is its folder"
    else:
        names = paths.map(lambda path: PurePosixPath(path).name)
        found, sources = names.str.extract(source_from, expand=True).iloc[:, 0], f"by file name, {source_from}"
        how = f"the source of a file is what {source_from} finds in its name"
    found = found.where(found.notna() & (found != ""), paths)
    alone = paths[found == paths]
    if source_from != "file" and len(alone) == len(paths):
        raise SourceError(
            f"fetch.source_from: {source_from} gives no source for any of {count(len(paths), 'recording')}, such as "
            f"{paths.iloc[0]!r}; correct it, or set it to file"
        )
    clips.loc[blank, "source"] = found
    if blank.all():
        notes = [how]
    else:
        sources, notes = f"given by the table, else {sources}", [f"{count(len(paths), 'row')} without a source: {how}"]
    if source_from != "file" and len(alone):
        notes.append(f"{count(len(alone), 'recording')} for which fetch.source_from finds no source: {some(alone)}")
    return sources, notes


def _folders_of(paths: pd.Series, in_class_folders: bool) -> pd.Series:
    """The folder of each path, '' at the top; of class folders the part below: one day in two classes is one day."""
    folders = paths.map(lambda path: str(PurePosixPath(path).parent)).replace(".", "")
    return folders.map(lambda folder: folder.partition("/")[2]) if in_class_folders else folders


def _check_number_of_classes(clips: pd.DataFrame, top: Path, notes: list[str]) -> None:
    classes = sorted(set(clips["class"]) - {""})
    if len(classes) < 2:
        raise SourceError(
            f"{top.name}: found {f'one class ({some(classes)})' if classes else 'no class'}, expected at least two; a "
            f"class is a folder right below fetch.source, or a name in the column class of a table{also(notes)}"
        )


def _fill_folds(clips: pd.DataFrame, table: Path | None, n_folds: int) -> list[str]:
    """Make the folds where `clips` has none; returns notes."""
    from stages.fetch.make_folds import make_folds, rare_classes  # scikit-learn takes seconds

    if table and any(clips["fold"]):
        _check_folds(clips["fold"], table.name)
        return []
    classes_and_sources = clips["class"].tolist(), clips["source"].tolist()
    clips["fold"] = make_folds(*classes_and_sources, n_folds).astype(str)
    rare = [f"{name} ({n})" for name, n in rare_classes(*classes_and_sources, n_folds).items()]
    return [f"fewer sources than the {n_folds} folds, so not in each: {some(rare)}"] if rare else []


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

    Goes down while there is exactly one folder, neither table nor recording next to it, which holds a table, or folders
    and no recording; a licence or the like does not matter.
    """
    while True:
        inside, folders = _files(folder), _folders(folder)
        if len(folders) != 1 or folders[0].is_symlink() or any(map(_is_table, inside)) or any(map(is_audio, inside)):
            return folder
        below = _files(folders[0])
        if not any(map(_is_table, below)) and (not _folders(folders[0]) or any(map(is_audio, below))):
            return folder
        folder = folders[0]


def _files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.is_dir() and not is_system_file(path.name)]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_system_folder(path.name))


def _is_table(name: str) -> bool:
    return name in TABLES
