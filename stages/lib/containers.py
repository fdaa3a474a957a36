"""How much sound a file holds by its own structure, without decoding it, to compare with the decoded length.

Only what the decoders do not say themselves: the chunks of RIFF (Microsoft and IBM 1991; RF64 in EBU Tech 3306), the
pages of Ogg (RFC 3533), and whether an MPEG stream begins with a frame that counts the others.
"""

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

PAGE = 4096  # bytes that recorders pad by, or fall short of a round number by

# libsndfile cuts a claim that the file does not keep, and says so only in its log, as 'data : 88200 (should be 44100)'
# with the chunk's name by container: AIFF, 8SVX, AU, Wave64.
LOGGED_CLAIM = re.compile(r"^\s*(?:SSND|BODY|Data Size|data|riff)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)

# Layer III of MPEG-1, and of MPEG-2 and 2.5, by the index in a frame's header, which begins at 1 (ISO/IEC 11172-3 and
# 13818-3).
MPEG_1_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG_2_KBPS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
MPEG_1_HZ = (44100, 48000, 32000)


@dataclass(frozen=True)
class RiffData:
    """The samples of a WAV file: where they are, and what its header says of them."""

    claimed: int | None  # bytes; None where the size is a placeholder, which a recorder writes before it knows better
    available: int  # bytes between the start of the samples and the end of the file
    unexplained: int  # bytes behind the samples that belong to no chunk

    @property
    def problem(self) -> str | None:
        """In which way the header and the size of the file disagree, or None."""
        if self.claimed is None:
            return None
        if self.claimed > self.available:
            return f"the header claims {self.claimed} bytes, the file holds {self.available}"
        if self.unexplained >= PAGE:
            return (
                f"the header claims {self.claimed} bytes, but {self.unexplained} more follow; a WAV file over 4 GB "
                "cannot say its length, convert it with 'ffmpeg -ignore_length 1 -i IN.wav OUT.flac'"
            )
        return None


def riff_data(path: Path) -> RiffData | None:
    """Walk the chunks of a WAV file (RIFF, RIFX, RF64); None where it is none, or has no samples."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        form, _, kind = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
        if form not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or kind != b"WAVE":
            return None
        head = ">4sI" if form == b"RIFX" else "<4sI"
        size_64 = None
        while len(content := file.read(8)) == 8:
            name, size = struct.unpack(head, content)
            at = file.tell()
            if name == b"ds64":
                size_64 = struct.unpack("<8xQ", file.read(16).ljust(16, b"\0"))[0]
            if name == b"data":
                if size_64 is not None and size == 0xFFFFFFFF:
                    return RiffData(size_64, end - at, _unexplained(file, at + size_64, end, head))
                rest = _unexplained(file, at + size, end, head)
                return RiffData(None if _is_placeholder(size, rest) else size, end - at, rest)
            file.seek(at + size + size % 2)
    return None


def _is_placeholder(size: int, unexplained: int) -> bool:
    """Whether a data size says that it is unknown: 0 with samples behind it, or the largest that fits 31 or 32 bits.

    FFmpeg writes 2^32 - 1 into a pipe, arecord 2^31, SoX 2^31 - 4096, others one of these less their header.
    """
    if size == 0:
        return unexplained > 0
    return size >= 2**32 - PAGE or 2**31 - PAGE <= size <= 2**31


def _unexplained(file: BinaryIO, at: int, end: int, head: str) -> int:
    """The bytes from `at` on that are no chunks; some writers leave out the byte that makes a length even."""
    for start in (at + at % 2, at):
        position = start
        file.seek(position)
        while len(content := file.read(8)) == 8:
            name, size = struct.unpack(head, content)
            if not all(32 <= byte < 127 for byte in name) or position + 8 + size > end:
                break
            position += 8 + size + size % 2
            file.seek(position)
        if position > start or position >= end:
            return max(0, end - position)
    return max(0, end - at)


def logged_problem(log: str) -> str | None:
    """The claim of a header that libsndfile corrected, read from its log; None where it corrected none."""
    for match in LOGGED_CLAIM.finditer(log):
        claimed, found = map(int, match.groups())
        is_placeholder = 0x7F000000 <= claimed <= 0x7F000100  # what SoX writes into a pipe as AIFF
        if claimed > found and not is_placeholder:
            return f"the header claims {claimed} bytes, the file holds {found}"
    return None


def caf_problem(path: Path) -> str | None:
    """In which way the data size of a CAF file and its length disagree; None where they agree, or it is no CAF file.

    Apple Core Audio Format Specification 1.0: sizes are signed, and -1 is that of data whose end was not known.
    """
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        at = 8 if file.read(8).startswith(b"caff") else end
        while at + 12 <= end:
            file.seek(at)
            name, size = struct.unpack(">4sq", file.read(12))
            at += 12 + size
            if name == b"data" and at > end:
                return f"the header claims {size} bytes, the file holds {size - (at - end)}"
            if size < 0:
                break
    return None


def nist_samples(path: Path) -> int | None:
    """The samples per channel that the header of a NIST SPHERE file claims; None where it says none."""
    with path.open("rb") as file:
        found = re.search(rb"^sample_count -i (\d+)", file.read(1024), re.MULTILINE)
    return None if found is None else int(found[1])


@dataclass(frozen=True)
class OggPages:
    """What the pages of an Ogg file say."""

    n_links: int  # streams that follow each other, each with a header of its own
    is_cut: bool  # the file ends inside a page


def ogg_pages(path: Path) -> OggPages:
    """Walk the pages of an Ogg file. Streams side by side, as sound with pictures, are one link."""
    n_links, in_headers, is_cut = 0, False, True
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        while len(page := file.read(27)) == 27 and page.startswith(b"OggS"):
            begins = bool(page[5] & 2)
            n_links += begins and not in_headers
            in_headers = begins
            lacing = file.read(page[26])
            position = file.seek(sum(lacing), os.SEEK_CUR)
            is_cut = len(lacing) < page[26] or position > end
            if position >= end:
                return OggPages(n_links, is_cut)
    return OggPages(n_links, len(page) > 0)


def is_mp3(path: Path) -> bool:
    """Whether a file begins with a frame of MPEG audio layer III, after a tag or not."""
    return mp3_frame_bytes(_first_frames(path)) is not None


def mp3_frame_bytes(data: bytes) -> int | None:
    """The length of the MP3 frame whose header `data` begins with; None where it is no such header."""
    header = int.from_bytes(data[:4].ljust(4, b"\0"), "big")
    mark, version, layer = header >> 21, header >> 19 & 3, header >> 17 & 3
    i_kbps, i_hz, padding = header >> 12 & 15, header >> 10 & 3, header >> 9 & 1
    if mark != 0x7FF or version == 1 or layer != 1 or i_kbps in (0, 15) or i_hz == 3:
        return None
    if version == 3:
        return 144_000 * MPEG_1_KBPS[i_kbps - 1] // MPEG_1_HZ[i_hz] + padding
    sr = MPEG_1_HZ[i_hz] // (2 if version == 2 else 4)
    return 72_000 * MPEG_2_KBPS[i_kbps - 1] // sr + padding


def mpeg_is_counted(path: Path) -> bool:
    """Whether an MPEG audio file begins with a frame that holds the number of its frames (Xing, Info or VBRI)."""
    start = _first_frames(path)
    at = max(start.find(b"Xing"), start.find(b"Info"))
    return b"VBRI" in start or (at >= 0 and len(start) >= at + 8 and bool(start[at + 7] & 1))


def _first_frames(path: Path) -> bytes:
    """The first page of a file behind its ID3 tag, if it has one."""
    with path.open("rb") as file:
        tag = file.read(10)
        if tag.startswith(b"ID3") and len(tag) == 10:  # its length is four times seven bits
            file.seek(10 + sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True)))
        else:
            file.seek(0)
        return file.read(PAGE)
