"""The one place that reads audio.

libsndfile (through soundfile) reads WAV, FLAC, AIFF, Ogg and others. FFmpeg (through PyAV) reads what libsndfile does
not know, such as the M4A of a phone, and what it would not read to the end: MP3, of which it estimates the length and
stops there, Ogg of several links, files that do not say their length. Whichever decodes, what was decoded is
compared with how much sound the file holds by its structure, see `Recording.problem`.
"""

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from stages.lib.containers import (
    caf_problem,
    is_mp3,
    logged_problem,
    mpeg_is_counted,
    nist_samples,
    ogg_pages,
    riff_data,
)
from stages.lib.core.errors import AudioError

BLOCK = 1 << 18  # samples per channel that are decoded at once; all of most clips
LENGTH_TOLERANCE_S = 0.1  # seconds that an encoder's delay and padding may add to or take from what a header says
MAX_MIXDOWN_LOSS_DB = 20.0  # dB; independent channels lose 10 log10 of their number: 3 dB of two, 9 dB of eight
# What FFmpeg may read, by the names of its demuxers: formats of sound, and of films for their sound. Not its playlists,
# image sequences and the like, which lead to other files.
FFMPEG_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,loas,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,oma,rm,tak,"
    "tta,voc,w64,wav,wv"
)
# Of these the header holds the length; of the others FFmpeg estimates it from the bit rate, or they have none.
FFMPEG_LENGTHS = ("asf", "avi", "caf", "matroska", "mov", "wv")
# Of these each packet says when it begins, in one count from beginning to end: a part that is missing leaves a gap.
FFMPEG_TIMES = ("flac", "flv", "matroska")
LAST_PAGE_CUT = "the last page is incomplete"
CONTAINER_NAMES = {"mov": "MP4", "matroska": "MATROSKA"}


