"""Detect sound events in recordings: `python -m stages.commands.predict FILE...`, or `-` for a microphone.

FILE is whatever `stages.lib.audio` reads, of any number of channels and length. `-` reads raw samples from standard
input as they come, and prints what it detects as soon as a segment is complete. What is computed is described in
`stages.lib.inference.streaming`, how events are found in it in `stages.lib.inference.events`.

Standard output gets a table, JSON lines, CSV or TSV; standard error the model, progress and errors. The status is 1
where a file could not be read; the others are still processed.
"""

import argparse
import importlib.util
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.commands.fast_start import open_model
from stages.commands.models import obtain_model
from stages.commands.predict.captions import choose_display
from stages.commands.predict.formats import audacity_labels, encodable, printable, table
from stages.commands.predict.live import check_stdin, read_stdin
from stages.commands.predict.options import LIVE, parse_args
from stages.commands.predict.pcm import PcmDecoder
from stages.lib.audio import Recording, open_audio
from stages.lib.core.errors import AudioError, EarError, run
from stages.lib.inference.detect import StreamDetector
from stages.lib.inference.events import Event, by_start, settings_of
from stages.lib.inference.runtime import Model
from stages.lib.inference.streaming import BATCH

if TYPE_CHECKING:
    from stages.commands.predict.plots import Picture

LONG_S = 120.0  # seconds of a recording from which on a bar shows progress


def main(argv: list[str] | None = None) -> None:
    """Open the model, detect the events of standard input or of each recording, print them."""
    args = parse_args(argv, __doc__.splitlines()[0])
    check_installed(args)
    if args.recordings == [LIVE]:
        check_stdin()
        detect_live(use_model(args), args)
    elif not detect_files(args):
        sys.exit(1)


def check_installed(args: argparse.Namespace) -> None:
    """Raise `EarError` where `--plot` lacks its package, which `requirements-predict.txt` does not have."""
    if args.plot and importlib.util.find_spec("matplotlib") is None:
        raise EarError("--plot needs matplotlib, which is not installed; pip install matplotlib")


def use_model(args: argparse.Namespace) -> Model:
    """Open the model that was asked for, say which it is, and begin the output."""
    with tempfile.TemporaryDirectory() as scratch:
        model = open_model(obtain_model(args.model, args.rev, Path(scratch)))
    print(f"predict: {describe(model, args.rev)}", file=sys.stderr)
    if args.form is not None and args.form.head is not None:
        print(args.form.head)
    return model


def detect_files(args: argparse.Namespace) -> bool:
    """Print the events of each recording, or its error; returns whether all could be read.

    Paths are checked first, since opening a model may take many seconds.
    """
    problems = {recording: find_problem(recording) for recording in args.recordings}
    for recording, problem in problems.items():
        if problem:
            print_error(recording, problem)
    readable = [recording for recording in args.recordings if not problems[recording]]
    if not readable:
        return False
    model, n_read = use_model(args), 0
    for recording in readable:
        try:
            detect_file(Path(recording), model, args)
            n_read += 1
        except AudioError as error:
            print_error(recording, str(error))
    return n_read == len(args.recordings)


def find_problem(recording: str) -> str | None:
    """Why a recording cannot be opened, as far as its path tells; None where it can."""
    try:
        status = Path(recording).stat()
    except FileNotFoundError:
        windows = recording.endswith("\r")
        return "no such file" + (", and its name ends as a line of a Windows text file does" if windows else "")
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    if stat.S_ISDIR(status.st_mode):
        return "is a folder; name the files in it"
    return "is empty, it has 0 bytes" if stat.S_ISREG(status.st_mode) and not status.st_size else None


def print_error(recording: str, reason: str) -> None:
    """Print why one recording could not be read; the others go on."""
    print(f"error: {printable(recording)}: {reason.removeprefix(f'{Path(recording).name}: ')}", file=sys.stderr)


def describe(model: Model, revision: str | None) -> str:
    """Which model is used, and what it was trained on, in one line."""
    metadata = model.metadata
    test = metadata.split.test
    without = "" if test is None else f" without fold {test}"
    calibrated = "" if metadata.calibration else ", not calibrated: confidences are those of the network"
    at = f" of {revision}" if revision else ""
    whole = "" if metadata.frames else ", no head for frames: begin and end of events are those of whole segments"
    return f"model {model.path.stem}{at}, trained on {metadata.dataset.title}{without}{calibrated}{whole}"


