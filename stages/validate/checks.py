"""What a clip must be to be used: checks with names and reasons, run by Great Expectations, and the verdicts they give.

The checks come in three rounds, since a fault of one clip must not cost another its place: each clip by itself; what
the clips that are left are to each other (copies, sources in two folds); what is left for each class and fold. A check
is named after the fault it finds, and the severity of each fault is a parameter:

- `reject`: the clip is left out, with the reason; the stage goes on.
- `warn`: the clip is kept, and the finding is listed.
- `stop`: the stage stops, after every other check has run.

Nothing here imports Great Expectations, which takes seconds: `stages.validate.expectations` runs the checks.
"""

import csv
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import pandas as pd
from pydantic import Field

from stages.lib.core.errors import DataError
from stages.lib.core.files import read_json
from stages.lib.core.params import section

CLIP_COLUMNS = ["clip", "class", "class_id", "fold", "source", "salience", "start_s", "end_s"]
PROBED_COLUMNS = ["duration_s", "sample_rate_hz", "n_channels", "n_samples", "subtype", "peak", "rms"]
ACCEPTED_COLUMNS = [*(name for name in CLIP_COLUMNS if name != "class_id"), *PROBED_COLUMNS]
FINDING_COLUMNS = ["check", "severity", "subject", "detail"]

Share = Annotated[float, Field(ge=0, le=1)]
Severity = Literal["reject", "warn", "stop"]


@section("validate")
class ValidateParams:
    """The section `validate` of params.yaml, where each key is explained."""

    min_duration_s: Annotated[float, Field(gt=0)]
    max_duration_s: Annotated[float, Field(gt=0)]
    duration_tolerance_s: Annotated[float, Field(ge=0)]
    min_sample_rate_hz: Annotated[int, Field(ge=1)]
    max_channels: Annotated[int, Field(ge=1)]
    silence_dbfs: Annotated[float, Field(lt=0)]
    max_clipped_share: Share
    min_clips_per_class_and_fold: Annotated[int, Field(ge=0)]
    known_shared_sources: list[str]
    max_rejected_share: Share
    max_rejected_share_per_class: Share
    severity: dict[str, Severity]

    def __post_init__(self) -> None:
        """Check what concerns several keys; raise ValueError that names them."""
        if self.min_duration_s > self.max_duration_s:
            raise ValueError(
                f"validate.min_duration_s: expected at most validate.max_duration_s ({self.max_duration_s}), "
                f"found {self.min_duration_s}"
            )
        faults = [f"validate.severity.{name} is missing" for name in SEVERITIES if name not in self.severity]
        for name, severity in self.severity.items():
            if name not in SEVERITIES:
                faults.append(f"validate.severity.{name} is not a known check, expected one of {', '.join(SEVERITIES)}")
            elif severity not in SEVERITIES[name]:
                faults.append(f"validate.severity.{name}: expected {' or '.join(SEVERITIES[name])}, found {severity!r}")
        if faults:
            raise ValueError("; ".join(faults))


@dataclass(frozen=True)
class Dataset:
    """What dataset.json declares."""

    title: str
    classes: list[str]
    class_ids: list[int] | None  # of the classes, in their order; None where the dataset has no ids
    folds: list[int]


@dataclass(frozen=True)
class Check:
    """One expectation about one table, and what to say where it is not met."""

    name: str  # of the fault, as in reasons, findings and params
    why: str  # what is expected, and the reason, as prose for the Data Docs
    expectation: Callable[[ValidateParams, Dataset], tuple[str, dict[str, Any]]]  # its class in gx.expectations
    detail: Callable[[dict[str, Any]], str]  # of a row that fails; no limits, or a new limit would rewrite old verdicts
    severities: tuple[str, ...] = ("reject", "warn", "stop")


def _null(column: str) -> Callable[[ValidateParams, Dataset], tuple[str, dict[str, Any]]]:
    return lambda params, dataset: ("ExpectColumnValuesToBeNull", {"column": column})


