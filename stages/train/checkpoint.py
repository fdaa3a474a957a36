"""Work in progress of a training, so that one that was killed goes on where it was.

It lies in a folder of its own outside every output, since DVC deletes outputs before a stage runs. What belongs
together is found again by a digest of all that decides the result.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import filelock
import keras
import numpy as np

from stages.lib.core.errors import ModelError
from stages.lib.core.files import atomic_write


def digest(facts: Any, files: Sequence[Path]) -> str:
    """A name for one training, of 16 hexadecimal digits.

    It stands for `facts` (anything that JSON can hold), the bytes of `files`, the code of this project that is imported
    by now, and the versions of Keras and what it computes with.
    """
    code = sorted(
        Path(module.__file__)
        for name, module in sys.modules.items()
        if name.split(".")[0] == "stages" and module.__file__
    )
    parts = {
        "facts": facts,
        "files": [_hash(path) for path in files],
        "versions": [keras.__version__, np.__version__, sys.modules[keras.backend.backend()].__version__],
        "code": [_hash(path) for path in code],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@cache  # a fold is read by the models of all other folds
def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make `folder` and keep other processes out of it; waits, and says so, where one is at work in it.

    The wait is short: a stage that outlives the `dvc` that started it ends by itself (see `Orphaned`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / "lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        print(f"train: another process is training the same model, see {folder}; waiting for its end", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


class Checkpoint(keras.callbacks.Callback):
    """Writes all that a training needs to go on to one file after every epoch.

    That is `variables` - of the model, states of its random generators included, and of the optimizer - and
    `history`, the scores of the epochs so far. `watchers` are the callbacks with a memory: they are shown the epochs
    that they missed. Must be the last of the callbacks.
    """

    def __init__(self, path: Path, variables: list[keras.Variable], watchers: list[keras.callbacks.Callback]) -> None:
        """Read the file, where there is one, into the variables and `history`."""
        super().__init__()
        self._path, self._variables, self._watchers = path, variables, watchers
        self.history: list[dict[str, float]] = []
        self.finished = False
        if path.is_file():
            with np.load(path) as arrays:
                progress = json.loads(str(arrays["progress"]))
                for i, variable in enumerate(variables):
                    variable.assign(arrays[str(i)])
            self.history, self.finished = progress["history"], progress["finished"]

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Show the watchers what was before."""
        for epoch, scores in enumerate(self.history):
            for watcher in self._watchers:
                watcher.on_epoch_end(epoch, dict(scores))

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Write."""
        self.history.append({name: float(value) for name, value in logs.items()})
        self.finished = self.model.stop_training or epoch + 1 == self.params["epochs"]
        progress = json.dumps({"history": self.history, "finished": self.finished})
        arrays = {str(i): keras.ops.convert_to_numpy(variable) for i, variable in enumerate(self._variables)}
        with atomic_write(self._path) as tmp_path, tmp_path.open("wb") as file:
            np.savez(file, progress=progress, **arrays)


class Orphaned(keras.callbacks.Callback):
    """Ends the process when the `dvc` that started it is gone: killing `dvc` alone leaves its stage running, and the
    next `dvc repro` starts a second one, which goes on from the last epoch of this one."""

    def __init__(self) -> None:
        """Remember the parent."""
        super().__init__()
        self._parent = os.getppid()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Look whether the parent is still the same."""
        if "DVC_STAGE" in os.environ and os.getppid() != self._parent:
            raise ModelError("train: the dvc that started this has ended; run 'dvc repro', which goes on from here")
