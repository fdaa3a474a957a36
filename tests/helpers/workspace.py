"""Copies of the repository in which DVC runs the pipeline, for the tests that need real runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
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

    def __init__(self, root: Path, source: Path | None = None) -> None:
        """The workspace that is at `root`; `source` is its folder of recordings."""
        self.root = root
        self.source = source

    @classmethod
    def create(cls, root: Path) -> "Workspace":
        """Copy the repository as it is here, with changes that are not committed."""
        workspace = cls(root)
        files = workspace.run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
        for name in filter(None, files.split("\0")):
            if (ROOT / name).is_file():  # not one that was deleted and is still in the index
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        workspace.run("git", "init", "--quiet")
        workspace.commit()
        return workspace

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

    def own_source(self, folder):
        """Give the workspace recordings that no other has, for a test that changes them; only fetch runs again."""
        self.source = shutil.copytree(self.source, folder)
        self.set_params(fetch={"source": str(folder)})
        assert self.repro() == ["fetch"]
        self.commit()

    def edit(self, name, old, new):
        path = self.root / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))


class Clone(Workspace):
    """A clone of another workspace, as a colleague has it: what is in Git, no data and no cache."""

    def __init__(self, origin: Workspace, root: Path) -> None:
        super().__init__(root, origin.source)
        self.run("git", "clone", "--quiet", str(origin.root), str(root), cwd=origin.root)


class CloneWithData(Clone):
    """A clone with a copy of the other's cache, and the data of it checked out."""

    def __init__(self, origin: Workspace, root: Path) -> None:
        super().__init__(origin, root)
        shutil.copytree(origin.root / ".dvc/cache", root / ".dvc/cache")
        self.run("dvc", "checkout")


def run_small(folder: Path, small_params: dict) -> None:
    """Make `workspace` in a folder, on the tones in `recordings` next to it, run it once and commit."""
    source = folder / "recordings"
    for i, (name, frequency) in enumerate(TONES_HZ.items()):
        for j in range(9):
            write_tone(source / name / f"{j}.wav", frequency, 0.3 + 0.1 * j, seed=10 * i + j)
    workspace = Workspace.create(folder / "workspace")
    fetch = {"dataset": "folder", "source": str(source), "n_folds": 3}
    workspace.set_params(
        **{key: small_params[key] for key in ("featurize", "split", "segment", "augment", "train", "evaluate")}
    )
    workspace.set_params(
        fetch=fetch,
        train={"epochs": 2, "weights": "data/weights/none.yaml"},
        validate={"max_rejected_share": 0.5},
        evaluate={"unknown": "data/unknown", "backgrounds": "data/backgrounds"},
    )
    assert workspace.repro() == ALL
    workspace.commit()
