"""How fast train goes through segments: from memory-mapped features and from arrays in memory, in one run.

    python -m benchmarks.train [--clips 400] [--model cp_resnet] [--backend tensorflow] [--epochs 3]

Features are generated (noise in the shape of 4-second clips at the settings of params.yaml). The goal is that input
never limits training: at least 90 % of the rate of `fit` on arrays. The arithmetic of the network, three times its
multiply-adds forwards, is set against the best rate of a matrix product on the same machine.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from stages.lib.core.params import load_params
from stages.lib.features.store import INDEX_COLUMNS, Features, create_fold, write_frames
from stages.lib.frontend.spectrogram import FeaturizeParams
from stages.lib.model.backend import start_backend
from stages.lib.model.segments import SegmentParams, make_segmenter
from stages.lib.split.folds import Split
from stages.lib.split.scaler import Scaler
from stages.train.augment import AugmentParams, make_augmenter
from stages.train.recipe import EventParams, TrainParams

PARAMS = Path("params.yaml")
DURATION_S = 4.0
N_CLASSES = 10


def main() -> None:
    """Generate features, train from them in both ways, print the rates."""
    args = parse_args()
    train = load_params(PARAMS, TrainParams)
    start_backend(args.backend)
    import keras

    from stages.train.batches import TrainingBatches
    from stages.train.fit import Inputs, model_metadata
    from stages.train.networks import build_model
    from stages.train.optimizer import make_optimizer

    with tempfile.TemporaryDirectory() as folder:
        features = generate_features(Path(folder), args.clips)
        scaler = Scaler(np.zeros(features.n_mels, np.float32), np.ones(features.n_mels, np.float32))
        augment = load_params(PARAMS, AugmentParams)
        split = Split(train=[1], validation=None, test=None)
        segment, events = load_params(PARAMS, SegmentParams), load_params(PARAMS, EventParams)
        inputs = Inputs(train, augment, segment, features, pretrained=None, events=events, audio=Path(folder))
        metadata = model_metadata(inputs, split, scaler)
        segmenter = make_segmenter(metadata)
        batches = TrainingBatches(
            features,
            [1],
            segmenter,
            batch_size=train.batch_size,
            augmenter=make_augmenter(augment, metadata),
            balanced=False,
            seed=1,
        )
        arrays = [np.concatenate(parts) for parts in zip(*(batches[i] for i in range(len(batches))), strict=True)]
        keras.utils.set_random_seed(1)  # TensorFlow is set to be deterministic, and then demands one
        model = build_model(args.model, n_frames=segmenter.length, n_classes=N_CLASSES, scaler=scaler)
        model.compile(make_optimizer(train, 1000, []), loss="categorical_crossentropy", metrics=["accuracy"])
        n = len(arrays[0])
        print(
            f"{args.model} on {keras.backend.backend()}: {args.clips} clips of {DURATION_S:g} s, {n} segments an epoch"
        )

        def from_arrays() -> None:
            model.fit(arrays[0], arrays[1], sample_weight=arrays[2], batch_size=train.batch_size, verbose=0)

        def from_features() -> None:
            model.fit(batches, shuffle=False, verbose=0)

        from_arrays()  # compiles
        in_memory, mapped = best_times([from_arrays, from_features], args.epochs)
        print(f"  arrays in memory         {n / in_memory:7.0f} segments/s, an epoch {in_memory:.2f} s")
        print(f"  features, augmented      {n / mapped:7.0f} segments/s, {in_memory / mapped:.2f} x arrays")
        rate, peak = 3 * 2 * multiply_adds(model, keras) * n / mapped, matrix_product_rate()
        print(f"  arithmetic               {rate / 1e9:7.1f} GFLOP/s, {rate / peak:.2f} x a matrix product on this CPU")


def generate_features(folder: Path, n_clips: int) -> Features:
    """Noise in the shape of features at the settings of params.yaml, in one fold."""
    params = load_params(PARAMS, FeaturizeParams)
    n_frames = 1 + (round(DURATION_S * params.sr) - params.win_length) // params.hop_length
    rng = np.random.default_rng(0)
    create_fold(folder, 1, (n_clips * n_frames, params.n_features))
    for i in range(n_clips):
        frames = rng.normal(-5, 3, (n_frames, params.n_features)).astype(np.float32)
        write_frames(folder, 1, i * n_frames, frames)
    classes = [f"class {i}" for i in range(N_CLASSES)]
    index = pd.DataFrame({"clip": [f"{i}.wav" for i in range(n_clips)]}).assign(
        variant="", fold=1, source="s", salience="", duration_s=DURATION_S, sample_rate_hz=params.sr, n_frames=n_frames
    )
    index["class"] = [classes[i % N_CLASSES] for i in range(n_clips)]
    index["offset"] = np.arange(n_clips) * n_frames
    index["level_db"] = rng.uniform(-40, -10, n_clips)
    facts = {"classes": classes, "folds": [1], "n_features": params.n_features, "featurize": asdict(params)}
    dataset = {"name": "noise", "title": "Noise (synthetic)", "synthetic": True, "licence": None, "citation": None}
    return Features(folder, index[INDEX_COLUMNS], facts | {"kind": params.kind, "floor": -18.4, "dataset": dataset})


def best_times(functions: list[Callable[[], object]], rounds: int) -> list[float]:
    """The least time of each in seconds; by turns, since other work on the machine comes and goes."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, taken in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in times]


def multiply_adds(model: Any, keras: ModuleType) -> int:
    """Of one segment through the convolutions of the network."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Conv2D)]
    return sum(int(np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:3])) for layer in layers)


def matrix_product_rate(size: int = 2048) -> float:
    """Operations per second of a float32 matrix product, best of five."""
    matrix = np.ones((size, size), np.float32)
    return 2 * size**3 / min(best_times([lambda: matrix @ matrix], 5))


def parse_args() -> argparse.Namespace:
    """Read what to measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--model", default="cp_resnet")
    parser.add_argument("--backend", default="tensorflow")
    parser.add_argument("--epochs", type=int, default=3, help="of each; the best counts")
    return parser.parse_args()


if __name__ == "__main__":
    main()
