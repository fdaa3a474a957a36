"""What dvc.yaml and dvc.lock say of two runs: what each stage was run with, and whether it gave the same outputs.

`dvc.lock` records parameters, code, data and the command of a stage, but neither the processor nor the versions of
libraries. Where all that it records is the same and the outputs are not, one of those two made the difference.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stages.commands.models import MODELS
from stages.commands.revisions import read_revision
from stages.lib.core.errors import DataError, EarError

LOCK, PIPELINE = Path("dvc.lock"), Path("dvc.yaml")
RESULTS = (LOCK.as_posix(), "metrics")  # what a run leaves in Git
Stages = Mapping[str, Mapping[str, Any]]  # of dvc.yaml or dvc.lock, by name


def read_stages(revision: str, path: Path) -> Stages:
    """The stages of `PIPELINE` or `LOCK` at a revision; none where there is no such file. Raises `DataError`."""
    try:
        text = read_revision(revision, path)
    except EarError:
        return {}
    from ruamel.yaml import YAML  # here, so that what posts a report needs nothing but Python for the rest
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(text) or {}
        return dict(content.get("stages") or {})
    except (YAMLError, AttributeError, ValueError):
        raise DataError(f"{revision}: its {path} is not valid YAML with stages; correct that first") from None


def differences(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> list[str]:
    """What a stage was run with that differs between two lock files: parameters, files, the command; not outputs."""
    if old is None or new is None:
        return [] if old is new else ["a new stage" if old is None else "no longer run"]
    changed = []
    params, deps = ([_params(lock) for lock in (old, new)], [_hashes(lock, "deps") for lock in (old, new)])
    for one, other in (params, deps):
        changed += sorted(key for key in {**one, **other} if one.get(key) != other.get(key))
    return changed + (["command"] if old.get("cmd") != new.get("cmd") else [])


def has_other_outputs(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> bool:
    """Whether a stage gave other outputs in two lock files, although all that it was run with is the same."""
    if old is None or new is None or differences(old, new):
        return False
    before, after = _hashes(old, "outs"), _hashes(new, "outs")
    return any(before[path] != after[path] for path in before.keys() & after.keys())


def is_only_machine(old: Stages, new: Stages) -> bool:
    """Whether all that differs between two lock files comes from stages of which `has_other_outputs` holds."""
    outputs = {path for lock in new.values() for path in _hashes(lock, "outs")}
    names = old.keys() | new.keys()
    changed = {item for name in names for item in differences(old.get(name), new.get(name))}
    return changed <= outputs and any(has_other_outputs(old.get(name), new.get(name)) for name in names)


def check_evaluated(name: str, stages: Stages, remedy: str) -> None:
    """Raises `DataError` where evaluate ran on other models than those that train gave, as an experiment leaves it that
    ends with train: the scores and predictions beside such a lock file are of a run before.

    `name` says whose lock file it is, `remedy` what to do. One that says nothing of either stage passes.
    """
    train, evaluate = stages.get("train", {}), stages.get("evaluate", {})
    given, tested = (_hashes(lock, kind).get(MODELS.as_posix()) for lock, kind in ((train, "outs"), (evaluate, "deps")))
    if given is None or tested is None or given == tested:
        return
    if _params(train).get("split.test_folds") == []:  # then a run of evaluate gives no predictions either
        remedy = "none can be made of models of all recordings (split.test_folds is []); set test folds"
    raise DataError(f"{name}: evaluate has not run on its models, so there are no predictions of them; {remedy}")


def explain_other_machine(names: Iterable[str], all_else_is_equal: bool) -> str:
    """The sentence for stages of which `has_other_outputs` holds; `names` are as they are to be shown."""
    return (
        f"{', '.join(names)} gave other outputs from the same parameters, code and data. Another processor or other "
        "versions of libraries made that difference, which dvc.lock does not record; "
        + (
            "nothing else differs, so no difference below comes from a change of this repository."
            if all_else_is_equal
            else "part of what differs below comes from that. Run both on one machine to tell."
        )
    )


def _params(lock: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a stage in a lock file, by name as the report has it: sections or single keys, as listed."""
    return {
        f"{section}.{key}" if isinstance(values, dict) else section: value
        for sections in lock.get("params", {}).values()
        for section, values in sections.items()
        for key, value in (values.items() if isinstance(values, dict) else [("", values)])
    }


def _hashes(lock: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The hash of each dep or output of a stage in a lock file, by path."""
    return {entry["path"]: entry.get(entry.get("hash", "md5")) for entry in lock.get(kind, [])}
