"""A model of tones without Keras, for tests of what is around the network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from helpers.metadata import make_metadata
from helpers.tones import TONES_HZ
from stages.lib.frontend.spectrogram import FeaturizeParams, Featurizer
from stages.lib.inference.runtime import Model
from stages.lib.model.metadata import ModelMetadata
from stages.lib.model.segments import make_segmenter

SR = 8000
HOP_S = 128 / SR


def tone_metadata(**featurize: Any) -> ModelMetadata:
    """Metadata as train writes it, for tones and the features of `featurize`."""
    params = FeaturizeParams(**make_metadata(featurize=featurize).featurize.model_dump())
    return make_metadata(
        featurize=featurize,
        kind=params.kind,
        floor=np.asarray(Featurizer(params).floor).tolist(),
        scaler_mean=[-5.0] * params.n_features,
    )


def tone_scorer(metadata: ModelMetadata) -> Callable[[np.ndarray], np.ndarray]:
    """The softmax of how loud the band of each tone is; noise leaves all alike."""
    params = FeaturizeParams(**metadata.featurize.model_dump())
    featurizer = Featurizer(params)
    t = np.arange(SR) / SR
    bands = [
        int(np.argmax(featurizer(np.sin(2 * np.pi * hz * t).astype(np.float32)).mean(axis=0)))
        for hz in TONES_HZ.values()
    ]

    def score(segments: np.ndarray) -> np.ndarray:
        loud = np.exp(segments[:, :, bands].astype(np.float64)).mean(axis=1)
        shares = loud / (loud.sum(axis=1, keepdims=True) + 1e-3)
        powers = np.exp(8 * shares)
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)

    return score


def tone_model(metadata: ModelMetadata | None = None) -> Model:
    """A model for `tone_metadata`, or other metadata of log-mel bands."""
    metadata = tone_metadata() if metadata is None else metadata
    length, n_features = make_segmenter(metadata).length, len(metadata.scaler_mean)
    return Model(Path("fold_3.keras"), metadata, length, n_features, tone_scorer(metadata))


def scene(sr: int = SR, *, seed: int = 0, duration_s: float = 9.0) -> np.ndarray:
    """A low tone from 1 to 3 s, a high one from 5 to 6.5 s, over faint noise; float32 of shape (n_samples,)."""
    t = np.arange(round(duration_s * sr)) / sr
    y = 0.003 * np.random.default_rng(seed).standard_normal(len(t))
    for name, start, end in (("low", 1.0, 3.0), ("high", 5.0, 6.5)):
        y += np.where((t >= start) & (t < end), 0.3 * np.sin(2 * np.pi * TONES_HZ[name] * t), 0)
    return y.astype(np.float32)
