"""From a stream of samples to probabilities on a time grid, the same for a file and for a microphone.

    blocks of any size -> one channel -> the model's rate -> frames -> segments -> probabilities -> rows of a grid

A `StreamingClassifier` is fed with blocks as they come. What it computes depends on the samples so far, never on how
they were split into blocks: the resampler gives the same samples for any split, frames are computed in groups that are
counted from the start of the stream, and segments are scored in batches that are counted from there too.

A segment begins every `step` frames, and a row of the grid is as long as a step. The probabilities of a row are the
mean of those of the segments that reach into it, each weighted by how much of the row it covers. A row is final once
the last segment that reaches into it is scored. A network with a head for frames has probabilities for short steps of
a segment: then a row is as long as one of these, and its mean is over the steps that cover it; or, where a stream must
not wait for the segments to come, it is taken from the first segment that holds it whole. At the end of the stream
one more segment is aligned to the end, as training has it (`stages.lib.model.segments`); it counts for the rows that
are not final. A stream shorter than one segment is padded as the model's segmenter does. Times count from the first
sample.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pydantic

from stages.lib.core.errors import ModelError
from stages.lib.core.validation import describe_errors
from stages.lib.frontend.loudness import to_db
from stages.lib.frontend.spectrogram import FeaturizeParams, Featurizer, PcenMemory
from stages.lib.inference.buffers import MonoStream, SlidingBuffer
from stages.lib.inference.runtime import Model
from stages.lib.model.segments import make_segmenter

STEP_S = 0.5  # seconds between segments; the collar within which events are usually counted as found
BATCH = 64  # segments that are scored at once where all are there
GROUP_S = 0.1  # seconds of frames that are computed at once: what a live stream waits for


@dataclass(frozen=True)
class ScoreGrid:
    """Rows of the grid that became final: `first` is the number of the first one.

    `probabilities` are float64 of shape (n_rows, n_classes), those of a head for frames, or else after temperature.
    `something` are those of anything but background, float64 of shape (n_rows,), 1 without such a head. `levels` are
    the A-weighted levels of the loudest frame of each row in dB re full scale, float64 of shape (n_rows,), see
    `stages.lib.frontend.loudness`.
    """

    first: int
    probabilities: np.ndarray
    something: np.ndarray
    levels: np.ndarray

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.levels)


@dataclass(frozen=True)
class Segment:
    """One segment: the time of its last sample, its probabilities (n_classes,) after temperature, and the level of
    its loudest frame in dB.

    From a head for frames they are those of the newest steps alone, as many as two segments lie apart, and `something`
    is the probability of anything but background, 1 without such a head.
    """

    end_s: float
    probabilities: np.ndarray
    level: float
    something: float = 1.0


class StreamingClassifier:
    """Turns blocks of samples at `sr` Hz into rows of a grid: `push` each block, then `finish`.

    `row_s` is the length of a row in seconds, `duration_s` that of the stream so far. `newest` is the newest
    segment that is complete, None before the first.
    """

    def __init__(
        self,
        model: Model,
        sr: int,
        *,
        step_s: float | None = None,
        batch_size: int = BATCH,
        looks_ahead: bool = True,
        on_frames: Callable[[np.ndarray], None] | None = None,
    ) -> None:
        """Prepare for a stream at `sr` Hz, with a segment every `step_s` seconds, rounded to whole frames; None for
        `STEP_S`, or half of a segment where that is less.

        Of `batch_size` segments all are scored together; 1 scores each as soon as it is complete. Where not
        `looks_ahead`, rows of a head for frames are final with the first segment that holds them, which is less exact;
        without such a head they never are. `on_frames` is called with the features of all new frames,
        float32 (n, n_features), as for a picture. Raises `ModelError` where
        the network takes other features than its metadata says, or segments would lie further apart than they are long,
        and `AudioError` where `sr` is outside of `stages.lib.inference.buffers.SR_HZ`.
        """
        self.model = model
        self._featurizer = make_featurizer(model)
        params = self._featurizer.params
        self._segmenter = make_segmenter(model.metadata)
        if self._segmenter.length != model.length:
            raise ModelError(
                f"{model.path}: its segments have {model.length} frames, its metadata says {self._segmenter.length}; "
                "run 'dvc repro train'"
            )
        frame_s = params.hop_length / params.sr
        if step_s is None:
            step_s = min(STEP_S, model.length * frame_s / 2)
        self.step = max(1, round(step_s / frame_s))
        if self.step > model.length:
            raise ModelError(
                f"a step of {step_s:g} s is longer than a segment of {model.path.name}, "
                f"{model.length * frame_s:.2f} s; what lies between two segments would never be classified"
            )
        frames = model.metadata.frames
        self._row = self.step if frames is None else frames.step
        self._rows = max(1, self.step // self._row)  # of a step
        self._looks_ahead = looks_ahead or frames is None
        self.step = self._rows * self._row
        self.row_s = self._row * frame_s
        self.newest: Segment | None = None
        self._batch_size = batch_size
        self._on_frames = on_frames
        self._mono = MonoStream(sr, params.sr)
        self._memory = PcenMemory()
        self._group = max(1, round(GROUP_S / frame_s))
        self._samples = SlidingBuffer(())
        self._frames = SlidingBuffer((params.n_features,))
        self._powers = SlidingBuffer(())
        self._n_scored = 0  # segments
        self._n_rows = 0  # that are final
        # Of the rows from n_rows on: sums of weighted probabilities and of weights
        self._sums = np.zeros((2 + self._rows + -(-model.length // self._row), len(model.metadata.classes) + 1))
        self._weights = np.zeros(len(self._sums))

    @property
    def duration_s(self) -> float:
        """Seconds of the stream so far."""
        return self._mono.duration_s

    def push(self, block: np.ndarray) -> ScoreGrid:
        """Take `block`, float32 of shape (n_samples, n_channels); returns the rows that became final.

        Raises `AudioError` where a sample is not finite.
        """
        self._samples.append(self._mono.push(block))
        params = self._featurizer.params
        n_needed = params.win_length + (self._group - 1) * params.hop_length
        rows = []
        while len(self._samples) >= n_needed:
            self._add_frames(self._samples.view[:n_needed])
            self._samples.drop(self._group * params.hop_length)
            while self._n_ready() >= self._batch_size:
                rows.append(self._score(self._batch_size))
        return self._join(rows)

    def finish(self) -> ScoreGrid:
        """The rest of the rows at the end of the stream; all rows together are at least one."""
        self._samples.append(self._mono.finish())
        n_frames = self._frames.end
        if len(self._samples) >= self._featurizer.params.win_length or not n_frames:
            self._add_frames(self._samples.view)
        rows = []
        while n := min(self._batch_size, self._n_ready()):
            rows.append(self._score(n))
        rows.append(self._score_end())
        return self._join(rows)

    def _add_frames(self, samples: np.ndarray) -> None:
        magnitudes = self._featurizer.magnitudes(samples)
        frames = self._featurizer.from_magnitudes(magnitudes, self._memory)
        self._frames.append(frames)
        if self._on_frames is not None:
            self._on_frames(frames)
        self._powers.append(self._featurizer.level.frame_powers(magnitudes))

    def _n_ready(self) -> int:
        """Segments on the grid that are complete and not yet scored."""
        n_complete = 1 + (self._frames.end - self.model.length) // self.step
        return max(0, n_complete - self._n_scored)

    def _score(self, n: int) -> ScoreGrid:
        """Score the next `n` segments of the grid, which makes as many rows final."""
        starts = [self.step * (self._n_scored + i) for i in range(n)]
        segments = np.stack([self._frames.slice(start, start + self.model.length) for start in starts])
        probabilities, steps = self.model.predict_steps(segments)
        first, final = self._n_rows, []
        for start, of_steps in zip(starts, steps, strict=True):
            end = start + self.model.length
            self._add(start, end, of_steps, ends_with=end)
            n_final = self._rows if self._looks_ahead else end // self._row - self._n_rows
            final += [self._pop_row() for _ in range(n_final)]
        self._n_scored += n
        self._set_newest(starts[-1], starts[-1] + self.model.length, probabilities[-1], steps[-1])
        levels = self._levels(first, len(final))
        self._drop(starts[-1])  # its frames are still needed where the stream ends before the next segment
        return self._grid(first, final, levels)

    def _score_end(self) -> ScoreGrid:
        """Score the segment that is aligned to the end, where the grid leaves frames over; returns the last rows."""
        end, first = self._frames.end, self._n_rows
        start = max(0, end - self.model.length)
        reached = (self._n_scored - 1) * self.step + self.model.length if self._n_scored else 0
        if not self._looks_ahead:
            reached = first * self._row
        if end > reached:
            segment = self._segmenter.cut(self._frames.slice(start, end), 0)
            probabilities, steps = self.model.predict_steps(segment[np.newaxis])
            self._add(start, end, steps[0], ends_with=-(-end // self._row) * self._row)
            self._set_newest(start, end, probabilities[0], steps[0])
        n = -(-end // self._row) - first
        levels = self._levels(first, n)
        return self._grid(first, [self._pop_row() for _ in range(n)], levels)

    def _add(self, start: int, end: int, steps: np.ndarray, *, ends_with: int) -> None:
        """Add a segment of frames `start` to `end` to the rows that are not final, by how much of each a step covers.

        What is left of a segment after its last whole step belongs to that step. Without looking ahead only rows up to
        the frame `ends_with` get it.
        """
        edges = self._row * (self._n_rows + np.arange(len(self._weights) + 1))
        of_steps = np.minimum(start + self._row * np.arange(len(steps) + 1), end)
        of_steps[-1] = end
        ends, starts = np.minimum.outer(edges[1:], of_steps[1:]), np.maximum.outer(edges[:-1], of_steps[:-1])
        covered = np.maximum(0, ends - starts)  # [n_rows, n_steps]
        if not self._looks_ahead:
            covered[edges[1:] > ends_with] = 0
        self._sums += covered @ steps
        self._weights += covered.sum(axis=1)

    def _pop_row(self) -> np.ndarray:
        row = self._sums[0] / self._weights[0]
        self._sums[:-1], self._sums[-1] = self._sums[1:].copy(), 0
        self._weights[:-1], self._weights[-1] = self._weights[1:].copy(), 0
        self._n_rows += 1
        return row

    def _levels(self, first_row: int, n_rows: int) -> np.ndarray:
        edges = np.minimum(self._row * (first_row + np.arange(n_rows + 1)), self._powers.end)
        powers = [self._powers.slice(a, b).max() for a, b in pairwise(edges)]
        return to_db(np.array(powers))

    def _set_newest(self, start: int, end: int, probabilities: np.ndarray, steps: np.ndarray) -> None:
        params = self._featurizer.params
        end_s = ((end - 1) * params.hop_length + params.win_length) / params.sr
        something = 1.0
        if self.model.metadata.frames is not None:
            start = max(start, end - self.step)
            *probabilities, something = steps[-self._rows :].mean(axis=0)
        level = float(to_db(self._powers.slice(start, end).max()))
        self.newest = Segment(end_s, np.asarray(probabilities), level, float(something))

    def _drop(self, before: int) -> None:
        self._frames.drop(before - self._frames.start)
        self._powers.drop(before - self._powers.start)

    def _join(self, rows: list[ScoreGrid]) -> ScoreGrid:
        if not rows:
            return self._grid(self._n_rows, [], np.zeros(0))
        return ScoreGrid(
            rows[0].first,
            np.concatenate([r.probabilities for r in rows]),
            np.concatenate([r.something for r in rows]),
            np.concatenate([r.levels for r in rows]),
        )

    def _grid(self, first: int, rows: list[np.ndarray], levels: np.ndarray) -> ScoreGrid:
        values = np.array(rows).reshape(len(rows), self._sums.shape[1])
        return ScoreGrid(first, values[:, :-1], values[:, -1], levels)


def make_featurizer(model: Model) -> Featurizer:
    """The front end of a model, from its metadata. Raises `ModelError` where that contradicts itself."""
    metadata = model.metadata
    try:
        params = FeaturizeParams(**metadata.featurize.model_dump())
    except pydantic.ValidationError as error:
        problems = describe_errors(error, within="featurize", see="the comments in params.yaml")
        raise ModelError(f"{model.path}: its metadata is wrong: {problems}; run 'dvc repro train'") from None
    featurizer = Featurizer(params, numpy_only=True)
    for name, said, found in (
        ("kind", metadata.kind, params.kind),
        ("numbers per frame", model.n_features, params.n_features),
        ("floor", np.round(metadata.floor, 3).tolist(), np.round(featurizer.floor, 3).tolist()),
    ):
        if said != found:
            raise ModelError(
                f"{model.path}: its metadata contradicts itself: {name} {said}, where its parameters give "
                f"{found}; run 'dvc repro train'"
            )
    return featurizer
