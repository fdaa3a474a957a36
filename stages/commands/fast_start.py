"""Opening a model without waiting for Keras: a `.keras` file is converted to ONNX on its first use, and kept.

The importing of TensorFlow takes most of the time of a short command. So the first command that uses a model exports
it (`stages.commands.export`, which compares the two) into the user's cache, as `models/<sha256 of the model>.onnx`, and
onnxruntime alone computes it from then on. Train cannot leave that file beside the model: two conversions of one model
differ in their bytes, and what the pipeline makes must not.
"""

import hashlib
import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from stages.lib.core.errors import ModelError
from stages.lib.core.files import cache_folder
from stages.lib.inference import runtime
from stages.lib.inference.runtime import Model
from stages.lib.model.archive import read_metadata

NEEDED = ("onnx", "onnxruntime", "tf2onnx", "tensorflow")  # to convert
ROOT = Path(__file__).parents[2]


def open_model(path: Path) -> Model:
    """Open a model as `stages.lib.inference.runtime.open_model` does, with its errors, and by ONNX where that works.

    What takes long, or why Keras computes the model all the same, is said in a line on standard error.
    """
    if path.suffix != ".keras" or not path.is_file():
        return runtime.open_model(path)
    read_metadata(path)  # which refuses what is no model
    kept = cache_folder() / "models" / f"{hashlib.sha256(path.read_bytes()).hexdigest()}.onnx"
    model = _open_kept(kept)
    if model is None:
        if importlib.util.find_spec("keras") is None:
            raise ModelError(
                f"{path}: needs Keras, which is not installed; where it is, make an .onnx file of the model by "
                "'python -m stages.commands.export', and use that"
            )
        _convert(path, kept)
        model = _open_kept(kept)
    return runtime.open_model(path) if model is None else replace(model, path=path)


def _open_kept(kept: Path) -> Model | None:
    """The model that was kept; None where there is none, or it cannot be used, as after another version wrote it."""
    try:
        return runtime.open_model(kept)
    except ModelError:
        return None


def _convert(path: Path, kept: Path) -> None:
    """Convert a model in a process of its own, which takes what Keras needs of memory with it when it ends."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        _say(path, f"is computed by Keras; with {' and '.join(missing)} installed it would start in about a second")
        return
    import filelock

    _say(path, "is converted on its first use, in about 20 s; from then on it starts in about a second")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{kept}.lock"):
            if _open_kept(kept) is not None:
                return  # another command converted it in the meantime
            names = ["--model", str(path.resolve()), "--out", str(kept.resolve())]
            done = subprocess.run(
                [sys.executable, "-m", "stages.commands.export", *names],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,  # which may hold the samples of a microphone
                capture_output=True,
                text=True,
                check=False,
            )
    except OSError as error:
        _say(path, f"cannot be kept in {kept.parent} for a faster start ({error.strerror}); EAR_CACHE moves it")
        return
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1].removeprefix("error: ")
        _say(path, f"cannot be converted for a faster start, so Keras computes it ({reason})")


def _say(path: Path, text: str) -> None:
    print(f"model {path.stem}: {text}", file=sys.stderr, flush=True)
