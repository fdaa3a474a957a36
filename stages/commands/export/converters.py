"""Models for programs without Keras: ONNX and LiteRT, with all that prediction needs inside.

The file takes segments of samples, holds front end, network and temperature, and gives the probabilities of classes. A
second output of the network, for the frames of a segment, is the second one of the file, as it is.
What is left to the program that uses it is with it as JSON: the metadata of the model file, under the name
`stages.lib.inference.runtime.METADATA_KEY`, and under `USE_KEY` how segments are cut and become events, see
`describe_use`. ONNX has both among its properties. LiteRT has them in a zip archive behind the network, as TensorFlow
Lite keeps files that belong to a model; `stages.lib.model.archive.read_metadata` reads the first from there.

An ONNX file also takes segments of features, by an input that may be left out: segments overlap, and whoever computes
features anyway, as the predict command does, computes them once. PCEN compares each frame with the frames before it,
also those before the segment, so a model on PCEN takes features alone.

Keras converts, by tf2onnx and by TensorFlow's own converter, so TensorFlow is needed whatever the model was trained
with. Everything is computed in float32, that of a mixed precision too. Two exports of one model may differ in bytes,
since tf2onnx numbers and orders the nodes of its graph as it comes; nothing tracks these files.
"""

import importlib.util
import io
import json
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.lib.core.errors import ModelError
from stages.lib.frontend.spectrogram import FeaturizeParams, Featurizer
from stages.lib.inference.events import settings_of
from stages.lib.inference.runtime import FEATURES, FRAMES, METADATA_KEY, ONNX_VERSION, PROBABILITIES, SAMPLES
from stages.lib.inference.streaming import STEP_S
from stages.lib.model.archive import EARLIEST, METADATA_MEMBER
from stages.lib.model.metadata import ModelMetadata, dump_metadata

if TYPE_CHECKING:
    import keras
    import onnx

OPSET = 18  # of ONNX, the newest that tf2onnx 1.17 writes; onnxruntime reads it since 1.14
ONNX_PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
USE_KEY = "urban_ear_use"
OUTPUTS = (PROBABILITIES, FRAMES)  # of a network, in their order


def missing_packages() -> list[str]:
    """What an export to ONNX needs and is not installed."""
    return [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]


