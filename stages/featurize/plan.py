"""From accepted clips to frames on disk: where the frames of each clip lie, and the tasks that compute them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from stages.featurize.variants import make_variant, variant_length, variant_names
from stages.lib.audio import load_mono, n_samples_at
from stages.lib.core.errors import DataError
from stages.lib.core.parallel import parallel_map
from stages.lib.core.progress import progress
from stages.lib.features.framing import n_frames
from stages.lib.features.store import ORIGINAL, create_fold, write_frames
from stages.lib.frontend.spectrogram import FeaturizeParams, Featurizer

ACCEPTED_COLUMNS = ["clip", "class", "fold", "source", "salience", "duration_s", "sample_rate_hz", "n_samples"]
CLIPS_PER_TASK = 16  # few enough for an even end on many cores, many enough that handing out tasks costs nothing


def plan(accepted: pd.DataFrame, params: FeaturizeParams) -> pd.DataFrame:
    """The index without levels: each clip followed by its variants, and where the frames of each will lie.

    Known from the length of the clip, so that workers write without waiting for each other. Raises `DataError` where
    there is nothing to learn from.
    """
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


def warnings_of(index: pd.DataFrame, featurizer: Featurizer) -> list[str]:
    """One line for each choice of numbers that leaves bands without content."""
    params, lines = featurizer.params, []
    if featurizer.empty_bands:
        lines.append(
            f"featurize: warning: {len(featurizer.empty_bands)} of {params.n_mels} bands are empty, no FFT bin falls "
            f"into them; raise featurize.n_fft ({params.n_fft}) or lower featurize.n_mels"
        )
    low = index.loc[(index["variant"] == ORIGINAL) & (index["sample_rate_hz"] < 2 * params.fmax)]
    if len(low):
        found = ", ".join(f"{rate} Hz ({n})" for rate, n in sorted(Counter(low["sample_rate_hz"].tolist()).items()))
        lines.append(
            f"featurize: warning: {len(low)} clips were recorded below {2 * params.fmax:g} Hz, twice featurize.fmax, "
            f"so their upper bands are empty: {found}; the first is {low['clip'].iloc[0]}"
        )
    return lines


def compute(index: pd.DataFrame, audio: Path, folder: Path, featurizer: Featurizer) -> list[float]:
    """Write the frames of each row of the index into the file of its fold in `folder`; returns the levels in dB."""
    for fold, rows in index.groupby("fold"):
        create_fold(folder, fold, (int(rows["n_frames"].sum()), featurizer.params.n_features))
    levels: list[float] = []
    work = partial(featurize_clips, audio.resolve(), folder.resolve(), featurizer)
    n_clips = int((index["variant"] == ORIGINAL).sum())
    with progress(total=n_clips, desc="featurize", unit="clips") as bar:
        for levels_of_task in parallel_map(work, tasks(index), anywhere=True):
            levels += levels_of_task
            bar.update(len(levels_of_task) * n_clips // len(index))
    return levels


def tasks(index: pd.DataFrame) -> Iterator[list[tuple]]:
    """The rows of a few whole clips at a time: clip, variant, fold, offset, n_frames of each."""
    n_rows = CLIPS_PER_TASK * index["variant"].nunique()
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


def facts_of(index: pd.DataFrame, dataset: dict[str, Any], featurizer: Featurizer) -> dict[str, Any]:
    """What `facts.json` holds, see `stages.lib.features.store`; `dataset` is the content of dataset.json."""
    params, present = featurizer.params, set(index["class"])
    return {
        "featurize": asdict(params),
        "kind": params.kind,
        "n_features": params.n_features,
        "classes": [name for name in dataset["classes"] if name in present],
        "folds": sorted(index["fold"].unique().tolist()),
        "floor": featurizer.floor,
        "empty_bands": featurizer.empty_bands,
        "dataset": {key: dataset[key] for key in ("name", "title", "synthetic", "licence", "citation")},
    }
