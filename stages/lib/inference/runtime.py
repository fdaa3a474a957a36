"""Trained networks, ready to score segments: a model file with its metadata, whatever computes it.

The suffix of the file says what does: `.keras` is run by Keras with the backend that trained it, `.onnx` (see
`stages.commands.export.converters`) by onnxruntime alone. Nothing heavy is imported before a file is opened.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.lib.core.errors import ModelError, one_line
from stages.lib.model.calibration import apply_temperature
from stages.lib.model.metadata import ModelMetadata, parse_metadata

# What an ONNX file has, as `stages.commands.export.converters` writes it.
ONNX_VERSION = 1  # its `model_version`: raised where code misreads another one; 0 in files of urban-ear up to 0.2
METADATA_KEY = "urban_ear"  # of its properties: under it is the metadata as JSON
SAMPLES, FEATURES = "samples", "features"  # its inputs
PROBABILITIES, FRAMES = "probabilities", "frames"  # its outputs; the second where the network has two


@dataclass(frozen=True)
class Model:
    """A network with its metadata.

    `score` takes segments of raw features, float32 of shape (n, length, n_features), n at least 1, and returns
    probabilities, float32 of shape (n, n_classes), before temperature unless `is_calibrated`, as an exported model is.
    What users see is that of `predict`. Where the network has a head for frames, `score_frames` returns its output too.
    """

    path: Path
    metadata: ModelMetadata
    length: int
    n_features: int
    score: Callable[[np.ndarray], np.ndarray]
    is_calibrated: bool = False
    score_frames: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None

    def predict(self, segments: np.ndarray) -> np.ndarray:
        """The probabilities of segments, (n, length, n_features), after temperature; float64 of shape (n, n_classes).

        Raises `ModelError` where a probability is not finite.
        """
        return self._finish(self.score(np.ascontiguousarray(segments, dtype=np.float32)))

    def predict_steps(self, segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`predict`, and the probabilities of the steps of segments, float64 of shape (n, n_steps, n_classes + 1).

        The last of a step is that of anything but background. A network without a head for frames has one step, the
        segment, in which there is always something. Raises `ModelError` as `predict` does.
        """
        if self.score_frames is None:
            probabilities = self.predict(segments)
            return probabilities, np.pad(probabilities, ((0, 0), (0, 1)), constant_values=1.0)[:, np.newaxis]
        probabilities, steps = self.score_frames(np.ascontiguousarray(segments, dtype=np.float32))
        if not np.isfinite(steps).all():
            raise ModelError(f"{self.path}: gives probabilities that are not finite; run 'dvc repro train'")
        return self._finish(probabilities), steps.astype(np.float64)

    def _finish(self, probabilities: np.ndarray) -> np.ndarray:
        if not np.isfinite(probabilities).all():
            raise ModelError(f"{self.path}: gives probabilities that are not finite; run 'dvc repro train'")
        if self.is_calibrated:
            return probabilities.astype(np.float64)
        return apply_temperature(probabilities, self.metadata.temperature)


@dataclass(frozen=True)
class Network:
    """What a loader found in a file; shapes are (length, n_features) of the input and (n_classes,) of the output."""

    metadata: ModelMetadata
    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]
    score: Callable[[np.ndarray], np.ndarray]
    is_calibrated: bool = False
    score_frames: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None


