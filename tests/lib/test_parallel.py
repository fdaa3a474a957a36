import sys
import threading

import pytest

from stages.lib.core import parallel
from stages.lib.core.errors import EarError
from stages.lib.core.parallel import n_workers, parallel_map

BOTH_AT_WORK = threading.Barrier(2)


def wait_for_another(task):
    BOTH_AT_WORK.wait(timeout=30)  # passes only where two tasks are at work at once
    return task


def fail_on_two(task):
    if task == 2:
        raise EarError("task 2: is bad")
    return task


def test_two_workers_work_at_once_and_results_come_in_the_order_of_the_tasks(monkeypatch):
    monkeypatch.setenv("EAR_WORKERS", "2")
    assert list(parallel_map(wait_for_another, range(20))) == list(range(20))


def test_one_worker_does_all(monkeypatch):
    monkeypatch.setenv("EAR_WORKERS", "1")
    names = parallel_map(lambda _: threading.current_thread().name, range(20))
    assert len(set(names)) == 1


def test_no_task_is_no_result():
    assert list(parallel_map(abs, [])) == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_error_of_a_worker_arrives_as_it_is(monkeypatch, workers):
    monkeypatch.setenv("EAR_WORKERS", workers)
    with pytest.raises(EarError, match=r"^task 2: is bad$"):
        list(parallel_map(fail_on_two, range(5)))


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_workers_is_named(monkeypatch, text):
    monkeypatch.setenv("EAR_WORKERS", text)
    with pytest.raises(EarError, match=r"EAR_WORKERS: expected a whole number of at least 1, found "):
        n_workers()


def test_an_empty_address_is_none(monkeypatch):
    monkeypatch.setenv("EAR_SCHEDULER", "")
    assert list(parallel_map(abs, [-1], anywhere=True)) == [1]


def test_work_that_must_stay_here_stays(monkeypatch):
    monkeypatch.setenv("EAR_SCHEDULER", "tcp://127.0.0.1:1")
    assert list(parallel_map(abs, [-1])) == [1]


def test_an_address_without_dask_is_named(monkeypatch):
    monkeypatch.setenv("EAR_SCHEDULER", "tcp://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(EarError, match="EAR_SCHEDULER is set, but Dask is not installed; pip install distributed"):
        list(parallel_map(abs, [-1], anywhere=True))


def start_cluster(monkeypatch, n_workers):
    """A Dask scheduler in this process, with its workers; `EAR_SCHEDULER` is set to it."""
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=n_workers, threads_per_worker=2, processes=False, dashboard_address=None
    )
    monkeypatch.setenv("EAR_SCHEDULER", cluster.scheduler_address)
    return cluster


def name_thread(task):
    return task, threading.current_thread().name


def test_a_cluster_does_the_work_in_the_order_of_the_tasks(monkeypatch):
    with start_cluster(monkeypatch, n_workers=1):
        done = list(parallel_map(name_thread, range(20), anywhere=True))
        with pytest.raises(EarError, match=r"^task 2: is bad$"):
            list(parallel_map(fail_on_two, range(5), anywhere=True))
    assert [task for task, _ in done] == list(range(20))
    assert all("Dask" in thread for _, thread in done)


def test_a_cluster_without_workers_is_named(monkeypatch):
    monkeypatch.setattr(parallel, "CONNECT_S", 0.5)
    with (
        start_cluster(monkeypatch, n_workers=0),
        pytest.raises(EarError, match=r"EAR_SCHEDULER: the scheduler at inproc://\S+ has no worker; start one"),
    ):
        list(parallel_map(abs, [-1], anywhere=True))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "somewhere:out"])
def test_a_scheduler_that_does_not_answer_is_named(monkeypatch, address):
    pytest.importorskip("distributed")
    monkeypatch.setenv("EAR_SCHEDULER", address)
    monkeypatch.setattr(parallel, "CONNECT_S", 1)
    with pytest.raises(EarError, match=f"EAR_SCHEDULER: no Dask scheduler answers at '{address}'; start it or correct"):
        list(parallel_map(abs, [-1], anywhere=True))
