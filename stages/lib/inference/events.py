"""From probabilities on a time grid to events: which class is active from when to when.

A row of the grid that is softer than `silence_db` holds no event. In the others a class begins where its probability
reaches its threshold, goes on while it stays above a share of that (hysteresis), and is an event if it lasts
`min_duration_s`; shorter gaps than `merge_gap_s` are bridged. Where something sounds for `unsure_min_s` and no class is
active, that is an event too, which is unsure. Classes are independent: two may sound at once.

Rows of a head for frames say besides whether anything sounds, and that more exactly than what it is. So a
`SoundFinder` first finds sounds, from when to when anything does, and then names each: by the classes that are probable
for `SUSTAINED_S` in it, the outermost of which last to its ends; where none is, by the class that is the most probable
in the mean. A class that is probable again within `REACH_S`, and no other between, is one event. Where a sound goes on
and on, as in the noise of a street, a class is known to have ended `REACH_S` and `SUSTAINED_S` later.

Both take rows as they come; several pushes give the same events as one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.lib.core.labels import UNSURE
from stages.lib.model.metadata import ModelMetadata

SOMETHING = 0.5  # probability of anything but background from which on it sounds
PROBABLE = 0.7  # and of a class, from which on it is probable within a sound
SUSTAINED_S = 1.5  # shorter, what is probable may be an error, and the mean decides
REACH_S = 4.0  # how far at most an end of a class is moved to that of the sound


@dataclass(frozen=True)
class EventSettings:
    """How rows become events; every number is an option of the predict command, and in the section `events` of the
    parameters. A model with a head for frames has those that it was trained with in its metadata (`settings_of`); these
    are for others.

    `min_confidence`  the least probability at which a class becomes active, however low its threshold. Thresholds are
                      the best on the validation fold, where every sound is one of the classes; a caption that is more
                      likely wrong than right helps nobody, and the probability is calibrated, so 0.5. With a head for
                      frames, the least share of a class in the probability of anything, for a sound to be named by it
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


def settings_of(metadata: ModelMetadata) -> EventSettings:
    """The settings that a model was trained with, or the defaults where it has no head for frames."""
    if metadata.events is None:
        return EventSettings()
    return EventSettings(**{name: getattr(metadata.events, name) for name in EventSettings.__dataclass_fields__})


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


@dataclass
class _Sound:
    """Rows in which anything sounds, and the runs of probable classes in them, by start; `totals` are sums over the
    rows. `first` is the row at which the first event begins of those that were returned already.
    """

    start: int
    end: int
    totals: np.ndarray
    something: float
    runs: list[tuple[int, _Run]]
    first: int | None = None


