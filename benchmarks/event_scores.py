"""Do our scores of events agree with sed_eval and sed-scores-eval? Random events, counted by all three.

    uv run --no-project --with 'sed_eval==0.2.1' --with 'sed-scores-eval-np2==0.0.4' --with 'setuptools<82' \
        --with 'pandas>=3' python -m benchmarks.event_scores

In an environment of its own: sed_eval needs `pkg_resources`, which newer versions of setuptools lack.
"""

import numpy as np
import sed_eval
from sed_scores_eval.intersection_based.intermediate_statistics import statistics_fn

from stages.evaluate.event_scores import COLLAR_S, COUNTS, COVERED, SEGMENT_S, Span, count_events, times

CLASSES = ["dog", "horn", "siren"]
N_CASES = 500
DURATION_S = 30.0


def main() -> None:
    """Count random recordings by all and say where they differ."""
    rng = np.random.default_rng(0)
    n_events, differing = 0, 0
    for case in range(N_CASES):
        reference = draw_events(rng)
        estimated = disturb(reference, rng)
        n_events += len(reference)
        ours = count_events(reference, estimated, CLASSES)[COUNTS].to_numpy()
        theirs = count_by_libraries(reference, estimated)
        if not np.array_equal(ours, theirs):
            differing += 1
            print(f"case {case}: ours {ours.tolist()}, theirs {theirs.tolist()}")
    print(f"{N_CASES} recordings, {n_events} reference events: {differing} with other counts")


def draw_events(rng: np.random.Generator) -> list[Span]:
    """Events that do not overlap within a class, on a grid of 1/64 s, where no sum or difference is rounded."""
    spans = []
    for name in CLASSES:
        edges = np.sort(rng.choice(int(DURATION_S * 64), 2 * rng.integers(0, 5), replace=False)) / 64
        spans += [Span(a, b, name) for a, b in edges.reshape(-1, 2).tolist()]
    return spans


def disturb(reference: list[Span], rng: np.random.Generator) -> list[Span]:
    """What a model might detect: events moved, of another class, left out, and others that are not there."""
    estimated = []
    for span in reference:
        start_s, end_s = (max(0, round(64 * (t + rng.normal(0, 0.4)))) / 64 for t in (span.start_s, span.end_s))
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


def count_by_libraries(reference: list[Span], estimated: list[Span]) -> np.ndarray:
    """The same counts, int of shape (n_classes, 9)."""
    listed = [
        [{"file": "a", "onset": s.start_s, "offset": s.end_s, "event_label": s.label} for s in spans]
        for spans in (reference, estimated)
    ]
    event = sed_eval.sound_event.EventBasedMetrics(
        CLASSES, t_collar=COLLAR_S, percentage_of_length=0.0, event_matching_type="optimal"
    )
    segment = sed_eval.sound_event.SegmentBasedMetrics(CLASSES, time_resolution=SEGMENT_S)
    event.evaluate(*listed)
    segment.evaluate(*listed, evaluated_length_seconds=DURATION_S + 5)
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
