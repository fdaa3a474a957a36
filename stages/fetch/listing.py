"""The listing of a dataset: rows of clips and files of recordings, brought together."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pandas as pd

from stages.fetch.messages import count
from stages.fetch.recordings import is_audio, unused_files
from stages.fetch.sources import Source
from stages.fetch.spans import LABEL_COLUMNS, Span
from stages.lib.core.errors import SourceError


@dataclass(frozen=True)
class Listing:
    """A dataset as found.

    clips: one row per clip, columns `CLIP_COLUMNS`, all text ('' where unknown).
    files: clip -> path of its recording; a clip without one is missing here. `files_without_row` are in it too.
    spans: clip -> the part of a recording that it is to be cut from.
    labels: of the recordings that are kept whole besides, see `stages.fetch.spans.list_labels`.
    classes, class_ids: the declared names in the order of their ids, and the ids (None where the dataset has none).
    folds: the declared numbers, sorted.
    files_without_row: recordings that no row names, sorted.
    sources: where the sources come from, in words.
    unused_columns: the columns of the table that were not used.
    notes: one line for each kind of thing that was changed or left out.
    """

    clips: pd.DataFrame
    files: dict[str, Path]
    classes: list[str]
    class_ids: list[int] | None
    folds: list[int]
    files_without_row: list[str]
    sources: str
    unused_columns: list[str]
    notes: list[str]
    spans: Mapping[str, Span] = field(default_factory=dict)
    labels: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=LABEL_COLUMNS))

    @property
    def recordings(self) -> dict[str, Path]:
        """The recordings that are kept whole, by their paths in the dataset."""
        names = self.labels.drop_duplicates("recording")
        return {name: self.spans[clip].path for name, clip in zip(names["recording"], names["clip"], strict=True)}


def match_paths(clips: pd.DataFrame, found: Mapping[str, Path]) -> list[str]:
    """Strip the paths in column clip of `clips`, and turn backslashes into slashes; returns notes on what was changed.

    A path that is in `found` as it stands is kept, whatever it looks like.
    """
    paths = clips["clip"]
    stripped = paths.where(paths.isin(found), paths.str.strip())
    slashed = stripped.where(stripped.isin(found), stripped.str.replace("\\", "/", regex=False))
    notes = [
        f"{count(int((new != old).sum()), 'path')} {what}"
        for old, new, what in (
            (paths, stripped, "with blanks around them, stripped"),
            (stripped, slashed, "with backslashes, read as those of Windows"),
        )
        if (new != old).any()
    ]
    clips["clip"] = slashed
    return notes


def locate(clips: pd.DataFrame, found: Mapping[str, Path]) -> dict[str, Path]:
    """The file in `found` of each clip that has one."""
    # macOS writes accents as two characters into file names, tables mostly have them as one.
    by_normal_form = {unicodedata.normalize("NFC", name): path for name, path in found.items()}
    files = {
        clip: found.get(clip, by_normal_form.get(unicodedata.normalize("NFC", clip))) for clip in clips["clip"].unique()
    }
    return {clip: path for clip, path in files.items() if path is not None}


def build_listing(
    clips: pd.DataFrame,
    found: Mapping[str, Path],
    source: Source,
    *,
    sources: str,
    unused_columns: list[str],
    notes: Sequence[str],
    spans: Mapping[str, Span] | None = None,
    labels: pd.DataFrame | None = None,
    other_files: Iterable[str] = (),
) -> Listing:
    """Match rows and files: recordings without a row are listed, other files without a row are noted.

    `found` are the files that may be recordings of a row, `other_files` more that were seen.
    """
    clips, spans = clips.reset_index(drop=True), spans or {}
    files = locate(clips, found)
    taken = {*files.values(), *(span.path for span in spans.values())}
    left = sorted(name for name, path in found.items() if path not in taken)
    without_row = [name for name in left if is_audio(name)]
    files |= {name: found[name] for name in without_row}
    classes, class_ids = _classes_of(clips)
    if source.classes is not None:
        classes, class_ids = source.classes, list(range(len(source.classes)))
    folds = source.folds or sorted({int(fold) for fold in clips["fold"] if fold.isdecimal() and int(fold) > 0})
    unused = unused_files([*other_files, *(name for name in left if not is_audio(name))])
    return Listing(
        clips=clips,
        files=files,
        classes=classes,
        class_ids=class_ids,
        folds=folds,
        files_without_row=without_row,
        sources=sources,
        unused_columns=unused_columns,
        notes=[*notes, *unused],
        spans=spans,
        labels=pd.DataFrame(columns=LABEL_COLUMNS) if labels is None else labels,
    )


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


def check_clip(clip: str) -> None:
    """Refuse a name that would be written outside the data folder, or that clips.csv cannot hold."""
    parts = PurePosixPath(clip).parts
    if not clip:  # a blank cell: validate rejects the row
        return
    if clip.startswith("/") or ".." in parts or not parts or re.match(r"[A-Za-z]:[/\\]", clip):
        raise SourceError(
            f"clip {clip!r}: its path leads out of the dataset; write paths relative to the folder of the table, and "
            "put the recordings below it"
        )
    if "\r" in clip or "\0" in clip:  # pandas writes a lone carriage return without quotes
        raise SourceError(f"clip {clip!r}: its name holds a carriage return, which breaks CSV files; rename the file")
    if clip.encode(errors="replace").decode() != clip:
        raise SourceError(f"clip {clip!r}: its name holds bytes that are not UTF-8 text; rename the file")
