"""Writing: a file or folder appears whole or not at all, with the same bytes for the same content."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.lib.core.errors import DataError, EarError, SourceError, one_line

if TYPE_CHECKING:
    import pandas as pd  # a second or two, which a command that writes no table need not wait


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path` to write to; it is renamed when the block ends without an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp_path = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield tmp_path
        os.replace(tmp_path, path)
    finally:
        tmp_path.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a new empty folder next to `path`; it replaces `path` when the block ends without an exception.

    Raises `EarError` where another process is writing the same folder: killing `dvc` leaves the stage that it started
    running, and a second one must not mix its files with those of the first.
    """
    import filelock  # takes as long to import as NumPy, which a command that makes no folder need not wait

    path.parent.mkdir(parents=True, exist_ok=True)
    tmp_path, backup = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.old.part")
    name = hashlib.md5(str(path.resolve()).encode()).hexdigest()
    lock = filelock.FileLock(Path(tempfile.gettempdir()) / f"urban-ear-{name}.lock", blocking=False)
    try:
        with lock:
            _remove(tmp_path, backup)  # of a run that was killed
            tmp_path.mkdir()
            try:
                yield tmp_path
                if path.exists():
                    os.replace(path, backup)  # removing takes time, in which a kill would leave half of the old folder
                os.replace(tmp_path, path)
            finally:
                _remove(tmp_path, backup)
    except filelock.Timeout:
        raise EarError(f"{path}: another process is writing it; wait for it or stop it, then run again") from None


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def cache_folder() -> Path:
    """Where downloads and converted models are kept: `EAR_CACHE`, or the user's cache folder."""
    import platformdirs

    return Path(os.environ.get("EAR_CACHE") or platformdirs.user_cache_path("urban-ear")).expanduser()


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON with sorted keys, two spaces of indent, no NaN, and a closing newline."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_write(path) as tmp_path:
        tmp_path.write_text(text, encoding="utf-8", newline="\n")


def read_json(path: Path) -> Any:
    """Read a JSON file that a stage wrote. Raises `DataError` where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run 'dvc repro'") from None


def read_yaml(path: Path, *, error: type[EarError], advice: str) -> Any:
    """Read a YAML file of one document, as YAML 1.2 and as DVC does: 1e-06 is a number, "no" is text.

    Raises `error` with one line: where the file cannot be read it ends with `advice`; where it is not YAML, or holds a
    key twice, it names the line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as found:
        raise error(f"{path}: {found.strerror}; {advice}") from None
    except MarkedYAMLError as found:
        line = "" if found.problem_mark is None else f" line {found.problem_mark.line + 1}"
        raise error(f"{path}{line}: not valid YAML: {one_line(found.problem)}") from None
    except (YAMLError, UnicodeDecodeError) as found:
        raise error(f"{path}: not valid YAML: {one_line(found)}") from None


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write `table` as UTF-8 CSV with LF line ends and no index."""
    with atomic_write(path) as tmp_path:
        table.to_csv(tmp_path, index=False, lineterminator="\n", encoding="utf-8")


def check_space(folder: Path, n_bytes: int, what: str) -> None:
    """Raise `SourceError` unless the disk of the existing `folder` has room for `n_bytes`, which `what` needs."""
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise SourceError(
            f"{what}: needs {n_bytes / 1e9:,.2f} GB on the disk of {folder}, found {free / 1e9:,.2f} GB free; "
            "free some space and run again"
        )
