"""Detection of sound events: `detect` for a whole recording, `StreamDetector` for one that comes block by block.

Both classify as `stages.lib.inference.streaming` describes and find events as `stages.lib.inference.events` describes,
so a recording has the same events whether it is read from a file, sent by a microphone or built by evaluate.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from stages.lib.audio import open_audio
from stages.lib.core.errors import AudioError
from stages.lib.inference.events import Event, EventFinder, EventSettings, SoundFinder, by_start, settings_of
from stages.lib.inference.runtime import Model
from stages.lib.inference.streaming import BATCH, ScoreGrid, Segment, StreamingClassifier


class StreamDetector:
    """Finds the events of one stream: `push` each block, then `finish`; or `detect` in one go.

    Parameters
    ----------
    model : Model
        From `stages.lib.inference.runtime.open_model`. Several detectors may share it.
    sr : int
        The rate of the stream in Hz, within `stages.lib.inference.buffers.SR_HZ`.
    settings : EventSettings, optional
        How probabilities become events; by default those of the model.
    step_s, batch_size, on_frames
        Those of `StreamingClassifier`. With a `batch_size` of 1 each segment is scored as soon as it is complete, as a
        live stream wants it; the default is faster for a recording that is there.
    looks_ahead : bool
        Whether times of events may depend on what comes up to a segment later, as they best do. Without it, events of
        a model with a head for frames are known about `step_s` after they happen.
    on_rows : callable, optional
        Called with the probabilities of all new rows, float64 (n_rows, n_classes), as for a picture.

    Raises
    ------
    AudioError
        Where the rate is out of range.
    ModelError
        Where the model contradicts its metadata, or `step_s` is longer than a segment.
    """

    def __init__(
        self,
        model: Model,
        sr: int,
        *,
        settings: EventSettings | None = None,
        step_s: float | None = None,
        batch_size: int = BATCH,
        looks_ahead: bool = True,
        on_frames: Callable[[np.ndarray], None] | None = None,
        on_rows: Callable[[np.ndarray], None] | None = None,
    ) -> None:
        """Prepare for a stream; see the class."""
        self.model = model
        self._classifier = StreamingClassifier(
            model, sr, step_s=step_s, batch_size=batch_size, looks_ahead=looks_ahead, on_frames=on_frames
        )
        metadata, row_s = model.metadata, self._classifier.row_s
        settings = settings or settings_of(metadata)
        self._finder: EventFinder | SoundFinder
        if metadata.frames is None:
            self._finder = EventFinder(metadata.classes, metadata.thresholds, row_s, settings)
        else:
            self._finder = SoundFinder(metadata.classes, row_s, settings)
        self._on_rows = on_rows

    @property
    def row_s(self) -> float:
        """Seconds of a row of the grid, which is as exact as times of events are."""
        return self._classifier.row_s

    @property
    def duration_s(self) -> float:
        """Seconds of the stream so far."""
        return self._classifier.duration_s

    @property
    def newest(self) -> Segment | None:
        """The newest complete segment, None before the first."""
        return self._classifier.newest

    @property
    def ongoing(self) -> list[Event]:
        """The events that have lasted long enough to count and were not returned yet, by start.

        What comes may move their ends and starts, and change the class of a sound.
        """
        return self._finder.ongoing

    def active_classes(self, segment: Segment) -> list[tuple[str, float]]:
        """What one segment holds by itself, see `EventFinder.active_classes`."""
        if isinstance(self._finder, SoundFinder):
            return self._finder.active_classes(segment.probabilities, segment.level, segment.something)
        return self._finder.active_classes(segment.probabilities, segment.level)

    def push(self, block: np.ndarray) -> list[Event]:
        """Take `block`, float32 of shape (n_samples, n_channels); returns the events that ended, by start.

        Raises `AudioError` where a sample is not finite, and `ModelError` where a probability is not.
        """
        return self._find(self._classifier.push(block))

    def finish(self) -> list[Event]:
        """The events that ended with the stream, by start. Raises `AudioError` where the stream held no sample."""
        if not self.duration_s:
            raise AudioError("holds no sample")
        ended = self._find(self._classifier.finish())
        return sorted(ended + self._finder.finish(self.duration_s), key=by_start)

    def detect(self, blocks: Iterable[np.ndarray]) -> list[Event]:
        """All events of a stream of `blocks`, by start; `push` and `finish` in one go, with their errors."""
        events = [event for block in blocks for event in self.push(block)]
        return sorted(events + self.finish(), key=by_start)

    def _find(self, rows: ScoreGrid) -> list[Event]:
        if self._on_rows is not None:
            self._on_rows(rows.probabilities)
        if isinstance(self._finder, SoundFinder):
            return self._finder.push(rows.probabilities, rows.levels, rows.something)
        return self._finder.push(rows.probabilities, rows.levels)


def detect(
    recording: Path | np.ndarray,
    model: Model,
    *,
    sr: int | None = None,
    settings: EventSettings | None = None,
    step_s: float | None = None,
    looks_ahead: bool = True,
) -> list[Event]:
    """Detect the events of a whole recording.

    Parameters
    ----------
    recording : Path or ndarray
        A file that `stages.lib.audio.open_audio` reads, or samples in floating point with full scale at 1, of shape
        (n_samples,) or (n_samples, n_channels).
    model : Model
        From `stages.lib.inference.runtime.open_model`.
    sr : int, optional
        The rate of the samples in Hz; a file has its own.
    settings : EventSettings, optional
        How probabilities become events; by default those of the model.
    step_s : float, optional
        Seconds between segments; by default those of `StreamingClassifier`.
    looks_ahead : bool
        That of `StreamDetector`: without it, the events are those of a live stream.

    Returns
    -------
    list of Event
        In the order of their starts.

    Raises
    ------
    AudioError
        Where the recording cannot be read, or only a part of it (a `StreamDetector` gives the events of that part), and
        where it holds no sample, one that is not finite, or has a rate outside of `stages.lib.inference.buffers.SR_HZ`.
    ModelError
        Where the model contradicts its metadata, `step_s` is longer than a segment, or a probability is not finite.

    Examples
    --------
    >>> model = open_model(Path("data/models/fold_10.keras"))  # doctest: +SKIP
    >>> for event in detect(Path("street.wav"), model):  # doctest: +SKIP
    ...     print(event.start_s, event.end_s, event.label, event.confidence)
    """
    if isinstance(recording, Path):
        with open_audio(recording) as opened:
            detector = StreamDetector(model, opened.sr, settings=settings, step_s=step_s, looks_ahead=looks_ahead)
            events = detector.detect(opened.blocks())
        if problem := opened.problem():
            raise AudioError(f"{recording.name}: {problem}")
        return events
    if sr is None:
        raise TypeError("detect: samples need their rate, sr=")
    if not np.issubdtype(recording.dtype, np.floating):
        raise TypeError(f"detect: expected samples in floating point with full scale at 1, found {recording.dtype}")
    block = recording.astype(np.float32, copy=False)
    detector = StreamDetector(model, sr, settings=settings, step_s=step_s, looks_ahead=looks_ahead)
    return detector.detect([block[:, np.newaxis] if block.ndim == 1 else block])
