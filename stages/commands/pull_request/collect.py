"""The facts of a report on a pull request, out of what DVC says: its diffs, its lock, the output of `dvc repro`."""

import json
import re
from collections.abc import Mapping
from typing import Any

from stages.commands.compare.paired_test import Comparison
from stages.commands.lock import Stages, differences, has_other_outputs
from stages.commands.pull_request.facts import Change, ClassChange, ClipChange, Metric, Stage
from stages.lib.core.errors import DataError

Diff = Mapping[str, Mapping[str, Mapping[str, Any]]]  # of `dvc params diff --json`: file, key, "old" and "new"

# What `dvc repro` prints of a stage, as DVC 3.67 has it: dvc/stage/__init__.py, run.py, cache.py, repo/reproduce.py.
SAYS = {
    "ran": r"Running stage '([^']+)':",
    "cached": r"Stage '([^']+)' is cached - skipping run, checking out outputs",
    "unchanged": r"Stage '([^']+)' didn't change, skipping",
    "failed": r"ERROR: failed to reproduce '([^']+)'",
}


def read_log(log: str) -> dict[str, str]:
    """What became of each stage, by name, from the output of `dvc repro`: a key of `SAYS`. A later line wins."""
    found = {}
    for line in log.splitlines():
        for run, pattern in SAYS.items():
            if match := re.match(pattern, line.strip()):
                found[match[1]] = run
    return found


def stale_stages(log: str) -> list[str]:
    """The stages that `dvc repro --allow-missing --dry` comes to first; a clone without data makes it fail there."""
    return [name for name, what in read_log(log).items() if what in ("ran", "failed")]


def param_changes(diff: Diff) -> list[Change]:
    """The parameters that differ."""
    return [
        Change(file, key, _text(values.get("old")), _text(values.get("new")))
        for file, keys in sorted(diff.items())
        for key, values in sorted(keys.items())
    ]


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def metric_changes(diff: Diff, comparison: Comparison | None, tested_file: str) -> tuple[list[Metric], int]:
    """The metrics that differ, those first that were tested, and how many do not. `diff` holds all of them.

    `comparison` is of the scores in `tested_file`.
    """
    tested = {} if comparison is None else {row.score: row for row in comparison.scores.itertuples()}
    moved, n_equal = [], 0
    for file, names in sorted(diff.items()):
        for name, values in sorted(names.items()):
            old, new = _as_number(values.get("old")), _as_number(values.get("new"))
            if old == new:
                n_equal += 1
                continue
            both = old is not None and new is not None
            row = tested.get(name) if both and file == tested_file else None
            moved.append(Metric(file, name, old, new, *((row.low, row.high, row.p) if row else ())))
    order = list(tested)
    return sorted(moved, key=lambda metric: order.index(metric.name) if metric.p is not None else len(order)), n_equal


def _as_number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def class_changes(comparison: Comparison) -> list[ClassChange]:
    """Recall of each class in both runs."""
    return [
        ClassChange(row[1], int(row.n_clips), float(row.a), float(row.b), float(row.p))
        for row in comparison.classes.itertuples()
    ]


def clip_changes(comparison: Comparison, n_each: int) -> list[ClipChange]:
    """The clips that one run recognises and the other does not: at most `n_each` that are lost, then gained."""
    changed = comparison.changed
    return [
        ClipChange(row.clip, row.truth, row.predicted_a, row.predicted_b)
        for better in ("a", "b")
        for row in changed[changed["better"] == better].head(n_each).itertuples()
    ]


def stage_changes(
    names: list[str],
    old: Stages,
    new: Stages,
    runs: Mapping[str, str],
    base_runs: Mapping[str, str],
) -> list[Stage]:
    """One row per stage of `names`, in their order.

    `old` and `new` are the stages of two lock files; `runs` and `base_runs` are of `read_log`. Where something is known
    of a run, a stage that it says nothing of did not run.
    """
    return [
        Stage(
            name,
            runs.get(name, "not run" if runs else ""),
            base_runs.get(name, "not run" if base_runs else ""),
            differences(old.get(name), new.get(name)),
            has_other_outputs(old.get(name), new.get(name)),
        )
        for name in names
    ]


def read_json_output(output: str, command: str) -> Any:
    """What a command printed as JSON. Raises `DataError`."""
    try:
        return json.loads(output)
    except ValueError:
        raise DataError(f"'{command}' printed no JSON but {output[:100]!r}; try it yourself") from None