class SoundFinder:
    """Finds events in rows of `row_s` seconds of a head for frames, see the module."""

    def __init__(self, classes: Sequence[str], row_s: float, settings: EventSettings) -> None:
        """Begin at row 0."""
        self._labels = [*classes, UNSURE]
        self._settings = settings
        self._row_s = row_s
        self._n_rows = 0
        self._sounds = False
        self._active = np.zeros(len(classes), dtype=bool)
        self._sound: _Sound | None = None

    def push(self, probabilities: np.ndarray, levels: np.ndarray, something: np.ndarray) -> list[Event]:
        """Take the next rows, (n_rows, n_classes), (n_rows,) in dB, and (n_rows,), the probabilities of anything but
        background; returns the events of the sounds that have ended, by start.
        """
        ended: list[Event] = []
        for row, level, of_any in zip(probabilities, levels.tolist(), something.tolist(), strict=True):
            ended += self._push_row(row, of_any, is_loud=level >= self._settings.silence_db)
        return sorted(ended, key=by_start)

    def finish(self, duration_s: float) -> list[Event]:
        """The events that last until the end of the stream, which no event outlasts."""
        ended = self._events(duration_s)
        self._sound = None
        return ended

    def active_classes(self, probabilities: np.ndarray, level: float, something: float) -> list[tuple[str, float]]:
        """What sounds now by itself, as `EventFinder.active_classes` has it."""
        if level < self._settings.silence_db or something < SOMETHING:
            return []
        active = np.flatnonzero(probabilities >= max(SOMETHING, self._settings.min_confidence))
        found = [(self._labels[i], float(probabilities[i])) for i in active]
        return sorted(found, key=lambda pair: -pair[1]) or [(UNSURE, float(probabilities.max()))]

    @property
    def ongoing(self) -> list[Event]:
        """The events of the sound that goes on, by start, as far as they are known: a class may have ended in it."""
        return self._events(np.inf)

    def _push_row(self, row: np.ndarray, something: float, *, is_loud: bool) -> list[Event]:
        ended: list[Event] = []
        sound, n = self._sound, self._n_rows
        self._sounds = is_loud and something >= SOMETHING
        if sound is not None and (n + (not self._sounds) - sound.end) * self._row_s >= self._settings.merge_gap_s:
            ended = self._events(np.inf)
            sound = self._sound = None
            self._active[:] = False
        if self._sounds:
            if sound is None:
                sound = self._sound = _Sound(n, n, np.zeros(len(row)), 0.0, [])
            sound.end, sound.totals, sound.something = n + 1, sound.totals + row, sound.something + something
            on = max(PROBABLE, self._settings.min_confidence)
            self._active = row >= np.where(self._active, self._settings.release * on, on)
            for i in np.flatnonzero(self._active).tolist():
                self._extend_run(sound, i, float(row[i]))
            ended += self._settle(sound)
        self._n_rows += 1
        return ended

    def _extend_run(self, sound: _Sound, i: int, value: float) -> None:
        """Count the row for the newest run of the class `i`, or for a new one where the gap is too long to bridge."""
        run = next((run for of, run in reversed(sound.runs) if of == i), None)
        if run is None or (self._n_rows - run.end) * self._row_s >= self._settings.merge_gap_s:
            sound.runs = [(of, old) for of, old in sound.runs if of != i or self._is_sustained(old)]
            run = _Run(self._n_rows, self._n_rows, 0.0, 0)
            sound.runs.append((i, run))
        run.end, run.total, run.n = self._n_rows + 1, run.total + value, run.n + 1

    def _settle(self, sound: _Sound) -> list[Event]:
        """Join runs of a class, and return the events that have ended for good, so that no sound grows for ever."""
        reach = REACH_S / self._row_s
        sustained = [(i, run) for i, run in sound.runs if self._is_sustained(run)]
        for i, run in sustained:
            before = next((b for of, b in reversed(sustained) if of == i and 0 <= run.start - b.end <= reach), None)
            # What fills the pause is sustained by now, since it is older than the run.
            if before is not None and not any(
                of != i and other.end > before.end and other.start < run.start for of, other in sustained
            ):
                run.start, run.total, run.n = before.start, before.total + run.total, before.n + run.n
                sound.runs = [pair for pair in sound.runs if pair[1] is not before]
        # A run that began within reach is sustained by then, and joined to this one.
        known_after = reach + SUSTAINED_S / self._row_s
        over = [(i, run) for i, run in sound.runs if self._is_sustained(run) and sound.end - run.end > known_after]
        if not over:
            return []
        events = self._name(sound, over, np.inf)
        sound.first = min(run.start for _, run in over) if sound.first is None else sound.first
        sound.runs = [pair for pair in sound.runs if pair not in over]
        return events

    def _is_sustained(self, run: _Run) -> bool:
        return (run.end - run.start + 0.5) * self._row_s >= SUSTAINED_S  # half a row: rounding must not decide

    def _events(self, duration_s: float) -> list[Event]:
        """The events of the sound that were not returned yet, none where it is too short."""
        sound, settings = self._sound, self._settings
        if sound is None or (sound.end - sound.start + 0.5) * self._row_s < settings.min_duration_s:
            return []
        runs = [(i, run) for i, run in sound.runs if self._is_sustained(run)]
        if runs or sound.first is not None:
            return self._name(sound, runs, duration_s)
        best, total = int(sound.totals.argmax()), float(sound.totals.max())
        is_unsure = total < settings.min_confidence * sound.something
        if is_unsure and (sound.end - sound.start + 0.5) * self._row_s < settings.unsure_min_s:
            return []
        label = len(self._labels) - 1 if is_unsure else best
        return [self._event(sound.start, sound.end, label, total / (sound.end - sound.start), duration_s)]

    def _name(self, sound: _Sound, runs: Sequence[tuple[int, _Run]], duration_s: float) -> list[Event]:
        """The events of sustained `runs`, the outermost of the sound moved to its ends, by start."""
        if not runs:
            return []
        reach = REACH_S / self._row_s
        first = min(run.start for _, run in runs) if sound.first is None else sound.first
        last = max(run.end for _, run in runs)
        events = []
        for i, run in runs:
            start = sound.start if run.start == first and first - sound.start <= reach else run.start
            end = sound.end if run.end == last and sound.end - last <= reach else run.end
            events.append(self._event(start, end, i, run.total / run.n, duration_s))
        return sorted(events, key=by_start)

    def _event(self, start: int, end: int, i: int, confidence: float, duration_s: float) -> Event:
        start_s, end_s = start * self._row_s, min(end * self._row_s, duration_s)
        is_unsure = i == len(self._labels) - 1
        return Event(round(start_s, 3), round(end_s, 3), self._labels[i], round(confidence, 4), is_unsure)


def named_events(events: Sequence[Event]) -> list[Event]:
    """The events that name a class; an unsure one claims none."""
    return [event for event in events if not event.is_unsure]


def by_start(event: Event) -> tuple[float, float, str, bool]:
    """The order of events: by start, then end, then name."""
    return event.start_s, event.end_s, event.label, event.is_unsure
