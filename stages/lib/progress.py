"""Progress on anything that takes over a few seconds."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(iterable: Iterable[T], *, total: int, desc: str, unit: str) -> "tqdm[T]":
    """Iterate with a bar on standard error: in place on a terminal, a line every ten seconds elsewhere (a CI log)."""
    on_terminal = sys.stderr.isatty()
    return tqdm(
        iterable,
        total=total,
        desc=desc,
        unit=f" {unit}",
        mininterval=0.1 if on_terminal else 10.0,
        ascii=None if on_terminal else True,
        dynamic_ncols=on_terminal,
    )
