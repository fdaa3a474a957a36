"""Parameters: one section of params.yaml is one frozen dataclass, so that a stage cannot read what it does not declare.

Each section's class stands beside the code that uses it, marked with `@section("name")`; this module changes rarely,
since every stage depends on it.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from stages.lib.core.errors import ParamsError

T = TypeVar("T")


def section(name: str) -> Callable[[type[T]], type[T]]:
    """Make a class with annotated fields the frozen, strictly typed dataclass of the section `name`.

    Strict: no text for a number, no number for a flag, no key that is not declared. Limits are written into the
    annotation, `Annotated[int, Field(ge=1)]`; what concerns several keys is checked in `__post_init__`.
    """
    config = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    def decorate(cls: type[T]) -> type[T]:
        cls.section = name
        return pydantic.dataclasses.dataclass(frozen=True, config=config)(cls)

    return decorate


def load_params(path: Path, cls: type[T]) -> T:
    """Read the section of `cls` from the YAML file at `path`.

    Raises `ParamsError` that names each key that is missing, unknown or wrong, what was expected and what was found.
    """
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise ParamsError(f"{path}: {error.strerror}; run from the root of the repository") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    values = tree.get(cls.section) if isinstance(tree, dict) else None
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: expected a section '{cls.section}' with keys below it, found {values!r}")
    try:
        return cls(**{str(key): value for key, value in values.items()})
    except pydantic.ValidationError as error:
        faults = [_describe(cls.section, fault) for fault in error.errors(include_url=False)]
        raise ParamsError(f"{path}: {'; '.join(faults)}") from None


class _Loader(yaml.SafeLoader):
    """Reads 1e-06 as a number, as YAML 1.2 and DVC do: `dvc exp run -S` writes small numbers so. PyYAML reads text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _describe(section_name: str, fault: dict[str, Any]) -> str:
    key = ".".join([section_name, *(str(part) for part in fault["loc"] if not isinstance(part, int))])
    if fault["type"] in ("missing", "missing_argument"):
        return f"{key} is missing"
    if fault["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{key} is not a known key; see the comments in the params.yaml of the repository"
    if fault["type"] == "value_error":  # from a __post_init__, which names the keys itself
        return str(fault["ctx"]["error"])
    expected = fault["msg"].replace("Input should be", "expected").replace("a valid integer", "a whole number")
    expected = expected.replace("a valid ", "a ").replace("expected greater", "expected a value greater")
    expected = expected.replace("expected less", "expected a value less")
    hint = "; write it without quotes" if _is_number(fault["input"]) else ""
    return f"{key}: {expected}, found {fault['input']!r}{hint}"


def _is_number(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True
