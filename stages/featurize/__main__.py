"""Turn each accepted clip, and the variants of it that training may want, into log-mel frames, a fold a file.

in   `--raw`       audio and `dataset.json` of fetch
     `--accepted`  the table of accepted clips of validate
out  `--features`  `fold_<k>.npy`, `index.csv`, `facts.json`: see `stages.lib.features.store`
     `--plots`     `two_tones.png`, `classes.png` (a clip of each class), `bands.png` (one clip in 10, 150, 1,000 bands)
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from stages.featurize.variants import make_variant, variant_length, variant_names
from stages.lib.audio import load_mono, n_samples_at, resample
from stages.lib.core.errors import DataError, run
from stages.lib.core.files import atomic_directory, read_json, write_csv, write_json
from stages.lib.core.parallel import parallel_map
from stages.lib.core.params import load_params
from stages.lib.core.progress import progress
from stages.lib.features.framing import n_frames
from stages.lib.features.store import INDEX_COLUMNS, ORIGINAL, create_fold, read_clips, write_frames
from stages.lib.frontend.spectrogram import FeaturizeParams, Featurizer

ACCEPTED_COLUMNS = ["clip", "class", "fold", "source", "salience", "duration_s", "sample_rate_hz", "n_samples"]
TONES_SR = 32_000  # Hz
CLIPS_A_TASK = 16  # few enough for an even end on many cores, many enough that handing out tasks costs nothing


def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    args = parse_args(argv)
    params = load_params(args.params, FeaturizeParams)
    featurizer = Featurizer(params)
    dataset = read_json(args.raw / "dataset.json")
    index = plan(read_clips(args.accepted, ACCEPTED_COLUMNS), params)
    n_clips = int((index["variant"] == ORIGINAL).sum())
    warn(index, featurizer)

    with atomic_directory(args.features) as folder, atomic_directory(args.plots) as plots:
        for fold, rows in index.groupby("fold"):
            create_fold(folder, fold, (int(rows["n_frames"].sum()), params.n_features))
        with progress(total=n_clips, desc="featurize", unit="clips") as bar:
            levels: list[float] = []
            work = partial(featurize_clips, (args.raw / "audio").resolve(), folder.resolve(), featurizer)
            for done in parallel_map(work, tasks(index), anywhere=True):
                levels += done
                bar.update(len(done) * n_clips // len(index))
        index["level_db"] = levels
        write_csv(folder / "index.csv", index[INDEX_COLUMNS])
        present = set(index["class"])
        write_json(
            folder / "facts.json",
            {
                "featurize": asdict(params),
                "kind": params.kind,
                "n_features": params.n_features,
                "classes": [name for name in dataset["classes"] if name in present],
                "folds": sorted(index["fold"].unique().tolist()),
                "floor": featurizer.floor,
                "empty_bands": featurizer.empty_bands,
                "dataset": {key: dataset[key] for key in ("name", "title", "synthetic", "licence", "citation")},
            },
        )
        draw(plots, index, args.raw / "audio", featurizer, dataset["title"])
    n_variants = len(index) - n_clips
    made = f" and {n_variants} variants" if n_variants else ""
    what = "bands" if params.n_mfcc is None else "coefficients"
    print(
        f"featurize: {n_clips} clips{made}, {index['n_frames'].sum()} frames of {params.n_features} {what}, "
        f"{index['fold'].nunique()} folds, {index['class'].nunique()} classes"
    )


def plan(accepted: pd.DataFrame, params: FeaturizeParams) -> pd.DataFrame:
    """Add to each clip where its frames will lie: known from its length, so that workers write without waiting."""
    if accepted.empty:
        raise DataError("no clip was accepted; see the reasons in data/clips/rejected.csv")
    if accepted["class"].nunique() < 2:
        raise DataError(f"only {accepted['class'].iloc[0]!r} has accepted clips; a classifier needs two classes")
    variants = [ORIGINAL, *variant_names(params.stretch, params.pitch)]
    order = accepted[["fold", "clip"]].sort_values(["fold", "clip"]).index
    index = accepted.loc[order.repeat(len(variants))].reset_index(drop=True)
    index["variant"] = variants * len(accepted)
    lengths = pd.Series(
        variant_length(n_samples_at(n, sr, params.sr), variant)
        for n, sr, variant in zip(index["n_samples"], index["sample_rate_hz"], index["variant"], strict=True)
    )
    index["n_frames"] = [n_frames(n, win_length=params.win_length, hop_length=params.hop_length) for n in lengths]
    index["duration_s"] = index["duration_s"].where(index["variant"] == ORIGINAL, (lengths / params.sr).round(6))
    # Variants lie after all clips of their fold, so that whoever reads only clips reads one piece.
    places = index[["fold", "n_frames"]].assign(is_variant=index["variant"] != ORIGINAL)
    places = places.sort_values(["fold", "is_variant"], kind="stable")
    index["offset"] = places.groupby("fold")["n_frames"].cumsum() - places["n_frames"]
    return index


def warn(index: pd.DataFrame, featurizer: Featurizer) -> None:
    """Say which chosen numbers leave bands without content."""
    params = featurizer.params
    if featurizer.empty_bands:
        print(
            f"featurize: warning: {len(featurizer.empty_bands)} of {params.n_mels} bands are empty, no FFT bin falls "
            f"into them; raise featurize.n_fft ({params.n_fft}) or lower featurize.n_mels"
        )
    low = index.loc[(index["variant"] == ORIGINAL) & (index["sample_rate_hz"] < 2 * params.fmax)]
    if len(low):
        found = ", ".join(f"{rate} Hz ({n})" for rate, n in sorted(Counter(low["sample_rate_hz"].tolist()).items()))
        print(
            f"featurize: warning: {len(low)} clips were recorded below {2 * params.fmax:g} Hz, twice featurize.fmax, "
            f"so their upper bands are empty: {found}; the first is {low['clip'].iloc[0]}"
        )


def tasks(index: pd.DataFrame) -> Iterator[list[tuple]]:
    """The rows of a few whole clips at a time: clip, variant, fold, offset, n_frames of each."""
    n_rows = CLIPS_A_TASK * index["variant"].nunique()
    for start in range(0, len(index), n_rows):
        rows = index.iloc[start : start + n_rows]
        yield list(rows[["clip", "variant", "fold", "offset", "n_frames"]].itertuples(index=False, name=None))


def featurize_clips(audio: Path, folder: Path, featurizer: Featurizer, rows: list[tuple]) -> list[float]:
    """Compute clips and their variants, write the frames into their places; returns levels in dB. Runs in a worker."""
    sr, levels = featurizer.params.sr, []
    for clip, variant, fold, offset, n_frames_expected in rows:
        if variant == ORIGINAL:
            original = load_mono(audio / clip, sr)
        magnitudes = featurizer.magnitudes(make_variant(original, sr, variant) if variant else original)
        if len(magnitudes) != n_frames_expected:
            raise DataError(
                f"{clip}: expected {n_frames_expected} frames from the length that validate measured, found "
                f"{len(magnitudes)}; the file has changed since, run 'dvc repro'"
            )
        write_frames(folder, fold, offset, featurizer.from_magnitudes(magnitudes))
        levels.append(round(featurizer.level(magnitudes), 2))
    return levels


def choose_examples(index: pd.DataFrame) -> pd.DataFrame:
    """A row a class, by name: a clip in the foreground before one in the background, then the longest, then by name."""
    order = ["class", "salience", "duration_s", "clip"]
    clips = index[index["variant"] == ORIGINAL].sort_values(order, ascending=[True, True, False, True])
    return clips.drop_duplicates("class", ignore_index=True)


def draw(plots: Path, index: pd.DataFrame, audio: Path, featurizer: Featurizer, title: str) -> None:
    """Draw two tones, a clip of each class, and the loudest of these in several numbers of bands."""
    # matplotlib takes as long to import as hundreds of clips take to compute: not before there is something to draw.
    from stages.featurize.plots import Example, plot_bands, plot_classes, plot_two_tones
    from stages.lib.plotting import save_figure

    params = featurizer.params
    tones = two_tones()
    seen = featurizer(resample(tones, TONES_SR, params.sr))
    save_figure(plots / "two_tones.png", plot_two_tones(tones, TONES_SR, seen, params))
    chosen, examples = choose_examples(index), []
    for name, clip in zip(chosen["class"], chosen["clip"], strict=True):
        y = load_mono(audio / clip, params.sr)
        magnitudes = featurizer.magnitudes(y)
        examples.append(Example(name, y, magnitudes, featurizer.from_magnitudes(magnitudes)))
    heading = (
        f"{title}\nA clip of each class, in the foreground if there is one, of these the longest; 80 dB from the top"
    )
    save_figure(plots / "classes.png", plot_classes(examples, params, heading))
    save_figure(plots / "bands.png", plot_bands(examples[chosen["level_db"].argmax()], params))


def two_tones() -> np.ndarray:
    """The base case of the study: 512 and 1,024 Hz, 1 s at `TONES_SR`; float32 of shape (TONES_SR,)."""
    t = np.arange(TONES_SR) / TONES_SR
    return (0.5 * np.sin(2 * np.pi * 512 * t) + 0.5 * np.sin(2 * np.pi * 1024 * t)).astype(np.float32)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the paths, which dvc.yaml gives."""
    parser = argparse.ArgumentParser(prog="python -m stages.featurize", description=__doc__.splitlines()[0])
    for option in ("--params", "--raw", "--accepted", "--features", "--plots"):
        parser.add_argument(option, type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
