"""What a clip must be to be used: tables of checks, each an expectation of Great Expectations with a name and a reason.

A check is named after the problem that it finds, and what follows from a finding is a parameter, its severity:

- `reject`: the clip is left out, with the reason; the stage goes on.
- `warn`: the clip is kept, and the finding is listed.
- `stop`: the stage stops, after every other check has run.

Nothing here imports Great Expectations, which takes seconds: `stages.validate.expectations` runs the checks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from stages.lib.audio import describe_loss
from stages.lib.core.params import section
from stages.validate.columns import Dataset

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
    max_mixdown_loss_db: Annotated[float, Field(gt=0)]
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
        problems = [f"validate.severity.{name} is missing" for name in SEVERITIES if name not in self.severity]
        for name, severity in self.severity.items():
            if name not in SEVERITIES:
                problems.append(
                    f"validate.severity.{name} is not a known check, expected one of {', '.join(SEVERITIES)}"
                )
            elif severity not in SEVERITIES[name]:
                problems.append(
                    f"validate.severity.{name}: expected {' or '.join(SEVERITIES[name])}, found {severity!r}"
                )
        if problems:
            raise ValueError("; ".join(problems))


@dataclass(frozen=True)
class Check:
    """One expectation about one table, and what to say where it is not met."""

    name: str  # of the problem, as in reasons, findings and params
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
        _null("path_problem"),
        _text("path_problem"),
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
        _null("span_problem"),
        _text("span_problem"),
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
        "The original recording is known. Without it nothing shows whether parts of one recording are in two folds; "
        "the clip then counts as a recording of its own.",
        lambda params, dataset: ("ExpectColumnValuesToNotBeInSet", {"column": "source", "value_set": [""]}),
        lambda row: "blank",
    ),
    Check(
        "no_file",
        "The row has its file, and it can be opened.",
        _null("file_error"),
        _text("file_error"),
        UNUSABLE,
    ),
    Check(
        "undecodable",
        "The file is audio in a format that libsndfile or FFmpeg reads, without errors to its end.",
        _null("decode_error"),
        _text("decode_error"),
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
        "What can be decoded is the whole recording, as its header, the size of the file and the number of its frames "
        "say: a copy or a download that was cut is not the clip that was labelled.",
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
        "The sample rate is high enough to distinguish the sounds.",
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
        "The recording is audible: a label on silence would teach that silence sounds like the class.",
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
            {"column": "clipped_fraction", "max_value": params.max_clipped_share},
        ),
        lambda row: f"{row['clipped_fraction']:.2%} of the samples at full scale",
    ),
    Check(
        "cancelling_channels",
        "The sound is still there once the channels are averaged, as all that follows uses it: with one channel "
        "inverted they cancel each other, and what is left is noise or nothing.",
        lambda params, dataset: (
            "ExpectColumnValuesToBeBetween",
            {"column": "mixdown_loss_db", "max_value": params.max_mixdown_loss_db},
        ),
        lambda row: describe_loss(row["mixdown_loss_db"]),
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
        "Those outside the fold of the first copy are reported.",
        _null("copy_of_other_fold"),
        lambda row: f"the samples of {row['copy_of_other_fold']}, in another fold",
    ),
    Check(
        "duplicate_across_classes",
        "No clip has the samples of one of another class: unless both sounds are in it, one label is wrong, and "
        "the data does not say which.",
        _null("copy_of_other_class"),
        lambda row: f"the samples of {row['copy_of_other_class']}, of another class",
    ),
    Check(
        "shared_source",
        "All clips of one original recording are in one fold, except for the known ones: a model that knows the "
        "recording scores too high. Those outside the fold that holds most of them are reported.",
        _null("other_folds"),
        lambda row: f"source {row['source']!r} is also in {row['other_folds']}",
    ),
)

COLUMN_CHECKS = (
    Check(
        "extra_column",
        "The table of the dataset has no columns beyond those that fetch reads: what they say would be lost.",
        lambda params, dataset: ("ExpectColumnValuesToBeInSet", {"column": "is_read", "value_set": [True]}),
        lambda row: "a column of the table that is not read",
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

FOLD_CHECKS = (
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

CHECKS = (*CLIP_CHECKS, *RELATION_CHECKS, *COLUMN_CHECKS, *FILE_CHECKS, *FOLD_CHECKS, *SHARE_CHECKS)
# The severities that params.yaml may give each check; a check with only one is not among its keys.
SEVERITIES = {check.name: check.severities for check in CHECKS if len(check.severities) > 1}


def severity_of(check: Check, params: ValidateParams) -> str:
    """The severity of a check: its own where it has only one, else that of params."""
    return check.severities[0] if len(check.severities) == 1 else params.severity[check.name]
