"""Unpacking untrusted archives: every member is checked by name before a byte of it is written."""

import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from stages.fetch.clutter import is_clutter
from stages.fetch.messages import count, some
from stages.lib.core.errors import SourceError, one_line
from stages.lib.core.files import check_space
from stages.lib.core.progress import progress
from stages.lib.download import describe_content

_DAMAGED = (tarfile.ReadError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError)


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to; more is taken for a decompression bomb."""

    max_bytes: int
    max_files: int


@dataclass(frozen=True)
class _Member:
    name: str
    kind: str  # file, folder, link or other
    n_bytes: int
    link: str  # what a link names: relative to its own folder, or for a hard link (tar) to the root of the archive
    open: Callable[[], AbstractContextManager[IO[bytes]]]


def is_archive(path: Path) -> bool:
    """Whether the content of the file `path` (its name does not count) is a tar, compressed or not, or a zip.

    A gzip that is broken before the first header of a tar counts too: `unpack` says what is wrong with it.
    """
    try:
        return tarfile.is_tarfile(path) or zipfile.is_zipfile(path)
    except _DAMAGED:  # tarfile lets some exceptions of gzip through
        return True


def unpack(archive: Path, folder: Path, limits: Limits) -> list[str]:
    """Unpack the tar or zip `archive` into the existing `folder`, in one pass.

    Returns notes on the members left out. A link inside the archive becomes a copy of the file that it names, so there
    is never a link in `folder` that a later member could write through. In a zip backslashes separate folders, as some
    programs for Windows write them.
    Raises `SourceError` that names the member for an absolute path, a path or link that leads out, a device or a member
    beyond the limits, and for an archive that is damaged or too large for the disk. What was unpacked before the error
    stays in `folder`; pass one that is then removed (`files.atomic_directory`).
    """
    # Audio hardly shrinks, so the archive's own size is a fair first guess; each member is checked again on its turn.
    check_space(folder, archive.stat().st_size, archive.name)
    broken_links, links, clutter = [], [], []
    n_bytes = 0
    try:
        with _opened(archive) as (members, n_members):
            bar = progress(members, total=n_members, desc=f"unpacking {archive.name}", unit="members")
            for n_done, member in enumerate(bar, start=1):
                _check_name(archive, member)
                n_bytes += member.n_bytes
                if n_done > limits.max_files or n_bytes > limits.max_bytes:
                    raise SourceError(
                        f"{archive.name}: refused at member {member.name!r}: expected at most {limits.max_files:,} "
                        f"members and {limits.max_bytes:,} bytes unpacked, found {n_done:,} and {n_bytes:,} so far; if "
                        "you trust it raise the limits in the file of data/sources/, or give an unpacked folder"
                    )
                if member.kind == "folder":
                    continue
                if is_clutter(member.name):
                    clutter.append(member.name)
                    continue
                if member.kind == "link":
                    links.append(member)
                    continue
                check_space(folder, member.n_bytes, f"{archive.name}, member {member.name!r}")
                _write(member.open, folder / member.name)
            for member in links:
                original = folder / member.link
                if original.is_file():
                    n_bytes += original.stat().st_size
                    if n_bytes > limits.max_bytes:
                        raise SourceError(f"{archive.name}: refused at link {member.name!r}: beyond the limit of size")
                    _write(partial(original.open, "rb"), folder / member.name)
                else:
                    broken_links.append(f"{member.name!r} to {member.link!r}")
    except _DAMAGED as error:
        raise SourceError(
            f"{archive.name}: damaged or cut short ({_reason(error)}); fetch or copy the archive again"
        ) from None
    except RuntimeError as error:  # of zipfile: a password is needed, or the compression method is not supported
        raise SourceError(f"{archive.name}: cannot be unpacked ({_reason(error)}); unpack it yourself") from None
    except OSError as error:
        raise SourceError(f"{archive.name}: unpacking stopped: {_reason(error)}") from None
    return [
        f"{archive.name}: {what}: {some(names)}"
        for what, names in (
            (f"{count(len(broken_links), 'link')} to no file of the archive left out", broken_links),
            (f"{count(len(clutter), 'system file')} left out", clutter),
        )
        if names
    ]


def check_archive(path: Path) -> None:
    """Raise `SourceError` unless the file `path` is a complete archive."""
    if not is_archive(path):
        raise SourceError(f"expected an archive, got {describe_content(path)}")
    check_whole(path)


def check_whole(archive: Path) -> None:
    """Read `archive` to its end, unpacking nothing; raises `SourceError` where it is damaged or cut short."""
    try:
        with _opened(archive) as (members, n_members):
            for member in progress(members, total=n_members, desc=f"checking {archive.name}", unit="members"):
                if member.kind == "file":
                    with member.open() as content:
                        while content.read(1 << 20):
                            pass
    except (*_DAMAGED, RuntimeError) as error:
        raise SourceError(f"{archive.name}: damaged or cut short ({_reason(error)})") from None


def _check_name(archive: Path, member: _Member) -> None:
    """Refuse what would be written outside. The name alone decides, since no link is ever written."""
    parts = re.split(r"[/\\]", member.name)
    if member.name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", member.name):
        reason = "its path is absolute"
    elif ".." in parts:
        reason = "its path leads out of the archive with '..'"
    elif "\0" in member.name:
        reason = "its name holds a zero byte"
    elif member.kind == "link" and (member.link.startswith("/") or member.link.split("/")[0] == ".."):
        reason = f"it is a link that leads out, to {member.link!r}"
    elif member.kind == "other":
        reason = "it is a device, a pipe or another special file"
    else:
        return
    raise SourceError(f"{archive.name}: refused: member {member.name!r}: {reason}; nothing of the archive is kept")


def _write(open_content: Callable[[], AbstractContextManager[IO[bytes]]], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_content() as content, path.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[Iterator[_Member], int | None]]:
    """The members of an archive, in its order, and their number (None for a tar, where only the end would tell)."""
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            yield _tar_members(tar), None
    else:
        with zipfile.ZipFile(archive) as packed:
            yield _zip_members(packed), len(packed.infolist())


def _tar_members(tar: tarfile.TarFile) -> Iterator[_Member]:
    for info in tar:
        if info.isreg():
            kind = "file"
        elif info.isdir():
            kind = "folder"
        else:
            kind = "link" if info.issym() or info.islnk() else "other"
        link = os.path.normpath(
            os.path.join(os.path.dirname(info.name), info.linkname) if info.issym() else info.linkname
        )
        yield _Member(info.name, kind, info.size if kind == "file" else 0, link, partial(_open_regular, tar, info))
    # tarfile takes a broken header for the end; after the real one come only zeros. Reading on to the end of the
    # stream also has gzip, bzip2 or xz compare their checksum.
    if any(tar.fileobj.read(tarfile.BLOCKSIZE)):
        raise tarfile.ReadError("a header in the middle is broken")
    while tar.fileobj.read(1 << 20):
        pass


def _open_regular(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(info)
    assert content is not None, "only a regular file is opened"
    return content


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        mode = info.external_attr >> 16
        kind, link, name = "file", "", info.filename.replace("\\", "/")
        if name.endswith("/"):
            kind = "folder"
        elif stat.S_ISLNK(mode):
            target = archive.read(info).decode(errors="replace") if info.file_size < 4096 else "/"
            kind, link = "link", os.path.normpath(os.path.join(os.path.dirname(name), target))
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            kind = "other"
        n_bytes = info.file_size if kind == "file" else 0
        yield _Member(name, kind, n_bytes, link, partial(archive.open, info))


def _reason(error: Exception) -> str:
    return one_line(error) or type(error).__name__
