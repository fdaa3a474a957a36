"""One way to spread work over processes: `EAR_WORKERS` of them, by default one a core."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import joblib

from stages.lib.errors import EarError

T = TypeVar("T")
R = TypeVar("R")


def n_workers() -> int:
    """The number of worker processes: `EAR_WORKERS`, or the number of cores this process may use."""
    text = os.environ.get("EAR_WORKERS", "")
    if not text:
        return joblib.cpu_count()
    if not text.isdecimal() or int(text) < 1:
        raise EarError(f"EAR_WORKERS: expected a whole number of at least 1, found {text!r}")
    return int(text)


def parallel_map(function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
    """Yield `function(task)` for each task, in their order, as they become ready.

    `function` is a module-level function and its results are small: large ones go into files that the workers write,
    since a pickled array costs more than the work that made it. With one worker no process is started.
    """
    workers = min(n_workers(), len(tasks))
    if workers <= 1:
        yield from map(function, tasks)
        return
    calls = (joblib.delayed(function)(task) for task in tasks)
    yield from joblib.Parallel(n_jobs=workers, return_as="generator", batch_size=1)(calls)
