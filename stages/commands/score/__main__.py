"""Score a model on recordings with strong labels: `python -m stages.commands.score RECORDINGS LABELS`.

RECORDINGS is a folder or a recording, LABELS what people heard in it, and when (`stages.commands.score.references`).
Events are detected as predict does, with its options, and counted as evaluate counts those of its soundscapes
(`stages.evaluate.event_scores`). Recordings without labels are not scored.

Standard output gets the scores, `--csv` a table of them; standard error the model, progress and errors. The status is 1
where labels are wrong, before anything is detected, and where a recording could not be read or is shorter than its
labels; the others are still scored.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from stages.commands.align import align
from stages.commands.fast_start import open_model
from stages.commands.models import obtain_model
from stages.commands.predict.__main__ import describe, print_error
from stages.commands.predict.formats import clock, printable
from stages.commands.predict.options import (
    add_event_options,
    add_model_options,
    check_model_options,
    given_settings,
)
from stages.commands.score.references import Reference, find_recordings, read_references
from stages.evaluate.event_scores import COLLAR_S, COUNTS, SEGMENT_S, count_events, macro_means, score_classes
from stages.evaluate.soundscapes import to_spans
from stages.evaluate.strong_labels import detect_events
from stages.fetch.messages import count, some
from stages.lib.core.errors import AudioError, EarError, SourceError, run
from stages.lib.core.files import write_csv
from stages.lib.core.progress import progress
from stages.lib.inference.events import named_events, settings_of
from stages.lib.inference.runtime import Model

DECIMALS = 6  # of scores in the table, as those of evaluate


def main(argv: list[str] | None = None) -> None:
    """Read the labels, detect events in each recording that has some, compare, print."""
    args = parse_args(argv)
    recordings = find_recordings(args.recordings)  # first, since opening a model may take many seconds
    if not args.labels.exists():
        raise SourceError(f"{args.labels}: no such file or folder; give an event table, or label tracks")
    with tempfile.TemporaryDirectory() as scratch:
        model = open_model(obtain_model(args.model, args.rev, Path(scratch)))
    print(f"score: {describe(model, args.rev)}", file=sys.stderr)
    if known := [name for name in args.ignore if name in model.metadata.classes]:
        raise EarError(f"--ignore: the model knows {', '.join(known)}, so the events of that count")
    references = obtain_references(recordings, model.metadata.classes, args)
    scored = score_recordings(references, model, args)
    if scored:
        total = sum(counts for counts, _ in scored)
        if args.csv:
            write_csv(args.csv, score_classes(total).round(DECIMALS))
        print(f"{count(len(scored), 'recording')}, {clock(sum(duration_s for _, duration_s in scored))}")
        print("\n".join(describe_scores(total)))
    if len(scored) < len(references):
        sys.exit(1)


def obtain_references(recordings: dict[str, Path], classes: list[str], args: argparse.Namespace) -> list[Reference]:
    """The recordings that have labels, with their events but for those of ignored classes.

    Prints which have none. Exits where labels are wrong, with a line for each; raises `SourceError` where no event is
    left.
    """
    found = read_references(args.recordings, recordings, args.labels, [*classes, *args.ignore])
    for problem in found.problems:
        print(f"error: {printable(problem)}", file=sys.stderr)
    if found.problems:
        sys.exit(1)
    if found.unlabelled:
        n, names = len(found.unlabelled), some(map(printable, found.unlabelled))
        print(f"score: {count(n, 'recording')} without labels, not scored: {names}", file=sys.stderr)
    references = [
        Reference(each.path, [span for span in each.spans if span.label not in args.ignore]) for each in found.labelled
    ]
    if not any(reference.spans for reference in references):
        raise SourceError(f"{args.labels}: expected events in the recordings, found none")
    return references


def score_recordings(
    references: Sequence[Reference], model: Model, args: argparse.Namespace
) -> list[tuple[pd.DataFrame, float]]:
    """The counts and the seconds of each recording; one that cannot be scored gets a line, and the others go on."""
    settings = replace(settings_of(model.metadata), **args.settings)
    scored = []
    for reference in progress(references, total=len(references), desc="score", unit="recordings"):
        try:
            events, duration_s = detect_events(reference.path, reference.spans, model, settings, args.step)
        except AudioError as error:
            print_error(str(reference.path), str(error))
            continue
        estimated = to_spans(named_events(events))
        scored.append((count_events(reference.spans, estimated, model.metadata.classes), duration_s))
    return scored


def describe_scores(total: pd.DataFrame) -> list[str]:
    """The scores of the classes that occur, and their means, as lines; `total` are the counts of all recordings."""
    table = score_classes(total)
    scores = ["event_f1", "event_error_rate", "intersection_f1", "segment_f1"]
    numbers = ["n_events", "event_tp", "event_fn", "event_fp"]
    occurring = table[table[COUNTS].sum(axis=1) > 0]
    rows = [
        [printable(row["class"]), *(str(row[name]) for name in numbers), *(_score(row[name]) for name in scores)]
        for row in occurring.to_dict("records")
    ]
    head = ["class", "events", "found", "missed", "false", "F1", "error rate", "F1 by half", "F1 by seconds"]
    means = macro_means([total])
    rows.append(["all", *(str(table[name].sum()) for name in numbers), *(_score(means[name]) for name in scores)])
    return [
        *align(head, rows),
        f"found: both ends within {COLLAR_S:g} s; error rate: (missed + false) / events; F1 by half: half of an event",
        f"is enough; F1 by seconds: in segments of {SEGMENT_S:g} s; all: sums, and means of the classes with events",
    ]


def _score(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.3f}"


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the options; `settings` gets those of the events that were given."""
    parser = argparse.ArgumentParser(prog="python -m stages.commands.score", description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, metavar="RECORDINGS", help="a folder of recordings, or one recording")
    parser.add_argument(
        "labels",
        type=Path,
        metavar="LABELS",
        help="an event table (filename, onset, offset, event_label), or label tracks of Audacity, a folder or one",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="CLASS",
        help="of the labels, which the model does not know; its events do not count; may be repeated",
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the scores and counts of each class to this file"
    )
    add_model_options(parser)
    add_event_options(parser)
    args = parser.parse_args(argv)
    check_model_options(parser, args)
    args.settings = given_settings(args)
    return args


if __name__ == "__main__":
    run(main)
