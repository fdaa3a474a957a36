"""Published results of the same protocol as a run, from a small table with their sources."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from stages.lib.core.errors import DataError
from stages.lib.core.files import read_yaml
from stages.lib.core.validation import describe_errors


class Published(pydantic.BaseModel, extra="forbid", strict=True):
    """One result: an accuracy of clips, mean over all folds, and whether it was chosen by the test fold."""

    name: str
    accuracy: Annotated[float, Field(ge=0, le=1)]
    pretrained: bool
    weights: Literal["last", "best"] | None
    source: str


class Protocol(pydantic.BaseModel, extra="forbid", strict=True):
    """What the results of one list have in common: a dataset with its official folds."""

    dataset: str
    title: str
    n_clips: int
    n_classes: int
    folds: list[int]
    results: list[Published]


def read_published(path: Path) -> list[Protocol]:
    """Read the table. Raises `DataError` where it cannot be read or has another form."""
    tree = read_yaml(path, error=DataError, advice="restore it from Git")
    try:
        return pydantic.TypeAdapter(list[Protocol]).validate_python(tree)
    except pydantic.ValidationError as error:
        problems = describe_errors(error, see="data/published.yaml of the repository")
        raise DataError(f"{path}: {problems}; correct the table") from None


def find_protocol(protocols: Sequence[Protocol], dataset: str, n_classes: int) -> Protocol | None:
    """The protocol of a dataset, identified by its name and classes (ESC-10 is ten classes of ESC-50), or None."""
    return next((p for p in protocols if (p.dataset, p.n_classes) == (dataset, n_classes)), None)


def differences(protocol: Protocol, tested: list[int], n_clips: int, validation: bool) -> list[str]:
    """In which ways a run differs from the protocol; none where it may be compared with the published results.

    `tested` are the folds tested, `n_clips` the clips of all folds, `validation` whether a fold was kept from training.
    """
    found = []
    if sorted(tested) != protocol.folds:
        found.append(f"tests {len(tested)} of {len(protocol.folds)} folds")
    if n_clips != protocol.n_clips:
        found.append(f"has {n_clips:,} of {protocol.n_clips:,} clips")
    if validation:
        found.append("trains on one fold less, which it keeps for validation")
    return found
