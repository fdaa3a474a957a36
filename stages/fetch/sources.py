"""Which dataset to fetch (the section `fetch` of params.yaml), and what is known about it (a file of data/sources/)."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import Field

from stages.fetch.archives import Limits
from stages.lib.core.errors import SourceError
from stages.lib.core.files import read_yaml
from stages.lib.core.params import section
from stages.lib.core.validation import describe_errors


@section("fetch")
class FetchParams:
    """Which dataset, and where it comes from."""

    dataset: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    esc10: bool
    n_folds: Annotated[int, Field(ge=2)]
    source_from: Annotated[str, Field(min_length=1)]

    def __post_init__(self) -> None:
        """Refuse a choice that would have no effect, and a pattern that cannot be used."""
        if self.esc10 and self.dataset != "esc50":
            raise ValueError(f"fetch.esc10: true is for fetch.dataset esc50, found {self.dataset}; set it to false")
        if self.source_from != "file" and self.dataset != "folder":
            raise ValueError(
                f"fetch.source_from: {self.source_from} is for fetch.dataset folder, found {self.dataset}; set it to "
                "file"
            )
        if self.source_from in ("file", "folder"):
            return
        try:
            n_groups = re.compile(self.source_from).groups
        except re.error as error:
            raise ValueError(
                f"fetch.source_from: expected file, folder or a regular expression, found {self.source_from!r} "
                f"({error})"
            ) from None
        if n_groups != 1:
            raise ValueError(
                "fetch.source_from: expected file, folder or a regular expression with one group in parentheses, "
                f"found {self.source_from!r}"
            )


@pydantic.dataclasses.dataclass(frozen=True, config=pydantic.ConfigDict(extra="forbid", strict=True))
class Source:
    """What a file of data/sources/ says about a dataset.

    `layout` is one of `stages.fetch.layouts.LAYOUTS`, or folder. `classes` (in the order of their ids, from 0) and
    `folds` are what the dataset declares; where they are missing, those of its table count as declared. `address` is
    that of an archive, `md5` its digest, or null where its publisher guarantees none.
    """

    name: str
    title: str
    synthetic: bool
    layout: str
    licence: str | None = None
    citation: str | None = None
    address: str | None = None
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None
    size_bytes: int | None = None
    limits: Limits = Limits(max_bytes=200_000_000_000, max_files=2_000_000)
    classes: list[str] | None = None
    folds: list[int] | None = None
    render: dict[str, Any] | None = None


def read_source(path: Path) -> Source:
    """Read a file of data/sources/; raises `SourceError` that names each wrong key."""
    tree = read_yaml(path, error=SourceError, advice="set fetch.source to a file of data/sources/")
    if not isinstance(tree, dict):
        raise SourceError(f"{path}: expected keys such as name and layout, found {str(tree)[:40]!r}")
    try:
        return pydantic.TypeAdapter(Source).validate_json(json.dumps(tree, default=str))
    except pydantic.ValidationError as error:
        raise SourceError(f"{path}: {describe_errors(error, see='the files in data/sources/')}") from None
