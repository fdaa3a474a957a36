"""The columns that the checks are about: read from the table of clips, and derived from it and from the files.

What is derived is named after what it says of a clip, with None or NaN where nothing is to be said.
"""

import csv
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from stages.lib.core.errors import DataError, one_line
from stages.lib.core.files import read_json

CLIP_COLUMNS = ["clip", "class", "class_id", "fold", "source", "salience", "start_s", "end_s"]
PROBED_COLUMNS = ["duration_s", "sample_rate_hz", "n_channels", "n_samples", "subtype", "peak", "rms"]
NUMBERS = [
    "sample_rate_hz", "n_channels", "n_samples", "peak", "rms", "swing", "clipped_fraction", "mixdown_loss_db",
    "n_not_finite",
]  # fmt: skip
ACCEPTED_COLUMNS = [*(name for name in CLIP_COLUMNS if name != "class_id"), *PROBED_COLUMNS]


@dataclass(frozen=True)
class Dataset:
    """What dataset.json declares."""

    title: str
    classes: list[str]
    class_ids: list[int] | None  # of the classes, in their order; None where the dataset has no ids
    folds: list[int]
    unused_columns: list[str] = field(default_factory=list)  # of the table of the dataset, which fetch did not read


def read_dataset(path: Path) -> Dataset:
    """Read what dataset.json declares; raises `DataError` where it is missing or declares no classes or folds."""
    content = read_json(path)
    expected = {"title": str, "classes": list, "folds": list}
    for key, kind in expected.items():
        value = content.get(key) if isinstance(content, dict) else None
        if not isinstance(value, kind) or value == []:
            raise DataError(f"{path}: {key}: expected a {kind.__name__}, found {value!r}; rerun 'dvc repro fetch'")
    for key, type_ in (("classes", str), ("folds", int)):
        values = content[key]
        if not all(isinstance(value, type_) for value in values) or len(set(values)) < len(values):
            raise DataError(f"{path}: {key}: expected different values of {type_.__name__}, found {values!r}")
    return Dataset(
        **{key: content[key] for key in expected},
        class_ids=content.get("class_ids"),
        unused_columns=content.get("unused_columns", []),
    )