def detect_file(path: Path, model: Model, args: argparse.Namespace) -> None:
    """Print the events of one file, and write what else was asked for.

    Raises `AudioError` where it cannot be read, and after all is printed where only a part of it could.
    """
    with open_audio(path) as recording:
        detector, picture = make_detector(model, recording.sr, args)
        events, problem = detect_blocks(detector, with_bar(recording, path.name))
    problem = problem or recording.problem()
    if args.form is not None:
        for line in args.form.lines(encodable(str(path)), events):
            print(line)
    else:
        print(table(printable(str(path)), events, detector.duration_s))
    sys.stdout.flush()
    write_extras(detector, picture, events, path.name, args)
    if problem:
        raise AudioError(f"{problem}; the events are those of what could be read")


def detect_live(model: Model, args: argparse.Namespace) -> None:
    """Print what standard input holds while it comes, until it ends or Ctrl-C. Raises `AudioError` as for a file."""
    decoder = PcmDecoder(args.format, args.channels)
    detector, picture = make_detector(model, args.sr, args, batch_size=1, looks_ahead=False)
    model.score(np.zeros((1, model.length, model.n_features), np.float32))  # the first time is slow: not at a sound
    display = choose_display(None if args.form is None else partial(args.form.lines, LIVE))
    try:
        events, problem = detect_blocks(detector, decoder.decode(read_stdin()), display.show)
    except AudioError as error:
        raise AudioError(f"standard input: {error}") from None
    finally:
        display.close()
    write_extras(detector, picture, events, "standard input", args)
    if problem:
        raise AudioError(f"standard input: {problem}; the events are those of what came before")


def detect_blocks(
    detector: StreamDetector,
    blocks: Iterable[np.ndarray],
    show: Callable[[StreamDetector, list[Event]], None] = lambda detector, ended: None,
) -> tuple[list[Event], str | None]:
    """The events of a stream, by start, and why it breaks off, None where it does not; `show` gets events as they end.

    Raises `AudioError` where the stream breaks off before its first sample, or has none.
    """
    events: list[Event] = []
    problem = None
    try:
        for block in blocks:
            events += (ended := detector.push(block))
            show(detector, ended)
    except AudioError as error:
        if not detector.duration_s:
            raise
        problem = str(error)
    events += (ended := detector.finish())
    show(detector, ended)
    return sorted(events, key=by_start), problem


def make_detector(
    model: Model, sr: int, args: argparse.Namespace, *, batch_size: int = BATCH, looks_ahead: bool = True
) -> "tuple[StreamDetector, Picture | None]":
    """A detector for one recording at `sr` Hz, and the picture that it fills, None where none was asked for."""
    make = partial(
        StreamDetector,
        model,
        sr,
        settings=replace(settings_of(model.metadata), **args.settings),
        step_s=args.step,
        batch_size=batch_size,
        looks_ahead=looks_ahead,
    )
    if not args.plot:
        return make(), None
    from stages.commands.predict.plots import Picture  # matplotlib, which only a picture needs

    picture = Picture()
    return make(on_frames=picture.features.add, on_rows=picture.probabilities.add), picture


def with_bar(recording: Recording, name: str) -> Iterator[np.ndarray]:
    """The blocks of the recording; where there may be many, with a bar of the seconds that they hold."""
    sr, n_expected = recording.sr, recording.n_expected
    if n_expected is not None and n_expected < LONG_S * sr:
        yield from recording.blocks()
        return
    from stages.lib.core.progress import progress

    total = None if n_expected is None else round(n_expected / sr)
    with progress(total=total, desc=printable(name), unit="seconds") as bar:
        for block in recording.blocks():
            yield block
            bar.update(recording.n_read // sr - (recording.n_read - len(block)) // sr)


def write_extras(
    detector: StreamDetector, picture: "Picture | None", events: Sequence[Event], name: str, args: argparse.Namespace
) -> None:
    """Write the labels and the picture of the recording `name`, where they were asked for."""
    if args.labels:
        args.labels.mkdir(parents=True, exist_ok=True)
        (args.labels / f"{name}.txt").write_text(audacity_labels(events), encoding="utf-8", newline="\n")
    if picture is not None:
        from stages.lib.plotting import save_figure

        save_figure(args.plot, picture.draw(detector, events, printable(name)))


if __name__ == "__main__":
    try:
        run(main)
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell counts it
