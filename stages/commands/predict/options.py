"""The options of the predict command."""

import argparse
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np

from stages.commands.models import MODELS
from stages.commands.predict.formats import CSV, JSON, TSV
from stages.commands.predict.pcm import ENCODINGS, MAX_CHANNELS
from stages.lib.inference.buffers import SR_HZ
from stages.lib.inference.events import EventSettings

LIVE = "-"  # in the place of a recording: standard input


def parse_args(argv: list[str] | None, description: str) -> argparse.Namespace:
    """Read the options; `settings` gets those of the events that were given, `recordings` is `[LIVE]` or paths."""
    parser = argparse.ArgumentParser(prog="python -m stages.commands.predict", description=description)
    parser.add_argument("recordings", nargs="+", metavar="FILE", help="a recording, or - for raw samples from a pipe")
    output = parser.add_mutually_exclusive_group()
    for option, form, text in (
        ("--json", JSON, "print one JSON object per line for each event"),
        ("--csv", CSV, "print events as CSV"),
        ("--tsv", TSV, "print events as sed_eval and DCASE have them: filename, onset, offset, event_label"),
    ):
        output.add_argument(option, dest="form", action="store_const", const=form, help=text)
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw features, probabilities and events of one FILE")
    parser.add_argument("--labels", type=Path, metavar="FOLDER", help="write label tracks for Audacity, FILE.txt each")

    add_model_options(parser)
    add_event_options(parser)

    live = parser.add_argument_group("raw samples, for - only")
    live.add_argument("--sr", type=partial(whole, *SR_HZ), help="rate in Hz (44100)")
    live.add_argument("--channels", type=partial(whole, 1, MAX_CHANNELS), help="channels (1)")
    live.add_argument("--format", choices=ENCODINGS, help="encoding of a sample (s16le)")

    args = parser.parse_args(argv)
    is_live = LIVE in args.recordings
    if is_live and len(args.recordings) > 1:
        parser.error("- cannot be combined with files")
    if args.plot and len(args.recordings) > 1:
        parser.error("--plot draws one FILE")
    if args.labels and len({Path(recording).name for recording in args.recordings}) < len(args.recordings):
        parser.error("--labels: two FILEs have the same name, and so would their labels; run them one by one")
    if args.labels and args.labels.exists() and not args.labels.is_dir():
        parser.error(f"--labels: {args.labels} is a file, expected a folder")
    check_model_options(parser, args)
    for option, value in (("sr", 44100), ("channels", 1), ("format", "s16le")):
        if getattr(args, option) is None:
            setattr(args, option, value)
        elif not is_live:
            parser.error(f"--{option} is for - only; a file says its own")
    args.settings = given_settings(args)
    return args


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which model is used."""
    which = parser.add_argument_group("the model")
    which.add_argument("--model", help=f"a model file, or a name in {MODELS}, such as fold_10")
    which.add_argument("--rev", help="of this commit, branch, tag or DVC experiment; default: the workspace")


def check_model_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Exit with an error where the options of the model contradict each other."""
    if args.rev and args.model and Path(args.model).suffix:
        parser.error("--rev takes a name for --model, not a file")


def add_event_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how probabilities become events."""
    events = parser.add_argument_group("events")
    seconds = partial(number, 0, None)
    fraction = partial(number, 0, 1)
    decibels = partial(number, None, 0)
    events.add_argument(
        "--step",
        type=partial(number, 0.01, None),
        metavar="S",
        help="seconds between segments (0.5, or half of a segment where that is less)",
    )
    for option, kind, key, text in (
        ("--min-confidence", fraction, "min_confidence", "least probability at which a class becomes active"),
        ("--release", fraction, "release", "fraction of its threshold above which an active class stays active"),
        ("--min-duration", seconds, "min_duration_s", "least duration of an event in seconds"),
        ("--merge-gap", seconds, "merge_gap_s", "least pause between two events of a class in seconds"),
        ("--unsure-after", seconds, "unsure_min_s", "seconds of sound without an active class that are unsure"),
        ("--silence", decibels, "silence_db", "dB(A) re full scale below which is silence"),
    ):
        events.add_argument(option, type=kind, dest=key, metavar="X", help=f"{text} (the model's)")


def given_settings(args: argparse.Namespace) -> dict[str, float]:
    """The options of events that were given, by the fields of `EventSettings`; the others are those of the model."""
    given = {field.name: getattr(args, field.name) for field in fields(EventSettings)}
    return {name: value for name, value in given.items() if value is not None}


def number(low: float | None, high: float | None, text: str) -> float:
    """A finite number within limits. Raises `ArgumentTypeError`."""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not ((low is None or value >= low) and (high is None or value <= high) and np.isfinite(value)):
        limits = [f"at {word} {limit:g}" for word, limit in (("least", low), ("most", high)) if limit is not None]
        raise argparse.ArgumentTypeError(f"expected a number of {' and '.join(limits)}, found {text!r}")
    return value


def whole(low: int, high: int, text: str) -> int:
    """A whole number from `low` to `high`. Raises `ArgumentTypeError`."""
    if not (text.isdecimal() and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, found {text!r}")
    return int(text)
