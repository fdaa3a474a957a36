"""Datasets: what is known about each (a file of data/sources/), and how its layout becomes a table of clips.

A layout is how a dataset lies on disk. Each reader takes the unpacked folder and returns a `Listing`: a row a clip with
the values exactly as the dataset's own table has them, since judging them is the task of validate.
"""

import csv
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import pandas as pd
import pydantic
import soundfile
from pydantic import Field

from stages.fetch.archives import Limits, is_clutter
from stages.lib.core.errors import SourceError
from stages.lib.core.files import read_yaml
from stages.lib.core.params import section
from stages.lib.core.validation import describe_errors

CLIP_COLUMNS = ["clip", "class", "class_id", "fold", "source", "salience", "start_s", "end_s"]
# Columns of the two known tables, by the name that each gets here.
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

FOLDER_TABLES = ("clips.csv", "metadata.csv")

# libsndfile tells a format by the file's content and lists no extensions, so these are written down. Left out: RAW,
# which has no header to say its rate, and MAT4 and MAT5, which mostly hold other things than sound.
EXTENSIONS = {
    "AIFF": (".aif", ".aiff", ".aifc"),
    "AU": (".au", ".snd"),
    "AVR": (".avr",),
    "CAF": (".caf",),
    "FLAC": (".flac",),
    "HTK": (".htk",),
    "IRCAM": (".sf", ".ircam"),
    "MP3": (".mp3",),
    "MPC2K": (".mpc2k",),
    "NIST": (".nist", ".sph"),
    "OGG": (".ogg", ".oga", ".opus"),
    "PAF": (".paf",),
    "PVF": (".pvf",),
    "RF64": (".rf64",),
    "SD2": (".sd2",),
    "SDS": (".sds",),
    "SVX": (".svx", ".8svx", ".iff"),
    "VOC": (".voc",),
    "W64": (".w64",),
    "WAV": (".wav", ".wave"),
    "WVE": (".wve",),
    "XI": (".xi",),
}


@section("fetch")
class FetchParams:
    """Which dataset, and where it comes from."""

    dataset: Literal["sample", "urbansound8k", "esc50", "folder"]
    source: Annotated[str, Field(min_length=1)]
    esc10: bool
    n_folds: Annotated[int, Field(ge=2)]

    def __post_init__(self) -> None:
        """Refuse a choice that would have no effect."""
        if self.esc10 and self.dataset != "esc50":
            raise ValueError(f"fetch.esc10: true is for fetch.dataset esc50, found {self.dataset}; set it to false")


@pydantic.dataclasses.dataclass(frozen=True, config=pydantic.ConfigDict(extra="forbid", strict=True))
class Source:
    """What a file of data/sources/ says about a dataset.

    `classes` (in the order of their ids, from 0) and `folds` are what the dataset declares; where they are missing,
    what its table holds is taken for declared. `address` and `mirrors` are of one archive, with `md5` or, where its
    maker promises none, null.
    """

    name: str
    title: str
    synthetic: bool
    layout: Literal["urbansound8k", "esc50", "folder"]
    licence: str | None = None
    citation: str | None = None
    address: str | None = None
    mirrors: list[str] = field(default_factory=list)
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None
    size_bytes: int | None = None
    limits: Limits = Limits(max_bytes=200_000_000_000, max_files=2_000_000)
    classes: list[str] | None = None
    folds: list[int] | None = None
    render: dict[str, Any] | None = None


def read_source(path: Path) -> Source:
    """Read a file of data/sources/; raises `SourceError` that names each key at fault."""
    tree = read_yaml(path, error=SourceError, advice="set fetch.source to a file of data/sources/")
    if not isinstance(tree, dict):
        raise SourceError(f"{path}: expected keys such as name and layout, found {str(tree)[:40]!r}")
    try:
        return pydantic.TypeAdapter(Source).validate_json(json.dumps(tree, default=str))
    except pydantic.ValidationError as error:
        raise SourceError(f"{path}: {describe_errors(error, see='the files in data/sources/')}") from None


@dataclass(frozen=True)
class Listing:
    """A dataset as found.

    clips: a row a clip, columns `CLIP_COLUMNS`, all text as found ('' where unknown).
    files: clip -> where its recording lies; a clip without one is missing here. Then those of `files_without_row`.
    classes, class_ids: the declared names in the order of their ids, and the ids (None where the dataset has none).
    folds: the declared numbers, sorted.
    files_without_row: recordings that no row names, sorted.
    notes: a line for each kind of thing that was left out or that looks odd.
    """

    clips: pd.DataFrame
    files: dict[str, Path]
    classes: list[str]
    class_ids: list[int] | None
    folds: list[int]
    files_without_row: list[str]
    notes: list[str]


