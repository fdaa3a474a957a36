"""DVC, called as a command: in one way, with its own reason shown where it fails."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.lib.core.errors import EarError

GRACE_S = 10  # that a command which is ended has to end itself


def dvc(*arguments: str, folder: Path | None = None) -> str:
    """What a command of DVC prints. Raises `EarError` with DVC's own reason where it fails."""
    done = subprocess.run(
        ["dvc", *arguments],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        check=False,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        raise failure(arguments, done.stderr)
    return done.stdout.strip()


def failure(arguments: Sequence[str], said: str) -> EarError:
    """The error for a command of DVC that failed and printed `said`."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it gave no reason"]
    first = next((i for i, line in enumerate(lines) if line.startswith("ERROR: ")), len(lines) - 1)
    reason = lines[first].removeprefix("ERROR: ")
    if reason.endswith(":"):  # what it announces is on the next line
        reason = " ".join([reason, *lines[first + 1 : first + 2]])
    if not reason.endswith(".."):
        reason = reason.removesuffix(".")
    return EarError(f"'dvc {' '.join(arguments)}' failed: {reason}; correct that first")


def follow_dvc(
    *arguments: str, folder: Path | None = None, show: bool = True, limit_s: float | None = None
) -> tuple[int | None, str]:
    """Run a command of DVC that may fail; returns its status and all that it printed, shown as it comes with `show`.

    After `limit_s` seconds it is ended with all that it started, and the status is None.
    """
    if show:
        print(f"dvc {' '.join(arguments)}" + (f" in {folder}" if folder else ""), flush=True)
    process = subprocess.Popen(
        ["dvc", *arguments],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # so that it can be ended with the stage that it runs
    )
    ended = threading.Event()

    def end() -> None:
        ended.set()
        end_session(process, GRACE_S)

    timer = threading.Timer(limit_s or 0, end)
    if limit_s is not None:
        timer.start()
    lines = []
    try:
        for line in process.stdout or ():
            lines.append(line)
            if show:
                sys.stdout.write(line)
                sys.stdout.flush()
        process.wait()
    except BaseException:  # Control-C does not reach another session
        end_session(process, GRACE_S)
        raise
    finally:
        timer.cancel()
    return None if ended.is_set() else process.returncode, "".join(lines)


def end_session(process: "subprocess.Popen[Any]", grace_s: float) -> None:
    """End a process that has a session of its own, with all of that: politely, and after `grace_s` in any case."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)


def outputs_not_to_push() -> set[str]:
    """The outputs of the pipeline with `push: false` in dvc.yaml: paths relative to the current folder."""
    from dvc.repo import Repo

    with Repo() as repo:
        return {
            Path(output.fs_path).relative_to(Path.cwd().resolve()).as_posix()
            for output in repo.index.outs
            if not output.can_push
        }


def _environment() -> dict[str, str]:
    # Names of files come in UTF-8, whatever the terminal of this process has.
    return os.environ | {"DVC_NO_ANALYTICS": "1", "PYTHONIOENCODING": "utf-8"}
