"""Parameters: one section of params.yaml is one frozen dataclass, so that a stage cannot read what it does not declare.

Each section's class is defined next to the code that uses it, marked with `@section("name")`; this module changes
rarely, since every stage depends on it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, dataclass_transform

import pydantic

from stages.lib.core.errors import ParamsError
from stages.lib.core.files import read_yaml
from stages.lib.core.validation import describe_errors

T = TypeVar("T")


SECTIONS: dict[type, str] = {}  # by their classes


@dataclass_transform(frozen_default=True)
def section(name: str) -> Callable[[type[T]], type[T]]:
    """Make a class with annotated fields the frozen, strictly typed dataclass of the section `name`.

    Strict: no text for a number, no number for a flag, no key that is not declared. Limits are written into the
    annotation, `Annotated[int, Field(ge=1)]`; what concerns several keys is checked in `__post_init__`.
    """
    config = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    def decorate(cls: type[T]) -> type[T]:
        pydantic.dataclasses.dataclass(frozen=True, config=config)(cls)  # changes the class itself
        SECTIONS[cls] = name
        return cls

    return decorate


def load_params(path: Path, cls: type[T]) -> T:
    """Read the section of `cls` from the YAML file at `path`.

    Raises `ParamsError` that names each key that is missing, unknown or wrong, what was expected and what was found.
    """
    tree = read_yaml(path, error=ParamsError, advice="run from the root of the repository")
    name = SECTIONS[cls]
    values = tree.get(name) if isinstance(tree, dict) else None
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: expected a section '{name}' with keys below it, found {values!r}")
    try:
        return cls(**{str(key): value for key, value in values.items()})
    except pydantic.ValidationError as error:
        problems = describe_errors(error, within=name, see="the comments in the params.yaml of the repository")
        raise ParamsError(f"{path}: {problems}") from None
