"""Say what sounds in recordings, and when: `python -m stages.commands.predict FILE...`, or `-` for a microphone.

FILE is whatever soundfile reads, of any rate, channels and length. `-` reads raw samples from standard input as they
come, and says what it hears as soon as a segment is complete. What is computed is described in
`stages.lib.inference.streaming`, how events are made of it in `stages.lib.inference.events`.

Standard output gets a table, JSON lines or CSV; standard error the model, progress and errors. The status is 1 where a
file could not be read, the others are done all the same.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType

import numpy as np

from stages.commands import models as choosing
from stages.commands.predict.formats import (
    CSV_HEAD,
    audacity_labels,
    begun_line,
    caption,
    csv_line,
    finished_line,
    json_line,
    table,
)
from stages.commands.predict.pcm import FORMATS, PcmDecoder
from stages.lib.audio import audio_blocks, open_audio
from stages.lib.core.errors import AudioError, run
from stages.lib.inference.events import Event, EventFinder, EventSettings, by_start, model_thresholds
from stages.lib.inference.runtime import Model, open_model
from stages.lib.inference.streaming import ScoreGrid, StreamingClassifier

MODELS = Path("data/models")  # an out of train in dvc.yaml
LIVE = "-"
LONG_S = 120.0  # seconds of a recording from which on a bar tells how far it is
READ_BYTES = 1 << 16  # of standard input at most at once


def main(argv: list[str] | None = None) -> None:
    """Open the model, hear each recording, print its events."""
    args = parse_args(argv)
    with ExitStack() as folders:
        path = find_model(args.model, args.rev, Path(folders.enter_context(tempfile.TemporaryDirectory())))
        model = open_model(path)
    print(f"predict: {describe(model, args.rev)}", file=sys.stderr)
    if args.csv:
        print(CSV_HEAD)
    if args.recordings == [LIVE]:
        try:
            hear_live(model, args)
        except AudioError as error:
            raise AudioError(f"standard input: {error}") from None
        return
    failed = 0
    for recording in args.recordings:
        try:
            hear_file(Path(recording), model, args)
        except AudioError as error:
            reason = str(error).removeprefix(f"{Path(recording).name}: ")
            print(f"error: {printable(recording)}: {reason}", file=sys.stderr)
            failed += 1
    if failed:
        sys.exit(1)


def find_model(wanted: str | None, revision: str | None, scratch: Path) -> Path:
    """The file of the model that was asked for; one of a revision is copied into `scratch`."""
    if revision is None:
        return choosing.find_model(wanted, MODELS)
    from stages.commands.revisions import copy_out

    return copy_out(revision, MODELS, partial(choosing.choose_model, wanted, folder=MODELS), scratch)


def describe(model: Model, revision: str | None) -> str:
    """What is asked, in a line: a model, and what it learnt from."""
    facts = model.facts
    test = facts["split"]["test"]
    without = "" if test is None else f" without fold {test}"
    calibrated = "" if facts["calibration"] else ", not calibrated (no validation fold)"
    at = f" of {revision}" if revision else ""
    return f"model {model.path.stem}{at}, trained on {facts['dataset']['title']}{without}{calibrated}"


@dataclass
class StreamDetector:
    """What hears one recording: a listener, a finder of events, and what a picture needs."""

    listener: StreamingClassifier
    finder: EventFinder
    pictured: "tuple | None"  # columns of features and of probabilities

    def push(self, block: np.ndarray) -> list[Event]:
        """The events that ended with this block."""
        return self._find(self.listener.push(block))

    def finish(self) -> list[Event]:
        """The events that ended with the recording. Raises `AudioError` where nothing was heard."""
        if not self.listener.duration_s:
            raise AudioError("holds no sample")
        ended = self._find(self.listener.finish())
        return ended + self.finder.finish(self.listener.duration_s)

    def _find(self, rows: ScoreGrid) -> list[Event]:
        if self.pictured:
            self.pictured[1].add(rows.probabilities)
        return self.finder.push(rows.probabilities, rows.levels)


def make_ear(model: Model, sr: int, args: argparse.Namespace, **options: int) -> StreamDetector:
    """An ear for one recording at `sr` Hz."""
    pictured = None
    if args.plot:
        from stages.commands.predict.plots import Columns  # matplotlib, which only a picture needs

        pictured = Columns(), Columns()
        options["on_frames"] = pictured[0].add
    listener = StreamingClassifier(model, sr, step_s=args.step, **options)
    thresholds = model_thresholds(model.facts)
    return StreamDetector(
        listener, EventFinder(model.facts["classes"], thresholds, listener.row_s, args.settings), pictured
    )


def hear_file(path: Path, model: Model, args: argparse.Namespace) -> None:
    """Print the events of one file, and write what else was asked for. Raises `AudioError` where it cannot be read."""
    if not path.exists():
        raise AudioError("no such file")
    if path.is_dir():
        raise AudioError("is a folder; name the files in it")
    with open_audio(path) as file:
        ear = make_ear(model, file.samplerate, args)
        events: list[Event] = []
        for block in with_bar(audio_blocks(file), file.samplerate, file.frames, path.name):
            events += ear.push(block)
    events = sorted(events + ear.finish(), key=by_start)
    name = printable(str(path))
    if args.json or args.csv:
        line = json_line if args.json else csv_line
        for event in events:
            print(line(name, event))
    else:
        print(table(name, events, ear.listener.duration_s))
    sys.stdout.flush()
    write_extras(ear, events, name, args)


def with_bar(blocks: Iterator[np.ndarray], sr: int, n_samples: int, name: str) -> Iterator[np.ndarray]:
    """The same blocks; where there are many, with a bar of the seconds that they hold."""
    if n_samples < LONG_S * sr:
        yield from blocks
        return
    from stages.lib.core.progress import progress

    with progress(total=round(n_samples / sr), desc=printable(name), unit="seconds") as bar:
        n_heard = 0
        for block in blocks:
            yield block
            bar.update((n_heard + len(block)) // sr - n_heard // sr)
            n_heard += len(block)


def hear_live(model: Model, args: argparse.Namespace) -> None:
    """Say what standard input holds while it comes, until it ends or Ctrl-C."""
    decoder = PcmDecoder(args.format, args.channels)
    ear = make_ear(model, args.sr, args, batch_size=1)
    model.score(np.zeros((1, model.length, model.n_features), np.float32))  # the first time takes long: not at a sound
    say = choose_captions(args)
    events: list[Event] = []
    for data in live_bytes():
        events += (ended := ear.push(decoder.push(data)))
        say(ear, ended)
    events += (ended := ear.finish())
    say(ear, ended, last=True)
    write_extras(ear, sorted(events, key=by_start), "standard input", args)


def live_bytes() -> Iterator[bytes]:
    """What comes on standard input, as soon as it is there, until its end or Ctrl-C.

    Ctrl-C ends it between two reads, so that what was heard is heard to the end; a second one ends the program.
    """
    reading = asked = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if reading or asked:
            raise KeyboardInterrupt
        asked = True

    before = signal.signal(signal.SIGINT, end)
    try:
        while not asked:
            reading = True
            data = sys.stdin.buffer.read1(READ_BYTES)
            reading = False
            if not data:
                return
            yield data
    except KeyboardInterrupt:
        if not reading:
            raise
    finally:
        signal.signal(signal.SIGINT, before)


def choose_captions(args: argparse.Namespace) -> Callable[..., None]:
    """How events are told while they come: as lines for programs, or as captions for people."""
    if args.json or args.csv:
        return partial(say_ended, json_line if args.json else csv_line)
    return Captions().say_in_place if sys.stdout.isatty() else Captions().say_begun


def say_ended(
    line: Callable[[str, Event], str], ear: StreamDetector, ended: Sequence[Event], *, last: bool = False
) -> None:
    """Print a line for each event that has ended."""
    for event in ended:
        print(line(LIVE, event), flush=True)


class Captions:
    """Captions on a terminal or as lines."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._said: set[tuple[float, str]] = set()
        self._told_until = 0.0

    def say_begun(self, ear: StreamDetector, ended: Sequence[Event], *, last: bool = False) -> None:
        """Print a line for each event when it has begun: one that waited for its end might come too late."""
        under_way = ear.finder.under_way
        for event in sorted([*ended, *under_way], key=by_start):
            if (event.start_s, event.label) not in self._said:
                print(begun_line(event), flush=True)
        self._said = {(event.start_s, event.label) for event in under_way}

    def say_in_place(self, ear: StreamDetector, ended: Sequence[Event], *, last: bool = False) -> None:
        """Rewrite the last line of the terminal with what the newest segment says; events that ended stay above it."""
        clear = "\r\x1b[K"
        for event in ended:
            print(f"{clear}{finished_line(event)}", flush=True)
        newest = ear.listener.newest
        if last:
            print(clear, end="", flush=True)
        elif newest is not None and (ended or newest.end_s > self._told_until):
            believed = ear.finder.believed(newest.probabilities, newest.level)
            width = shutil.get_terminal_size().columns - 1
            print(f"{clear}{caption(newest.end_s, believed, width)}", end="", flush=True)
            self._told_until = newest.end_s


