"""Buffers of a stream: samples on their way to one channel at one rate, and the last part of an array that grows."""

import numpy as np
import soxr

from stages.lib.audio import mix_down, n_samples_at
from stages.lib.core.errors import AudioError

SR_HZ = (1_000, 1_000_000)  # beyond what microphones have, and resampling would give gigabytes, or nothing


class MonoStream:
    """Mixes blocks down to one channel and resamples them: bit for bit what `stages.lib.audio.load_mono` gives."""

    def __init__(self, sr_from: int, sr_to: int) -> None:
        """Prepare for a stream at `sr_from` Hz, wanted at `sr_to` Hz. Raises `AudioError` outside of `SR_HZ`."""
        if not SR_HZ[0] <= sr_from <= SR_HZ[1]:
            limits = " to ".join(f"{hz:,}" for hz in SR_HZ)
            raise AudioError(
                f"has a sample rate of {sr_from:,} Hz, expected {limits} Hz; correct the rate in its header"
            )
        self._sr_from, self._sr_to = sr_from, sr_to
        self._resampler = None if sr_from == sr_to else soxr.ResampleStream(sr_from, sr_to, 1, "float32", "HQ")
        self._n_in = self._n_out = 0

    @property
    def duration_s(self) -> float:
        """Seconds that came in."""
        return self._n_in / self._sr_from

    def push(self, block: np.ndarray) -> np.ndarray:
        """The samples that are ready after `block`, float32 (n_samples, n_channels); float32 (n,).

        Raises `AudioError` where a sample is not finite.
        """
        if not np.isfinite(block).all():
            raise AudioError(f"a sample after {self.duration_s:.1f} s is not a finite number")
        y = mix_down(block)
        self._n_in += len(y)
        if self._resampler is not None:
            y = self._resampler.resample_chunk(np.ascontiguousarray(y))
        self._n_out += len(y)
        return y

    def finish(self) -> np.ndarray:
        """The samples that are left, so that all together are as many as `n_samples_at` says."""
        n_left = n_samples_at(self._n_in, self._sr_from, self._sr_to) - self._n_out
        rest = np.zeros(0, np.float32)
        if self._resampler is not None and self._n_in:
            rest = self._resampler.resample_chunk(rest, last=True)
        return np.pad(rest, (0, max(0, n_left - len(rest))))[:n_left]


class SlidingBuffer:
    """The last part of a long array that only grows, in rows; `start` and `end` count from its beginning."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Begin empty; each row has the shape `shape`."""
        self._data: np.ndarray | None = None
        self._shape = shape
        self._from = self._to = 0
        self.start = self.end = 0

    def __len__(self) -> int:
        """The rows that are kept."""
        return self._to - self._from

    @property
    def view(self) -> np.ndarray:
        """What is kept; valid until the next `append`."""
        return self.slice(self.start, self.end)

    def slice(self, start: int, end: int) -> np.ndarray:
        """Rows `start` to `end`, which are kept; valid until the next `append`."""
        if self._data is None:
            return np.zeros((0, *self._shape), np.float32)
        offset = self._from - self.start
        return self._data[start + offset : end + offset]

    def append(self, rows: np.ndarray) -> None:
        """Add rows at the end."""
        if self._data is None:
            self._data = np.empty((0, *self._shape), rows.dtype)
        if self._to + len(rows) > len(self._data):
            kept = len(self)
            grown = np.empty((max(len(self._data), 2 * (kept + len(rows))), *self._shape), self._data.dtype)
            grown[:kept] = self.view
            self._data, self._from, self._to = grown, 0, kept
        self._data[self._to : self._to + len(rows)] = rows
        self._to += len(rows)
        self.end += len(rows)

    def drop(self, n: int) -> None:
        """Forget the first `n` rows."""
        self._from += n
        self.start += n