def open_model(path: Path) -> Model:
    """Open a model file.

    Parameters
    ----------
    path : Path
        A `.keras` file, which Keras computes with the backend that it was trained with, or an `.onnx` file that
        `stages.commands.export` wrote, which onnxruntime computes. Keras takes many seconds to import;
        `stages.commands.fast_start.open_model` converts a model once instead.

    Returns
    -------
    Model
        For any number of recordings and streams.

    Raises
    ------
    ModelError
        Where there is no such file, it is not a model, what computes it is not installed, or the network does not fit
        its metadata.
    """
    if path.suffix not in LOADERS:
        raise ModelError(f"{path}: expected a model file, which ends in {' or '.join(LOADERS)}")
    if not path.is_file():
        how = "'dvc repro train' or 'dvc checkout'" if path.suffix == ".keras" else "'python -m stages.commands.export'"
        raise ModelError(f"{path}: no such model; run {how}")
    network = LOADERS[path.suffix](path)
    n_classes, n_features = len(network.metadata.classes), len(network.metadata.scaler_mean)
    if network.shape_out != (n_classes,):
        raise ModelError(f"{path}: has outputs {network.shape_out} for {n_classes} classes; run 'dvc repro train'")
    if len(network.shape_in) != 2 or network.shape_in[1] != n_features:
        raise ModelError(
            f"{path}: expects segments of shape {network.shape_in}, its metadata says {n_features} numbers per frame; "
            "run 'dvc repro train'"
        )
    return Model(
        path,
        network.metadata,
        *network.shape_in,
        score=network.score,
        is_calibrated=network.is_calibrated,
        score_frames=network.score_frames,
    )


def _open_keras(path: Path) -> Network:
    from stages.lib.model.archive import load_model, read_metadata
    from stages.lib.model.backend import start_backend

    metadata = read_metadata(path)
    start_backend(metadata.train.backend)
    network = load_model(path)

    if metadata.frames is None:

        def score(segments: np.ndarray) -> np.ndarray:
            return np.asarray(network.predict_on_batch(segments), dtype=np.float32)

        return Network(metadata, tuple(network.input_shape[1:]), tuple(network.output_shape[1:]), score)

    def score_frames(segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probabilities, steps = network.predict_on_batch(segments)
        return np.asarray(probabilities, np.float32), np.asarray(steps, np.float32)

    return Network(
        metadata,
        tuple(network.input_shape[1:]),
        tuple(network.output_shape[0][1:]),
        lambda segments: score_frames(segments)[0],
        score_frames=score_frames,
    )


def _open_onnx(path: Path) -> Network:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise ModelError(f"{path}: needs onnxruntime, which is not installed; pip install onnxruntime") from None
    from onnxruntime.capi import onnxruntime_pybind11_state as errors  # which have no base of their own

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors, which are exceptions too: it warns of an input that may be left out
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # or idle threads would keep processors busy
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NotImplemented,
        errors.RuntimeException,
    ) as error:
        raise ModelError(f"{path}: onnxruntime cannot load it ({one_line(error)}); export the model again") from None
    found = session.get_modelmeta()
    if METADATA_KEY not in found.custom_metadata_map:
        raise ModelError(f"{path}: not a model of this pipeline; make one with 'stages.commands.export'")
    if found.version != ONNX_VERSION:
        raise ModelError(
            f"{path}: exported in version {found.version} of the format, this code reads {ONNX_VERSION}; "
            "export the model again"
        )
    try:
        metadata = parse_metadata(found.custom_metadata_map[METADATA_KEY], repair="export the model again")
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    inputs = {input_.name: input_.shape for input_ in (*session.get_inputs(), *session.get_overridable_initializers())}
    outputs = {output.name: output.shape for output in session.get_outputs()}
    no_samples = {name: np.zeros((0, *inputs[name][1:]), np.float32) for name in inputs if name != FEATURES}

    def score(segments: np.ndarray) -> np.ndarray:
        return session.run([PROBABILITIES], {FEATURES: segments} | no_samples)[0]

    def score_frames(segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probabilities, steps = session.run([PROBABILITIES, FRAMES], {FEATURES: segments} | no_samples)
        return probabilities, steps

    return Network(
        metadata,
        tuple(inputs[FEATURES][1:]),
        tuple(outputs[PROBABILITIES][1:]),
        score,
        is_calibrated=True,
        score_frames=score_frames if FRAMES in outputs else None,
    )


LOADERS: dict[str, Callable[[Path], Network]] = {".keras": _open_keras, ".onnx": _open_onnx}
