"""The recipe of the original study, re-implemented plainly, as a program to be timed.

    python -m benchmarks.original PROCESSES PARAMS < paths

PARAMS is the section `featurize` as JSON, paths come a line each. What is computed is not stored.
"""

import json
import sys
from functools import partial
from multiprocessing import Pool

import librosa
import numpy as np
import scipy.signal


def main() -> None:
    """Compute the log-mel spectrograms of all paths."""
    n_processes, p = int(sys.argv[1]), json.loads(sys.argv[2])
    paths = sys.stdin.read().splitlines()
    filters = librosa.filters.mel(
        sr=p["sr"], n_fft=p["n_fft"], n_mels=p["n_mels"], fmin=p["fmin"], fmax=p["fmax"], dtype=np.float64
    )
    work = partial(log_mel, p, filters)
    if n_processes == 1:
        for path in paths:
            work(path)
    else:
        with Pool(n_processes) as pool:
            for _ in pool.imap(work, paths, chunksize=16):
                pass


def log_mel(p: dict, filters: np.ndarray, path: str) -> np.ndarray:
    """Log-mel frames of one clip, float64 of shape (n_mels, n_frames)."""
    y, _ = librosa.load(path, sr=p["sr"])
    overlap = p["win_length"] - p["hop_length"]
    spectra = scipy.signal.spectrogram(
        y.astype(np.float64), p["sr"], p["window"], p["win_length"], overlap, p["n_fft"], mode="magnitude"
    )[2]
    return np.log(filters @ spectra + p["log_offset"])


if __name__ == "__main__":
    main()
