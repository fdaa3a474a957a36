"""The facts that a report on a pull request is made of, and how they travel: as JSON that anyone may have written.

A report is posted by a workflow that may write comments, on pull requests whose code it must not trust. So what travels
from one workflow to the other is no text to be posted but facts: names, numbers and hashes, read here with a check of
every type and length. This module, like `markdown` and `post`, needs nothing but Python itself, so nothing is installed
where the right to write is.
"""

import dataclasses
import json
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lib.core.errors import DataError

MAX_FACTS = 2_000_000  # bytes of facts that are read
MAX_STRING, MAX_LIST = 2_000, 5_000  # of facts; what is longer is cut
RUNS = {"ran", "cached", "unchanged", "failed", "timed out", "not run", ""}  # how a stage can have run


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

    `run` and `base_run` are of `RUNS`, or "" where it is not known. `other_machine`: nothing that it was run with
    differs, and its outputs do.
    """

    name: str
    run: str
    base_run: str
    changed: list[str]
    other_machine: bool = False


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
class ClipChange:
    """A clip that one run recognises and the other does not: its class, and what both predicted.

    `has_sound`: its recording is next to the report.
    """

    clip: str
    truth: str
    old: str
    new: str
    has_sound: bool = False


@dataclass(frozen=True)
class Picture:
    """A picture that differs or is in one of both alone.

    `old_at_base`: the commit of the base has the same; `new_at_head`: that of HEAD has. Else a run here drew it.
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
    only_machine     no stage was run with anything else but outputs of stages with `other_machine`
    stale            stages that have to run before the results are those of the code and parameters
    n_unchanged      metrics that are equal
    not_compared     why the two results were not compared, or ""
    n_clips          of the test, of `n_sources`, in `folds`
    n_gained         clips that only the new run recognises; n_lost: only the old one
    clips            those clips
    n_left_out       parameters, metrics and so on that were too long, too many or no facts, and are not here
    """

    base: str
    base_name: str
    head: str
    uncommitted: bool
    libraries: bool
    only_machine: bool
    stale: list[str]
    params: list[Change]
    stages: list[Stage]
    metrics: list[Metric]
    n_unchanged: int
    not_compared: str
    n_clips: int
    n_sources: int
    folds: list[int]
    n_gained: int
    n_lost: int
    clips: list[ClipChange]
    classes: list[ClassChange]
    pictures: list[Picture]
    n_left_out: int = 0


def write_facts(facts: Facts) -> str:
    """Facts as JSON that `read_facts` takes: what is too long is cut, and what is no fact left out and counted."""
    content = dataclasses.asdict(facts)
    for max_list in (MAX_LIST, 500, 50, 5):
        fitting = _Reader(max_list).facts(content)
        text = json.dumps(dataclasses.asdict(fitting), indent=2, sort_keys=True, allow_nan=False) + "\n"
        if len(text) <= MAX_FACTS:
            return text
    raise DataError(f"facts: {len(text):,} bytes, at most {MAX_FACTS:,} are read; shorten the names")


def load_facts(path: Path) -> Facts:
    """The facts in a file that anyone may have written. Raises `DataError` where it is no file of facts."""
    if path.is_symlink() or not path.is_file():
        raise DataError(f"{path}: no such file; the run left no report")
    if path.stat().st_size > MAX_FACTS:
        raise DataError(f"{path}: {path.stat().st_size:,} bytes, at most {MAX_FACTS:,} are read")
    try:
        return read_facts(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8; make the report again") from None


def load_facts_of(commit: str, path: Path) -> Facts:
    """As `load_facts`; raises `DataError` also where the facts are not of `commit`, which the run was of."""
    facts = load_facts(path)
    if facts.head != commit:
        raise DataError(f"{path}: a report on {facts.head}, but the run was of {commit}; run it again")
    return facts


def read_facts(text: str) -> Facts:
    """Facts of JSON that anyone may have written.

    An item of a list that is no fact is left out and counted, so that one of them does not cost the report. Raises
    `DataError` where the whole is anything but facts.
    """
    if len(text) > MAX_FACTS:
        raise DataError(f"facts: {len(text):,} characters, at most {MAX_FACTS:,} are read; make the report again")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(
            "facts: not JSON; make them with 'python -m stages.commands.pull_request.report BASE --out DIR'"
        ) from None
    return _Reader(MAX_LIST).facts(content)


class _Reader:
    """Makes facts of what JSON gave, with a check of every type, length and range."""

    def __init__(self, max_list: int) -> None:
        self.max_list = max_list
        self.n_left_out = 0

    def facts(self, content: Any) -> Facts:
        """The facts, with the count of what was left out. Raises `DataError`."""
        facts = self.read(Facts, content, "facts")
        return dataclasses.replace(facts, n_left_out=facts.n_left_out + self.n_left_out)

    def read(self, kind: Any, content: Any, where: str) -> Any:
        """`content` as an instance of `kind`; raises `DataError`."""
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            fields = typing.get_type_hints(kind)
            if not isinstance(content, dict) or set(content) != set(fields):
                raise DataError(f"{where}: expected exactly the keys {', '.join(fields)}")
            item = kind(**{name: self.read(field, content[name], f"{where}.{name}") for name, field in fields.items()})
            _check(item, where)
            return item
        if typing.get_origin(kind) is list:
            return self.read_list(typing.get_args(kind)[0], content, where)
        if isinstance(kind, types.UnionType):
            (other,) = (option for option in typing.get_args(kind) if option is not type(None))
            return None if content is None else self.read(other, content, where)
        if kind is float:
            if type(content) not in (int, float) or not abs(content) < 1e15:  # not NaN either
                raise DataError(f"{where}: expected a finite number")
            return content
        if type(content) is not kind:
            raise DataError(f"{where}: expected {kind.__name__}")
        if kind is int and not 0 <= content < 10**12:
            raise DataError(f"{where}: {content:.3g}, expected a count")
        return shorten(content, MAX_STRING) if kind is str else content

    def read_list(self, kind: Any, content: Any, where: str) -> list[Any]:
        """The items that are instances of `kind`, at most `max_list`; raises `DataError` where it is no list."""
        if not isinstance(content, list):
            raise DataError(f"{where}: expected a list")
        self.n_left_out += max(len(content) - self.max_list, 0)
        kept = []
        for i, value in enumerate(content[: self.max_list]):
            try:
                kept.append(self.read(kind, value, f"{where}[{i}]"))
            except DataError:
                self.n_left_out += 1
        return kept


def _check(item: Any, where: str) -> None:
    """What the types of facts do not say. Raises `DataError`."""
    if isinstance(item, Facts):
        for name, commit in (("base", item.base), ("head", item.head)):
            if not re.fullmatch(r"[0-9a-f]{40}", commit):
                raise DataError(f"{where}.{name}: {commit[:50]!r}, expected the 40 digits of a commit")
    if isinstance(item, Stage):
        for run in (item.run, item.base_run):
            if run not in RUNS:
                raise DataError(f"{where}: {run[:50]!r}, expected one of {', '.join(sorted(filter(None, RUNS)))}")
    if isinstance(item, Picture):
        parts = item.path.split("/")
        if parts[0] != "metrics" or not item.path.endswith(".png") or {"", ".", ".."} & set(parts):
            raise DataError(f"{where}: {item.path[:50]!r}, expected metrics/....png")


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, the last of them an ellipsis where some are left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
