"""Progress on anything that takes over a few seconds."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(
    iterable: Iterable[T] | None = None, *, total: int | None, desc: str, unit: str, initial: int = 0
) -> "tqdm[T]":
    """Show a bar on standard error while iterating, or while its `update` is called; `initial` steps are done already.

    In place on a terminal; elsewhere, as in the log of CI, a line every ten seconds.
    """
    if sys.stderr.isatty():
        return tqdm(iterable, total=total, desc=desc, unit=f" {unit}", initial=initial, dynamic_ncols=True)
    line = "{desc}: {n_fmt} of {total_fmt}, {elapsed} elapsed, {remaining} left, {rate_fmt}{postfix}\n"
    return tqdm(iterable, total=total, desc=desc, unit=f" {unit}", initial=initial, bar_format=line, mininterval=10)