def list_clips(place: Path, source: Source, params: FetchParams) -> Listing:
    """Read the dataset at `place` (a folder, or for the layout `folder` also a CSV) by the layout of `source`.

    Raises `SourceError` where it does not lie in that layout or its table cannot be used.
    """
    if source.layout == "urbansound8k":
        listing = _list_urbansound8k(place, source)
    elif source.layout == "esc50":
        listing = _list_esc50(place, source, params.esc10)
    else:
        listing = _list_folder(place, source, params.n_folds)
    for clip in [*listing.clips["clip"].unique(), *listing.files_without_row]:
        _check_clip(clip)
    for column in CLIP_COLUMNS[1:]:
        if any("\r" in text for text in listing.clips[column].unique()):
            raise SourceError(f"{place.name}: column {column} holds a carriage return within a value; take it out")
    if len(listing.files) == len(listing.files_without_row):
        raise SourceError(
            f"{place}: {len(listing.clips)} clips are listed, but the recording of none is there; the first would be "
            f"{listing.clips['clip'].iloc[0]!r}; check that audio and table belong together{_also(listing.notes)}"
        )
    return listing


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a CSV as text: comma, semicolon or tab, with or without byte-order mark, any line ends, extra columns.

    A short row ends in blanks. Raises `SourceError` for a table that is not UTF-8, empty, without one of `columns`, or
    with a row that is too long or has a quote that is not closed.
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
            f"{path.name} line {n_read + 1}: the row that begins here cannot be read ({error}); see to its quotes, "
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
        raise SourceError(f"{path.name}: column {', '.join(twice)} is there more than once; keep one")
    if not rows:
        raise SourceError(f"{path.name}: expected a row for each clip, found none below the first line")
    return pd.DataFrame(rows, columns=header, dtype=str)


def _list_urbansound8k(place: Path, source: Source) -> Listing:
    top = _find_top(place, "metadata/UrbanSound8K.csv")
    clips = _rename(read_table(top / "metadata/UrbanSound8K.csv", list(URBANSOUND8K.values())), URBANSOUND8K)
    clips["clip"] = "fold" + clips["fold"] + "/" + clips["clip"]
    return _listing(clips, *_walk(top / "audio"), source)


def _list_esc50(place: Path, source: Source, esc10: bool) -> Listing:
    top = _find_top(place, "meta/esc50.csv")
    table = read_table(top / "meta/esc50.csv", [*ESC50.values(), *(["esc10"] if esc10 else [])])
    clips, (found, notes) = _rename(table, ESC50), _walk(top / "audio")
    if esc10:
        kept = table["esc10"].str.lower() == "true"
        others = set(clips["clip"][~kept]) - set(clips["clip"][kept])
        clips, found = clips[kept], {name: path for name, path in found.items() if name not in others}
    return _listing(clips, found, notes, source)


def _list_folder(place: Path, source: Source, n_folds: int) -> Listing:
    from stages.fetch.make_folds import make_folds, rare_classes  # scikit-learn: seconds, and only this layout needs it

    top = place.parent if place.is_file() else _unwrap(place)
    tables = [place] if place.is_file() else [top / name for name in FOLDER_TABLES if (top / name).is_file()]
    if tables:
        table = read_table(tables[0], ["path", "class"])
        table["path"] = [str(PurePosixPath(path)) if path else "" for path in table["path"]]
        clips = _rename(table, {"clip": "path"} | {name: name for name in ("class", "fold", "source") if name in table})
        # Around a CSV that was named itself there may be anything, such as a home folder; below a folder all belongs.
        named = {path: top / path for path in table["path"] if path and os.path.lexists(top / path)}
        found, notes = (named, []) if place.is_file() else _walk(top)
    else:
        found, notes = _find_class_folders(top)
        clips = pd.DataFrame({"clip": list(found), "class": [clip.split("/")[0] for clip in found]}, dtype=str)
        clips = clips.reindex(columns=CLIP_COLUMNS, fill_value="")
    clips["source"] = clips["source"].where(clips["source"] != "", clips["clip"])
    classes = sorted(set(clips["class"]) - {""})
    if len(classes) < 2:
        raise SourceError(
            f"{top.name}: found {f'one class ({some(classes)})' if classes else 'no class'}, expected at least two; a "
            f"class is a folder right below fetch.source, or a name in the column class of a table{_also(notes)}"
        )
    if any(clips["fold"]):
        _check_folds(clips["fold"], tables[0].name)
    else:
        of_clip = clips["class"].tolist(), clips["source"].tolist()
        clips["fold"] = make_folds(*of_clip, n_folds).astype(str)
        rare = [f"{name} ({n})" for name, n in rare_classes(*of_clip, n_folds).items()]
        if rare:
            notes.append(f"fewer sources than the {n_folds} folds, so not in each: {some(rare)}")
    return _listing(clips, found, notes, source)


