"""The stages on JAX, in a process of their own where TensorFlow cannot be imported."""

import hashlib
import os
import re
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import yaml

from helpers.repository import ROOT
from helpers.tones import write_params
from stages.lib.core.files import read_json
from stages.lib.model.archive import load_model
from stages.lib.model.backend import start_backend
from stages.train.weights import write_layers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed"),
]

STAGES = """
import sys
from pathlib import Path

class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTensorFlow())
from stages.evaluate import __main__ as evaluate
from stages.scale import __main__ as scale
from stages.train import __main__ as train
from stages.lib.model.backend import start_backend

params, features, out, kill_after = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
common = [f"--params={params}", f"--features={features}"]
scale.main([*common, f"--scaler={out / 'scaler'}"])
start_backend("jax")
import jax
print("devices:", jax.device_count())
from stages.train.checkpoint import Checkpoint
written = Checkpoint.on_epoch_end

def kill(self, epoch, logs):
    written(self, epoch, logs)
    if epoch == kill_after:
        sys.exit("killed")

Checkpoint.on_epoch_end = kill
train.main([*common, f"--raw={out}",
            f"--scaler={out / 'scaler'}", f"--models={out / 'models'}", f"--plots={out / 'plots'}",
            f"--metrics={out / 'train.json'}", f"--checkpoints={out / 'checkpoints'}"])
(out / "dataset.json").write_text("{}")
(out / "rejected.csv").write_text("clip,reasons\\n")
evaluate.main([*common, f"--models={out / 'models'}", f"--raw={out}", f"--training={out / 'plots'}",
               f"--rejected={out / 'rejected.csv'}",
               "--published=data/published.yaml", f"--segments={out / 'segments'}",
               f"--metrics={out / 'metrics.json'}", f"--plots={out / 'evaluate'}"])
"""


@pytest.fixture(scope="module")
def run_on_jax(tone_features, small_params):
    params = small_params | {"train": small_params["train"] | {"backend": "jax", "epochs": 8, "learning_rate": 0.005}}

    def run(out, *, kill_after=-1, train=None, **environment):
        path = write_params(out / "params.yaml", params | {"train": params["train"] | (train or {})})
        command = [sys.executable, "-c", STAGES, str(path), str(tone_features), str(out), str(kill_after)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def learned(run_on_jax, tmp_path_factory):
    out = tmp_path_factory.mktemp("jax")
    done = run_on_jax(out)
    assert done.returncode == 0, done.stderr
    return out


def test_tones_are_learned_without_tensorflow(learned):
    assert read_json(learned / "metrics.json")["accuracy"] >= 0.9


def test_a_training_that_was_killed_goes_on_with_the_same_bytes(learned, run_on_jax, tmp_path):
    killed = run_on_jax(tmp_path, kill_after=4)
    assert "killed" in killed.stderr
    assert not (tmp_path / "models").exists()
    done = run_on_jax(tmp_path, kill_after=4)  # epoch 4 is done, so it does not come again
    assert done.returncode == 0, done.stderr
    for name in ("models/fold_3.keras", "plots/loss.csv"):
        assert (tmp_path / name).read_bytes() == (learned / name).read_bytes()


def test_a_batch_is_shared_among_devices(run_on_jax, tmp_path):
    done = run_on_jax(tmp_path, XLA_FLAGS="--xla_force_host_platform_device_count=2")
    assert done.returncode == 0, done.stderr
    assert "devices: 2" in done.stdout
    assert read_json(tmp_path / "metrics.json")["accuracy"] >= 0.9


def test_yamnet_begins_with_its_weights_and_changes_them_slowly_without_tensorflow(run_on_jax, tmp_path):
    start_backend("tensorflow")  # in this process, to read what the other writes
    from stages.train.networks import YAMNET_BLOCKS

    rng, layers, n_before = np.random.default_rng(0), [], 1
    for filters, _ in [(32, 2), *YAMNET_BLOCKS]:
        if layers:
            layers.append([rng.normal(0, np.sqrt(2 / 9), (3, 3, n_before, 1)), np.zeros(n_before)])
        size = 1 if layers else 3
        layers.append([rng.normal(0, np.sqrt(2 / n_before), (size, size, n_before, filters)), np.zeros(filters)])
        n_before = filters
    layers = [[array.astype(np.float32) for array in layer] for layer in layers]
    write_layers(tmp_path / "yamnet.npz", layers)
    about = yaml.safe_load((ROOT / "data/weights/yamnet.yaml").read_text()) | {
        "address": str(tmp_path / "yamnet.npz"),
        "sha256": hashlib.sha256((tmp_path / "yamnet.npz").read_bytes()).hexdigest(),
        "first_layer": 0,
        "front_end": {"n_mels": 16},
    }
    (tmp_path / "yamnet.yaml").write_text(yaml.safe_dump(about))
    changes = {"model": "yamnet", "weights": str(tmp_path / "yamnet.yaml"), "pretrained_rate": 0.1, "epochs": 1}
    done = run_on_jax(tmp_path, train=changes, EAR_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    n_steps = int(re.search(r" of (\d+), .*epoch=1/1", done.stderr)[1])
    found = load_model(tmp_path / "models/fold_3.keras").get_layer("body").get_weights()
    for array, before in zip(found, [array for layer in layers for array in layer], strict=True):
        assert np.abs(array - before).max() < 3 * n_steps * 0.1 * 0.005  # a step of Adam may be a little over its rate
    assert np.abs(found[0] - layers[0][0]).max() > 0
