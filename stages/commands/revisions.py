"""Files of other revisions: of a commit, branch, tag or DVC experiment, out of Git, without a checkout."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from stages.lib.core.errors import EarError

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


def copy_out(revision: str, folder: Path, choose: Callable[[list[str]], str], into: Path) -> Path:
    """Copy one file of a folder that DVC tracks, as it is at a revision, into another folder; returns its new path.

    It comes from DVC's cache or, where it is not there, its remote. `choose` picks one of the names. `folder` is
    relative to the root of the repository, in which this runs. Raises `EarError` where there is no such revision, it
    has no such folder, or the file cannot be had.
    """
    commit = find_commit(revision)
    from dvc.api import DVCFileSystem  # a second, which only this needs
    from dvc.exceptions import DvcException

    try:
        files = DVCFileSystem(url=".", rev=commit)
        name = choose(sorted(Path(path).name for path in files.ls(folder.as_posix(), detail=False)))
        # Not get_file, which gives a hard link to DVC's cache: whoever wrote to the copy would write into the cache.
        with files.open(f"{folder.as_posix()}/{name}", "rb") as source, (into / name).open("wb") as target:
            shutil.copyfileobj(source, target)
    except FileNotFoundError:
        raise EarError(
            f"{revision}: its {folder} is neither in DVC's cache nor in a remote; run 'dvc pull' or 'dvc repro' there"
        ) from None
    except DvcException as error:
        raise EarError(f"{revision}: DVC cannot give its {folder} ({error})") from None
    return into / name


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


def find_merge_base(revision: str) -> str:
    """The hash of the last commit that `revision` and HEAD share: where the work that ends in HEAD began.

    Commits that were made on `revision` since are not in it, so a branch that moved on changes nothing. Raises
    `EarError`, which says what to fetch where the clone is shallow.
    """
    try:
        commit = find_commit(revision)
    except EarError as error:
        if _is_shallow():
            raise EarError(f"{revision}: not in this shallow clone; run 'git fetch --unshallow origin' first") from None
        raise error from None
    found = _git("merge-base", commit, "HEAD")
    if found.returncode and _is_shallow():
        raise EarError(
            f"{revision}: no commit that it shares with HEAD is in this shallow clone; run 'git fetch --unshallow "
            "origin' first"
        )
    if found.returncode:
        raise EarError(f"{revision}: shares no commit with HEAD; name the branch that HEAD began on")
    return found.stdout.strip()


def _is_shallow() -> bool:
    return _git("rev-parse", "--is-shallow-repository").stdout.strip() == "true"


def list_files(revision: str, folder: Path) -> dict[str, str]:
    """The files below a folder at a revision, or those of it as they are now for `workspace`: path to hash of content.

    `folder` is relative to the current folder, and so are the paths, with `/`, in sorted order. Files that Git ignores
    are left out. Raises `EarError` where there is no such revision; of no such folder there are no files.
    """
    if revision == WORKSPACE:
        listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", folder.as_posix()).stdout
        paths = sorted({path for path in listed.split("\0") if path and Path(path).is_file()})
        hashes = _git("hash-object", "--", *paths).stdout.split() if paths else []
        return dict(zip(paths, hashes, strict=True))
    tree = _git("ls-tree", "-r", "-z", find_commit(revision), "--", folder.as_posix()).stdout
    rows = (row.split("\t", 1) for row in tree.split("\0") if row)
    return {path: entry.split()[2] for entry, path in rows}


def read_blob(content_hash: str) -> bytes:
    """The content that has a hash of `list_files`, of a revision."""
    return subprocess.run(["git", "cat-file", "blob", content_hash], capture_output=True, check=True).stdout


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, encoding="utf-8")
    except FileNotFoundError:
        raise EarError("git is not installed, and revisions are read from it; install it") from None
