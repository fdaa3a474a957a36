"""How fast validate reads recordings: clips per second, next to the bare decoding of the same files, in one run.

    python -m benchmarks.validate [--clips 1000]

The goal is 300 four-second clips per second on two cores.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from stages.lib.audio import read_audio
from stages.validate.probe import probe_files

FORMATS = {"22.05 kHz mono": (22050, 1), "44.1 kHz stereo": (44100, 2)}
DURATION_S = 4.0
ROUNDS = 3  # the best is reported: other work on the machine only ever adds time


def main() -> None:
    """Write noise in each format, read it in each way, and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=1000)
    n_clips = parser.parse_args().clips
    with tempfile.TemporaryDirectory() as folder:
        for name, (sr, n_channels) in FORMATS.items():
            paths = write_clips(Path(folder) / name, n_clips, sr, n_channels)
            decode = best_time(partial(map, read_audio, paths))
            print(f"{name}, {n_clips} clips of {DURATION_S:g} s, 16 bit")
            print(f"  decoding alone, 1 thread  {n_clips / decode:6.0f} clips/s")
            for workers in ("1", "2"):
                os.environ["EAR_WORKERS"] = workers
                probe = best_time(partial(probe_files, paths))
                print(
                    f"  validate, {workers} thread(s) {n_clips / probe:6.0f} clips/s, {decode / probe:.2f} x decoding"
                )


def write_clips(folder: Path, n_clips: int, sr: int, n_channels: int) -> list[Path]:
    """Noise, one file per clip, all different."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = [folder / f"{i}.wav" for i in range(n_clips)]
    for path in paths:
        soundfile.write(path, 0.1 * rng.standard_normal((round(DURATION_S * sr), n_channels)), sr, subtype="PCM_16")
    return paths


def best_time(work: Callable[[], Iterable[object]]) -> float:
    """Seconds of the fastest round."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in work():
            pass
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
