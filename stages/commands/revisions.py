"""Files of other revisions: of a commit, branch, tag or DVC experiment, without a checkout."""

import shutil
from collections.abc import Callable
from pathlib import Path

from stages.commands.git import GitError, git, git_bytes
from stages.lib.core.errors import EarError

WORKSPACE = "workspace"  # as DVC calls the files as they are now


def read_revision(revision: str, path: Path) -> str:
    """The text of a file that Git or DVC tracks, at a revision, or as it is now for `workspace`.

    `path` is relative to the root of the repository, in which this runs. Raises `EarError` where there is no such
    revision or it has no such file.
    """
    if revision == WORKSPACE:
        if not path.is_file():
            raise EarError(f"{path}: no such file in the workspace; run 'dvc repro'")
        return path.read_text(encoding="utf-8")
    commit = find_commit(revision)
    import dvc.api  # a second, which only this needs
    from dvc.exceptions import DvcException, FileMissingError, PathMissingError

    try:
        return dvc.api.read(path.as_posix(), rev=commit, encoding="utf-8")
    except (FileMissingError, PathMissingError):
        raise EarError(
            f"{revision}: has no {path}; name a revision at which the pipeline was run and committed"
        ) from None
    except DvcException as error:
        raise EarError(f"{revision}: DVC cannot read its {path} ({error})") from None


def copy_out(revision: str, folder: Path, choose: Callable[[list[str]], str], into: Path) -> Path:
    """Copy one file of a folder that DVC tracks, as it is at a revision, into another folder; returns its new path.

    It comes from DVC's cache or, where it is not there, its remote. `choose` picks one of the names. `folder` is
    relative to the root of the repository, in which this runs. Raises `EarError` where there is no such revision, it
    has no such folder, or the file is neither in the cache nor in the remote.
    """
    commit = find_commit(revision)
    from dvc.api import DVCFileSystem
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
        raise EarError(f"{revision}: DVC cannot read its {folder} ({error})") from None
    return into / name


def find_commit(revision: str) -> str:
    """The hash of a commit, branch or tag, or of the DVC experiment of that name. Raises `EarError`.

    Of several experiments of one name it is the one that started from HEAD.
    """
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except GitError as error:
        if error.reason:  # not that there is no such revision, of which --quiet says nothing
            raise EarError(f"{Path.cwd()}: cannot read its Git repository ({error.reason})") from None
    from dvc.repo.experiments.exceptions import AmbiguousExpRefInfo
    from dvc.repo.experiments.utils import resolve_name
    from scmrepo.git import Git

    try:
        found = resolve_name(Git(".", search_parent_directories=True), [revision])[revision]
    except AmbiguousExpRefInfo:
        raise EarError(
            f"{revision}: several experiments have this name; give the hash of one, see 'dvc exp list --all-commits'"
        ) from None
    if found is None:
        raise EarError(
            f"{revision}: no commit, branch, tag or experiment; see 'git log' and 'dvc exp list --all-commits'"
        )
    return git("rev-parse", "--verify", f"{found}^{{commit}}")


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
    try:
        return git("merge-base", commit, "HEAD")
    except GitError as error:
        if error.reason:
            raise
    if _is_shallow():
        raise EarError(
            f"{revision}: no commit that it shares with HEAD is in this shallow clone; run 'git fetch --unshallow "
            "origin' first"
        )
    raise EarError(f"{revision}: shares no commit with HEAD; name the branch that HEAD began on")


def _is_shallow() -> bool:
    try:
        return git("rev-parse", "--is-shallow-repository") == "true"
    except GitError:  # outside of a repository, of which the caller says more
        return False


def list_files(revision: str, folder: Path) -> dict[str, str]:
    """The files below a folder at a revision, or those of it as they are now for `workspace`: path to hash of content.

    `folder` is relative to the current folder, and so are the paths, with `/`, in sorted order. Files that Git ignores
    are left out. Raises `EarError` where there is no such revision; of no such folder there are no files.
    """
    if revision == WORKSPACE:
        listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", folder.as_posix())
        paths = sorted({path for path in listed.split("\0") if path and Path(path).is_file()})
        hashes = git("hash-object", "--", *paths).split() if paths else []
        return dict(zip(paths, hashes, strict=True))
    tree = git("ls-tree", "-r", "-z", find_commit(revision), "--", folder.as_posix())
    rows = (row.split("\t", 1) for row in tree.split("\0") if row)
    return {path: entry.split()[2] for entry, path in rows}


def read_blob(content_hash: str) -> bytes:
    """The content that has a hash of `list_files`, of a revision."""
    return git_bytes("cat-file", "blob", content_hash)
