"""Strong labels: rows with a start and an end, each of which becomes a clip of that part of its recording.

fetch cuts the part out into a file of its own, named after the recording and the span, so that no later stage needs to
know of it: `day 1.mp3` with a row from 2 s to 3.5 s gives `day 1.mp3_2.000-3.500.wav`. The samples are those that every
stage reads, rounded by nothing: 16-bit WAV for a recording of up to 16 bits, 24-bit WAV for one of 24 bits, 32-bit
float WAV for any other. In clips.csv the clip keeps its start and end in the recording, as the clips of UrbanSound8K
do, and the recording is its source unless the table says otherwise. Spans may overlap and have different labels.

A file whose only row has a span as long as the file was cut already: it stays as it is.

A recording all of whose rows have a span is kept whole besides, with its labels: evaluate compares them with the events
that a model detects in it. One with another row is not: a sound that is somewhere in it would count as false.
"""

import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from stages.fetch.messages import count, some
from stages.fetch.recordings import header_seconds
from stages.fetch.wav import clear_peak_time
from stages.lib.audio import open_audio
from stages.lib.core.errors import AudioError, SourceError
from stages.lib.core.files import check_space
from stages.lib.core.parallel import parallel_map
from stages.lib.core.progress import progress

LABEL_COLUMNS = ["recording", "start_s", "end_s", "class", "clip"]
TOLERANCE_S = 0.05  # between the length of a file and that of its span; codecs pad by some 0.03
LATE_S = 0.5  # of an end after that of its recording: people round ends; evaluate refuses a recording with a later one
# Bits of the samples that each coding of libsndfile decodes to, where fewer than those of float32.
BITS = {"PCM_S8": 16, "PCM_U8": 16, "PCM_16": 16, "ULAW": 16, "ALAW": 16, "PCM_24": 24}


@dataclass(frozen=True)
class Span:
    """The part of a recording from `start_s` to `end_s`, in seconds."""

    path: Path
    start_s: float
    end_s: float


def plan_spans(clips: pd.DataFrame, files: Mapping[str, Path]) -> tuple[pd.DataFrame, dict[str, Span], list[str]]:
    """Give each row of `clips` with a start and an end a clip of its own.

    `clips` has one row per label, with the path of the recording in column clip; `files` has the files of these paths.
    Returns the clips, the span of each that is to be cut, and notes. A row whose times make no span gets a clip without
    one, so that validate rejects it. Raises `SourceError` where the table has starts or ends alone, or none in seconds.
    """
    has_start, has_end = clips["start_s"] != "", clips["end_s"] != ""
    if has_start.any() != has_end.any():
        found, missing = ("start", "end") if has_start.any() else ("end", "start")
        raise SourceError(
            f"the table has a column {found} and no {missing}: give both, in seconds from the start of the recording, "
            f"or rename the column {found}"
        )
    has_span = has_start | has_end
    times = pd.concat([clips["start_s"], clips["end_s"]])
    times = times[times != ""]
    if len(times) and times.map(_seconds).isna().all():
        raise SourceError(
            f"the table has starts and ends such as {times.iloc[0]!r}; expected seconds from the start of the "
            "recording, such as 62.5"
        )
    n_rows = clips["clip"].value_counts()
    names, spans, n_cut_already = clips["clip"].tolist(), {}, 0
    class_of: dict[str, str] = {}  # of the names that are taken
    for at in np.flatnonzero(has_span):
        row = clips.iloc[at]
        path = files.get(row["clip"])
        if path is None or not path.is_file():
            continue
        start_s, end_s = _seconds(row["start_s"]), _seconds(row["end_s"])
        is_span = 0 <= start_s < end_s < np.inf
        if is_span and n_rows[row["clip"]] == 1 and _is_near(header_seconds(path), end_s - start_s):
            n_cut_already += 1
            continue
        times = f"{start_s:.3f}-{end_s:.3f}" if is_span else f"{row['start_s']}-{row['end_s']}"
        stem = f"{row['clip']}_{re.sub(r'[^0-9A-Za-z.+-]', '_', times)}"
        name, number = f"{stem}.wav", 1
        while class_of.get(name, row["class"]) != row["class"]:  # another sound at the same time
            number += 1
            name = f"{stem}_{number}.wav"
        class_of[name] = row["class"]
        names[at] = name
        if is_span:
            spans[name] = Span(path, start_s, end_s)
    notes = []
    if class_of:
        n_files = len({span.path for span in spans.values()})
        notes.append(
            f"{count(int(has_span.sum()) - n_cut_already, 'row')} with a start and an end: {count(len(spans), 'clip')} "
            f"cut out of {count(n_files, 'recording')}"
        )
    if n_cut_already:
        notes.append(f"{count(n_cut_already, 'file')} as long as the span of the only row: taken as cut already")
    return clips.assign(clip=names), spans, notes


