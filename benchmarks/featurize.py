"""How fast featurize is, next to the recipe of the original study, librosa, and the least that the work can take.

    python -m benchmarks.featurize [--clips 3000] [--files 300] [--memory]

(a) the recipe of the original study, plainly (benchmarks/original.py): librosa.load, scipy.signal.spectrogram in
    float64, dense mel product, log
(b) librosa.load and librosa.feature.melspectrogram, log
(c) this stage
(d) the floor: decoding, and the bare real FFTs of the same frames in float32; where the rate differs, resampling too,
    without which there are no such frames
(a) and (c) run as programs of their own, from start to end; (c) once more without the start and the pictures at the
end, which take the same time for any number of clips; the rest without the start. Goals on two cores: (c) at least 4
times (a) with two processes, 80 % of (d) on one core, two workers 1.7 times one.

`--memory` measures peak memory and time of the stage for 500, 5,000 and 50,000 clips of 1 s instead.

The clips are noise; `--files` of them are written and the table names them again and again. They stay in the cache of
the system, so that the processor is measured and not the disk. Other work on the machine falsifies clips per second, so
its load is printed first; processor time, all processes and threads together, suffers less.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import librosa
import numpy as np
import pandas as pd
import scipy.fft
import soundfile

from stages.featurize.__main__ import main as run_stage
from stages.lib.audio import load_mono
from stages.lib.core.files import write_csv, write_json
from stages.lib.core.params import load_params
from stages.lib.features.store import read_clips
from stages.lib.frontend.spectrogram import FeaturizeParams

PARAMS = load_params(Path("params.yaml"), FeaturizeParams)
FORMATS = {"22.05 kHz mono": (22050, 1), "44.1 kHz stereo": (44100, 2)}
DURATION_S = 4.0
ROUNDS = 3
# Runs the stage and tells its peak in KiB. What the system tells to a parent begins at the parent's own size.
PEAK = """
import re, sys
from stages.featurize.__main__ import main
main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def main() -> None:
    """Print rates, or with `--memory` peaks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=3000)
    parser.add_argument("--files", type=int, default=300, help="different files that the clips are")
    parser.add_argument("--memory", action="store_true", help="measure memory instead")
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, load of other work {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        if args.memory:
            print_memory(Path(folder))
        else:
            for name, (sr, n_channels) in FORMATS.items():
                print(f"\n{name}, {args.clips} clips of {DURATION_S:g} s, 16 bit, {args.files} different files")
                print_rates(write_clips(Path(folder) / name, args.files, sr, n_channels, DURATION_S), args.clips)


class Taken(NamedTuple):
    """Seconds on the clock and of processors."""

    clock: float
    processor: float


def print_rates(folder: Path, n_clips: int) -> None:
    """Measure each way on the same clips."""
    write_table(folder, n_clips)
    paths = clip_paths(folder)
    taken = {}
    for n in (1, 2):
        original = ["-m", "benchmarks.original", str(n), json.dumps(asdict(PARAMS))]
        taken["a", n] = run_program(*original, stdin="\n".join(map(str, paths)))
    taken["b", 1] = best_of(lambda: run_here(lambda: [librosa_clip(path) for path in paths]))
    for n in (1, 2):
        os.environ["EAR_WORKERS"] = str(n)
        taken["c with start", n] = best_of(lambda: run_program("-m", "stages.featurize", *options(folder)))
        with redirect_stdout(StringIO()), patch("stages.featurize.plots.draw"):
            taken["c", n] = best_of(lambda: run_here(lambda: run_stage(options(folder))))
    taken["d", 1] = best_of(lambda: run_here(lambda: [floor_clip(path) for path in paths]))

    for (way, n), seconds in taken.items():
        print(f"  ({way[0]}){way[1:]}, {n} at once".ljust(28), end="")
        processor_ms = 1000 * seconds.processor / n_clips
        print(f"{n_clips / seconds.clock:6.0f} clips/s, {processor_ms:6.2f} ms of processor per clip")
    for name, slow, fast, goal in (
        ("(c) over (a), two each, with start", ("a", 2), ("c with start", 2), 4),
        ("(c) over (d), one core", ("d", 1), ("c", 1), 0.8),
        ("two workers over one", ("c", 1), ("c", 2), 1.7),
    ):
        clock, processor = (slower / faster for slower, faster in zip(taken[slow], taken[fast], strict=True))
        print(f"  {name}: {clock:.2f} by the clock (goal {goal}), {processor:.2f} by processor time")
    dataset_s = 8732 * taken["c with start", 2].clock / n_clips
    print(f"  8,732 clips like these with two workers and start: {dataset_s:.0f} s")


def print_memory(folder: Path) -> None:
    """Run the stage on tables of three lengths, each as a program of its own."""
    clips = write_clips(folder, 50, *FORMATS["44.1 kHz stereo"], duration_s=1.0)
    for n_clips in (500, 5000, 50_000):
        write_table(clips, n_clips)
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", PEAK, *options(clips)], check=True, capture_output=True, text=True)
        seconds, mebibytes = time.perf_counter() - start, int(done.stdout.split()[-1]) / 1024
        written = sum(path.stat().st_size for path in (clips / "features").iterdir()) / 1e6
        print(
            f"{n_clips:6d} clips of 1 s: peak {mebibytes:4.0f} MiB, {seconds:6.1f} s, {written:5.0f} MB of features",
            flush=True,
        )


def clip_paths(folder: Path) -> list[Path]:
    """The file of each row of the table."""
    return [folder / "raw" / "audio" / name for name in read_clips(folder / "accepted.csv")["clip"]]


def librosa_clip(path: Path) -> np.ndarray:
    """(b) for one clip, float32 of shape (n_mels, n_frames)."""
    p = PARAMS
    y, _ = librosa.load(path, sr=p.sr)
    mel = librosa.feature.melspectrogram(
        y=y, sr=p.sr, n_fft=p.n_fft, hop_length=p.hop_length, win_length=p.win_length, window=p.window, center=False,
        power=p.power, n_mels=p.n_mels, fmin=p.fmin, fmax=p.fmax,
    )  # fmt: skip
    return np.log(mel + p.log_offset)


def floor_clip(path: Path) -> np.ndarray:
    """(d) for one clip, complex64 of shape (n_frames, n_bins)."""
    y = load_mono(path, PARAMS.sr)
    return scipy.fft.rfft(np.lib.stride_tricks.sliding_window_view(y, PARAMS.win_length)[:: PARAMS.hop_length])


def write_clips(folder: Path, n_files: int, sr: int, n_channels: int, duration_s: float) -> Path:
    """Write noise, all different, as fetch leaves it; returns the folder."""
    (folder / "raw" / "audio").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(n_files):
        y = 0.1 * rng.standard_normal((round(duration_s * sr), n_channels))
        soundfile.write(folder / "raw" / "audio" / f"{i}.wav", y, sr, subtype="PCM_16")
    dataset = {"name": "noise", "title": "Noise", "synthetic": True, "licence": "none", "citation": "none"}
    write_json(folder / "raw" / "dataset.json", dataset | {"classes": [f"class {i}" for i in range(10)]})
    return folder


def write_table(folder: Path, n_clips: int) -> None:
    """Write a table of `n_clips` that names the files again and again."""
    files = sorted((folder / "raw" / "audio").iterdir())
    info = soundfile.info(files[0])
    i = np.arange(n_clips)
    table = pd.DataFrame(
        {
            "clip": [files[k % len(files)].name for k in i],
            "class": [f"class {k % 10}" for k in i],
            "fold": 1 + i * 10 // n_clips,
            "source": i,
            "salience": 1,
            "duration_s": info.duration,
            "sample_rate_hz": info.samplerate,
            "n_samples": info.frames,
        }
    )
    write_csv(folder / "accepted.csv", table)


def options(folder: Path) -> list[str]:
    """What the stage is called with."""
    paths = {"raw": "raw", "accepted": "accepted.csv", "features": "features", "plots": "plots"}
    return ["--params", "params.yaml", *(f"--{option}={folder / name}" for option, name in paths.items())]


def run_program(*arguments: str, stdin: str = "") -> Taken:
    """Run Python with `arguments`, its start and its own processes included."""
    seconds, usage = wait_for(sys.executable, *arguments, stdin=stdin)
    return Taken(seconds, usage.ru_utime + usage.ru_stime)


def run_here(work: Callable[[], object]) -> Taken:
    """Run `work` in this process."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return Taken(time.perf_counter() - clock, time.process_time() - processor)


def best_of(measure: Callable[[], Taken]) -> Taken:
    """The least of each of a few rounds: other work only ever adds."""
    return Taken(*map(min, zip(*(measure() for _ in range(ROUNDS)), strict=True)))


def wait_for(*command: str, stdin: str = "") -> tuple[float, resource.struct_rusage]:
    """Run a program; returns its seconds on the clock and what it used."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as file:
        file.write(stdin.encode())
        file.seek(0)
        child = subprocess.Popen(command, stdin=file, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {child.returncode}")
    return time.perf_counter() - start, usage


if __name__ == "__main__":
    main()
