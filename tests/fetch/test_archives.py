import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.fetch import archives
from stages.fetch.archives import Limits, check_whole, is_archive, unpack
from stages.lib.core.errors import SourceError

LIMITS = Limits(max_bytes=1_000_000, max_files=100)


Member = tuple[tarfile.TarInfo, bytes]


def tar_member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    return info, content


def make_tar(path: Path, *members: Member, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def make_zip(path: Path, *members: tuple[str, bytes, int]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(info, content)
    return path


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_is_unpacked_whatever_its_name_and_compression(tmp_path: Path, mode: str) -> None:
    content = os.urandom(300_000)
    archive = make_tar(
        tmp_path / "any name", tar_member("d", kind=tarfile.DIRTYPE), tar_member("./d/é ' \".wav", content), mode=mode
    )
    (tmp_path / "to").mkdir()

    assert is_archive(archive)
    assert unpack(archive, tmp_path / "to", LIMITS) == []
    assert files_below(tmp_path / "to") == {"d/é ' \".wav": content}
    check_whole(archive)


def test_zip_is_unpacked(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a", ("d/", b"", stat.S_IFDIR), ("d/a.wav", b"abc", 0), ("e.wav", b"", stat.S_IFREG))
    (tmp_path / "to").mkdir()

    assert is_archive(archive)
    assert unpack(archive, tmp_path / "to", LIMITS) == []
    assert files_below(tmp_path / "to") == {"d/a.wav": b"abc", "e.wav": b""}
    check_whole(archive)


def test_system_files_are_left_out_and_named(tmp_path: Path) -> None:
    names = ["a/.DS_Store", "a/._x.wav", "__MACOSX/a/x.wav", ".git/x.wav", "a/x.wav", "a/Thumbs.db", "a/desktop.ini"]
    (tmp_path / "to").mkdir()

    notes = unpack(make_tar(tmp_path / "t", *(tar_member(name, b"1") for name in names)), tmp_path / "to", LIMITS)
    assert notes == [
        "t: 6 system files left out: a/.DS_Store, a/._x.wav, __MACOSX/a/x.wav, .git/x.wav, a/Thumbs.db and 1 more"
    ]
    assert list(files_below(tmp_path / "to")) == ["a/x.wav"]


def test_a_recording_whose_name_starts_with_a_dot_is_no_system_file(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    unpack(make_tar(tmp_path / "t", tar_member("a/.5 Hz hum.wav", b"1")), tmp_path / "to", LIMITS)
    assert list(files_below(tmp_path / "to")) == ["a/.5 Hz hum.wav"]


def test_backslashes_in_a_zip_separate_folders(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a", ("d\\", b"", 0), ("d\\e\\x.wav", b"abc", 0))
    (tmp_path / "to").mkdir()
    assert unpack(archive, tmp_path / "to", LIMITS) == []
    assert files_below(tmp_path / "to") == {"d/e/x.wav": b"abc"}


def test_links_inside_become_copies(tmp_path: Path) -> None:
    archive = make_tar(
        tmp_path / "t",
        tar_member("a/sym.wav", kind=tarfile.SYMTYPE, link="../b/x.wav"),
        tar_member("b/x.wav", b"123"),
        tar_member("a/hard.wav", kind=tarfile.LNKTYPE, link="b/x.wav"),
        tar_member("a/broken.wav", kind=tarfile.SYMTYPE, link="gone.wav"),
    )
    (tmp_path / "to").mkdir()

    assert unpack(archive, tmp_path / "to", LIMITS) == [
        "t: 1 link to no file of the archive left out: 'a/broken.wav' to 'a/gone.wav'"
    ]
    assert files_below(tmp_path / "to") == dict.fromkeys(["a/hard.wav", "a/sym.wav", "b/x.wav"], b"123")
    assert not any(path.is_symlink() or path.stat().st_nlink > 1 for path in (tmp_path / "to").rglob("*.wav"))


LINK = stat.S_IFLNK | 0o777
HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "tar, absolute": (
        lambda to: make_tar(to, tar_member(f"{to.parent}/evil", b"1")),
        r"/evil': its path is absolute",
    ),
    "tar, up": (lambda to: make_tar(to, tar_member("a/../../evil", b"1")), r"'a/../../evil': its path leads out"),
    "tar, up with backslashes": (
        lambda to: make_tar(to, tar_member("a\\..\\evil", b"1")),
        r"evil': its path leads out",
    ),
    "tar, drive": (lambda to: make_tar(to, tar_member("C:\\evil", b"1")), r"evil': its path is absolute"),
    "tar, link out": (
        lambda to: make_tar(to, tar_member("a/l", kind=tarfile.SYMTYPE, link="../../evil")),
        r"'a/l': it is a link that leads out, to '../evil'",
    ),
    "tar, absolute link": (
        lambda to: make_tar(to, tar_member("l", kind=tarfile.SYMTYPE, link="/etc/passwd")),
        r"'l': it is a link that leads out, to '/etc/passwd'",
    ),
    "tar, hard link out": (
        lambda to: make_tar(to, tar_member("a/l", kind=tarfile.LNKTYPE, link="../evil")),
        r"'a/l': it is a link that leads out, to '../evil'",
    ),
    "tar, device": (lambda to: make_tar(to, tar_member("null", kind=tarfile.CHRTYPE)), r"'null': it is a device"),
    "tar, pipe": (
        lambda to: make_tar(to, tar_member("pipe", kind=tarfile.FIFOTYPE)),
        r"'pipe': it is a device, a pipe",
    ),
    "tar, size": (
        lambda to: make_tar(to, tar_member("big", bytes(1_000_001))),
        r"'big': expected at most .* 1,000,000 b",
    ),
    "tar, count": (
        lambda to: make_tar(to, *(tar_member(f"{n}") for n in range(101))),
        r"'100': expected at most 100 mem",
    ),
    "zip, absolute": (lambda to: make_zip(to, (f"{to.parent}/evil", b"1", 0)), r"/evil': its path is absolute"),
    "zip, up with backslashes": (
        lambda to: make_zip(to, ("a\\..\\..\\evil", b"1", 0)),
        r"'a/../../evil': its path leads out",
    ),
    "zip, up": (lambda to: make_zip(to, ("../evil", b"1", 0)), r"'../evil': its path leads out"),
    "zip, link out": (lambda to: make_zip(to, ("a/l", b"../../evil", LINK)), r"'a/l': it is a link that leads out"),
    "zip, device": (lambda to: make_zip(to, ("null", b"", stat.S_IFCHR)), r"'null': it is a device"),
    "zip, size": (lambda to: make_zip(to, ("big", bytes(1_000_001), 0)), r"'big': expected at most"),
    "zip, count": (
        lambda to: make_zip(to, *((f"{n}", b"", 0) for n in range(101))),
        r"'100': expected at most 100 mem",
    ),
    "a link grows it": (
        lambda to: make_tar(to, tar_member("x", bytes(600_000)), tar_member("y", kind=tarfile.SYMTYPE, link="x")),
        r"refused at link 'y': beyond the limit of size",
    ),
    "through a link": (  # a folder link that leads in, then a file below it: no link is ever made, so it is a folder
        lambda to: make_tar(to, tar_member("a", kind=tarfile.SYMTYPE, link="b/../.."), tar_member("a/evil", b"1")),
        r"'a': it is a link that leads out",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_member_is_refused_by_name_and_nothing_is_written_outside(tmp_path: Path, case: str) -> None:
    make, match = HOSTILE[case]
    archive = make(tmp_path / "hostile")
    (tmp_path / "in/to").mkdir(parents=True)

    with pytest.raises(SourceError, match=match) as caught:
        unpack(archive, tmp_path / "in/to", LIMITS)

    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["hostile", "in"]
    assert os.listdir(tmp_path / "in") == ["to"]


def broken_header(path: Path) -> Path:
    make_tar(path, tar_member("a", b"1"), tar_member("b", b"2"), tar_member("c", b"3"), mode="w")
    content = bytearray(path.read_bytes())
    content[1024:1100] = b"x" * 76  # the header of b
    path.write_bytes(content)
    return path


def cut(path: Path, n_bytes: int) -> Path:
    path.write_bytes(path.read_bytes()[:n_bytes])
    return path


def altered(path: Path, at: int) -> Path:
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)
    return path


NOISE = os.urandom(200_000)
DAMAGED: dict[str, Callable[[Path], Path]] = {
    "gzip cut short": lambda to: cut(make_tar(to, tar_member("a", NOISE)), 100_000),
    "gzip cut near its start": lambda to: cut(make_tar(to, tar_member("a", NOISE)), 80),
    "gzip cut in its checksum": lambda to: cut(make_tar(to, tar_member("a", NOISE)), -4),
    "gzip altered": lambda to: altered(make_tar(to, tar_member("a", NOISE)), 100_000),
    "bzip2 cut short": lambda to: cut(make_tar(to, tar_member("a", NOISE), mode="w:bz2"), 100_000),
    "xz cut short": lambda to: cut(make_tar(to, tar_member("a", NOISE), mode="w:xz"), 100_000),
    "tar cut short": lambda to: cut(make_tar(to, tar_member("a", NOISE), mode="w"), 100_000),
    "tar with a broken header": broken_header,
    "zip altered": lambda to: altered(make_zip(to, ("a", NOISE, 0)), 100_000),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_archive_is_an_error(tmp_path: Path, case: str) -> None:
    archive = DAMAGED[case](tmp_path / "archive")
    (tmp_path / "to").mkdir()

    is_archive(archive)  # whatever it says, it does not raise
    with pytest.raises(SourceError, match=r"^archive: damaged or cut short \(.*\); fetch or copy the archive again$"):
        unpack(archive, tmp_path / "to", LIMITS)
    with pytest.raises(SourceError, match=r"^archive: damaged or cut short"):
        check_whole(archive)


def test_encrypted_zip_is_an_error(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a", ("x", b"abc", 0))
    content = archive.read_bytes()
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(mark) + offset
        content = content[:at] + b"\x01" + content[at + 1 :]
    archive.write_bytes(content)
    (tmp_path / "to").mkdir()

    with pytest.raises(SourceError, match=r"cannot be unpacked .*password.*unpack it yourself"):
        unpack(archive, tmp_path / "to", LIMITS)


def test_full_disk_is_found_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_zip(tmp_path / "a", ("x", b"abc", 0))
    (tmp_path / "to").mkdir()
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10})())

    with pytest.raises(SourceError, match=r"^a: needs 0.00 GB on the disk of .*, found 0.00 GB free; free some space"):
        unpack(archive, tmp_path / "to", LIMITS)
    assert files_below(tmp_path / "to") == {}


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>Not found</html>", b"RIFF" + bytes(2000)])
def test_other_files_are_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    assert not is_archive(tmp_path / "a.tar.gz")