def _check_folds(folds: pd.Series, table: str) -> None:
    """Refuse folds that are named or counted in another way; a single slip is a matter for validate."""
    is_number = folds.str.fullmatch("[0-9]{1,9}")
    if not is_number.any() or (folds[is_number].astype(int) == 0).sum() > 1:
        raise SourceError(
            f"{table}: column fold: expected whole numbers from 1, found {some(sorted(set(folds) - {''}))}; number the "
            "folds from 1, or take the column out to have folds made"
        )


def _listing(clips: pd.DataFrame, found: dict[str, Path], notes: list[str], source: Source) -> Listing:
    """Bring rows and files together; files that are no recordings and that no row names are of no concern."""
    clips = clips.reset_index(drop=True)
    if clips.empty:
        raise SourceError(f"fetch.dataset {source.name}: no clip is left of the table; see fetch.esc10")
    # macOS writes accents as two characters into file names, tables mostly have them as one.
    by_normal_form = {unicodedata.normalize("NFC", name): name for name in found}
    names = {
        clip: clip if clip in found else by_normal_form.get(unicodedata.normalize("NFC", clip))
        for clip in clips["clip"].unique()
    }
    without_row = sorted(name for name in set(found) - set(names.values()) if _is_audio(found[name]))
    names |= {name: name for name in without_row}
    files = {clip: found[name] for clip, name in names.items() if name is not None}
    classes, class_ids = _classes_of(clips)
    if source.classes is not None:
        classes, class_ids = source.classes, list(range(len(source.classes)))
    folds = source.folds or sorted({int(fold) for fold in clips["fold"] if fold.isdecimal() and int(fold) > 0})
    return Listing(clips, files, classes, class_ids, folds, without_row, notes)


def _classes_of(clips: pd.DataFrame) -> tuple[list[str], list[int] | None]:
    """The classes of a table that declares none, so that a slip in a few rows declares nothing.

    With ids: the pairs in which the name is the most frequent of its id and the id the most frequent of its name.
    Without: the names, sorted.
    """
    pairs = Counter(
        (name, int(number))
        for name, number in zip(clips["class"], clips["class_id"], strict=True)
        if number.isdecimal()
    )
    if not pairs:
        return sorted(set(clips["class"]) - {""}), None
    ranked = sorted(pairs, key=lambda pair: (-pairs[pair], pair))
    id_of, name_of = {}, {}
    for name, number in ranked:
        id_of.setdefault(name, number)
        name_of.setdefault(number, name)
    declared = sorted((number, name) for number, name in name_of.items() if id_of[name] == number)
    return [name for _, name in declared], [number for number, _ in declared]


