import os

import pytest

from stages.lib.errors import EarError
from stages.lib.parallel import n_workers, parallel_map


def process_of(task):
    return task, os.getpid()


def fail_on_two(task):
    if task == 2:
        raise EarError("task 2: is bad")
    return task


def test_results_come_in_the_order_of_the_tasks_from_other_processes(monkeypatch):
    monkeypatch.setenv("EAR_WORKERS", "2")
    results = list(parallel_map(process_of, range(20)))
    assert [task for task, _ in results] == list(range(20))
    assert os.getpid() not in {process for _, process in results}


def test_one_worker_starts_no_process(monkeypatch):
    monkeypatch.setenv("EAR_WORKERS", "1")
    assert {process for _, process in parallel_map(process_of, range(3))} == {os.getpid()}


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
