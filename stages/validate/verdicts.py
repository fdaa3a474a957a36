"""The verdict on every clip, and how the stage words it.

The checks come in three rounds, since a problem of one clip must not cost another its place: each clip by itself; what
the remaining clips are to each other (copies, sources in two folds); what remains of each class and fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from stages.validate.checks import (
    CHECKS,
    CLIP_CHECKS,
    COLUMN_CHECKS,
    FILE_CHECKS,
    FOLD_CHECKS,
    RELATION_CHECKS,
    SHARE_CHECKS,
    Check,
    ValidateParams,
)
from stages.validate.columns import (
    ACCEPTED_COLUMNS,
    CLIP_COLUMNS,
    Dataset,
    metadata_columns,
    probed_columns,
    relation_columns,
)

N_REASONS = 3  # that are shown where the stage stops; findings.csv has all


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
    first_reasons: pd.DataFrame  # the first finding against each rejected clip: check, subject, detail


def run_checks(
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
    metadata = metadata_columns(clips, dataset)
    table = pd.concat([clips[CLIP_COLUMNS], metadata, probed_columns(probes, metadata["span_s"])], axis=1)
    alone = expectations.run("clips", table, CLIP_CHECKS)
    remaining = table[~table.index.isin(_rejecting(alone).index)]
    relations = remaining.join(relation_columns(remaining, params.known_shared_sources))
    related = expectations.run("relations", relations, RELATION_CHECKS)
    found = pd.concat([alone, related]).sort_index(kind="stable")
    rejecting = _rejecting(found)
    is_rejected = table.index.isin(rejecting.index)

    listed = set(clips["clip"])
    columns = [(name, name in CLIP_COLUMNS) for name in clips] + [(name, False) for name in dataset.unused_columns]
    tables = {
        "columns": (pd.DataFrame(columns, columns=["subject", "is_read"]), COLUMN_CHECKS),
        "files": (pd.DataFrame({"subject": files, "is_listed": [name in listed for name in files]}), FILE_CHECKS),
        "folds": (_clips_per_class_and_fold(table[~is_rejected], dataset), FOLD_CHECKS),
        "shares": (_rejected_shares(table, is_rejected, dataset), SHARE_CHECKS),
    }
    findings = pd.concat([found, *(expectations.run(name, *pair) for name, pair in tables.items())], ignore_index=True)

    rows = _as_written(table)
    rejected = rows[is_rejected].copy()
    reasons = (rejecting["check"] + ": " + rejecting["detail"]).groupby(rejecting.index).agg("; ".join)
    rejected["reasons"] = reasons.reindex(rejected.index)
    accepted = rows[~is_rejected].copy()
    accepted["fold"] = table.loc[accepted.index, "fold_number"]
    accepted["source"] = accepted["source"].where(accepted["source"] != "", accepted["clip"])
    first_reasons = rejecting.loc[~rejecting.index.duplicated(), ["check", "subject", "detail"]]
    return Verdict(accepted, rejected, findings, first_reasons)


def _rejecting(findings: pd.DataFrame) -> pd.DataFrame:
    return findings[findings["severity"] != "warn"]


def _as_written(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[ACCEPTED_COLUMNS].copy()
    for name in ("sample_rate_hz", "n_channels", "n_samples"):
        rows[name] = rows[name].astype("Int64")
    for name in ("duration_s", "peak", "rms"):  # to a microsecond and a millionth: what no processor computes otherwise
        rows[name] = rows[name].round(6)
    return rows


def _clips_per_class_and_fold(accepted: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """One row per class and fold: `subject`, `class`, `fold`, `n_accepted`."""
    counts = accepted.groupby(["class", "fold_number"]).size()
    table = pd.DataFrame(
        [(name, fold) for name in dataset.classes for fold in dataset.folds], columns=["class", "fold"]
    )
    table["n_accepted"] = [int(counts.get((row["class"], row["fold"]), 0)) for row in table.to_dict("records")]
    table["subject"] = table["class"] + " in fold " + table["fold"].astype(str)
    return table


def _rejected_shares(table: pd.DataFrame, is_rejected: np.ndarray, dataset: Dataset) -> pd.DataFrame:
    """One row for all clips, one per class: `subject`, `n_clips`, `n_rejected`, `share_of_all` or `share_of_class`."""
    rows = [("all clips", len(table), int(is_rejected.sum()))]
    for name in dataset.classes:
        of_class = (table["class"] == name).to_numpy()
        rows.append((f"class {name}", int(of_class.sum()), int((of_class & is_rejected).sum())))
    shares = pd.DataFrame(rows, columns=["subject", "n_clips", "n_rejected"])
    share = shares["n_rejected"] / shares["n_clips"].where(shares["n_clips"] > 0)
    shares["share_of_all"], shares["share_of_class"] = share.where(shares.index == 0), share.where(shares.index > 0)
    return shares


def summary(verdict: Verdict, dataset: Dataset) -> dict[str, Any]:
    """What metrics/validate.json holds: counts of clips, findings per check, and hours and accepted clips per class."""
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
    """Why the stage must stop, in one line; None where nothing stops it.

    It counts what stops it and shows the first, and counts the most frequent reasons of rejected clips, each with one.
    """
    stops = verdict.findings[verdict.findings["severity"] == "stop"]
    if not stops.empty:
        first = stops.iloc[0]
        line = (
            f"stopped by {_counted(stops['check'])}, the first is {first['subject']!r} "
            f"({first['check']}: {first['detail']})"
        )
        if len(verdict.rejected):
            line += f"; rejected clips: {_most_frequent(verdict.first_reasons)}"
        return f"{line}; correct the data, or the limits and severities in section validate of params.yaml"
    if verdict.accepted.empty:
        reasons = _most_frequent(verdict.first_reasons)
        return f"none of {len(verdict.rejected)} clips can be used: {reasons}; correct the data"
    return None


def closing_lines(verdict: Verdict, rejected: Path) -> list[str]:
    """What became of the clips, where to read why, and one line per check that warns."""
    n_accepted, n_rejected = len(verdict.accepted), len(verdict.rejected)
    hours = verdict.accepted["duration_s"].sum() / 3600
    line = f"{n_accepted} of {n_accepted + n_rejected} clips accepted ({hours:.1f} h)"
    if n_rejected:
        line += f", {n_rejected} rejected: {_counted(verdict.first_reasons['check'])}; see {rejected}"
    warnings = verdict.findings[verdict.findings["severity"] == "warn"]
    return [line] + [
        f"warning: {len(found)} {name}, such as {found['subject'].iloc[0]!r}: {found['detail'].iloc[0]}"
        for name, found in warnings.groupby("check", sort=False)
    ]


def _by_frequency(checks: pd.Series) -> list[tuple[str, int]]:
    return sorted(checks.value_counts().items(), key=lambda item: (-item[1], item[0]))


def _counted(checks: pd.Series) -> str:
    return ", ".join(f"{n} {name}" for name, n in _by_frequency(checks))


def _most_frequent(reasons: pd.DataFrame) -> str:
    """The most frequent reasons with a count and an example each, and the number of clips with others."""
    by_frequency = _by_frequency(reasons["check"])
    texts = []
    for name, n in by_frequency[:N_REASONS]:
        example = reasons[reasons["check"] == name].iloc[0]
        texts.append(f"{n} {name}, such as {example['subject']!r} ({example['detail']})")
    if n_others := sum(n for _, n in by_frequency[N_REASONS:]):
        texts.append(f"{n_others} for other reasons")
    return ", ".join(texts)