def to_onnx(model: "keras.Model", metadata: ModelMetadata, featurizer: Featurizer) -> bytes:
    """The model with its front end as an ONNX file. Raises `ModelError` where a package is not installed."""
    if missing := missing_packages():
        raise ModelError(f"export to ONNX needs {' and '.join(missing)}; pip install {' '.join(missing)}")
    import onnx

    whole = _whole(model, metadata, featurizer, both=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of Keras asking NumPy for a name that tf2onnx once used
        found = onnx.load_model_from_string(_export(whole, "onnx", opset_version=OPSET))
    _name_ends(found, OUTPUTS[: len(whole.outputs)])
    if len(found.graph.input) == 2:
        _make_optional(found.graph, FEATURES)
    found.model_version = ONNX_VERSION
    use = json.dumps(describe_use(metadata, model.input_shape[1]))
    onnx.helper.set_model_props(found, {METADATA_KEY: dump_metadata(metadata), USE_KEY: use})
    onnx.checker.check_model(found, full_check=True)
    return found.SerializeToString()


def to_litert(model: "keras.Model", metadata: ModelMetadata, featurizer: Featurizer) -> bytes:
    """The model with its front end as a LiteRT (TensorFlow Lite) file."""
    target = io.BytesIO(_export(_whole(model, metadata, featurizer, both=False), "litert"))
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(zipfile.ZipInfo(METADATA_MEMBER, EARLIEST), dump_metadata(metadata))
        use = json.dumps(describe_use(metadata, model.input_shape[1]))
        archive.writestr(zipfile.ZipInfo(f"{USE_KEY}.json", EARLIEST), use)
    return target.getvalue()


def takes_samples(params: FeaturizeParams) -> bool:
    """Whether an exported file holds the front end: PCEN looks back to before a segment."""
    return params.pcen is None


def describe_use(metadata: ModelMetadata, n_frames: int) -> dict[str, Any]:
    """What a program needs to use a model whose segments have `n_frames` frames, besides its metadata.

    `sample_rate_hz` and `n_samples` are those of a segment, of one channel with full scale at 1; `step_samples` lie
    between the starts of two segments. `events` are the fields of `stages.lib.inference.events.EventSettings`, whose
    thresholds are in the metadata.
    """
    p = metadata.featurize
    step = max(1, round(min(STEP_S, n_frames * p.frame_s / 2) / p.frame_s))
    return {
        "sample_rate_hz": p.sr,
        "n_samples": p.win_length + (n_frames - 1) * p.hop_length,
        "step_samples": step * p.hop_length,
        "events": asdict(settings_of(metadata)),
    }


def _whole(model: "keras.Model", metadata: ModelMetadata, featurizer: Featurizer, *, both: bool) -> "keras.Model":
    """Front end, network and temperature as one network in float32; with `both` it takes samples and features."""
    import keras

    from stages.commands.export.front_end import Concatenate, FrontEnd, Temperature

    network = copy_in_float32(model)
    n_frames, n_features = network.input_shape[1:]
    inputs, segments = [], []
    if takes_samples(featurizer.params):
        n_samples = describe_use(metadata, n_frames)["n_samples"]
        inputs.append(keras.Input((n_samples,), name=SAMPLES))
        segments.append(FrontEnd(featurizer, n_frames)(inputs[0]))
    if both or not inputs:
        inputs.append(keras.Input((n_frames, n_features), name=FEATURES))
        segments.append(inputs[-1])
    probabilities, *frames = as_list(network(segments[0] if len(segments) == 1 else Concatenate()(segments)))
    return keras.Model(inputs, [Temperature(metadata.temperature, name=PROBABILITIES)(probabilities), *frames])


def as_list(outputs: Any) -> list[Any]:
    """What a network gives: of one output Keras makes no list."""
    return outputs if isinstance(outputs, list) else [outputs]


def copy_in_float32(model: "keras.Model") -> "keras.Model":
    """The network that is exported: with the weights of `model`, all of it in full precision."""
    import keras

    plain = keras.models.clone_model(model, clone_function=_in_float32, recursive=True)
    plain.set_weights(model.get_weights())
    for layer in plain.layers:
        if isinstance(layer, keras.layers.Normalization):
            # Tensors that are no weights are left out of what tf2onnx is given; arrays become constants.
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    return plain


def _in_float32(layer: "keras.Layer") -> "keras.Layer":
    return layer.__class__.from_config(layer.get_config() | {"dtype": "float32"})


def _export(model: "keras.Model", kind: str, **options: Any) -> bytes:
    """What Keras writes for `model`."""
    model([np.zeros((1, *end.shape[1:]), np.float32) for end in model.inputs])  # Keras exports only what was called
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("model.tflite" if kind == "litert" else "model.onnx")
        model.export(str(path), format=kind, verbose=False, **options)
        return path.read_bytes()


def _name_ends(found: "onnx.ModelProto", names: Sequence[str]) -> None:
    """Name the outputs, which tf2onnx numbers, and the first axis of all ends; Keras names the inputs."""
    graph = found.graph
    new = {output.name: name for output, name in zip(graph.output, names, strict=True)}
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for output in graph.output:
        output.name = new[output.name]
    for end in (*graph.input, *graph.output):
        end.type.tensor_type.shape.dim[0].dim_param = "batch" if len(graph.input) == 1 else f"batch of {end.name}"


def _make_optional(graph: "onnx.GraphProto", name: str) -> None:
    """Give an input a default, an empty batch."""
    import onnx

    (input_,) = (end for end in graph.input if end.name == name)
    shape = [0, *(dim.dim_value for dim in input_.type.tensor_type.shape.dim[1:])]
    graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, shape, []))