def _rename(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """The columns of `CLIP_COLUMNS`, taken from those of `table` by `names`, or ''."""
    return pd.DataFrame({name: table[names[name]] if name in names else "" for name in CLIP_COLUMNS}, dtype=str)


def _find_top(place: Path, table: str) -> Path:
    """The folder that holds `table`: `place` or one right below it."""
    folders = [place, *sorted(path for path in place.iterdir() if path.is_dir())] if place.is_dir() else []
    for folder in folders:
        if (folder / table).is_file():
            for path in (folder, folder / "audio", (folder / table).parent):
                if path.is_symlink() and path != place:
                    raise SourceError(
                        f"{path}: a link to a folder, behind which DVC sees no change; put the folder itself there, or "
                        "set fetch.source to where all of the dataset is"
                    )
            return folder
    found = some(sorted(path.name for path in place.iterdir())) if place.is_dir() else "a file"
    raise SourceError(
        f"{place.name}: expected audio/ and {table}, here or in one folder below, found {found or 'nothing'}; for "
        "recordings in folders of your own set fetch.dataset to folder"
    )


def _unwrap(folder: Path) -> Path:
    """Go down while there is one folder that holds folders, or a table: what archives are often wrapped in.

    A licence or the like beside it does not matter; a table or a recording does.
    """
    while True:
        inside = [path for path in folder.iterdir() if not is_clutter(path.name)]
        folders = [path for path in inside if path.is_dir()]
        if len(folders) != 1 or folders[0].is_symlink() or any(map(_is_table, inside)) or any(map(_is_audio, inside)):
            return folder
        below = [path for path in folders[0].iterdir() if not is_clutter(path.name)]
        if not any(path.is_dir() or _is_table(path) for path in below) or any(map(_is_audio, below)):
            return folder
        folder = folders[0]


def _is_table(path: Path) -> bool:
    return path.name in FOLDER_TABLES


def _find_class_folders(top: Path) -> tuple[dict[str, Path], list[str]]:
    """The recordings below the folders of `top`, and lines on what is no recording of a class."""
    everything, links = _walk(top)
    found = {name: path for name, path in everything.items() if "/" in name and _is_audio(path)}
    classes = {name.split("/")[0] for name in found}
    folders = [path for path in sorted(top.iterdir()) if path.is_dir() and not path.is_symlink()]
    silent = [f"{path.name}/" for path in folders if not is_clutter(path.name)]
    notes = links + [
        f"{len(names)} left out, {why}: {some(names)}"
        for why, names in (
            ("in no class folder", [name for name, path in everything.items() if "/" not in name and _is_audio(path)]),
            ("not audio by their extension", [name for name, path in everything.items() if not _is_audio(path)]),
            ("class folders without recordings", [name for name in silent if name[:-1] not in classes]),
        )
        if names
    ]
    if not found:
        extensions = sorted({path.suffix.lower() for path in everything.values()})
        raise SourceError(
            f"{top.name}: expected CLASS/*.wav (or another format that soundfile reads) or one of "
            f"{', '.join(FOLDER_TABLES)}, found {' '.join([f'{len(everything)} files', *extensions])}{_also(links)}"
        )
    return found, notes


def _walk(top: Path) -> tuple[dict[str, Path], list[str]]:
    """Every file below `top` but clutter, by its path from there, sorted; and a line on what was left out.

    Linked files are files. Linked folders are left out: DVC does not follow them, so a change behind one would be
    missed, and they may lead in a circle. A folder with the name of a recording counts as a file: it belongs into the
    table, for validate to reject.
    """
    names, linked = [], []
    for folder, subfolders, files in os.walk(top, onerror=_refuse):
        here = Path(folder)
        files += [name for name in subfolders if here != top and _is_audio(Path(name))]
        subfolders[:] = [name for name in subfolders if name not in files and not is_clutter(name)]
        linked += [(here / name).relative_to(top).as_posix() for name in subfolders if (here / name).is_symlink()]
        names += [(here / name).relative_to(top).as_posix() for name in files if not is_clutter(name)]
    notes = [f"{len(linked)} left out, links to folders, which DVC does not follow: {some(sorted(linked))}"]
    return {name: top / name for name in sorted(names)}, notes if linked else []


def _refuse(error: OSError) -> None:
    raise SourceError(f"{error.filename}: cannot be listed ({error.strerror}); make it readable")


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in _READABLE


_READABLE = {
    extension
    for name, extensions in EXTENSIONS.items()
    if name in soundfile.available_formats()
    for extension in extensions
}


def _check_clip(clip: str) -> None:
    """Refuse a name that would be written outside the data folder, or that clips.csv cannot hold."""
    parts = PurePosixPath(clip).parts
    if not clip:  # a blank cell: validate rejects the row
        return
    if clip.startswith("/") or ".." in parts or not parts:
        raise SourceError(
            f"clip {clip!r}: its path leads out of the dataset; write paths relative to the folder of the table, and "
            "put the recordings below it"
        )
    if "\r" in clip or "\0" in clip:  # pandas writes a lone carriage return without quotes
        raise SourceError(f"clip {clip!r}: its name holds a carriage return, which breaks CSV files; rename the file")
    if clip.encode(errors="replace").decode() != clip:
        raise SourceError(f"clip {clip!r}: its name holds bytes that are not UTF-8 text; rename the file")


def _also(notes: list[str]) -> str:
    """What follows an error that the `notes` may explain."""
    return "".join(f"; {note}" for note in notes)


def some(names: Iterable[str], n_shown: int = 5) -> str:
    """The first few of `names`, and how many more there are."""
    names = [repr(name) if not name.isprintable() else name for name in names]
    return ", ".join(names[:n_shown]) + (f" and {len(names) - n_shown} more" if len(names) > n_shown else "")