@dataclass
class Recording:
    """An open recording: what its header says, its samples, and once these are read, what is wrong with it."""

    sr: int  # Hz
    n_channels: int
    coding: str  # container and coding, as libsndfile or else FFmpeg calls them: "WAV PCM_16", "MP4 AAC"
    n_expected: int | None  # samples per channel by the header, of which there may be fewer; None where it says none
    read: Callable[[], Iterator[np.ndarray]]
    length_problem: Callable[[int], str | None]  # of the samples per channel that were decoded
    n_read: int = 0  # samples per channel
    _offsets: np.ndarray = field(default_factory=lambda: np.zeros(0))  # of each channel, in the first block
    _sums: np.ndarray = field(default_factory=lambda: np.zeros(0))  # of each channel, then of their mean, less offsets
    _squares: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the samples in order, float32 of shape (at most BLOCK, n_channels), none empty; once.

        A header may claim far more samples than there are, so nothing is sized by it. Raises `AudioError` where the
        file cannot be decoded any further.
        """
        for block in self.read():
            self.n_read += len(block)
            if self.n_channels > 1:
                self._measure(block)
            yield block

    @np.errstate(invalid="ignore")  # a recording with NaN has no loss
    def _measure(self, block: np.ndarray) -> None:
        channels = np.array(block.T, order="C")  # [n_channels, n]; sums along memory take a third of the time
        if self.n_read == len(block):  # the first
            self._offsets = channels.mean(axis=1, keepdims=True)
            self._sums, self._squares = np.zeros((2, self.n_channels + 1))
        channels -= self._offsets  # without which sums of float32 would not be exact enough
        for i, signal in enumerate((*channels, mix_down(channels.T))):
            self._sums[i] += signal.sum()
            self._squares[i] += np.dot(signal, signal)

    @property
    def mixdown_loss_db(self) -> float | None:
        """By how much averaging the channels lowered the level of what was read, in dB, without constant offsets.

        Infinite where nothing is left of it (over 100 dB); None of one channel, and of channels without any sound.
        """
        if not len(self._sums):
            return None
        variances = np.maximum(self._squares / self.n_read - np.square(self._sums / self.n_read), 0)
        channels, mean = float(variances[:-1].mean()), float(variances[-1])
        if not np.isfinite(channels) or channels < 1e-12:
            return None
        return float(10 * np.log10(channels / mean)) if mean > 1e-10 * channels else float("inf")

    def problem(self) -> str | None:
        """Why what was read is not to be trusted as the whole recording, in words; None where it is.

        The length: the header, the size of the file or the number of its frames say that there is more. The channels:
        averaged, as everything here uses them, they cancel each other.
        """
        if problem := self.length_problem(self.n_read):
            return problem
        loss = self.mixdown_loss_db
        return describe_loss(loss) if loss is not None and loss > MAX_MIXDOWN_LOSS_DB else None


def describe_loss(loss_db: float) -> str:
    """What became of the sound of several channels in their mean."""
    lost = "all of the sound" if np.isinf(loss_db) else f"{loss_db:.0f} dB"
    return f"averaging the channels loses {lost}: they cancel each other, one may be inverted"


@contextmanager
def open_audio(path: Path) -> Iterator[Recording]:
    """Open a recording for the block of a `with`. Raises `AudioError` where it cannot be opened."""
    if path.suffix.lower() == ".raw":
        raise AudioError(f"{path.name}: cannot be read as audio (raw samples have no header that tells their rate)")
    with ExitStack() as stack:
        yield _open(path, stack)


def _open(path: Path, stack: ExitStack) -> Recording:
    is_file = os.path.isfile(path)  # False where the system refuses the name, which Path.is_file raises
    if is_file and os.access(path, os.R_OK) and is_mp3(path):
        return _open_ffmpeg(path, stack, "MP3 needs PyAV", "MP3 MPEG_LAYER_III")
    try:
        file = stack.enter_context(soundfile.SoundFile(path))
    except (soundfile.LibsndfileError, OSError) as error:
        # str() of libsndfile's error holds the whole path, which has no place in anything that is tracked
        why = str(error.error_string if isinstance(error, soundfile.LibsndfileError) else error.strerror)
        if is_file:
            if not os.path.getsize(path):
                raise _unreadable(path, "it is empty, it has 0 bytes") from None
            return _open_ffmpeg(path, stack, why)
        raise _unreadable(path, why) from None
    if not is_file:  # a pipe can be read, once, and not be looked at before
        return _of_soundfile(file, path, lambda n_read: None)
    riff = riff_data(path) if file.format in ("WAV", "WAVEX", "RF64") else None
    pages = ogg_pages(path) if file.format == "OGG" else None
    says_no_length = file.frames > 2**60 or (riff is not None and riff.claimed is None and not file.frames)
    if file.subtype.startswith("MPEG") or says_no_length or (pages is not None and pages.n_links > 1):
        return _open_ffmpeg(path, stack, "it needs PyAV", f"{file.format} {file.subtype}")

    n_claimed = (nist_samples(path) if file.format == "NIST" else None) or file.frames
    of_container = logged_problem(file.extra_info) if riff is None else riff.problem
    if pages is not None and pages.is_cut:
        of_container = LAST_PAGE_CUT

    def length_problem(n_read: int) -> str | None:
        if of_container is None and n_claimed > n_read:
            return f"the header claims {n_claimed} samples, {n_read} can be decoded"
        return of_container

    return _of_soundfile(file, path, length_problem)


def _unreadable(path: Path, why: str) -> AudioError:
    return AudioError(f"{path.name}: cannot be read as audio ({why})")


def _of_soundfile(file: soundfile.SoundFile, path: Path, length_problem: Callable[[int], str | None]) -> Recording:
    def read() -> Iterator[np.ndarray]:
        try:
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                yield block
        except soundfile.LibsndfileError as error:
            raise _unreadable(path, error.error_string) from None

    coding = f"{file.format} {file.subtype}"
    return Recording(file.samplerate, file.channels, coding, file.frames, read, length_problem)


def _open_ffmpeg(path: Path, stack: ExitStack, why: str, coding: str | None = None) -> Recording:
    """Open with FFmpeg; `why` is for those without PyAV, `coding` what libsndfile calls the file, if it knows it."""
    try:
        import av
    except ImportError:
        convert = f"ffmpeg -i {shlex.quote(path.name)} {shlex.quote(f'{path.stem}.wav')}"
        advice = f"'pip install av' reads more formats, or convert it: {convert}"
        raise _unreadable(path, f"{why.rstrip('.')}; {advice}") from None
    try:
        container = stack.enter_context(
            av.open(stack.enter_context(path.open("rb")), options={"format_whitelist": FFMPEG_FORMATS})
        )
    except av.FFmpegError:
        raise _unreadable(path, "Format not recognised, or incomplete") from None
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from None
    if not container.streams.audio:
        raise _unreadable(path, "it holds no sound")
    return _FfmpegReader(path, container, container.streams.audio[0]).open(coding)


class _FfmpegReader:
    """Decodes the first stream of sound of a container."""

    def __init__(self, path: Path, container: Any, stream: Any) -> None:
        self._path, self._container, self._stream = path, container, stream
        self._walked_s = 0.0  # seconds in the packets so far
        self._first_s: float | None = None  # when the first of them begins
        self._last_s = 0.0  # when the last of them ends
        self._packet_s = 0.0  # seconds of the longest

    def open(self, coding: str | None) -> Recording:
        """Decode the first frame, since it alone has the rate: the header of AAC may say half of it."""
        frames = self._frames()
        first = next(frames, None)
        stream, form = self._stream, self._container.format.name.split(",")[0]
        sr = first.sample_rate if first else stream.rate
        n_channels = first.layout.nb_channels if first else stream.channels
        if not sr or not n_channels:  # FFmpeg goes by the name of a file that it cannot parse
            raise _unreadable(self._path, "nothing in it can be decoded")
        codec = stream.codec_context.name
        claimed_s = self._claimed_s(form)
        of_container = self._container_problem(form)

        def length_problem(n_read: int) -> str | None:
            if of_container:
                return of_container
            # Packets hold the encoder's delay and padding too, which is left out where the header says how much it is.
            if claimed_s is not None:
                expected_s, what = claimed_s, "the header claims"
            else:
                expected_s, what = self._walked_s, "its packets hold"
                if form in FFMPEG_TIMES and (spanned_s := self._last_s - (self._first_s or 0)) > expected_s:
                    expected_s, what = spanned_s, "by the times of its packets it lasts"
            # A CAF file counts its packets, of which the last may be filled in part.
            tolerance_s = LENGTH_TOLERANCE_S + (self._packet_s if form == "caf" else 0)
            if n_read / sr >= expected_s - tolerance_s:
                return None
            return f"{what} {expected_s:.1f} s, {n_read / sr:.1f} s can be decoded"

        return Recording(
            sr=sr,
            n_channels=n_channels,
            coding=coding or f"{CONTAINER_NAMES.get(form, form.upper())} {codec.upper()}",
            n_expected=None if claimed_s is None else round(claimed_s * sr),
            read=lambda: self._read(chain([first] if first else [], frames), sr, n_channels),
            length_problem=length_problem,
        )

    def _container_problem(self, form: str) -> str | None:
        """What the structure of the file says against it, where FFmpeg would read on in silence."""
        if form == "wav":
            riff = riff_data(self._path)
            return None if riff is None else riff.problem
        if form == "ogg":
            return LAST_PAGE_CUT if ogg_pages(self._path).is_cut else None
        return caf_problem(self._path) if form == "caf" else None

    def _claimed_s(self, form: str) -> float | None:
        """The length by the header in seconds, None where it says none."""
        stream, container = self._stream, self._container
        if form not in FFMPEG_LENGTHS and not (form == "mp3" and mpeg_is_counted(self._path)):
            return None
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        return None if container.duration is None else container.duration / 1_000_000

    def _frames(self) -> Iterator[Any]:
        import av

        try:
            for packet in self._container.demux(self._stream):
                if packet.duration and packet.time_base and not packet.is_discard:
                    duration_s = float(packet.duration * packet.time_base)
                    self._walked_s += duration_s
                    self._packet_s = max(self._packet_s, duration_s)
                    if packet.pts is not None:
                        start_s = float(packet.pts * packet.time_base)
                        self._first_s = start_s if self._first_s is None else self._first_s
                        self._last_s = max(self._last_s, start_s + duration_s)
                yield from packet.decode()
        except av.FFmpegError as error:
            why = f"{str(error.strerror).lower()} at {self._walked_s:.1f} s"
            raise _unreadable(self._path, why) from None

    def _read(self, frames: Iterator[Any], sr: int, n_channels: int) -> Iterator[np.ndarray]:
        import av

        to_float = av.AudioResampler(format="fltp")  # rate and channels stay
        pieces: list[np.ndarray] = []
        try:
            for frame in frames:
                kind = frame.sample_rate, frame.layout.nb_channels
                if kind != (sr, n_channels):
                    found = f"{kind[0]} Hz and {kind[1]} channels after {sr} Hz and {n_channels}"
                    raise _unreadable(self._path, f"it changes on the way: {found}; cut it into files of one kind")
                pieces += [converted.to_ndarray().T for converted in to_float.resample(frame)]  # [n, n_channels]
                if sum(map(len, pieces)) >= BLOCK:
                    yield np.concatenate(pieces)
                    pieces = []
        except AudioError:
            if pieces:  # what comes before is good
                yield np.concatenate(pieces)
            raise
        if pieces:
            yield np.concatenate(pieces)


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """Decode a whole recording.

    Returns the samples, float32 of shape (n_samples, n_channels) with integer full scale at plus or minus 1, and the
    sample rate in Hz. Raises `AudioError` where the file cannot be opened or decoded.
    """
    with open_audio(path) as recording:
        blocks = list(recording.read()) or [np.zeros((0, recording.n_channels), np.float32)]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks), recording.sr


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
