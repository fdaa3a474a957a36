"""How fast predict is, how much memory it takes, how late its captions come, and how long it takes to start.

    python -m benchmarks.predict [--model FILE] [--only speed|memory|captions|start]

speed     times real time on a recording of ten minutes, after start: all of it, and its parts. Goal: 100 on two cores
memory    the peak of a program that detects events in 1 hour and 10 hours; the recording is noise that is drawn block
          by block, so that it needs no disk. Goal: the same
captions  raw samples at 44,100 Hz are sent as a microphone would, in real time, to the command on its own terminal;
          seconds from the end of a segment until its caption is there. Goal: 0.5
start     a recording of 1 s, from start to end: the first use of a model, which converts it, later ones, and what the
          import of Keras alone takes. Goal for later ones: 1.5 s of processor time

Other work on the machine falsifies all but memory, so its load is printed first.
"""

import argparse
import os
import pty
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from stages.commands.models import find_model
from stages.lib.inference.detect import detect
from stages.lib.inference.runtime import Model, open_model
from stages.lib.inference.streaming import BATCH

MODELS = Path("data/models")
SPEED_S = 600
LIVE_S = 20
ROUNDS = 3
PREDICT = [sys.executable, "-m", "stages.commands.predict"]
# Detects events in hours of noise and prints its peak in KiB. What a parent is told begins at the parent's own size.
DETECT_HOURS = """
import re, sys
from pathlib import Path
import numpy as np
from stages.lib.inference.detect import StreamDetector
from stages.lib.inference.runtime import open_model

model, hours = open_model(Path(sys.argv[1])), float(sys.argv[2])
rng = np.random.default_rng(0)
blocks = (
    (10 ** rng.uniform(-4, -1) * rng.standard_normal((220500, 1), np.float32)).astype(np.float32)
    for _ in range(round(hours * 360))
)
n_events = len(StreamDetector(model, 22050).detect(blocks))
print(n_events, re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model file; default: that of the workspace")
    measures = {"speed": print_speed, "memory": print_memory, "captions": print_captions, "start": print_start}
    parser.add_argument("--only", choices=measures)
    args = parser.parse_args()
    model = find_model(args.model, MODELS)
    print(f"{os.cpu_count()} cores, load of other work {os.getloadavg()[0]:.2f}; {model}")
    for name, measure in measures.items():
        if args.only in (None, name):
            measure(model)


def best(action: Callable[[], object]) -> float:
    """The least seconds of some rounds."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def without_network(model: Model) -> Model:
    """A model that answers at once, 0.1 for each class, and as its network does with steps or without."""
    n_classes, steps = len(model.metadata.classes), model.metadata.frames
    n_steps = 1 if steps is None else model.length // steps.step

    def score(segments: np.ndarray) -> np.ndarray:
        return np.full((len(segments), n_classes), 0.1, np.float32)

    def score_frames(segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return score(segments), np.full((len(segments), n_steps, n_classes + 1), 0.1, np.float32)

    return replace(model, score=score, score_frames=None if steps is None else score_frames)


def print_speed(path: Path) -> None:
    """Time the detection in files and its parts."""
    model = open_model(path)
    mute = without_network(model)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for sr, n_channels in ((22050, 1), (44100, 2)):
            file = Path(folder) / f"{sr}.wav"
            soundfile.write(file, 0.05 * rng.standard_normal((SPEED_S * sr, n_channels)), sr)

            detect(file, model)  # the first batch of each size takes long
            whole, front = best(partial(detect, file, model)), best(partial(detect, file, mute))
            print(
                f"speed: {sr} Hz, {n_channels} channels: {SPEED_S / whole:.0f} times real time; of each second "
                f"{1000 * front / SPEED_S:.2f} ms for all but the network, "
                f"{1000 * (whole - front) / SPEED_S:.2f} ms for the network, {BATCH} segments at once"
            )


def print_memory(path: Path) -> None:
    """Tell the peak for 1 and 10 hours."""
    for hours in (1, 10):
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", DETECT_HOURS, str(path), str(hours)], capture_output=True, text=True, check=True
        )
        n_events, peak = map(int, done.stdout.split())
        print(
            f"memory: {hours} h of noise, {n_events} events: peak {peak / 1024:.0f} MiB, "
            f"{time.perf_counter() - begun:.0f} s with drawing the noise"
        )


def print_captions(path: Path) -> None:
    """Tell how late captions come."""
    sr = 44100
    y = (0.05 * np.random.default_rng(0).standard_normal(LIVE_S * sr) * 32767).astype("<i2")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PREDICT, "-", "--sr", str(sr), "--model", str(path)], stdin=subprocess.PIPE, stdout=theirs,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(theirs)
    assert process.stdin is not None  # for mypy, as the next
    assert process.stderr is not None
    os.set_blocking(ours, False)
    process.stderr.readline()
    time.sleep(3)  # until it waits for samples
    begun, sent, text, late = time.perf_counter(), 0, "", []
    while sent < len(y):
        due = round((time.perf_counter() - begun) * sr)
        if due - sent >= sr // 50:  # 20 ms at a time
            process.stdin.write(y[sent:due].tobytes())
            process.stdin.flush()
            sent = due
        try:
            text += os.read(ours, 4096).decode()
        except BlockingIOError:
            time.sleep(0.002)
            continue
        now = time.perf_counter() - begun
        late += [
            now - float(at[0]) * 60 - float(at[1]) for at in re.findall(r"\x1b\[K(\d\d):(\d\d\.\d)  (?!.* to )", text)
        ]
        text = ""
    process.stdin.close()
    process.wait()
    print(f"captions: {len(late)} of {LIVE_S} s; median {np.median(late):.2f} s, latest {max(late):.2f} s (to 0.05 s)")


def print_start(path: Path) -> None:
    """Time the command on one second, and the import of Keras; seconds of processors, those of children with them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.wav"
        soundfile.write(file, np.zeros(22050), 22050)
        environment = os.environ | {"EAR_CACHE": folder}

        def start(*command: str) -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, capture_output=True, check=True, env=environment)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        predict = [*PREDICT, str(file), "--model", str(path)]
        first, later = start(*predict), sorted(start(*predict) for _ in range(5))
        keras = start(
            sys.executable, "-c", "from stages.lib.model.backend import start_backend; start_backend('tensorflow')"
        )
        print(
            f"start: {later[2]:.2f} s of processor time, median of 5 from {later[0]:.2f} to {later[-1]:.2f}; the first "
            f"use of the model {first:.1f} s; the import of Keras by itself {keras:.1f} s"
        )


if __name__ == "__main__":
    main()
