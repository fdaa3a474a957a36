"""What reading each audio file once says about it: format, length, level, problems of the signal, and its content.

Nothing is rejected here and nothing raises: what is wrong with a file comes back in its probe.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from stages.lib.audio import audio_blocks, open_audio
from stages.lib.core.errors import AudioError
from stages.lib.core.parallel import parallel_map

# The largest value that a coding holds, where it is not that of 16 bits (one step of it below 1).
FULL_SCALE = {"PCM_U8": 127 / 128, "PCM_S8": 127 / 128, "ULAW": 32124 / 32768, "ALAW": 32256 / 32768}
FULL_SCALE_16_BIT = 32767 / 32768

# libsndfile cuts a claim that the file does not keep, and says so only in its log, as 'data : 88200 (should be 44100)'
# with the chunk's name by container: RIFF, AIFF, AU, Wave64. RF64 keeps a count of samples apart.
CLAIMED_BYTES = re.compile(r"^\s*(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
CLAIMED_SAMPLES = re.compile(r"frame count (\d+) does not match value from 'ds64' chunk of (\d+)")
LARGEST_OGG_PAGE = 27 + 255 + 255 * 255  # bytes: head, table of segments, segments
STREAMED = (0xFFFFFFFF, 0x7FFFF000)  # what FFmpeg and SoX write as the size when they cannot know it: no claim at all


@dataclass(frozen=True)
class Probe:
    """What one file holds; everything but the errors is None (or NaN) where it could not be read."""

    file_error: str | None = None  # why there is no file to open
    decode_error: str | None = None  # why it cannot be decoded
    sample_rate_hz: int | None = None
    n_channels: int | None = None
    n_samples: int | None = None  # per channel
    subtype: str | None = None  # container and coding as libsndfile calls them, such as "WAV PCM_16"
    missing: str | None = None  # what the header claims and the file does not hold
    peak: float | None = None  # largest magnitude, 1 is full scale
    rms: float | None = None  # root of the mean square, over all channels
    swing: float | None = None  # half the distance of lowest and highest sample, of the channel where it is largest
    clipped_fraction: float | None = None  # of samples at full scale, 0 to 1
    n_not_finite: int | None = None  # NaN and infinite samples
    digest: str | None = None  # of rate, channels and decoded samples: equal for the same sound in another container


def list_files(folder: Path) -> list[str]:
    """The paths of all that is no folder below `folder`, relative to it, with slashes, sorted."""
    return sorted(
        (Path(at) / name).relative_to(folder).as_posix() for at, _, names in os.walk(folder) for name in names
    )


def probe_files(paths: Sequence[Path]) -> Iterator[Probe]:
    """The probe of each file, in their order, computed in parallel."""
    return parallel_map(probe_file, paths)


def probe_file(path: Path) -> Probe:
    """Read a file once, in blocks, so that memory does not grow with its length or with what its header claims."""
    if problem := _file_error(path):
        return Probe(file_error=problem)
    try:
        with open_audio(path) as file:
            return _probe_open(file, path)
    except AudioError as error:
        return Probe(decode_error=str(error).removeprefix(f"{path.name}: "))


def _file_error(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link to nothing" if path.is_symlink() else "no such file"
    except OSError as error:  # a loop of links, a name too long, a folder that may not be entered
        return str(error.strerror).lower()
    if stat.S_ISDIR(mode):
        return "a folder"
    if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
        return "not a regular file"
    return None if os.access(path, os.R_OK) else "no permission to read"


def _probe_open(file: soundfile.SoundFile, path: Path) -> Probe:
    full_scale = FULL_SCALE.get(file.subtype, FULL_SCALE_16_BIT)
    digest = hashlib.blake2b(f"{file.samplerate} {file.channels} ".encode(), digest_size=16)
    low, high = np.full(file.channels, np.inf), np.full(file.channels, -np.inf)
    n_samples, n_clipped, n_not_finite, energy = 0, 0, 0, 0.0
    for block in audio_blocks(file):  # float32, (n, n_channels)
        digest.update(block.data)
        finite = np.isfinite(block)
        if not finite.all():
            n_not_finite += int(np.count_nonzero(~finite))
            block = np.where(finite, block, 0)
        channels = np.ascontiguousarray(block.T)  # extremes along memory: half the time of a stereo file
        low, high = np.minimum(low, channels.min(axis=1)), np.maximum(high, channels.max(axis=1))
        if max(-low.min(), high.max()) >= full_scale:
            n_clipped += int(np.count_nonzero(np.abs(block) >= full_scale))
        energy += float(np.square(block, dtype=np.float64).sum())
        n_samples += len(block)
    n_values = n_samples * file.channels
    return Probe(
        sample_rate_hz=file.samplerate,
        n_channels=file.channels,
        n_samples=n_samples,
        subtype=f"{file.format} {file.subtype}",
        missing=_missing(file, path, n_samples),
        peak=float(max(0.0, -low.min(), high.max())) if n_samples else None,
        rms=float(np.sqrt(energy / n_values)) if n_samples else None,
        swing=float((high - low).max() / 2) if n_samples else None,
        clipped_fraction=n_clipped / n_values if n_samples else None,
        n_not_finite=n_not_finite,
        digest=digest.hexdigest() if n_samples else None,
    )


def _missing(file: soundfile.SoundFile, path: Path, n_samples: int) -> str | None:
    """What the header claims and the file does not hold, in words; None where all is there."""
    log = file.extra_info
    for pattern, unit in ((CLAIMED_BYTES, "bytes"), (CLAIMED_SAMPLES, "samples")):
        for match in pattern.finditer(log):
            claimed, found = sorted(map(int, match.groups()), reverse=True)
            if claimed not in STREAMED and match.group(1 if unit == "bytes" else 2) == str(claimed):
                return f"the header claims {claimed} {unit}, the file holds {found}"
    if file.frames > n_samples:
        return f"the header claims {file.frames} samples, {n_samples} can be decoded"
    if file.format == "OGG" and _last_page_is_cut(path):
        return "the last page is incomplete"
    return None


def _last_page_is_cut(path: Path) -> bool:
    """Whether an Ogg file ends inside a page (RFC 3533): nothing else tells that it was cut, it is only shorter."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LARGEST_OGG_PAGE))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    lacing = page[27 : 27 + page[26]] if len(page) > 26 else b""
    return len(page) < 27 or len(lacing) < page[26] or len(page) < 27 + len(lacing) + sum(lacing)