def read_clips(path: Path) -> pd.DataFrame:
    """Read clips.csv as text, blanks as "", with any further columns; raises `DataError` where it is no such table."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = [row for row in csv.reader(file, strict=True) if row] or [[]]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; run 'dvc repro fetch'") from None
    except (csv.Error, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV table in UTF-8 ({one_line(error)}); rerun 'dvc repro fetch'") from None
    if missing := [name for name in CLIP_COLUMNS if name not in header]:
        raise DataError(f"{path}: expected a column {', '.join(missing)}, found {header}; rerun 'dvc repro fetch'")
    if len(set(header)) < len(header):
        raise DataError(f"{path}: expected different names of columns, found {header}; rerun 'dvc repro fetch'")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DataError(
                f"{path} row {number}: expected {len(header)} fields, found {len(row)} ({','.join(row)!r}); "
                "correct the metadata and rerun 'dvc repro fetch'"
            )
    if not rows:
        raise DataError(f"{path}: expected one row per clip, found none; point fetch.source at recordings")
    return pd.DataFrame(rows, columns=header, dtype=str)


def metadata_columns(clips: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """The columns that follow from the table of clips alone, one row per row of it.

    `subject`, `path_problem`, `repeated`, `declared_class_id`, `fold_number` (-1 for none), `span_problem`, `span_s`.
    """
    start_s, end_s = (pd.to_numeric(clips[name], errors="coerce") for name in ("start_s", "end_s"))
    columns = pd.DataFrame({"subject": clips["clip"]})
    columns["path_problem"] = clips["clip"].map(path_problem).astype(object)
    columns["repeated"] = _repeated(clips)
    columns["declared_class_id"] = _declared_class_id(clips, dataset)
    is_number = clips["fold"].str.fullmatch("[0-9]{1,9}")
    columns["fold_number"] = clips["fold"].where(is_number, "-1").astype(int)
    columns["span_problem"] = [
        _span_problem(*texts, *values)
        for texts, values in zip(
            zip(clips["start_s"], clips["end_s"], strict=True), zip(start_s, end_s, strict=True), strict=True
        )
    ]
    columns["span_s"] = (end_s - start_s).where(columns["span_problem"].isna())
    return columns


def path_problem(clip: str) -> str | None:
    """Why a value cannot be the path of a clip, relative to the audio folder; None where it can."""
    if not clip:
        return "blank"
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in clip):
        return f"{clip!r} holds a control character"
    if clip.startswith("/") or any(part in ("", ".", "..") for part in clip.split("/")):
        return f"{clip!r} is not a plain path below the audio folder"
    return None


def _repeated(clips: pd.DataFrame) -> pd.Series:
    rows = clips[clips.duplicated("clip", keep=False)].assign(number=lambda table: table.index + 1)
    of_clip = rows.groupby("clip")
    first, n_rows = of_clip["number"].transform("first"), of_clip["number"].transform("size")
    differ = (of_clip["class"].transform("nunique") > 1) | (of_clip["fold"].transform("nunique") > 1)
    texts = ("already in row " + first.astype(str)).where(first != rows["number"])
    texts = texts.mask(
        differ, "in " + n_rows.astype(str) + " rows with different labels, first in row " + first.astype(str)
    )
    return _none_for_blank(texts.reindex(clips.index))


def _none_for_blank(texts: pd.Series) -> pd.Series:
    """`texts` as objects with None, which Great Expectations counts as null, where there is no text."""
    return texts.astype(object).where(texts.notna(), None)


def _declared_class_id(clips: pd.DataFrame, dataset: Dataset) -> pd.Series:
    """The id that the dataset declares for the class, None where a row has no id or an unknown class."""
    ids = dict(zip(dataset.classes, map(str, dataset.class_ids or []), strict=False))
    return _none_for_blank(clips["class"].map(ids).where(clips["class_id"] != ""))


def _span_problem(start: str, end: str, start_s: float, end_s: float) -> str | None:
    for name, text, value in (("start", start, start_s), ("end", end, end_s)):
        if text and not np.isfinite(value):
            return f"{name} {text!r} is not a number"
        if value < 0:
            return f"{name} {text} is negative"
    return f"end {end} is not after start {start}" if end_s <= start_s else None


def probed_columns(probes: pd.DataFrame, span_s: pd.Series) -> pd.DataFrame:
    """The columns that follow from the fields of `Probe`, one row per clip, and from the length in the metadata.

    `PROBED_COLUMNS`, the errors and `digest` as they are, `excess_s` (over the metadata), `level_dbfs` (half the swing
    in dB of full scale, so that a constant offset does not count), `is_constant`, `clipped_fraction`,
    `mixdown_loss_db`, `n_not_finite`.
    """
    columns = probes.copy()
    for name in NUMBERS:
        columns[name] = columns[name].astype(float)
    columns["duration_s"] = (columns["n_samples"] / columns["sample_rate_hz"]).where(columns["n_samples"] > 0)
    columns["excess_s"] = columns["duration_s"] - span_s
    still = (columns["swing"] == 0) & (columns["peak"] > 0) & (columns["n_samples"] > 1)
    level_dbfs = 20 * np.log10(columns["swing"].clip(lower=1e-10))
    columns["level_dbfs"] = level_dbfs.where((columns["n_not_finite"] == 0) & (columns["n_samples"] > 1) & ~still)
    columns["is_constant"] = still.astype(object)
    return columns


def relation_columns(table: pd.DataFrame, known_shared_sources: Sequence[str]) -> pd.DataFrame:
    """What clips are to each other, None where nothing is found.

    `copy_of`, `copy_of_other_fold`, `copy_of_other_class`: another clip with the same samples; `other_folds`: the
    folds that the source is in too, for the clips outside the fold that holds most of it, of equal folds the lowest.
    """
    columns = pd.DataFrame(index=table.index)
    is_copy = table.duplicated(["digest", "class", "fold_number"])
    columns["copy_of"] = _first(table, ["digest", "class", "fold_number"], "clip").where(is_copy)
    first_clip, first_fold, first_class = (_first(table, ["digest"], name) for name in ("clip", "fold_number", "class"))
    columns["copy_of_other_fold"] = first_clip.where(table["fold_number"] != first_fold)
    is_other = table["class"] != first_class
    others = table[is_other].drop_duplicates("digest").set_index("digest")["clip"]  # than the class of the first copy
    columns["copy_of_other_class"] = first_clip.where(is_other, table["digest"].map(others))

    named = table[(table["source"] != "") & ~table["source"].isin(known_shared_sources)]
    shared = named[named.groupby("source")["fold_number"].transform("nunique") > 1]
    other_folds = {}
    for _, folds in shared.groupby("source", sort=False)["fold_number"]:
        counts = folds.value_counts()
        main_fold = counts[counts == counts.max()].index.min()
        for at, fold in folds[folds != main_fold].items():
            other_folds[at] = ", ".join(f"fold {other}" for other in sorted(counts.index) if other != fold)
    columns["other_folds"] = pd.Series(other_folds, dtype=object).reindex(table.index)
    return columns.apply(_none_for_blank)


def _first(table: pd.DataFrame, by: list[str], column: str) -> pd.Series:
    return table.groupby(by)[column].transform("first")
