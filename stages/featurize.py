"""Turn each accepted clip into log-mel frames, stored a fold at a time.

in   `--raw`       audio and `dataset.json` of fetch
     `--accepted`  the table of accepted clips of validate
out  `--features`  `fold_<k>.npy`, `index.csv`, `facts.json`: see `stages.lib.features`
"""

import argparse
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from stages.lib.audio import load_mono, n_samples_at
from stages.lib.errors import DataError, run
from stages.lib.features import INDEX_COLUMNS, fold_file, read_clips
from stages.lib.files import read_json, whole_folder, write_csv, write_json
from stages.lib.framing import n_frames
from stages.lib.parallel import parallel_map
from stages.lib.params import load_params
from stages.lib.progress import progress
from stages.lib.spectrogram import FeaturizeParams, LogMel

CLIPS_A_TASK = 16  # few enough for an even end on many cores, many enough that handing out tasks costs nothing


def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    args = parse_args(argv)
    params = load_params(args.params, FeaturizeParams)
    log_mel = LogMel(params)
    dataset = read_json(args.raw / "dataset.json")
    index = plan(read_clips(args.accepted), params)
    warn(index, log_mel)

    with whole_folder(args.features) as folder:
        for fold, clips in index.groupby("fold"):
            shape = (int(clips["n_frames"].sum()), params.n_mels)
            np.lib.format.open_memmap(fold_file(folder, fold), mode="w+", dtype=np.float32, shape=shape)
        tasks = [
            clips.iloc[i : i + CLIPS_A_TASK]
            for _, clips in index.groupby("fold")
            for i in range(0, len(clips), CLIPS_A_TASK)
        ]
        with progress(total=len(index), desc="featurize", unit="clips") as bar:
            for n_done in parallel_map(partial(write_frames, args.raw / "audio", folder, log_mel), tasks):
                bar.update(n_done)
        write_csv(folder / "index.csv", index[INDEX_COLUMNS])
        present = set(index["class"])
        write_json(
            folder / "facts.json",
            {
                "featurize": asdict(params),
                "classes": [name for name in dataset["classes"] if name in present],
                "folds": sorted(index["fold"].unique().tolist()),
                "floor": log_mel.floor,
                "empty_bands": log_mel.empty_bands,
                "dataset": {key: dataset[key] for key in ("name", "title", "synthetic", "licence", "citation")},
            },
        )
    print(
        f"featurize: {len(index)} clips, {index['n_frames'].sum()} frames of {params.n_mels} bands, "
        f"{index['fold'].nunique()} folds, {index['class'].nunique()} classes"
    )


def plan(accepted: pd.DataFrame, params: FeaturizeParams) -> pd.DataFrame:
    """Add to each clip where its frames will lie: known from its length, so that workers write without waiting."""
    if accepted.empty:
        raise DataError("no clip was accepted; see the reasons in data/clips/rejected.csv")
    if accepted["class"].nunique() < 2:
        raise DataError(f"only {accepted['class'].iloc[0]!r} has accepted clips; a classifier needs two classes")
    index = accepted.sort_values(["fold", "clip"], ignore_index=True)
    index["n_frames"] = [
        n_frames(n_samples_at(n, sr, params.sr), win_length=params.win_length, hop_length=params.hop_length)
        for n, sr in zip(index["n_samples"], index["sample_rate_hz"], strict=True)
    ]
    index["offset"] = index.groupby("fold")["n_frames"].cumsum() - index["n_frames"]
    return index


def warn(index: pd.DataFrame, log_mel: LogMel) -> None:
    """Say which chosen numbers leave bands without content."""
    params = log_mel.params
    if log_mel.empty_bands:
        print(
            f"featurize: warning: {len(log_mel.empty_bands)} of {params.n_mels} bands are empty, no FFT bin falls into "
            f"them; raise featurize.n_fft ({params.n_fft}) or lower featurize.n_mels"
        )
    rates = Counter(rate for rate in index["sample_rate_hz"].tolist() if rate < 2 * params.fmax)
    if rates:
        found = ", ".join(f"{rate} Hz ({n})" for rate, n in sorted(rates.items()))
        print(
            f"featurize: warning: {rates.total()} clips were recorded below {2 * params.fmax:g} Hz, twice "
            f"featurize.fmax, so their upper bands are empty: {found}"
        )


def write_frames(audio: Path, folder: Path, log_mel: LogMel, clips: pd.DataFrame) -> int:
    """Compute the clips of one fold and write them into their places; returns their number. Runs in a worker."""
    frames = np.load(fold_file(folder, clips["fold"].iloc[0]), mmap_mode="r+")
    for row in clips.itertuples():
        computed = log_mel(load_mono(audio / row.clip, log_mel.params.sr))
        if len(computed) != row.n_frames:
            raise DataError(
                f"{row.clip}: expected {row.n_frames} frames from the length that validate measured, found "
                f"{len(computed)}; the file has changed since, run 'dvc repro'"
            )
        frames[row.offset : row.offset + row.n_frames] = computed
    return len(clips)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the paths, which dvc.yaml gives."""
    parser = argparse.ArgumentParser(prog="python -m stages.featurize", description=__doc__.splitlines()[0])
    for option in ("--params", "--raw", "--accepted", "--features"):
        parser.add_argument(option, type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
