"""Which library Keras computes with, in processes of their own, since one process starts one."""

import subprocess
import sys

import pytest

from helpers.repository import ROOT

PROGRAM = """
import os, sys

class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            os.write(2, b"a line of a library\\n")
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTensorFlow())
from stages.lib.core.errors import run
from stages.lib.model.backend import start_backend
run(lambda: start_backend("tensorflow"))
"""


def test_a_library_that_is_not_installed_is_named_after_what_was_said_while_loading():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said, message = done.stderr.splitlines()[-2:]
    assert said == "a line of a library"
    assert (
        "tensorflow is not installed; install it, since Keras is to compute with tensorflow (train.backend;" in message
    )


@pytest.mark.parametrize("n_devices", [1, 2])
def test_batches_are_shared_among_gpus_where_there_are_several(monkeypatch, n_devices):
    from stages.lib.model.backend import all_devices, start_backend

    start_backend("tensorflow")
    import tensorflow

    class Strategy:
        scope = staticmethod(lambda: "scope of all")

    monkeypatch.setattr(tensorflow.config, "list_logical_devices", lambda kind: ["device"] * n_devices)
    monkeypatch.setattr(tensorflow.distribute, "MirroredStrategy", Strategy)
    assert (all_devices() == "scope of all") == (n_devices > 1)
