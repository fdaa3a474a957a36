"""Metadata of models, valid as a whole, with what a test wants changed."""

import json
from typing import Any

from stages.lib.model.metadata import ModelMetadata, dump_metadata, parse_metadata

VALUES: dict[str, Any] = {
    "name": "fold_3",
    "classes": ["low", "middle", "high"],
    "dataset": {"name": "tones", "title": "Tones (synthetic)", "synthetic": True, "licence": None, "citation": None},
    "split": {"train": [1], "validation": 2, "test": 3},
    "featurize": {
        "sr": 8000, "window": "hamming", "win_length": 256, "n_fft": 256, "hop_length": 128, "n_mels": 16, "fmin": 0.0,
        "fmax": 4000.0, "mel_scale": "slaney", "mel_norm": "slaney", "power": 1, "compression": "log",
        "log_offset": 1e-8, "pcen": None, "n_mfcc": None, "lifter": None, "stretch": [], "pitch": [],
    },
    "kind": "log",
    "floor": -18.42068099975586,
    "longest": 67,
    "scaler_mean": [-5.0] * 16,
    "segment": {"duration_s": 0.5, "overlap_s": 0.25, "pad": "repeat"},
    "augment": {"crop": "grid"},
    "train": {"model": "cp_resnet", "backend": "tensorflow"},
    "calibration": {
        "folds": [2], "temperature": 1.0, "limited": False, "thresholds": {"low": 0.5, "middle": 0.5, "high": 0.5},
        "n_clips": {"low": 4, "middle": 4, "high": 4},
    },
}  # fmt: skip


def make_metadata(**changes: Any) -> ModelMetadata:
    """Metadata of a model of three tones: 16 bands at 8 kHz, segments of 0.5 s (30 frames).

    Each of `changes` replaces a field; where both are dictionaries, keys of it.
    """
    return parse_metadata(json.dumps(merge(VALUES, changes)))


def change_metadata(metadata: ModelMetadata, **changes: Any) -> ModelMetadata:
    """A copy with changes as those of `make_metadata`."""
    return parse_metadata(json.dumps(merge(json.loads(dump_metadata(metadata)), changes)))


def merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`values` with `changes`, key by key where both have a dictionary."""
    merged = {
        key: merge(values[key], value) if isinstance(value, dict) and isinstance(values.get(key), dict) else value
        for key, value in changes.items()
    }
    return values | merged
