"""The report on a pull request: the facts that it is made of, and the Markdown that GitHub shows.

A report is posted by a workflow that may write comments, on pull requests whose code it must not trust. So what travels
from one workflow to the other is no text to be posted but facts: names, numbers and hashes, read here with a check of
every type and length. All sentences are this module's own; names, such as those of classes, become code that nothing in
them can leave. This module, like the one that posts, needs nothing but Python itself, so nothing is installed where the
right to write is.
"""

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lib.core.errors import DataError

MARKER = "urban-ear-report"  # in a comment of HTML on the first line, by which the comment is found again
MAX_CHARACTERS = 60_000  # GitHub refuses 65,536; what remains is for the text around it
MAX_ROWS = 40  # of a table; more are counted
MAX_NAME, MAX_REASON = 120, 400  # characters of a name or value in a table, and of a reason
MAX_FACTS = 2_000_000  # bytes of facts that are read
MAX_STRING, MAX_LIST = 2_000, 5_000  # of facts
LEVEL = (
    0.05  # of p-values that are called more than chance; as in stages.commands.compare.paired_test, which needs NumPy
)
RUNS = {
    "ran": "ran",
    "cached": "from the cache",
    "unchanged": "up to date",
    "failed": "**failed**",
    "not run": "not run",
    "": "",
}

# Which way a score is better, by words of its name: `segment_log_loss` and `validation_log_loss` are log losses. Of
# other names (counts, hours, ends of intervals, standard deviations) no direction is known, and none is said.
BETTER = {
    "accuracy": 1,
    "f1": 1,
    "roc_auc": 1,
    "average_precision": 1,
    "recall": 1,
    "precision": 1,
    "log_loss": -1,
    "calibration_error": -1,
    "error_rate": -1,
}
NEUTRAL_ENDS = ("_low", "_high", "_std")


@dataclass(frozen=True)
class Change:
    """A parameter of `file` that differs; None where one side has no such key, or it is null there."""

    file: str
    key: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Stage:
    """A stage: what became of it here and, where the base was run on the same machine, there; what it has that differs.

    `run` and `base_run` are of `RUNS`, or "" where it is not known.
    """

    name: str
    run: str
    base_run: str
    changed: list[str]


@dataclass(frozen=True)
class Metric:
    """A number of a metrics file; `low`, `high` (95 %) and `p` of its difference where it was tested."""

    file: str
    name: str
    old: float | None
    new: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class ClassChange:
    """Recall of a class in both runs; `p` is corrected for the number of classes."""

    name: str
    n_clips: int
    old: float
    new: float
    p: float


@dataclass(frozen=True)
class Picture:
    """A picture that differs or is in one of both alone.

    `old_at_base`: the base's commit has it just so; `new_at_head`: the commit of HEAD has. Else a run here made it.
    """

    path: str
    has_old: bool
    has_new: bool
    old_at_base: bool
    new_at_head: bool


@dataclass(frozen=True)
class Facts:
    """What a report says. `base` is the merge base and `head` the commit of HEAD.

    base_name        what the caller named, as `main`
    uncommitted      the results are not those that the commit of HEAD holds
    libraries        the lock of libraries differs
    stale            stages that have to run before the results are those of the code and parameters
    n_unchanged      metrics that are equal
    not_compared     why chance could not be judged, or ""
    n_clips          of the test, of `n_sources`
    n_gained         clips that only the new run recognises; n_lost: only the old one
    """

    base: str
    base_name: str
    head: str
    uncommitted: bool
    libraries: bool
    stale: list[str]
    params: list[Change]
    stages: list[Stage]
    metrics: list[Metric]
    n_unchanged: int
    not_compared: str
    n_clips: int
    n_sources: int
    n_gained: int
    n_lost: int
    classes: list[ClassChange]
    pictures: list[Picture]


