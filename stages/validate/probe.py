"""What reading each audio file once says about it: format, length, level, problems of the signal, and its content.

Nothing is rejected here and nothing raises: what is wrong with a file comes back in its probe.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.lib.audio import Recording, open_audio
from stages.lib.core.errors import AudioError
from stages.lib.core.parallel import parallel_map

# The largest value that a coding holds, where it is not that of 16 bits (one step of it below 1).
FULL_SCALE = {"PCM_U8": 127 / 128, "PCM_S8": 127 / 128, "ULAW": 32124 / 32768, "ALAW": 32256 / 32768}
FULL_SCALE_16_BIT = 32767 / 32768


@dataclass(frozen=True)
class Probe:
    """What one file holds; everything but the errors is None (or NaN) where it could not be read."""

    file_error: str | None = None  # why there is no file to open
    decode_error: str | None = None  # why it cannot be decoded
    sample_rate_hz: int | None = None
    n_channels: int | None = None
    n_samples: int | None = None  # per channel
    subtype: str | None = None  # container and coding as libsndfile calls them, such as "WAV PCM_16"
    missing: str | None = None  # what the file claims to hold and does not
    peak: float | None = None  # largest magnitude, 1 is full scale
    rms: float | None = None  # root of the mean square, over all channels
    swing: float | None = None  # half the distance of lowest and highest sample, of the channel where it is largest
    clipped_fraction: float | None = None  # of samples at full scale, 0 to 1
    mixdown_loss_db: float | None = None  # by which averaging the channels lowers the level; None of one channel
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
        with open_audio(path) as recording:
            return _probe_open(recording)
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


def _probe_open(recording: Recording) -> Probe:
    n_channels = recording.n_channels
    full_scale = FULL_SCALE.get(recording.coding.split()[-1], FULL_SCALE_16_BIT)
    digest = hashlib.blake2b(f"{recording.sr} {n_channels} ".encode(), digest_size=16)
    low, high = np.full(n_channels, np.inf), np.full(n_channels, -np.inf)
    n_clipped, n_not_finite, energy = 0, 0, 0.0
    for block in recording.blocks():  # float32, (n, n_channels)
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
    n_samples = recording.n_read
    n_values = n_samples * n_channels
    return Probe(
        sample_rate_hz=recording.sr,
        n_channels=n_channels,
        n_samples=n_samples,
        subtype=recording.coding,
        missing=recording.length_problem(n_samples),
        peak=float(max(0.0, -low.min(), high.max())) if n_samples else None,
        rms=float(np.sqrt(energy / n_values)) if n_samples else None,
        swing=float((high - low).max() / 2) if n_samples else None,
        clipped_fraction=n_clipped / n_values if n_samples else None,
        mixdown_loss_db=recording.mixdown_loss_db,
        n_not_finite=n_not_finite,
        digest=digest.hexdigest() if n_samples else None,
    )
