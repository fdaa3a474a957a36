"""A model of tones without Keras, for tests of what is around the network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from helpers.repository import ROOT
from helpers.tones import TONES_HZ
from stages.lib.frontend.spectrogram import FeaturizeParams, Featurizer
from stages.lib.inference.runtime import Model
from stages.lib.model.segments import make_segmenter

SR = 8000
HOP_S = 128 / SR


def tone_facts(**featurize: Any) -> dict[str, Any]:
    """Facts as train writes them: 16 bands at 8 kHz, segments of 0.5 s (30 frames), three classes."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())["featurize"]
    params |= {"sr": SR, "win_length": 256, "n_fft": 256, "hop_length": 128, "n_mels": 16, "fmax": 4000.0, **featurize}
    made = FeaturizeParams(**params)
    return {
        "name": "fold_3",
        "classes": list(TONES_HZ),
        "featurize": params,
        "kind": made.kind,
        "floor": Featurizer(made).floor,
        "segment": {"duration_s": 0.5, "overlap_s": 0.25, "pad": "repeat"},
        "longest": 67,
        "scaler_mean": [-5.0] * made.n_features,
        "split": {"train": [1], "validation": 2, "test": 3},
        "calibration": {"fold": 2, "temperature": 1.0, "thresholds": dict.fromkeys(TONES_HZ, 0.5)},
        "dataset": {"title": "Tones (synthetic)", "synthetic": True},
    }


def tone_scorer(facts: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """The softmax of how loud the band of each tone is; noise leaves all alike."""
    params = FeaturizeParams(**facts["featurize"])
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


def tone_model(facts: dict[str, Any] | None = None) -> Model:
    """A model for `tone_facts`, or others of log-mel bands."""
    facts = tone_facts() if facts is None else facts
    length = make_segmenter(facts).length
    return Model(Path("fold_3.keras"), facts, length, len(facts["scaler_mean"]), tone_scorer(facts))


def scene(sr: int = SR, *, seed: int = 0, duration_s: float = 9.0) -> np.ndarray:
    """A low tone from 1 to 3 s, a high one from 5 to 6.5 s, over faint noise; float32 of shape (n_samples,)."""
    t = np.arange(round(duration_s * sr)) / sr
    y = 0.003 * np.random.default_rng(seed).standard_normal(len(t))
    for name, start, end in (("low", 1.0, 3.0), ("high", 5.0, 6.5)):
        y += np.where((t >= start) & (t < end), 0.3 * np.sin(2 * np.pi * TONES_HZ[name] * t), 0)
    return y.astype(np.float32)
