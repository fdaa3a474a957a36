"""Files of other revisions: of a commit, branch, tag or DVC experiment, out of Git, without a checkout."""

import subprocess
from pathlib import Path

from stages.lib.errors import EarError

WORKSPACE = "workspace"  # as DVC calls the files as they are now


def read_revision(revision: str, path: Path) -> str:
    """The text of a file that Git tracks, at a revision, or as it is now for `workspace`.

    `path` is relative to the current folder, which is in the repository. Raises `EarError` where there is no such
    revision or it has no such file.
    """
    if revision == WORKSPACE:
        if not path.is_file():
            raise EarError(f"{path}: no such file in the workspace; run 'dvc repro'")
        return path.read_text(encoding="utf-8")
    commit = find_commit(revision)
    found = _git("show", f"{commit}:./{path.as_posix()}")
    if found.returncode:
        raise EarError(f"{revision}: has no {path}; compare revisions at which the pipeline was run and committed")
    return found.stdout


def find_commit(revision: str) -> str:
    """The hash of a commit, branch or tag, or of the DVC experiment of that name. Raises `EarError`."""
    inside = _git("rev-parse", "--is-inside-work-tree")
    if inside.returncode:
        raise EarError(f"{Path.cwd()}: not in a Git repository; run from the root of the repository")
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if not found.returncode:
        return found.stdout.strip()
    # refs/exps/<two digits of the base>/<the other 38>/<name>; DVC keeps notes of its own beside them.
    refs = _git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").stdout.splitlines()
    named = {
        commit: ref.split("/")[2] + ref.split("/")[3]
        for ref, commit in (line.split() for line in refs)
        if ref.count("/") == 4 and ref.split("/")[4] == revision and len(ref.split("/")[2]) == 2
    }
    if not named:
        raise EarError(
            f"{revision}: no commit, branch, tag or experiment; see 'git log' and 'dvc exp list --all-commits'"
        )
    if len(named) > 1:
        bases = ", ".join(sorted(base[:7] for base in named.values()))
        raise EarError(f"{revision}: {len(named)} experiments have this name, on {bases}; give the hash of one")
    return next(iter(named))


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, encoding="utf-8")
    except FileNotFoundError:
        raise EarError("git is not installed, and revisions are read from it; install it") from None
