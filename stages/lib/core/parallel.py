"""One way to spread work: over the cores of this machine, or over an existing Dask cluster.

`EAR_WORKERS` threads, by default one per core. Threads, since decoding, resampling, FFT and array arithmetic let others
run while they work: two are 1.8 times as fast as one, and a process would take longer to start and import its libraries
than most runs take to compute.

`EAR_SCHEDULER`, the address of a Dask scheduler such as tcp://host:8786, hands work that may leave this machine to its
workers instead, through joblib's Dask backend. Neither changes any result.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import joblib

from stages.lib.core.errors import EarError

T = TypeVar("T")
R = TypeVar("R")

CONNECT_S = 10  # seconds to wait for an answer of the scheduler, and for its first worker


def n_workers() -> int:
    """The number of worker threads: `EAR_WORKERS`, or the number of cores this process may use."""
    text = os.environ.get("EAR_WORKERS", "")
    if not text:
        return joblib.cpu_count()
    if not text.isdecimal() or int(text) < 1:
        raise EarError(f"EAR_WORKERS: expected a whole number of at least 1, found {text!r}")
    return int(text)


def parallel_map(function: Callable[[T], R], tasks: Iterable[T], *, anywhere: bool = False) -> Iterator[R]:
    """Yield `function(task)` for each task, in their order, as they become ready.

    Tasks are taken as they are needed. `function` has small results; large ones go into files that it writes, so that
    the memory needed does not grow with the number of tasks. With `anywhere` it may run on another machine, if
    `EAR_SCHEDULER` is set: then `function` and the tasks are pickled, name files by absolute paths on a file system
    that all machines share, and a task whose worker dies is run again, so it must do the same each time. Such tasks are
    plain lists: joblib puts arrays and tables of over 1 kB on one worker beforehand, and with it they would be lost.

    Raises what `function` raises, and `EarError` where the environment asks for what is not available.
    """
    address = os.environ.get("EAR_SCHEDULER", "") if anywhere else ""
    where: AbstractContextManager = _dask(address) if address else nullcontext({"backend": "threading"})
    with where as backend:
        n_jobs = -1 if address else n_workers()
        calls = (joblib.delayed(function)(task) for task in tasks)
        yield from joblib.Parallel(n_jobs=n_jobs, return_as="generator", **backend)(calls)


@contextmanager
def _dask(address: str) -> Iterator[dict]:
    """Connect to the scheduler at `address` for the block of a `with`; gives what makes joblib use it."""
    try:
        import distributed
    except ImportError:
        raise EarError(
            "EAR_SCHEDULER is set, but Dask is not installed; pip install distributed, or unset it"
        ) from None
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError):
        raise EarError(f"EAR_SCHEDULER: no Dask scheduler answers at {address!r}; start it or correct this") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError:
            raise EarError(f"EAR_SCHEDULER: the scheduler at {address} has no worker; start one") from None
        try:
            with joblib.parallel_config(backend="dask", client=client):
                yield {}
        except distributed.scheduler.KilledWorker as error:
            raise EarError(f"EAR_SCHEDULER: workers died over and over at the same task ({error})") from None