def list_labels(
    recordings: pd.Series, clips: pd.DataFrame, files: Mapping[str, Path], spans: Mapping[str, Span]
) -> tuple[pd.DataFrame, list[str]]:
    """The labels of the recordings all of whose rows have a span, and notes.

    `recordings` has the path of the recording of each row of `clips`, and `files` the files of these paths; `clips` and
    `spans` are those of `plan_spans`. Returns one row per clip that is cut, columns `LABEL_COLUMNS`, in the order of
    `clips`, with times in seconds.
    """
    cut = {span.path for span in spans.values()}
    rows: dict[str, tuple[str, float, float, str, str]] = {}  # by clip: a row that is there twice is one event
    name_of: dict[Path, str] = {}  # the accents of one path may be written in two ways
    incomplete: dict[str, str] = {}  # the first clip of each that has no span
    for recording, clip, label in zip(recordings, clips["clip"], clips["class"], strict=True):
        path = files.get(recording)
        if path is None or path not in cut:
            continue
        name = name_of.setdefault(path, recording)
        if span := spans.get(clip):
            rows[clip] = (name, span.start_s, span.end_s, label, clip)
        else:
            incomplete.setdefault(name, clip)
    labels = pd.DataFrame(rows.values(), columns=LABEL_COLUMNS)
    labels = labels[~labels["recording"].isin(incomplete)].reset_index(drop=True)
    notes = []
    if len(labels):
        n = labels["recording"].nunique()
        notes.append(f"{count(n, 'recording')} kept whole besides: evaluate compares events with the labels")
    if incomplete:
        notes.append(
            f"{count(len(incomplete), 'recording')} with other rows too, whose times are blank or no span (seconds "
            "from 0 on, the end after the start), so evaluate cannot compare events with the labels; the first clip of "
            f"each without a span: {some(incomplete[name] for name in sorted(incomplete))}"
        )
    return labels, notes


def _seconds(text: str) -> float:
    """The number in `text`; NaN, which lies in no span, where it is none."""
    try:
        return float(text)
    except ValueError:
        return np.nan


def _is_near(duration_s: float | None, span_s: float) -> bool:
    return duration_s is not None and abs(duration_s - span_s) <= TOLERANCE_S


def cut_spans(spans: Mapping[str, Span], audio: Path) -> tuple[list[str], list[str]]:
    """Write each span to `audio`/<clip>, as far as its recording goes.

    Returns those that failed, each with the reason, and notes on those that are much shorter than their span.
    """
    of_recording: dict[Path, dict[str, Span]] = {}
    for clip, span in spans.items():
        of_recording.setdefault(span.path, {})[clip] = span
    tasks = [(path, parts, audio) for path, parts in of_recording.items()]
    if not tasks:
        return [], []
    audio.mkdir(exist_ok=True)
    check_space(audio, sum(_n_bytes(path, parts) for path, parts, _ in tasks), "cutting the recordings")
    done = list(progress(parallel_map(_cut_recording, tasks), total=len(tasks), desc="cutting", unit="recordings"))
    late = [clip for _, clips in done for clip in clips]
    notes = []
    if late:
        notes.append(
            f"{count(len(late), 'clip')} cut short, since the recording ends more than {LATE_S:g} s before the label "
            f"does; check whose labels these are: {some(late)}"
        )
    return [failure for failures, _ in done for failure in failures], notes


def _n_bytes(path: Path, parts: Mapping[str, Span]) -> int:
    """About how many bytes the clips of a recording take; 0 where its header cannot be read."""
    try:
        with open_audio(path) as recording:
            sr, n_channels, n_samples = recording.sr, recording.n_channels, recording.n_expected
            bits = BITS.get(recording.coding.split()[-1], 32)
    except AudioError:
        return 0
    end_s = np.inf if n_samples is None else n_samples / sr
    duration_s = sum(min(span.end_s, end_s) - min(span.start_s, end_s) for span in parts.values())
    return round(duration_s * sr) * n_channels * bits // 8


def _cut_recording(task: tuple[Path, Mapping[str, Span], Path]) -> tuple[list[str], list[str]]:
    """Cut all spans of one recording in one pass, which does not rely on what its header says of its length.

    Returns those that failed, each with the reason, and those that end `LATE_S` after the recording, each with its end.
    """
    path, parts, audio = task
    reasons = dict.fromkeys(parts, "it starts after the end of the recording")
    left = dict(parts)
    writers: dict[str, soundfile.SoundFile] = {}
    bits = 32
    late = []
    try:
        with ExitStack() as stack, open_audio(path) as recording:
            sr, bits = recording.sr, BITS.get(recording.coding.split()[-1], 32)
            at = 0  # the first sample of the block
            for block in recording.blocks():
                for clip, span in list(left.items()):
                    first, last = round(span.start_s * sr) - at, round(span.end_s * sr) - at
                    if first < len(block):
                        if clip not in writers:
                            writers[clip] = stack.enter_context(_create(audio / clip, sr, block.shape[1], bits))
                            reasons.pop(clip)
                        writers[clip].write(_as_stored(block[max(first, 0) : max(last, 0)], bits))
                    if last <= len(block):
                        writers[clip].close()
                        del left[clip]
                if not left:
                    break
                at += len(block)
            late = [
                f"{clip} (the recording ends at {at / sr:.3f} s)"
                for clip, span in left.items()
                if clip in writers and span.end_s > at / sr + LATE_S
            ]
    except AudioError as error:
        for clip in left:
            (audio / clip).unlink(missing_ok=True)
        reasons |= dict.fromkeys(left, str(error))
    if bits == 32:
        for clip in writers.keys() - reasons.keys():
            clear_peak_time(audio / clip)
    return [f"{clip} ({reason})" for clip, reason in reasons.items()], late


def _create(path: Path, sr: int, n_channels: int, bits: int) -> soundfile.SoundFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    return soundfile.SoundFile(path, "w", sr, n_channels, "FLOAT" if bits == 32 else f"PCM_{bits}", format="WAV")


def _as_stored(samples: np.ndarray, bits: int) -> np.ndarray:
    """Float32 samples as those of the file, without rounding: libsndfile's own conversion scales by one less."""
    if bits == 32:
        return samples
    whole = np.round(samples.astype(np.float64) * 2.0 ** (bits - 1)).astype(np.int32)
    return whole.astype(np.int16) if bits == 16 else whole << 8  # of 32 bits libsndfile takes the upper 24
