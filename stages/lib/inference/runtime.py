"""Trained networks, ready to score segments: a model file with its facts, whatever computes it.

The suffix of the file says what does: `.keras` is run by Keras with the backend that trained it, `.onnx` (see
`stages.commands.export.converters`) by onnxruntime alone. Nothing heavy is imported before a file is opened.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.lib.core.errors import ModelError
from stages.lib.model.calibration import apply_temperature

FACTS_NEEDED = {
    "classes", "dataset", "featurize", "kind", "segment", "floor", "longest", "scaler_mean", "split", "calibration",
}  # fmt: skip
ONNX_FACTS = "urban_ear"  # the key of the metadata of an ONNX file that holds the facts as JSON


@dataclass(frozen=True)
class Model:
    """A network with its facts (see `stages.lib.model.archive`).

    `score` takes segments of raw features, float32 of shape (n, length, n_features), n at least 1, and returns
    probabilities before temperature, float32 of shape (n, n_classes). What users see is that of `predict`.
    """

    path: Path
    facts: dict[str, Any]
    length: int
    n_features: int
    score: Callable[[np.ndarray], np.ndarray]

    def predict(self, segments: np.ndarray) -> np.ndarray:
        """The probabilities of segments, (n, length, n_features), after temperature; float64 of shape (n, n_classes).

        Raises `ModelError` where a probability is not finite.
        """
        probabilities = self.score(np.ascontiguousarray(segments, dtype=np.float32))
        if not np.isfinite(probabilities).all():
            raise ModelError(f"{self.path}: gives probabilities that are not finite; run 'dvc repro train'")
        calibration = self.facts["calibration"]
        return apply_temperature(probabilities, calibration["temperature"] if calibration else 1.0)


@dataclass(frozen=True)
class Network:
    """What a loader found in a file; shapes are (length, n_features) of the input and (n_classes,) of the output."""

    facts: dict[str, Any]
    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]
    score: Callable[[np.ndarray], np.ndarray]


def open_model(path: Path) -> Model:
    """Open a model file. Raises `ModelError` where it is not one, or the network does not fit its facts."""
    if path.suffix not in LOADERS:
        raise ModelError(f"{path}: expected a model file, which ends in {' or '.join(LOADERS)}")
    if not path.is_file():
        how = "'dvc repro train' or 'dvc checkout'" if path.suffix == ".keras" else "'python -m stages.commands.export'"
        raise ModelError(f"{path}: no such model; run {how}")
    network = LOADERS[path.suffix](path)
    facts = network.facts
    if missing := sorted(FACTS_NEEDED - set(facts)):
        raise ModelError(f"{path}: expected the facts {missing}, which it lacks; run 'dvc repro train'")
    if network.shape_out != (len(facts["classes"]),):
        raise ModelError(
            f"{path}: has outputs {network.shape_out} for {len(facts['classes'])} classes; run 'dvc repro train'"
        )
    if len(network.shape_in) != 2 or network.shape_in[1] != len(facts["scaler_mean"]):
        raise ModelError(
            f"{path}: expects segments of shape {network.shape_in}, its facts say {len(facts['scaler_mean'])} "
            "numbers a frame; run 'dvc repro train'"
        )
    return Model(path, facts, *network.shape_in, score=network.score)


def _open_keras(path: Path) -> Network:
    from stages.lib.model.archive import load_model, read_facts
    from stages.lib.model.backend import start_backend

    facts = read_facts(path)
    start_backend(facts.get("train", {}).get("backend", "tensorflow"))
    network = load_model(path)

    def score(segments: np.ndarray) -> np.ndarray:
        return np.asarray(network.predict_on_batch(segments), dtype=np.float32)

    return Network(facts, tuple(network.input_shape[1:]), tuple(network.output_shape[1:]), score)


def _open_onnx(path: Path) -> Network:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise ModelError(f"{path}: needs onnxruntime, which is not installed; pip install onnxruntime") from None
    from onnxruntime.capi import onnxruntime_pybind11_state as errors  # which have no base of their own

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NotImplemented,
        errors.RuntimeException,
    ) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{path}: onnxruntime cannot load it ({reason}); export the model again") from None
    found = session.get_modelmeta().custom_metadata_map
    try:
        facts = json.loads(found[ONNX_FACTS])
        (input_,), (output,) = session.get_inputs(), session.get_outputs()
    except (KeyError, ValueError):
        raise ModelError(f"{path}: not a model of this pipeline; make one with 'stages.commands.export'") from None

    def score(segments: np.ndarray) -> np.ndarray:
        return session.run([output.name], {input_.name: segments})[0]

    return Network(facts, tuple(input_.shape[1:]), tuple(output.shape[1:]), score)


LOADERS: dict[str, Callable[[Path], Network]] = {".keras": _open_keras, ".onnx": _open_onnx}