def write_facts(facts: Facts) -> str:
    """Facts as JSON."""
    return json.dumps(dataclasses.asdict(facts), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def load_facts(path: Path) -> Facts:
    """The facts in a file that anyone may have written."""
    if path.is_symlink() or not path.is_file():
        raise DataError(f"{path}: no such file; the run left no report")
    if path.stat().st_size > MAX_FACTS:
        raise DataError(f"{path}: {path.stat().st_size:,} bytes, at most {MAX_FACTS:,} are read")
    try:
        return read_facts(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8; make the report again") from None


def read_facts(text: str) -> Facts:
    """Facts of JSON that anyone may have written. Raises `DataError` where it is anything but facts."""
    if len(text) > MAX_FACTS:
        raise DataError(f"facts: {len(text):,} characters, at most {MAX_FACTS:,} are read; make the report again")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(
            "facts: not JSON; make them with 'python -m stages.commands.pull_request.report BASE --out DIR'"
        ) from None
    facts = _read(Facts, content, "facts")
    for name, commit in (("base", facts.base), ("head", facts.head)):
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            raise DataError(f"facts.{name}: {commit[:50]!r}, expected the 40 digits of a commit")
    for i, stage in enumerate(facts.stages):
        for run in (stage.run, stage.base_run):
            if run not in RUNS:
                raise DataError(f"facts.stages[{i}]: {run[:50]!r}, expected one of {', '.join(filter(None, RUNS))}")
    for i, metric in enumerate(facts.metrics):
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,120}", metric.name):  # the title shows one as text
            raise DataError(f"facts.metrics[{i}]: {metric.name[:50]!r}, expected letters, digits, '_', '.' and '-'")
    for i, picture in enumerate(facts.pictures):
        if not re.fullmatch(r"metrics/(?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+\.png", picture.path):
            raise DataError(f"facts.pictures[{i}]: {picture.path[:50]!r}, expected metrics/....png")
    return facts


def _read(kind: Any, content: Any, where: str) -> Any:
    """`content`, which is what JSON gave, as an instance of `kind`; raises `DataError`."""
    if dataclasses.is_dataclass(kind):
        fields = typing.get_type_hints(kind)
        if not isinstance(content, dict) or set(content) != set(fields):
            raise DataError(f"{where}: expected exactly the keys {', '.join(fields)}")
        return kind(**{name: _read(field, content[name], f"{where}.{name}") for name, field in fields.items()})
    if typing.get_origin(kind) is list:
        if not isinstance(content, list) or len(content) > MAX_LIST:
            raise DataError(f"{where}: expected a list of at most {MAX_LIST:,}")
        (item,) = typing.get_args(kind)
        return [_read(item, value, f"{where}[{i}]") for i, value in enumerate(content)]
    if isinstance(kind, types.UnionType):
        (other,) = (option for option in typing.get_args(kind) if option is not type(None))
        return None if content is None else _read(other, content, where)
    if kind is float:
        if type(content) not in (int, float) or not abs(content) < 1e15:  # not NaN either
            raise DataError(f"{where}: expected a finite number")
        return content
    if type(content) is not kind:
        raise DataError(f"{where}: expected {kind.__name__}")
    if (kind is str and len(content) > MAX_STRING) or (kind is int and not 0 <= content < 10**12):
        raise DataError(f"{where}: too long or too great")
    return content


def direction(name: str) -> int:
    """1 where more of a metric is better, -1 where less is, 0 where it is not known."""
    if name.endswith(NEUTRAL_ENDS) or "." in name:
        return 0
    found = {sign for words, sign in BETTER.items() if f"_{words}_" in f"_{name}_"}
    return found.pop() if len(found) == 1 else 0


def render(facts: Facts, *, picture_url: Callable[[Picture, str], str | None], page_url: str | None = None) -> str:
    """The report as Markdown, below `MAX_CHARACTERS`: what does not fit is left out from the end, and said to be.

    `picture_url` gives the address of the "old" or "new" side of a picture, or None where it can be shown nowhere;
    `page_url` that of the page with all plots.
    """
    head = [f"## {_title(facts)}", _between(facts), *_warnings(facts)]
    parts = [
        _params(facts),
        _metrics(facts),
        _stages(facts),
        _classes(facts),
        _pictures(facts, picture_url, page_url),
        _other_metrics(facts),
    ]
    foot = f"Made by `python -m stages.commands.pull_request.report`, which anyone can run in a clone.{_page(page_url)}"
    kept, left_out = list(head), False
    room = MAX_CHARACTERS - len(foot) - sum(map(len, head)) - 500
    for part in filter(None, parts):
        if len(part) + 2 <= room:
            kept.append(part)
            room -= len(part) + 2
        else:
            left_out = True
    if left_out:
        kept.append("_A part is left out, since a comment on GitHub has no room for it: run the command to see all._")
    return "\n\n".join([*kept, foot]) + "\n"


def _title(facts: Facts) -> str:
    failed = [code(stage.name) for stage in facts.stages if stage.run == "failed"]
    if failed:
        return f"Stage {', '.join(failed[:3])} failed"
    tested = next((metric for metric in facts.metrics if metric.p is not None), None)
    if tested is None or tested.old is None or tested.new is None:
        return "Results" if facts.metrics else "No metric moved"
    values = f"{number(tested.old)} → {number(tested.new)}"
    return f"{tested.name.replace('_', ' ').capitalize()} {values}: {_verdict(tested)}"


def _between(facts: Facts) -> str:
    new = "with results that it does not hold yet" if facts.uncommitted else "with the results that it holds"
    runs = {stage.base_run for stage in facts.stages}
    old = (
        "run here too" if "ran" in runs else "from the cache" if "cached" in runs else "with the results that it holds"
    )
    return (
        f"`{facts.head[:9]}`, {new}, against `{facts.base[:9]}`, {old}: the last commit shared with "
        f"{code(facts.base_name)}."
    )


def _warnings(facts: Facts) -> list[str]:
    found = []
    base_ran = any(stage.base_run == "ran" for stage in facts.stages)
    if facts.stale:
        names = ", ".join(code(name) for name in facts.stale[:MAX_ROWS])
        found.append(f"> [!WARNING]\n> Not up to date: {names}. The results are of an older state; run `dvc repro`.")
    if facts.libraries:
        how = "Both were run with those of the new one" if base_ran else "Some of what moved may come of that"
        found.append(f"> [!NOTE]\n> The locked libraries (`requirements.txt`) differ. {how}.")
    if any(stage.run == "ran" for stage in facts.stages) and not base_ran:
        found.append("> [!NOTE]\n> The base was not run here: another machine may have moved the last digits.")
    return found


def _params(facts: Facts) -> str:
    if not facts.params:
        return "**Parameters**: none changed."
    several = len({change.file for change in facts.params}) > 1
    rows = [
        [code(f"{change.file}: {change.key}" if several else change.key), _value(change.old), _value(change.new)]
        for change in facts.params
    ]
    return "### Parameters\n" + table(["parameter", "base", "here"], rows)


def _value(value: str | None) -> str:
    return "–" if value is None else code(value)


def _metrics(facts: Facts) -> str:
    shown = [metric for metric in facts.metrics if _is_main(metric)]
    text = "### Metrics\n"
    if facts.metrics and all(metric.old is None for metric in facts.metrics):
        text += "The base has no metrics to compare with.\n\n"
    elif facts.metrics and all(metric.new is None for metric in facts.metrics):
        text += "There are no metrics here: the pipeline did not reach them.\n\n"
    if shown:
        rows = [[*_values(metric), _interval(metric), _verdict(metric)] for metric in shown]
        text += table(["metric", "base", "here", "change", "95 % interval", ""], rows) + "\n\n"
    moved = f"{facts.n_unchanged} metrics did not move." if facts.n_unchanged else ""
    if not facts.metrics:
        return text + (moved or "There are none.")
    if facts.not_compared:
        why = code(facts.not_compared, MAX_REASON)
        return f"{text}Whether this is more than chance could not be judged: {why}. {moved}".strip()
    if not facts.n_clips:
        return text + moved
    return (
        f"{text}{facts.n_clips} clips of {facts.n_sources} sources; {facts.n_gained} recognised only here, "
        f"{facts.n_lost} only by the base. *p*: how often two equal runs would differ as much (paired randomisation "
        f"test over sources); another seed of training is not in it. {moved}"
    ).strip()


def _is_main(metric: Metric) -> bool:
    return metric.p is not None or direction(metric.name) != 0


def _other_metrics(facts: Facts) -> str:
    rows = [_values(metric) for metric in facts.metrics if not _is_main(metric)]
    if not rows:
        return ""
    return _folded(f"{len(rows)} other numbers that moved", table(["number", "base", "here", "change"], rows))


def _values(metric: Metric) -> list[str]:
    known = metric.old is not None and metric.new is not None
    difference = number(metric.new - metric.old, sign=True) if known else ""
    return [code(metric.name), number(metric.old), number(metric.new), difference]


def _interval(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return ""
    return f"{number(metric.low, sign=True)} to {number(metric.high, sign=True)}"


def _verdict(metric: Metric) -> str:
    if metric.old is None:
        return "new"
    if metric.new is None:
        return "removed"
    sign = direction(metric.name) * (metric.new - metric.old)
    words = ["▲ better" if sign > 0 else "▼ worse"] if sign else []
    if metric.p is not None:
        words.append(f"{'more than chance' if metric.p < LEVEL else 'could be chance'}, *p* {number(metric.p)}")
    return ", ".join(words)


def _stages(facts: Facts) -> str:
    base = any(stage.base_run for stage in facts.stages)
    here = any(stage.run for stage in facts.stages)
    rows = [
        [code(stage.name)]
        + ([RUNS[stage.run]] if here else [])
        + ([RUNS[stage.base_run]] if base else [])
        + [_changed(stage.changed)]
        for stage in facts.stages
    ]
    if not (here or base or any(stage.changed for stage in facts.stages)):
        return "**Stages**: none differs from the base."
    columns = ["stage", *["here"] * here, *["base, here"] * base, "differs from the base in"]
    return "### Stages\n" + table(columns, rows)


def _changed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(map(code, names[:6])) + more


def _classes(facts: Facts) -> str:
    moved = [row for row in facts.classes if row.old != row.new]
    if not moved:
        return ""
    rows = [
        [
            code(row.name),
            str(row.n_clips),
            _bar(row.old),
            _bar(row.new),
            number(row.new - row.old, sign=True),
            "more than chance" if row.p < LEVEL else "could be chance",
        ]
        for row in moved
    ]
    text = table(["class", "clips", "base", "here", "change", ""], rows)
    said = f"\n\nThe test is corrected for the {len(facts.classes)} classes (Holm)."
    return _folded(f"Recall of the {len(moved)} classes that moved", text + said)


def _bar(share: float) -> str:
    filled = round(10 * min(max(share, 0), 1))
    return f"`{'█' * filled}{'░' * (10 - filled)}` {share:.2f}"


def _pictures(facts: Facts, url: Callable[[Picture, str], str | None], page_url: str | None) -> str:
    if not facts.pictures:
        return ""
    shown, hidden = [], []
    for picture in facts.pictures[:MAX_ROWS]:
        sides = [("old", picture.has_old), ("new", picture.has_new)]
        links = [url(picture, side) if has else None for side, has in sides]
        if any(has and link is None for link, (_, has) in zip(links, sides, strict=True)):
            hidden.append(code(picture.path))
            continue
        cells = [f"![{side}]({link})" if link else "–" for link, (side, _) in zip(links, sides, strict=True)]
        shown.append(f"`{picture.path}`\n\n{table(['base', 'here'], [cells])}")
    text = "\n\n".join(shown)
    if hidden:
        where = "are in the artefact" if page_url else "can be seen with `dvc plots diff` or `--out`"
        text += f"\n\n{', '.join(hidden)} changed too; both sides {where}." if shown else ""
    if not shown:
        where = "in the artefact, base and new side by side" if page_url else "with `dvc plots diff` or `--out DIR`"
        return f"**Pictures**: {len(facts.pictures)} changed; they are {where}."
    return _folded(f"{len(facts.pictures)} pictures that changed", text)


def _page(page_url: str | None) -> str:
    return f" All plots of both, as one page, are in the [artefact of the run]({page_url})." if page_url else ""


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; rows over `MAX_ROWS` are counted."""
    lines = [_row(head), _row(["---"] * len(head)), *map(_row, rows[:MAX_ROWS])]
    more = f"\n\n… and {len(rows) - MAX_ROWS} more." if len(rows) > MAX_ROWS else ""
    return "\n".join(lines) + more


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def number(value: float | None, *, sign: bool = False) -> str:
    """A number in few digits."""
    if value is None:
        return "–"
    plus = "+" if sign else ""
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:{plus}.0f}"
    if not 1e-5 < abs(value) < 1e9:
        return f"{value:{plus}.2g}"
    decimals = 3 if abs(value) >= 0.01 else 1 - math.floor(math.log10(abs(value)))
    return f"{value:{plus}.{decimals}f}"


def code(text: str, limit: int = MAX_NAME) -> str:
    """Text of others as code in a cell of a table: whatever it holds, it is shown and does nothing.

    Plain text stands in backticks, a pipe in it escaped, as tables demand. Where backticks or backslashes would end
    that, every character but letters and digits becomes a number of HTML.
    """
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    if not text.strip():
        return "(empty)"
    if "`" in text or "\\" in text or text != text.strip():
        encoded = "".join(character if character.isalnum() else f"&#{ord(character)};" for character in text)
        return f"<code>{encoded}</code>"
    return "`" + text.replace("|", "\\|") + "`"
