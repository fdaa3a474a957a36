"""From probabilities on a time grid to events: which class is active from when to when.

A row of the grid that is softer than `silence_db` holds no event. In the others a class begins where its probability
reaches its threshold, goes on while it stays above a share of that (hysteresis), and is an event if it lasts
`min_duration_s`; shorter gaps than `merge_gap_s` are bridged. Where something sounds for `unsure_min_s` and no class is
active, that is an event too, which is unsure. Classes are independent: two may sound at once.

An `EventFinder` takes rows as they come; several pushes give the same events as one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.lib.core.labels import UNSURE


@dataclass(frozen=True)
class EventSettings:
    """How rows become events; every number is an option of the predict command.

    `min_confidence`  the least probability at which a class becomes active, however low its threshold. Thresholds are
                      the best on the validation fold, where every sound is one of the classes; a caption that is more
                      likely wrong than right helps nobody, and the probability is calibrated, so 0.5
    `release`         share of its threshold above which an active class stays active: a sound that dies away is still
                      that sound
    `min_duration_s`  a shorter event is an error; one row, since segments, four times as long, smooth enough
    `merge_gap_s`     a shorter pause is part of the sound, as between two barks
    `unsure_min_s`    the edges of a known sound, where a segment holds it in part, are unsure for about a segment
    `silence_db`      A-weighted level in dB re full scale: a row without a louder frame holds no event. Between the
                      noise of a 16-bit converter, -93, and the softest of 1,015 clips of ESC-10 and UrbanSound8K, -64
    """

    min_confidence: float = 0.5
    release: float = 0.85
    min_duration_s: float = 0.5
    merge_gap_s: float = 0.6
    unsure_min_s: float = 2.0
    silence_db: float = -70.0


@dataclass(frozen=True)
class Event:
    """One sound: start and end in seconds, the name of its class, and how probable that is.

    `confidence` is the mean of the calibrated probability of the class over the rows of the event. Where something
    sounds and no class is active, `is_unsure` is set, `label` is `UNSURE` and `confidence` is the mean of the most
    probable class. Only `is_unsure` distinguishes it from a class of that name.
    """

    start_s: float
    end_s: float
    label: str
    confidence: float
    is_unsure: bool = False


@dataclass
class _Run:
    """Rows of one class that may become an event: `end` is the row after its last active one."""

    start: int
    end: int
    total: float
    n: int


class EventFinder:
    """Finds events in rows of `row_s` seconds; `thresholds` are by class name, None for 0.5 each."""

    def __init__(
        self, classes: Sequence[str], thresholds: dict[str, float] | None, row_s: float, settings: EventSettings
    ) -> None:
        """Begin at row 0."""
        self._labels = [*classes, UNSURE]
        self._on = np.array([max(settings.min_confidence, (thresholds or {}).get(name, 0.5)) for name in classes])
        self._settings = settings
        self._row_s = row_s
        self._n_rows = 0
        self._active = np.zeros(len(classes), dtype=bool)
        self._runs: dict[int, _Run] = {}  # by class; the number of classes stands for doubt

    def push(self, probabilities: np.ndarray, levels: np.ndarray) -> list[Event]:
        """Take the next rows, (n_rows, n_classes) and (n_rows,) in dB; returns the events that have ended, by start."""
        ended: list[Event] = []
        for row, level in zip(probabilities, levels, strict=True):
            self._push_row(row, sounds=level >= self._settings.silence_db, ended=ended)
        return sorted(ended, key=by_start)

    def finish(self, duration_s: float) -> list[Event]:
        """The events that last until the end of the stream, which no event outlasts."""
        ended = [self._event(i, duration_s) for i in sorted(self._runs)]
        self._runs = {}
        return sorted((event for event in ended if event is not None), key=by_start)

    def active_classes(self, probabilities: np.ndarray, level: float) -> list[tuple[str, float]]:
        """What one segment holds by itself: active classes, most probable first, else `UNSURE`, or nothing in silence.

        `probabilities` are (n_classes,), `level` in dB. It is known at once, where an event waits for its row.
        """
        if level < self._settings.silence_db:
            return []
        found = [(self._labels[i], float(probabilities[i])) for i in np.flatnonzero(probabilities >= self._on)]
        return sorted(found, key=lambda pair: -pair[1]) or [(UNSURE, float(probabilities.max()))]

    @property
    def ongoing(self) -> list[Event]:
        """The events that have lasted long enough to count and have not ended, by start, as far as they are known."""
        found = (self._event(i, np.inf) for i in sorted(self._runs))
        return sorted((event for event in found if event is not None), key=by_start)

    def _push_row(self, row: np.ndarray, *, sounds: bool, ended: list[Event]) -> None:
        self._active = (row >= np.where(self._active, self._settings.release * self._on, self._on)) & sounds
        found = np.flatnonzero(self._active).tolist()
        values = {i: float(row[i]) for i in found}
        if sounds and not found:
            values[len(row)] = float(row.max())
        for i in sorted(self._runs):
            gap_s = (self._n_rows + (i not in values) - self._runs[i].end) * self._row_s
            # Doubt ends where a class becomes active: only a pause of silence is bridged.
            if gap_s >= self._settings.merge_gap_s or (i == len(row) and found):
                event = self._event(i, np.inf)
                del self._runs[i]
                if event is not None:
                    ended.append(event)
        for i, value in values.items():
            run = self._runs.setdefault(i, _Run(self._n_rows, self._n_rows, 0.0, 0))
            run.end, run.total, run.n = self._n_rows + 1, run.total + value, run.n + 1
        self._n_rows += 1

    def _event(self, i: int, duration_s: float) -> Event | None:
        """The event of a run, or None where it is too short."""
        run, is_unsure = self._runs[i], i == len(self._on)
        least_s = self._settings.unsure_min_s if is_unsure else self._settings.min_duration_s
        # Durations are whole rows, so half a row is allowed for: rounding must not decide.
        if (run.end - run.start + 0.5) * self._row_s < least_s:
            return None
        start_s, end_s = run.start * self._row_s, min(run.end * self._row_s, duration_s)
        return Event(round(start_s, 3), round(end_s, 3), self._labels[i], round(run.total / run.n, 4), is_unsure)


def by_start(event: Event) -> tuple[float, float, str, bool]:
    """The order of events: by start, then end, then name."""
    return event.start_s, event.end_s, event.label, event.is_unsure
