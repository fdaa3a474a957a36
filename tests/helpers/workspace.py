"""Copies of the repository in which DVC runs the pipeline, for the tests that need real runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from helpers.repository import GIT_IDENTITY, ROOT
from helpers.tones import TONES_HZ

ALL = ["fetch", "validate", "featurize", "scale", "train", "evaluate"]


def write_tone(path, frequency, duration_s, seed):
    sr = 8000
    t = np.arange(round(duration_s * sr)) / sr
    noise = 0.01 * np.random.default_rng(seed).standard_normal(len(t))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * frequency * t) + noise, sr)


class Workspace:
    """A copy of the repository with its own Git history and DVC cache."""

    def __init__(self, root: Path) -> None:
        self.root = root
        files = self.run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
        for name in filter(None, files.split("\0")):
            if (ROOT / name).is_file():  # not one that was deleted and is still in the index
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        self.run("git", "init", "--quiet")
        self.commit()

    def run(self, *command, cwd=None, check=True):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | GIT_IDENTITY | {"PATH": path, "DVC_NO_ANALYTICS": "1", "COLUMNS": "200"}
        done = subprocess.run(
            command, cwd=cwd or self.root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert not check or done.returncode == 0, done.stdout
        return done.stdout

    def start(self, *command):
        """Start a command without waiting for it."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
        return subprocess.Popen(
            command, cwd=self.root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def commit(self):
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", "state")

    def repro(self, *options):
        """Run the pipeline; returns the stages that ran."""
        return re.findall(r"Running stage '(\w+)'", self.run("dvc", "repro", *options))

    def set_params(self, **sections):
        path = self.root / "params.yaml"
        params = yaml.safe_load(path.read_text())
        for section, values in sections.items():
            params[section] |= values
        path.write_text(yaml.safe_dump(params))

    def edit(self, name, old, new):
        path = self.root / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))


class Clone(Workspace):
    """A clone of another workspace, as a colleague has it: what is in Git, no data and no cache."""

    def __init__(self, origin: Workspace, root: Path) -> None:
        self.root = root
        self.run("git", "clone", "--quiet", str(origin.root), str(root), cwd=origin.root)
        self.source = origin.source


def run_small(tmp_path_factory: pytest.TempPathFactory, small_params: dict) -> Workspace:
    """A workspace on a folder of tones, run once and committed."""
    source = tmp_path_factory.mktemp("recordings")
    for i, (name, frequency) in enumerate(TONES_HZ.items()):
        for j in range(9):
            write_tone(source / name / f"{j}.wav", frequency, 0.3 + 0.1 * j, seed=10 * i + j)
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    workspace.source = source
    fetch = {"dataset": "folder", "source": str(source), "n_folds": 3}
    workspace.set_params(
        **{key: small_params[key] for key in ("featurize", "split", "segment", "augment", "train", "evaluate")}
    )
    workspace.set_params(fetch=fetch, train={"epochs": 2}, validate={"max_rejected_share": 0.5})
    assert workspace.repro() == ALL
    workspace.commit()
    return workspace
