"""Do our scores of events agree with sed_eval and sed-scores-eval? Random events, counted by all three.

    uv run --no-project --with 'sed_eval==0.2.1' --with 'sed-scores-eval-np2==0.0.4' --with 'setuptools<82' \
        --with 'pandas>=3' --with-requirements requirements-predict.txt python -m benchmarks.event_scores

sed_eval reads the events from the files that predict writes (`--tsv`, `--labels`), and so do we. In an environment of
its own: sed_eval needs `pkg_resources`, which newer versions of setuptools lack.
"""

import tempfile
from pathlib import Path

import numpy as np
import sed_eval
from sed_scores_eval.intersection_based.intermediate_statistics import statistics_fn

from stages.commands.predict.formats import TSV, audacity_labels
from stages.evaluate.event_scores import COLLAR_S, COUNTS, COVERED, SEGMENT_S, count_events, times
from stages.lib.event_tables import Span, read_event_table, read_label_track
from stages.lib.inference.events import Event

CLASSES = ["dog", "horn", "siren"]
N_CASES = 500
DURATION_S = 30.0
GRID = 8  # times per second: no sum or difference is rounded, nor what predict writes, and some are at the very collar


def main() -> None:
    """Count random recordings by all and say where they differ."""
    rng = np.random.default_rng(0)
    n_events, differing = 0, 0
    for case in range(N_CASES):
        reference = draw_events(rng)
        estimated = disturb(reference, rng)
        n_events += len(reference)
        ours = count_events(reference, estimated, CLASSES)[COUNTS].to_numpy()
        theirs = count_by_libraries(reference, estimated, exchange(reference), exchange(estimated))
        if not np.array_equal(ours, theirs):
            differing += 1
            print(f"case {case}: ours {ours.tolist()}, theirs {theirs.tolist()}")
    print(f"{N_CASES} recordings, {n_events} reference events: {differing} with other counts")


def draw_events(rng: np.random.Generator) -> list[Span]:
    """Events that do not overlap within a class, on a grid of `GRID`."""
    spans = []
    for name in CLASSES:
        edges = np.sort(rng.choice(int(DURATION_S * GRID), 2 * rng.integers(0, 5), replace=False)) / GRID
        spans += [Span(a, b, name) for a, b in edges.reshape(-1, 2).tolist()]
    return spans


def disturb(reference: list[Span], rng: np.random.Generator) -> list[Span]:
    """What a model might detect: events moved, of another class, left out, and others that are not there."""
    estimated = []
    for span in reference:
        start_s, end_s = (max(0, round(GRID * (t + rng.normal(0, 0.4)))) / GRID for t in (span.start_s, span.end_s))
        if start_s < end_s and rng.random() > 0.2:
            estimated.append(Span(start_s, end_s, span.label if rng.random() > 0.2 else str(rng.choice(CLASSES))))
    return without_overlap([*estimated, *(span for span in draw_events(rng) if rng.random() > 0.8)])


def without_overlap(spans: list[Span]) -> list[Span]:
    """The libraries expect that events of a class do not overlap: of two that do, the later is left out."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start_s):
        if all(other.label != span.label or other.end_s < span.start_s for other in kept):
            kept.append(span)
    return kept


def exchange(spans: list[Span]) -> list[dict]:
    """The events as sed_eval reads them from a table and from a label track that predict writes.

    Raises `AssertionError` where it, or we, read other events than were written.
    """
    events = [Event(span.start_s, span.end_s, span.label, 1.0) for span in spans]
    if not events:
        return []  # sed_eval guesses the separator of a table by its first row
    with tempfile.TemporaryDirectory() as folder:
        table, track = Path(folder) / "events.tsv", Path(folder) / "a.txt"
        table.write_text("\n".join([TSV.head or "", *TSV.lines("a.wav", events)]) + "\n")
        track.write_text(audacity_labels(events))
        listed = sed_eval.io.load_event_list(str(table))
        for theirs in (listed, sed_eval.io.load_event_list(str(track))):
            assert [(row["onset"], row["offset"], row["event_label"]) for row in theirs] == [
                (span.start_s, span.end_s, span.label) for span in spans
            ]
        assert read_event_table(table, CLASSES) == ({"a.wav": spans}, [])
        assert read_label_track(track, CLASSES) == (spans, [])
    return listed


def count_by_libraries(
    reference: list[Span], estimated: list[Span], listed_reference: list[dict], listed_estimated: list[dict]
) -> np.ndarray:
    """The same counts, int of shape (n_classes, 9)."""
    event = sed_eval.sound_event.EventBasedMetrics(
        CLASSES, t_collar=COLLAR_S, percentage_of_length=0.0, event_matching_type="optimal"
    )
    segment = sed_eval.sound_event.SegmentBasedMetrics(CLASSES, time_resolution=SEGMENT_S)
    event.evaluate(listed_reference, listed_estimated)
    segment.evaluate(listed_reference, listed_estimated, evaluated_length_seconds=DURATION_S + 5)
    rows = []
    for name in CLASSES:
        there, found = times(reference, name), times(estimated, name)
        by_intersection = statistics_fn(
            found[np.newaxis, :, 0], found[np.newaxis, :, 1], there[:, 0], there[:, 1], {}, {}, COVERED, COVERED, None
        )
        tp = int(by_intersection["tps"].item())
        row = [event.class_wise[name][key] for key in ("Ntp", "Nfn", "Nfp")]
        row += [tp, len(there) - tp, int(by_intersection["fps"].item())]
        rows.append(row + [segment.class_wise[name][key] for key in ("Ntp", "Nfn", "Nfp")])
    return np.array(rows).astype(int)


if __name__ == "__main__":
    main()
