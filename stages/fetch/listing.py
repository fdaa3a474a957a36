"""The listing of a dataset: rows of clips and files of recordings, brought together."""

import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from stages.fetch.recordings import is_audio
from stages.fetch.sources import Source
from stages.lib.core.errors import SourceError

CLIP_COLUMNS = ["clip", "class", "class_id", "fold", "source", "salience", "start_s", "end_s"]


@dataclass(frozen=True)
class Listing:
    """A dataset as found.

    clips: one row per clip, columns `CLIP_COLUMNS`, all text as found ('' where unknown).
    files: clip -> path of its recording; a clip without one is missing here. `files_without_row` are in it too.
    classes, class_ids: the declared names in the order of their ids, and the ids (None where the dataset has none).
    folds: the declared numbers, sorted.
    files_without_row: recordings that no row names, sorted.
    notes: one line for each kind of thing that was left out or that looks wrong.
    """

    clips: pd.DataFrame
    files: dict[str, Path]
    classes: list[str]
    class_ids: list[int] | None
    folds: list[int]
    files_without_row: list[str]
    notes: list[str]


def build_listing(clips: pd.DataFrame, found: dict[str, Path], notes: list[str], source: Source) -> Listing:
    """Match rows and files; files without a row are listed where they are recordings, else ignored."""
    clips = clips.reset_index(drop=True)
    if clips.empty:
        raise SourceError(f"fetch.dataset {source.name}: the table has no clip in the subset; set fetch.esc10 to false")
    # macOS writes accents as two characters into file names, tables mostly have them as one.
    by_normal_form = {unicodedata.normalize("NFC", name): name for name in found}
    names = {
        clip: clip if clip in found else by_normal_form.get(unicodedata.normalize("NFC", clip))
        for clip in clips["clip"].unique()
    }
    without_row = sorted(name for name in set(found) - set(names.values()) if is_audio(found[name]))
    names |= {name: name for name in without_row}
    files = {clip: found[name] for clip, name in names.items() if name is not None}
    classes, class_ids = _classes_of(clips)
    if source.classes is not None:
        classes, class_ids = source.classes, list(range(len(source.classes)))
    folds = source.folds or sorted({int(fold) for fold in clips["fold"] if fold.isdecimal() and int(fold) > 0})
    return Listing(clips, files, classes, class_ids, folds, without_row, notes)


def _classes_of(clips: pd.DataFrame) -> tuple[list[str], list[int] | None]:
    """The classes of a table that declares none, such that an error in a few rows adds no class.

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
    id_of: dict[str, int] = {}
    name_of: dict[int, str] = {}
    for name, number in ranked:
        id_of.setdefault(name, number)
        name_of.setdefault(number, name)
    declared = sorted((number, name) for number, name in name_of.items() if id_of[name] == number)
    return [name for _, name in declared], [number for number, _ in declared]


def select_columns(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """`CLIP_COLUMNS`, each from the column of `table` that `names` maps it to, or ''."""
    return pd.DataFrame({name: table[names[name]] if name in names else "" for name in CLIP_COLUMNS}, dtype=str)


def check_clip(clip: str) -> None:
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
