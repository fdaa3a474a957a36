"""Real recordings with strong labels: what a model detects in those of its test fold, to be compared with the labels.

fetch keeps a recording whole, with its labels, where all of its rows have a start and an end, and cuts each event out
into a clip. The recording is of the fold of these clips. It is not scored where validate rejected one of them, since
its labels are not to be trusted then, nor where they are in several folds, since a model that is tested on it has
learnt from a part of it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from stages.evaluate.event_scores import COLLAR_S, count_events
from stages.evaluate.soundscapes import to_spans
from stages.lib.audio import open_audio
from stages.lib.core.errors import AudioError
from stages.lib.core.progress import progress
from stages.lib.event_tables import Span
from stages.lib.inference.detect import StreamDetector
from stages.lib.inference.events import Event, EventSettings, named_events
from stages.lib.inference.runtime import Model

RECORDING_COLUMNS = ["fold", "recording", "kind", "start_s", "end_s", "class", "clip", "confidence"]


@dataclass(frozen=True)
class StrongLabels:
    """The labels of the recordings that may be scored.

    `events` has one row per event: recording, start_s, end_s (in seconds), class, clip (that was cut out), fold.
    `left_out` says of the other recordings why not, in one line per reason.
    """

    events: pd.DataFrame
    left_out: list[str]


@dataclass(frozen=True)
class RecordingDetections:
    """What a model detects in the recordings of its test fold.

    `events` has one row per event, columns `RECORDING_COLUMNS`: of each recording the reference events, then the
    estimated ones, each by start. `counts` is the sum of what `stages.evaluate.event_scores.count_events` gives for
    each recording; None where none was scored. `problems` has a line for each that could not be.
    """

    events: pd.DataFrame
    counts: pd.DataFrame | None
    problems: list[str]


def read_strong_labels(raw: Path, clips: pd.DataFrame) -> StrongLabels:
    """Read the labels that fetch keeps in `raw`, where it keeps some; `clips` is the features index, all folds."""
    path = raw / "recordings.csv"
    if not path.is_file():
        return StrongLabels(pd.DataFrame(columns=["recording", "start_s", "end_s", "class", "clip", "fold"]), [])
    events = pd.read_csv(path, dtype=str, keep_default_na=False).astype({"start_s": float, "end_s": float})
    events["fold"] = events["clip"].map(clips.set_index("clip")["fold"])
    folds = events.groupby("recording")["fold"]
    is_rejected = folds.apply(lambda of_clips: of_clips.isna().any())
    is_split = (folds.min() != folds.max()) & ~is_rejected
    left_out = [
        f"recordings not scored, since {why}: {chosen.sum()}, such as {_shown(chosen.idxmax())}"
        for chosen, why in (
            (is_rejected, "validate rejected clips of them"),
            (is_split, "their clips are in several folds"),
        )
        if chosen.any()
    ]
    kept = events[~events["recording"].map(is_rejected | is_split)]
    return StrongLabels(kept.astype({"fold": int}), left_out)


def detect_in_recordings(model: Model, fold: int, labels: pd.DataFrame, folder: Path) -> RecordingDetections:
    """Detect events in the recordings of the test fold, which lie in `folder`; `labels` are `StrongLabels.events`.

    A recording that cannot be scored gets a line, and the others go on.
    """
    rows, counts, problems = [], [], []
    recordings = list(labels[labels["fold"] == fold].sort_values(["start_s", "end_s"]).groupby("recording"))
    if not recordings:
        return RecordingDetections(pd.DataFrame(columns=RECORDING_COLUMNS), None, [])
    for name, events in progress(
        recordings, total=len(recordings), desc=f"recordings {model.metadata.name}", unit="recordings"
    ):
        reference = [Span(*times) for times in events[["start_s", "end_s", "class"]].itertuples(index=False)]
        try:
            estimated, _ = detect_events(folder / name, reference, model)
        except AudioError as error:
            problems.append(f"recording {_shown(name)}: {str(error).removeprefix(f'{Path(name).name}: ')}")
            continue
        counts.append(count_events(reference, to_spans(named_events(estimated)), model.metadata.classes))
        of_recording = {"fold": fold, "recording": name}
        rows += [of_recording | {"kind": "reference", **event} for event in events.to_dict("records")]
        rows += [of_recording | {"kind": "estimated", "class": event.label, **asdict(event)} for event in estimated]
    total = sum(counts) if counts else None
    return RecordingDetections(pd.DataFrame(rows, columns=RECORDING_COLUMNS), total, problems)


def detect_events(
    path: Path,
    reference: Sequence[Span],
    model: Model,
    settings: EventSettings | None = None,
    step_s: float | None = None,
) -> tuple[list[Event], float]:
    """The events of the recording `path`, as predict detects them, and its length in seconds.

    `settings` and `step_s` are those of `stages.lib.inference.detect.StreamDetector`. Raises `AudioError` where not all
    of it can be read, or where one of its labels, `reference`, begins after its end, or ends more than `COLLAR_S` after
    that, by which an end may be off.
    """
    with open_audio(path) as recording:
        detector = StreamDetector(model, recording.sr, settings=settings, step_s=step_s)
        events = detector.detect(recording.blocks())
    if problem := recording.problem():
        raise AudioError(f"{problem}; it is not scored")
    duration_s = detector.duration_s
    for span in reference:
        if span.start_s >= duration_s or span.end_s > duration_s + COLLAR_S:
            raise AudioError(
                f"lasts {duration_s:.3f} s, but a label goes from {span.start_s:.3f} to {span.end_s:.3f} s; check "
                "whose labels these are"
            )
    return events, duration_s


def _shown(name: str) -> str:
    return name if name.isprintable() else repr(name)
