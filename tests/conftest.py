"""What several tests share: parameters, a small dataset of tones, and the stages run on it."""

import os
import shutil
import sys
from collections.abc import Generator
from pathlib import Path

import stages  # noqa: F401 - before NumPy, whose functions it chooses

# isort: split

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from filelock import FileLock

from helpers.repository import ROOT
from helpers.tiny_network import TINY, register_tiny_network
from helpers.tones import TONES_HZ, run_featurize
from stages.lib.core.files import write_json


@pytest.hookimpl(wrapper=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> Generator[None, int, int]:
    """Test folders with one worker per processor, named files in one process: each worker imports TensorFlow anew."""
    found = yield
    return min(found, 4) if all(Path(name).is_dir() for name in config.args) else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"slow", "weekly"} <= {marker.name for marker in item.iter_markers()}:
            raise pytest.UsageError(f"{item.nodeid} is marked slow and weekly, so both would run it; take one away")


@pytest.fixture(scope="session", autouse=True)
def _quiet_tensorflow():
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


@pytest.fixture(autouse=True)
def _full_precision():
    """Undo what a training in half precision sets for the whole process, which the next test may share."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_dtype_policy("float32")


@pytest.fixture
def real_data() -> Path:
    """The folder of real recordings, where this machine has one."""
    folder = os.environ.get("EAR_REAL_DATA")
    if not folder:
        pytest.skip("EAR_REAL_DATA is not set; it names a folder with ESC-10/ and UrbanSound8K-mini.tar.gz")
    return Path(folder)


@pytest.fixture(scope="session")
def params() -> dict:
    """The content of params.yaml, to change and write elsewhere."""
    return yaml.safe_load((ROOT / "params.yaml").read_text())


@pytest.fixture(scope="session")
def small_params(params) -> dict:
    """Parameters for a run of seconds: few bands, short segments, one epoch."""
    changed = yaml.safe_load(yaml.safe_dump(params))
    changed["featurize"] |= {
        "sr": 8000,
        "win_length": 256,
        "n_fft": 256,
        "hop_length": 128,
        "n_mels": 16,
        "fmax": 4000.0,
    }
    changed["split"]["test_folds"] = [3]
    changed["segment"] |= {"duration_s": 0.5, "overlap_s": 0.25}
    changed["train"] |= {"epochs": 1, "batch_size": 8, "weights": str(ROOT / "data/weights/none.yaml")}
    changed["events"] |= {"n_soundscapes": 0, "epochs": 1}
    changed["evaluate"] |= {
        "n_bootstrap": 100,
        "n_soundscapes": 0,
        "soundscape_s": 6.0,
        "backgrounds": str(ROOT / "data/backgrounds"),
        "unknown": str(ROOT / "data/unknown"),  # from any working directory
    }
    return changed


@pytest.fixture(scope="session")
def quick_params(small_params) -> dict:
    """The same with a network of one convolution, where what is tested is around the network."""
    register_tiny_network()
    return small_params | {"train": small_params["train"] | {"model": TINY}}


@pytest.fixture(scope="session")
def tones(tmp_path_factory) -> Path:
    """A folder as fetch and validate leave it: tones of three classes in three folds, noisy, of several lengths."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    rows = []
    for fold in (1, 2, 3):
        for name, frequency in TONES_HZ.items():
            for i in range(4):
                sr, duration_s = 8000, (0.3, 0.5, 0.8, 1.1)[i]
                t = np.arange(round(duration_s * sr)) / sr
                y = 0.3 * np.sin(2 * np.pi * frequency * t) + 0.01 * rng.standard_normal(len(t))
                clip = f"fold{fold}/{name}-{i}.wav"
                path = folder / "raw" / "audio" / clip
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, y, sr)
                rows.append(
                    {
                        "clip": clip,
                        "class": name,
                        "fold": fold,
                        "source": f"{name}-{fold}-{i // 2}",
                        "salience": "",
                        "duration_s": duration_s,
                        "sample_rate_hz": sr,
                        "n_samples": len(t),
                    }
                )
    pd.DataFrame(rows).to_csv(folder / "accepted.csv", index=False)
    dataset = {"name": "tones", "title": "Tones (synthetic)", "synthetic": True, "licence": "none", "citation": "none"}
    write_json(folder / "raw" / "dataset.json", dataset | {"classes": list(TONES_HZ), "folds": [1, 2, 3]})
    return folder


@pytest.fixture(scope="session")
def tone_features(tones, small_params, tmp_path_factory) -> Path:
    """Features of the tones with the small parameters."""
    return run_featurize(tones, tmp_path_factory.mktemp("features"), small_params)


@pytest.fixture(scope="session")
def finished(small_params, tmp_path_factory):
    """A workspace on a folder of tones in which the pipeline ran once, to clone and never to change.

    Workers share it: the first that wants it makes it, the others wait.
    """
    from helpers.workspace import Workspace, run_small

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of the run; that of a worker lies in it
    root, done = folder / "finished", folder / "finished.done"
    with FileLock(folder / "finished.lock"):
        if not done.exists():
            shutil.rmtree(root, ignore_errors=True)  # where a worker failed halfway
            run_small(root, small_params)
            done.touch()
    return Workspace(root / "workspace", root / "recordings")
