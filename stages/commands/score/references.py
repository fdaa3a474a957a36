"""Recordings with strong labels: which recordings there are, and the events that people heard in each.

Labels are one of

- an event table for all recordings, which names them by their paths from the folder of the recordings;
- a folder of label tracks, of which that of `day 1/street.wav` is `day 1/street.wav.txt` or `day 1/street.txt`;
- the label track of a single recording, or an event table (`.csv`, `.tsv`) that names it.

`stages.lib.event_tables` says what both look like.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stages.fetch.messages import count
from stages.fetch.recordings import find_files, is_audio
from stages.lib.core.errors import SourceError
from stages.lib.event_tables import Span, read_event_table, read_label_track

TABLES = (".csv", ".tsv")


@dataclass(frozen=True)
class Reference:
    """The events of a recording as its labels have them; none is none in the recording."""

    path: Path
    spans: list[Span]


@dataclass(frozen=True)
class References:
    """The recordings that have labels, the names of those without, and what is wrong, one line for each bad row."""

    labelled: list[Reference]
    unlabelled: list[str]
    problems: list[str]


def find_recordings(place: Path) -> dict[str, Path]:
    """The recordings of a folder by their paths from there, sorted; or the one that `place` is.

    Raises `SourceError` where there is none.
    """
    if place.is_file():
        return {place.name: place}
    if not place.is_dir():
        raise SourceError(f"{place}: no such file or folder; give a recording, or a folder of recordings")
    found, _ = find_files(place)
    recordings = {name: path for name, path in found.items() if is_audio(name)}
    if not recordings:
        raise SourceError(f"{place}: expected recordings, found {count(len(found), 'file')} and none of them audio")
    return recordings


def read_references(place: Path, recordings: Mapping[str, Path], labels: Path, classes: Sequence[str]) -> References:
    """Match the recordings of `place`, which `find_recordings` found, and their labels, of `classes`.

    Raises `SourceError` where a file of labels is not text, or no table.
    """
    if labels.is_dir():
        spans, problems = _read_tracks(recordings, labels, classes)
    elif place.is_dir() or labels.suffix.lower() in TABLES:
        spans, problems = _match_table(recordings, labels, classes)
    else:
        of_track, problems = read_label_track(labels, classes)
        spans = dict.fromkeys(recordings, of_track)
    labelled = [Reference(path, spans[name]) for name, path in recordings.items() if name in spans]
    return References(labelled, [name for name in recordings if name not in spans], problems)


def _match_table(
    recordings: Mapping[str, Path], labels: Path, classes: Sequence[str]
) -> tuple[dict[str, list[Span]], list[str]]:
    """The events by recording, and what is wrong."""
    events, problems = read_event_table(labels, classes)
    names = {unicodedata.normalize("NFC", name): name for name in recordings}  # as those of the table are
    problems += [f"{labels.name}: names {name!r}, which is no recording" for name in events if name not in names]
    return {names[name]: spans for name, spans in events.items() if name in names}, problems


def _read_tracks(
    recordings: Mapping[str, Path], labels: Path, classes: Sequence[str]
) -> tuple[dict[str, list[Span]], list[str]]:
    """The events by recording, and what is wrong."""
    events, problems = {}, []
    for name in recordings:
        places = f"{name}.txt", str(PurePosixPath(name).with_suffix(".txt"))
        tracks = [place for place in places if (labels / place).is_file()]
        if len(tracks) > 1:
            problems.append(f"{name}: expected one label track, found {' and '.join(tracks)}; keep one")
        elif tracks:
            try:
                events[name], more = read_label_track(labels / tracks[0], classes)
                problems += more
            except SourceError as error:
                problems.append(str(error))
    return events, problems