def write_extras(ear: StreamDetector, events: Sequence[Event], name: str, args: argparse.Namespace) -> None:
    """Write the labels and the picture, where they were asked for."""
    if args.labels:
        args.labels.mkdir(parents=True, exist_ok=True)
        target = args.labels / f"{Path(name).name}.txt"
        target.write_text(audacity_labels(events), encoding="utf-8", newline="\n")
    if args.plot:
        from stages.commands.predict.plots import plot_prediction
        from stages.lib.plotting import save_figure

        features, probabilities = ear.pictured
        figure = plot_prediction(
            features,
            probabilities,
            events,
            ear.listener.model.facts,
            row_s=ear.listener.row_s,
            duration_s=ear.listener.duration_s,
            title=f"{Path(name).name}\nheard by a model trained on {ear.listener.model.facts['dataset']['title']}",
        )
        save_figure(args.plot, figure)


def printable(name: str) -> str:
    """A name that can be printed, even where the file system has one that is no text."""
    return name.encode("utf-8", "backslashreplace").decode()


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the options; `settings` gets those of the events."""
    default = EventSettings()
    parser = argparse.ArgumentParser(prog="python -m stages.commands.predict", description=__doc__.splitlines()[0])
    parser.add_argument("recordings", nargs="+", metavar="FILE", help="a recording, or - for raw samples from a pipe")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print a JSON object a line for each event")
    output.add_argument("--csv", action="store_true", help="print events as CSV")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw features, probabilities and events of one FILE")
    parser.add_argument("--labels", type=Path, metavar="FOLDER", help="write label tracks for Audacity, FILE.txt each")

    which = parser.add_argument_group("the model")
    which.add_argument("--model", help=f"a model file, or a name in {MODELS}, such as fold_10")
    which.add_argument("--rev", help="of this commit, branch, tag or DVC experiment; default: the workspace")

    events = parser.add_argument_group("events")
    seconds = partial(number, 0, None)
    share = partial(number, 0, 1)
    events.add_argument(
        "--step",
        type=partial(number, 0.01, None),
        metavar="S",
        help="seconds between segments (0.5, or half of a segment where that is less)",
    )
    for option, kind, key, text in (
        ("--confident", share, "confident", "least probability to believe in a class (%(default)s)"),
        ("--release", share, "release", "share of its threshold that a class must keep to go on (%(default)s)"),
        ("--min-duration", seconds, "min_duration_s", "seconds that an event lasts at least (%(default)s)"),
        ("--merge-gap", seconds, "merge_gap_s", "seconds of pause from which on it is two events (%(default)s)"),
        ("--unsure-after", seconds, "unsure_min_s", "seconds without a believed class that are unsure (%(default)s)"),
        (
            "--silence",
            partial(number, None, 0),
            "silence_db",
            "dB(A) re full scale below which is silence (%(default)s)",
        ),
    ):
        events.add_argument(option, type=kind, dest=key, default=getattr(default, key), metavar="X", help=text)

    live = parser.add_argument_group("raw samples, for - only")
    live.add_argument("--sr", type=partial(whole, 1000), help="rate in Hz (44100)")
    live.add_argument("--channels", type=partial(whole, 1), help="channels (1)")
    live.add_argument("--format", choices=FORMATS, help="encoding of a sample (s16le)")

    args = parser.parse_args(argv)
    is_live = LIVE in args.recordings
    if is_live and len(args.recordings) > 1:
        parser.error("- cannot be heard together with files")
    if args.plot and len(args.recordings) > 1:
        parser.error("--plot draws one FILE")
    if args.labels and len({Path(recording).name for recording in args.recordings}) < len(args.recordings):
        parser.error("--labels: two FILEs have the same name, and so would their labels; hear them one by one")
    if args.labels and args.labels.exists() and not args.labels.is_dir():
        parser.error(f"--labels: {args.labels} is a file, expected a folder")
    if args.rev and args.model and Path(args.model).suffix:
        parser.error("--rev takes a name for --model, not a file")
    for option, value in (("sr", 44100), ("channels", 1), ("format", "s16le")):
        if getattr(args, option) is None:
            setattr(args, option, value)
        elif not is_live:
            parser.error(f"--{option} is for - only; a file says its own")
    names = EventSettings.__dataclass_fields__
    args.settings = replace(default, **{name: getattr(args, name) for name in names})
    return args


def number(low: float | None, high: float | None, text: str) -> float:
    """A number within limits."""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not ((low is None or value >= low) and (high is None or value <= high) and np.isfinite(value)):
        limits = [f"at {word} {limit:g}" for word, limit in (("least", low), ("most", high)) if limit is not None]
        raise argparse.ArgumentTypeError(f"expected a number of {' and '.join(limits)}, found {text!r}")
    return value


def whole(low: int, text: str) -> int:
    """A whole number of at least `low`."""
    if not text.isdecimal() or int(text) < low:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {low}, found {text!r}")
    return int(text)


if __name__ == "__main__":
    try:
        run(main)
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell counts it
