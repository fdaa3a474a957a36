"""DVC, called as a command: in one way, with its own reason shown where it fails."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from stages.lib.core.errors import EarError


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
    lines = said.strip().splitlines() or ["it gave no reason"]
    reason = next((line for line in lines if line.startswith("ERROR: ")), lines[-1])
    return EarError(f"'dvc {' '.join(arguments)}' failed: {reason.removeprefix('ERROR: ')}; correct that first")


def follow_dvc(*arguments: str, folder: Path | None = None, show: bool = True) -> tuple[int, str]:
    """Run a command of DVC that may fail; returns its status and all that it printed, shown as it comes with `show`."""
    if show:
        print(f"dvc {' '.join(arguments)}" + (f" in {folder}" if folder else ""), flush=True)
    lines = []
    with subprocess.Popen(
        ["dvc", *arguments],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            if show:
                sys.stdout.write(line)
                sys.stdout.flush()
    return process.returncode, "".join(lines)


def _environment() -> dict[str, str]:
    # Names of files come in UTF-8, whatever the terminal of this process has.
    return os.environ | {"DVC_NO_ANALYTICS": "1", "PYTHONIOENCODING": "utf-8"}
