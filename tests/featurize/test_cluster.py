"""Featurize on a Dask cluster: a scheduler and two worker processes on this machine, one of which dies half way."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from helpers.repository import ROOT
from helpers.tones import write_params

pytestmark = pytest.mark.slow
pytest.importorskip("distributed", reason="the extra `distributed` is not installed")

WAIT_S = 300


def wait_until(condition, what):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {WAIT_S} s"
        time.sleep(0.01)


@pytest.fixture
def work(tones, small_params, tmp_path):
    """Some seconds of work: the tones many times over, with variants; returns the options of the stage but the outs."""
    accepted = pd.read_csv(tones / "accepted.csv")
    pd.concat([accepted] * 15).to_csv(tmp_path / "accepted.csv", index=False)
    params = small_params | {"featurize": small_params["featurize"] | {"stretch": [0.8, 1.2], "pitch": [-2.0, 2.0]}}
    return [f"--params={write_params(tmp_path / 'params.yaml', params)}", f"--raw={tones / 'raw'}",
            f"--accepted={tmp_path / 'accepted.csv'}"]  # fmt: skip


@pytest.fixture
def start(tmp_path):
    """Starts programs that are stopped when the test ends; what they print is in files of the temporary folder."""
    running = []

    def _start(name, *command, **environment):
        with (tmp_path / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, env=os.environ | environment, stdout=log, stderr=log
            )
        running.append(process)
        return process

    yield _start
    for process in running:
        process.kill()
        process.wait()


def stage(work, out):
    return ["stages.featurize", *work, f"--features={out / 'features'}", f"--plots={out / 'plots'}"]


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_cluster_that_loses_a_worker_half_way_writes_the_same_bytes(work, start, tmp_path):
    assert start("local", *stage(work, tmp_path / "local")).wait(WAIT_S) == 0

    address_file = tmp_path / "scheduler.json"
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    start("scheduler", "distributed.cli.dask_scheduler", "--port", "0", *here, "--scheduler-file", str(address_file))
    wait_until(lambda: address_file.exists() and address_file.read_text().endswith("}"), "the start of the scheduler")
    address = json.loads(address_file.read_text())["address"]
    workers = [
        start(f"worker{i}", "distributed.cli.dask_worker", address, *here, "--nthreads", "1", "--no-nanny",
              "--local-directory", str(tmp_path))
        for i in range(2)
    ]  # fmt: skip
    logs = [tmp_path / f"worker{i}.log" for i in range(2)]
    wait_until(lambda: all("Registered to" in log.read_text() for log in logs), "registering of the workers")

    run = start("cluster", *stage(work, tmp_path / "cluster"), EAR_SCHEDULER=address)
    half = tmp_path / "cluster" / ".features.part" / "fold_2.npy"

    def is_half_done():
        return run.poll() is not None or (half.exists() and np.load(half, mmap_mode="r")[:100].any())

    wait_until(is_half_done, "the first half")
    assert run.poll() is None
    workers[0].send_signal(signal.SIGKILL)
    assert run.wait(WAIT_S) == 0, (tmp_path / "cluster.log").read_text()
    assert workers[1].poll() is None
    assert content(tmp_path / "cluster") == content(tmp_path / "local")
    assert re.search("Remov(e|ing) worker", (tmp_path / "scheduler.log").read_text())