def _text(column: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: row[column]


# A clip with one of these cannot be used by what follows, so it is never kept.
UNUSABLE = ("reject", "stop")
# What concerns no single clip leaves nothing to reject.
TABLE = ("warn", "stop")

CLIP_CHECKS = (
    Check(
        "bad_path",
        "The path leads to a file inside the dataset, in the one way that it can be written. Paths are the ids of the "
        "clips; control characters would break lists that are read by the line.",
        _null("path_fault"),
        _text("path_fault"),
        UNUSABLE,
    ),
    Check(
        "repeated_row",
        "Each clip has one row. Of rows that agree the first is kept; of rows that do not, none can be trusted.",
        _null("repeated"),
        _text("repeated"),
        UNUSABLE,
    ),
    Check(
        "unknown_class",
        "The class is one that the dataset declares: a misspelt name would become a class of its own.",
        lambda params, dataset: ("ExpectColumnValuesToBeInSet", {"column": "class", "value_set": dataset.classes}),
        lambda row: f"{row['class']!r}",
        UNUSABLE,
    ),
    Check(
        "wrong_class_id",
        "Name and id of the class agree, where there is an id. Where they do not, one of them is wrong.",
        lambda params, dataset: (
            "ExpectColumnPairValuesToBeEqual",
            {"column_A": "class_id", "column_B": "declared_class_id", "ignore_row_if": "either_value_is_missing"},
        ),
        lambda row: f"{row['class']} with id {row['class_id']!r}, declared {row['declared_class_id']!r}",
    ),
    Check(
        "bad_fold",
        "The fold is one that the dataset declares; there is no other way to know where the clip may be used.",
        lambda params, dataset: ("ExpectColumnValuesToBeInSet", {"column": "fold_number", "value_set": dataset.folds}),
        lambda row: f"{row['fold']!r}",
        UNUSABLE,
    ),
    Check(
        "bad_span",
        "Start and end in the original recording, where known, are seconds from zero on, the end after the start. "
        "A row that says otherwise may be shifted, and then its label is not its own.",
        _null("span_fault"),
        _text("span_fault"),
    ),
    Check(
        "bad_salience",
        "The salience, where known, is 1 (foreground) or 2 (background): scores are reported for each.",
        lambda params, dataset: (
            "ExpectColumnValuesToBeInSet",
            {"column": "salience", "value_set": ["1", "2", ""]},
        ),
        lambda row: f"{row['salience']!r}",
        UNUSABLE,
    ),
    Check(
        "no_source",
        "The original recording is known. Without it nobody can tell whether parts of one recording are in two folds; "
        "the clip then counts as a recording of its own.",
        lambda params, dataset: ("ExpectColumnValuesToNotBeInSet", {"column": "source", "value_set": [""]}),
        lambda row: "blank",
    ),
    Check(
        "no_file",
        "The row has its file, and it can be opened.",
        _null("file_fault"),
        _text("file_fault"),
        UNUSABLE,
    ),
    Check(
        "undecodable",
        "The file is audio in a format that libsndfile reads, without errors to its end.",
        _null("decode_fault"),
        _text("decode_fault"),
        UNUSABLE,
    ),
    Check(
        "empty",
        "There is at least one sample.",
        lambda params, dataset: ("ExpectColumnValuesToBeBetween", {"column": "n_samples", "min_value": 1}),
        lambda row: "no samples",
        UNUSABLE,
    ),
    Check(
        "truncated",
        "The file holds all that its header claims: a copy or a download that was cut is not the clip that was "
        "labelled.",
        _null("missing"),
        _text("missing"),
    ),
    Check(
        "too_short",
        "The clip is long enough to hold a sound.",
        lambda params, dataset: (
            "ExpectColumnValuesToBeBetween",
            {"column": "duration_s", "min_value": params.min_duration_s},
        ),
        lambda row: f"{row['duration_s']:.4f} s",
    ),
    Check(
        "too_long",
        "The clip is short enough for one label to hold throughout.",
        lambda params, dataset: (
            "ExpectColumnValuesToBeBetween",
            {"column": "duration_s", "max_value": params.max_duration_s},
        ),
        lambda row: f"{row['duration_s']:.1f} s",
    ),
    Check(
        "wrong_duration",
        "The file is as long as start and end in the metadata say: else it may be another file.",
        lambda params, dataset: (
            "ExpectColumnValuesToBeBetween",
            {
                "column": "excess_s",
                "min_value": -params.duration_tolerance_s,
                "max_value": params.duration_tolerance_s,
            },
        ),
        lambda row: f"{row['duration_s']:.4f} s, {row['duration_s'] - row['excess_s']:.4f} s in the metadata",
    ),
    Check(
        "low_sample_rate",
        "The sample rate is high enough for the sounds to be told apart.",
        lambda params, dataset: (
            "ExpectColumnValuesToBeBetween",
            {"column": "sample_rate_hz", "min_value": params.min_sample_rate_hz},
        ),
        lambda row: f"{row['sample_rate_hz']:.0f} Hz",
    ),
    Check(
        "many_channels",
        "The number of channels is that of a recording: more is a file read wrongly, or one of several microphones "
        "that should not be averaged.",
        lambda params, dataset: (
            "ExpectColumnValuesToBeBetween",
            {"column": "n_channels", "max_value": params.max_channels},
        ),
        lambda row: f"{row['n_channels']:.0f} channels",
    ),
    Check(
        "not_finite",
        "Every sample is a number: one NaN or infinity would spread through scaling and training to everything.",
        lambda params, dataset: ("ExpectColumnValuesToBeBetween", {"column": "n_not_finite", "max_value": 0}),
        lambda row: f"{row['n_not_finite']:.0f} samples are NaN or infinite",
        UNUSABLE,
    ),
    Check(
        "silent",
        "Something is to be heard: a label on silence teaches that silence sounds so.",
        lambda params, dataset: (
            "ExpectColumnValuesToBeBetween",
            {"column": "level_dbfs", "min_value": params.silence_dbfs},
        ),
        lambda row: "every sample is zero" if row["peak"] == 0 else f"{row['level_dbfs']:.1f} dBFS",
    ),
    Check(
        "constant",
        "The samples change: a constant offset is a recorder without a microphone.",
        lambda params, dataset: ("ExpectColumnValuesToBeInSet", {"column": "is_constant", "value_set": [False]}),
        lambda row: f"no sample differs from the first, magnitude {row['peak']:.4f}",
    ),
    Check(
        "clipped",
        "Few samples are at full scale: clipping adds harmonics that the source never had.",
        lambda params, dataset: (
            "ExpectColumnValuesToBeBetween",
            {"column": "clipped_share", "max_value": params.max_clipped_share},
        ),
        lambda row: f"{row['clipped_share']:.2%} of the samples at full scale",
    ),
)

RELATION_CHECKS = (
    Check(
        "duplicate",
        "No clip has the samples of an earlier one of its class and fold: it would count twice.",
        _null("copy_of"),
        lambda row: f"the samples of {row['copy_of']}",
    ),
    Check(
        "duplicate_across_folds",
        "No clip has the samples of one in another fold: a model would be tested on what it was trained on. "
        "The copies outside the fold of the first are the faulty ones.",
        _null("copy_of_other_fold"),
        lambda row: f"the samples of {row['copy_of_other_fold']}, in another fold",
    ),
    Check(
        "duplicate_across_classes",
        "No clip has the samples of one of another class: unless both sounds are in it, one label is wrong, and "
        "nothing tells which.",
        _null("copy_of_other_class"),
        lambda row: f"the samples of {row['copy_of_other_class']}, of another class",
    ),
    Check(
        "shared_source",
        "All clips of one original recording are in one fold, the known exceptions aside: a model that knows the "
        "recording is tested too kindly. The clips outside the fold that holds most of them are the faulty ones.",
        _null("other_folds"),
        lambda row: f"source {row['source']!r} is also in {row['other_folds']}",
    ),
)

COLUMN_CHECKS = (
    Check(
        "extra_column",
        "The table of clips has no columns beyond those that are read, which are " + ", ".join(CLIP_COLUMNS) + ".",
        lambda params, dataset: ("ExpectColumnValuesToBeInSet", {"column": "subject", "value_set": CLIP_COLUMNS}),
        lambda row: "not a column that is read",
        TABLE,
    ),
)

FILE_CHECKS = (
    Check(
        "unlisted_file",
        "Every file has its row: one without is in no fold and no class, and is lost.",
        lambda params, dataset: ("ExpectColumnValuesToBeInSet", {"column": "is_listed", "value_set": [True]}),
        lambda row: "in the audio folder, but in no row",
        TABLE,
    ),
)

CELL_CHECKS = (
    Check(
        "few_clips",
        "Each fold holds enough accepted clips of each class: a class that is missing from the test fold is not "
        "measured, one that is missing from the others is not learnt.",
        lambda params, dataset: (
            "ExpectColumnValuesToBeBetween",
            {"column": "n_accepted", "min_value": params.min_clips_per_class_and_fold},
        ),
        lambda row: f"{row['n_accepted']} accepted clips",
        TABLE,
    ),
)

SHARE_CHECKS = (
    Check(
        "rejected_share",
        "Few clips are rejected: many say that something is wrong with the dataset, or with a limit.",
        lambda params, dataset: (
            "ExpectColumnValuesToBeBetween",
            {"column": "share_of_all", "max_value": params.max_rejected_share},
        ),
        lambda row: f"{row['n_rejected']} of {row['n_clips']} clips rejected",
        ("stop",),
    ),
    Check(
        "rejected_share_per_class",
        "Few clips of each class are rejected: a class that loses many is no longer the class that was collected.",
        lambda params, dataset: (
            "ExpectColumnValuesToBeBetween",
            {"column": "share_of_class", "max_value": params.max_rejected_share_per_class},
        ),
        lambda row: f"{row['n_rejected']} of {row['n_clips']} clips rejected",
        ("stop",),
    ),
)

CHECKS = (*CLIP_CHECKS, *RELATION_CHECKS, *COLUMN_CHECKS, *FILE_CHECKS, *CELL_CHECKS, *SHARE_CHECKS)
# The severities that params.yaml may give each check; a check with only one is not among its keys.
SEVERITIES = {check.name: check.severities for check in CHECKS if len(check.severities) > 1}


def severity_of(check: Check, params: ValidateParams) -> str:
    """The severity of a check: its own where it has only one, else that of params."""
    return check.severities[0] if len(check.severities) == 1 else params.severity[check.name]


def read_dataset(path: Path) -> Dataset:
    """Read what dataset.json declares; raises `DataError` where it is missing or declares no classes or folds."""
    content = read_json(path)
    expected = {"title": str, "classes": list, "folds": list}
    for key, kind in expected.items():
        value = content.get(key) if isinstance(content, dict) else None
        if not isinstance(value, kind) or value == []:
            raise DataError(f"{path}: {key}: expected a {kind.__name__}, found {value!r}; rerun 'dvc repro fetch'")
    for key, kind in (("classes", str), ("folds", int)):
        values = content[key]
        if not all(isinstance(value, kind) for value in values) or len(set(values)) < len(values):
            raise DataError(f"{path}: {key}: expected different values of {kind.__name__}, found {values!r}")
    return Dataset(**{key: content[key] for key in expected}, class_ids=content.get("class_ids"))


def read_clips(path: Path) -> pd.DataFrame:
    """Read clips.csv as text, blanks as "", with any further columns; raises `DataError` where it is no such table."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = [row for row in csv.reader(file, strict=True) if row] or [[]]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; run 'dvc repro fetch'") from None
    except (csv.Error, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV table in UTF-8 ({_one_line(error)}); rerun 'dvc repro fetch'") from None
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
        raise DataError(f"{path}: expected a row a clip, found none; point fetch.source at recordings")
    return pd.DataFrame(rows, columns=header, dtype=str)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def metadata_facts(clips: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """The columns of the checks that follow from the table of clips alone, for each of its rows.

    `subject`, `path_fault`, `repeated`, `declared_class_id`, `fold_number` (-1 for none), `span_fault`, `span_s`.
    """
    start_s, end_s = (pd.to_numeric(clips[name], errors="coerce") for name in ("start_s", "end_s"))
    facts = pd.DataFrame({"subject": clips["clip"]})
    facts["path_fault"] = clips["clip"].map(path_fault).astype(object)
    facts["repeated"] = _repeated(clips)
    facts["declared_class_id"] = _declared_class_id(clips, dataset)
    is_number = clips["fold"].str.fullmatch("[0-9]{1,9}")
    facts["fold_number"] = clips["fold"].where(is_number, "-1").astype(int)
    facts["span_fault"] = [
        _span_fault(*texts, *values)
        for texts, values in zip(
            zip(clips["start_s"], clips["end_s"], strict=True), zip(start_s, end_s, strict=True), strict=True
        )
    ]
    facts["span_s"] = (end_s - start_s).where(facts["span_fault"].isna())
    return facts


def path_fault(clip: str) -> str | None:
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


def _span_fault(start: str, end: str, start_s: float, end_s: float) -> str | None:
    for name, text, value in (("start", start, start_s), ("end", end, end_s)):
        if text and not np.isfinite(value):
            return f"{name} {text!r} is not a number"
        if value < 0:
            return f"{name} {text} is negative"
    return f"end {end} is not after start {start}" if end_s <= start_s else None


def probed_facts(probes: pd.DataFrame, span_s: pd.Series) -> pd.DataFrame:
    """The columns of the checks that follow from the fields of `Probe`, a row a clip, and from the metadata's length.

    `PROBED_COLUMNS`, the faults and `digest` as they are, `excess_s` (over the metadata), `level_dbfs` (half the swing
    in dB of full scale, so that a constant offset does not count), `is_constant`, `clipped_share`, `n_not_finite`.
    """
    facts = probes.copy()
    for name in ("sample_rate_hz", "n_channels", "n_samples", "peak", "rms", "swing", "clipped_share", "n_not_finite"):
        facts[name] = facts[name].astype(float)
    facts["duration_s"] = (facts["n_samples"] / facts["sample_rate_hz"]).where(facts["n_samples"] > 0)
    facts["excess_s"] = facts["duration_s"] - span_s
    still = (facts["swing"] == 0) & (facts["peak"] > 0) & (facts["n_samples"] > 1)
    level_dbfs = 20 * np.log10(facts["swing"].clip(lower=1e-10))
    facts["level_dbfs"] = level_dbfs.where((facts["n_not_finite"] == 0) & (facts["n_samples"] > 1) & ~still)
    facts["is_constant"] = still.astype(object)
    return facts


def relation_facts(table: pd.DataFrame, params: ValidateParams) -> pd.DataFrame:
    """What clips are to each other, None where nothing is found.

    `copy_of`, `copy_of_other_fold`, `copy_of_other_class`: another clip with the same samples; `other_folds`: those
    that the source is in too, for the clips outside the fold that holds most of it.
    """
    facts = pd.DataFrame(index=table.index)
    is_copy = table.duplicated(["digest", "class", "fold_number"])
    facts["copy_of"] = _first(table, ["digest", "class", "fold_number"], "clip").where(is_copy)
    first_clip, first_fold, first_class = (_first(table, ["digest"], name) for name in ("clip", "fold_number", "class"))
    facts["copy_of_other_fold"] = first_clip.where(table["fold_number"] != first_fold)
    is_other = table["class"] != first_class
    others = table[is_other].drop_duplicates("digest").set_index("digest")["clip"]  # than the class of the first copy
    facts["copy_of_other_class"] = first_clip.where(is_other, table["digest"].map(others))

    named = table[(table["source"] != "") & ~table["source"].isin(params.known_shared_sources)]
    shared = named[named.groupby("source")["fold_number"].transform("nunique") > 1]
    other_folds = {}
    for _, folds in shared.groupby("source", sort=False)["fold_number"]:
        counts = folds.value_counts()
        main_fold = counts[counts == counts.max()].index.min()
        for at, fold in folds[folds != main_fold].items():
            other_folds[at] = ", ".join(f"fold {other}" for other in sorted(counts.index) if other != fold)
    facts["other_folds"] = pd.Series(other_folds, dtype=object).reindex(table.index)
    return facts.apply(_none_for_blank)


def _first(table: pd.DataFrame, by: list[str], column: str) -> pd.Series:
    return table.groupby(by)[column].transform("first")


class Runner(Protocol):
    """What runs checks, as `stages.validate.expectations.Expectations` does."""

    def run(self, name: str, table: pd.DataFrame, checks: Sequence[Check]) -> pd.DataFrame:
        """Run `checks` on `table`; return FINDING_COLUMNS, indexed by the rows of `table` that they are about."""
        ...


@dataclass(frozen=True)
class Verdict:
    """Every clip in one of two tables, and every finding."""

    accepted: pd.DataFrame  # ACCEPTED_COLUMNS, in the order of clips.csv
    rejected: pd.DataFrame  # the same, with `reasons`
    findings: pd.DataFrame  # FINDING_COLUMNS, of all severities
    first_reasons: pd.Series  # rejected clips by the check that comes first among their reasons


def judge(
    clips: pd.DataFrame,
    probes: pd.DataFrame,
    files: Sequence[str],
    dataset: Dataset,
    params: ValidateParams,
    expectations: Runner,
) -> Verdict:
    """Run every check, whatever the others find, and give every clip its verdict.

    `clips` is the table of `read_clips`, `probes` has the fields of `Probe` for each of its rows, `files` are the paths
    of all files in the audio folder, relative to it.
    """
    metadata = metadata_facts(clips, dataset)
    table = pd.concat([clips[CLIP_COLUMNS], metadata, probed_facts(probes, metadata["span_s"])], axis=1)
    alone = expectations.run("clips", table, CLIP_CHECKS)
    left = table[~table.index.isin(_unfit(alone).index)]
    related = expectations.run("relations", left.join(relation_facts(left, params)), RELATION_CHECKS)
    found = pd.concat([alone, related]).sort_index(kind="stable")
    unfit = _unfit(found)
    is_rejected = table.index.isin(unfit.index)

    listed = set(clips["clip"])
    tables = {
        "columns": (pd.DataFrame({"subject": list(clips.columns)}), COLUMN_CHECKS),
        "files": (pd.DataFrame({"subject": files, "is_listed": [name in listed for name in files]}), FILE_CHECKS),
        "folds": (_cells(table[~is_rejected], dataset), CELL_CHECKS),
        "shares": (_shares(table, is_rejected, dataset), SHARE_CHECKS),
    }
    findings = pd.concat([found, *(expectations.run(name, *pair) for name, pair in tables.items())], ignore_index=True)

    rows = _as_written(table)
    rejected = rows[is_rejected].copy()
    reasons = (unfit["check"] + ": " + unfit["detail"]).groupby(unfit.index).agg("; ".join)
    rejected["reasons"] = reasons.reindex(rejected.index)
    accepted = rows[~is_rejected].copy()
    accepted["fold"] = table.loc[accepted.index, "fold_number"]
    accepted["source"] = accepted["source"].where(accepted["source"] != "", accepted["clip"])
    first = unfit[~unfit.index.duplicated()]["check"]
    return Verdict(accepted, rejected, findings, first.value_counts())


def _unfit(findings: pd.DataFrame) -> pd.DataFrame:
    return findings[findings["severity"] != "warn"]


def _as_written(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[ACCEPTED_COLUMNS].copy()
    for name in ("sample_rate_hz", "n_channels", "n_samples"):
        rows[name] = rows[name].astype("Int64")
    for name in ("duration_s", "peak", "rms"):  # to a microsecond and a millionth: what no processor computes otherwise
        rows[name] = rows[name].round(6)
    return rows


def _cells(accepted: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """A row a class and fold: `subject`, `class`, `fold`, `n_accepted`."""
    counts = accepted.groupby(["class", "fold_number"]).size()
    cells = pd.DataFrame(
        [(name, fold) for name in dataset.classes for fold in dataset.folds], columns=["class", "fold"]
    )
    cells["n_accepted"] = [int(counts.get((row["class"], row["fold"]), 0)) for row in cells.to_dict("records")]
    cells["subject"] = cells["class"] + " in fold " + cells["fold"].astype(str)
    return cells


def _shares(table: pd.DataFrame, is_rejected: np.ndarray, dataset: Dataset) -> pd.DataFrame:
    """A row for all clips and one a class: `subject`, `n_clips`, `n_rejected`, `share_of_all` or `share_of_class`."""
    rows = [("all clips", len(table), int(is_rejected.sum()))]
    for name in dataset.classes:
        of_class = (table["class"] == name).to_numpy()
        rows.append((f"class {name}", int(of_class.sum()), int((of_class & is_rejected).sum())))
    shares = pd.DataFrame(rows, columns=["subject", "n_clips", "n_rejected"])
    share = shares["n_rejected"] / shares["n_clips"].where(shares["n_clips"] > 0)
    shares["share_of_all"], shares["share_of_class"] = share.where(shares.index == 0), share.where(shares.index > 0)
    return shares


def summary(verdict: Verdict, dataset: Dataset) -> dict[str, Any]:
    """What metrics/validate.json holds: counts of clips, of findings a check, and hours and clips accepted a class."""
    n_accepted, n_rejected = len(verdict.accepted), len(verdict.rejected)
    found = verdict.findings["check"].value_counts()
    hours = verdict.accepted.groupby("class")["duration_s"].sum() / 3600
    counts = verdict.accepted["class"].value_counts()
    return {
        "n_fetched": n_accepted + n_rejected,
        "n_accepted": n_accepted,
        "n_rejected": n_rejected,
        "rejected_share": round(n_rejected / (n_accepted + n_rejected), 6),
        "hours": round(float(hours.sum()), 4),
        "findings": {check.name: int(found.get(check.name, 0)) for check in CHECKS},
        "hours_by_class": {name: round(float(hours.get(name, 0)), 4) for name in dataset.classes},
        "n_accepted_by_class": {name: int(counts.get(name, 0)) for name in dataset.classes},
    }


def reason_to_stop(verdict: Verdict) -> str | None:
    """Why the stage must stop, in one line that counts what stops it and shows the first; None where nothing does."""
    stops = verdict.findings[verdict.findings["severity"] == "stop"]
    if not stops.empty:
        first = stops.iloc[0]
        return (
            f"stopped by {_counted(stops['check'].value_counts())}, the first is {first['subject']!r} "
            f"({first['check']}: {first['detail']}); correct the data, or the limits and severities in section "
            "validate of params.yaml"
        )
    if verdict.accepted.empty:
        return f"none of {len(verdict.rejected)} clips can be used: {_counted(verdict.first_reasons)}; correct the data"
    return None


def closing_lines(verdict: Verdict, rejected: Path) -> list[str]:
    """What became of the clips, where to read why, and a line a check that warns."""
    n_accepted, n_rejected = len(verdict.accepted), len(verdict.rejected)
    hours = verdict.accepted["duration_s"].sum() / 3600
    line = f"validate: {n_accepted} of {n_accepted + n_rejected} clips accepted ({hours:.1f} h)"
    if n_rejected:
        line += f", {n_rejected} rejected: {_counted(verdict.first_reasons)}; see {rejected}"
    warnings = verdict.findings[verdict.findings["severity"] == "warn"]
    return [line] + [
        f"validate: warning: {len(found)} {name}, such as {found['subject'].iloc[0]!r}: {found['detail'].iloc[0]}"
        for name, found in warnings.groupby("check", sort=False)
    ]


def _counted(counts: pd.Series) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{n} {name}" for name, n in ordered)
