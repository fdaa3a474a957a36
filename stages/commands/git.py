"""Git, called as a command: in one way, with its own reason shown where it refuses. Needs nothing but Python itself."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stages.lib.core.errors import EarError

# The lines in which Git, and through it a server, says why; what stands between them is advice.
REASONS = re.compile(r"(?:fatal|error|remote): *(?:(?:fatal|error): *)?(.*\S)|\s*! (\[.*\S)")


class GitError(EarError):
    """A command of Git failed; `reason` is what Git said of it, or "" where it said nothing."""

    def __init__(self, command: str, reason: str) -> None:
        """`command` is the verb, such as `push`."""
        super().__init__(f"'git {command}' failed: {reason or 'it gave no reason'}; correct that and run it again")
        self.reason = reason


def git(*arguments: str, folder: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
    """What a command of Git prints, without the last end of line. Raises `GitError`.

    It runs in `folder`, by default the current one, with `environment` on top of that of this process. Names of files
    come as Git has them: bytes that are no UTF-8 survive the way to `open` and back to Git.
    """
    return git_bytes(*arguments, folder=folder, environment=environment).decode(errors="surrogateescape").rstrip("\n")


def git_bytes(*arguments: str, folder: Path | None = None, environment: Mapping[str, str] | None = None) -> bytes:
    """As `git`, but the bytes as they are."""
    settings = {**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})}  # reasons in English, names in UTF-8
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, env=settings, capture_output=True, check=False)
    except FileNotFoundError:
        if folder is not None and not folder.is_dir():
            raise GitError(arguments[0], f"{folder}: no such folder") from None
        raise GitError(arguments[0], "git is not installed; install it") from None
    if done.returncode:
        raise GitError(arguments[0], find_reason(done.stderr.decode(errors="replace")))
    return done.stdout


def identity(name: str, email: str) -> dict[str, str]:
    """The environment in which `git` commits as this author, whatever the machine is set to."""
    return {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", name), ("EMAIL", email))
    }


def has_identity() -> bool:
    """Whether DVC, which asks neither the system nor `EMAIL`, finds a name and an address to commit by."""
    try:
        set_up = bool(git("config", "--get", "user.name") and git("config", "--get", "user.email"))
    except GitError:
        set_up = False
    return all(os.environ.get(name, set_up) for name in identity("", ""))


def find_reason(said: str) -> str:
    """Why Git failed, on one line and without passwords, from what it wrote to standard error."""
    lines = [line.rstrip() for line in said.strip().splitlines()]
    reasons = [match[1] or match[2] for line in lines if (match := REASONS.fullmatch(line))] or lines[-1:]
    return re.sub(r"(://)[^/@\s]+@", r"\1", "; ".join(dict.fromkeys(reasons)))
