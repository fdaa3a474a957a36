"""Parameters: one section of params.yaml is one frozen dataclass, so that a stage cannot read what it does not declare.

Each section's class stands beside the code that uses it, marked with `@section("name")`; this module changes rarely,
since every stage depends on it.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pydantic
import yaml

from stages.lib.core.errors import ParamsError
from stages.lib.core.validation import describe_errors

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
        problems = describe_errors(error, within=cls.section, see="the comments in the params.yaml of the repository")
        raise ParamsError(f"{path}: {problems}") from None


class _Loader(yaml.SafeLoader):
    """Reads 1e-06 as a number, as YAML 1.2 and DVC do: `dvc exp run -S` writes small numbers so. PyYAML reads text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
