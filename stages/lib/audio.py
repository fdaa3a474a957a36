"""The one place that reads audio."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr

from stages.lib.core.errors import AudioError

BLOCK = 1 << 18  # samples per channel that are decoded at once; all of most clips


@contextmanager
def open_audio(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a recording for the block of a `with`, in which an error of the file becomes an `AudioError`."""
    if path.suffix.lower() == ".raw":
        raise AudioError(f"{path.name}: cannot be read as audio (raw samples have no header that tells their rate)")
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except (soundfile.LibsndfileError, OSError) as error:
        # str() of libsndfile's error holds the whole path, which has no place in anything that is tracked
        why = error.error_string if isinstance(error, soundfile.LibsndfileError) else error.strerror
        raise AudioError(f"{path.name}: cannot be read as audio ({why})") from None


def audio_blocks(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Yield the samples of an open recording in order, float32 of shape (at most BLOCK, n_channels), none empty.

    A header may claim far more samples than there are, so nothing is sized by it.
    """
    while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
        yield block


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """Decode a whole recording.

    Returns the samples, float32 of shape (n_samples, n_channels) with integer full scale at plus or minus 1, and the
    sample rate in Hz. Raises `AudioError` where the file cannot be opened or decoded.
    """
    with open_audio(path) as file:
        blocks = list(audio_blocks(file)) or [np.zeros((0, file.channels), np.float32)]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks), file.samplerate


def n_samples_at(n_samples: int, sr_from: int, sr_to: int) -> int:
    """The number of samples that `n_samples` at `sr_from` Hz become at `sr_to` Hz, rounded up."""
    return -(-n_samples * sr_to // sr_from)


def load_mono(path: Path, sr: int) -> np.ndarray:
    """A recording as one channel at `sr` Hz: channels averaged, resampled with soxr at its high quality.

    Returns float32 of shape (n_samples_at(n, sr_file, sr),). Raises `AudioError` where the file cannot be read.
    """
    samples, sr_file = read_audio(path)
    return resample(mix_down(samples), sr_file, sr)


def mix_down(samples: np.ndarray) -> np.ndarray:
    """The mean of the channels of `samples`, float32 (n_samples, n_channels); float32 of shape (n_samples,)."""
    y = samples[:, 0]
    if samples.shape[1] > 1:
        y = sum(samples.T[1:], start=y) / np.float32(samples.shape[1])  # 30 times as fast as a mean over the last axis
    return y


def resample(y: np.ndarray, sr_from: int, sr_to: int) -> np.ndarray:
    """The samples `y` at `sr_from` Hz, float32 of shape (n_samples,), at `sr_to` Hz, with soxr at its high quality.

    Returns float32 of shape (n_samples_at(n_samples, sr_from, sr_to),).
    """
    if sr_from == sr_to:
        return y
    resampled = soxr.resample(y, sr_from, sr_to, quality="HQ")
    n_samples = n_samples_at(len(y), sr_from, sr_to)
    # soxr rounds the length its own way; one sample more or less would move every later clip in the features.
    return np.pad(resampled, (0, max(0, n_samples - len(resampled))))[:n_samples]
