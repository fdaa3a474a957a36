import threading

import pytest

from stages.lib.errors import EarError
from stages.lib.parallel import n_workers, parallel_map

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
