"""One way to spread work over the cores: `EAR_WORKERS` threads, by default one a core.

Threads, since decoding, resampling, FFT and array arithmetic let others run while they work: two are 1.8 times as fast
as one, and a process would take longer to start and import its libraries than most runs take to compute.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import joblib

from stages.lib.errors import EarError

T = TypeVar("T")
R = TypeVar("R")


def n_workers() -> int:
    """The number of worker threads: `EAR_WORKERS`, or the number of cores this process may use."""
    text = os.environ.get("EAR_WORKERS", "")
    if not text:
        return joblib.cpu_count()
    if not text.isdecimal() or int(text) < 1:
        raise EarError(f"EAR_WORKERS: expected a whole number of at least 1, found {text!r}")
    return int(text)


def parallel_map(function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
    """Yield `function(task)` for each task, in their order, as they become ready.

    `function` is a module-level function with small results; large ones go into files that it writes, so that the
    memory needed does not grow with the number of tasks.
    """
    calls = (joblib.delayed(function)(task) for task in tasks)
    yield from joblib.Parallel(n_jobs=n_workers(), backend="threading", return_as="generator")(calls)
