"""Models for programs without Keras: ONNX and LiteRT, with the metadata of the model file inside.

An ONNX file has it as JSON among its properties, under `stages.lib.inference.runtime.ONNX_KEY`. A LiteRT file has it in
a zip archive behind the network, as TensorFlow Lite keeps files that belong to a model: the member `urban_ear.json`,
which `stages.lib.model.archive.read_metadata` reads. Input is `log_mel`, float32 of shape (batch, length, n_features),
raw features as featurize computes them; output are probabilities before temperature, (batch, n_classes).

Keras converts, by tf2onnx and by TensorFlow's own converter, so TensorFlow is needed whatever the model was trained
with. Everything is computed in float32, that of a mixed precision too. Two exports of one model may differ in bytes,
since tf2onnx numbers and orders the nodes of its graph as it comes; nothing tracks these files.
"""

import importlib.util
import io
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.lib.core.errors import ModelError
from stages.lib.inference.runtime import ONNX_KEY
from stages.lib.model.archive import EARLIEST, METADATA_MEMBER
from stages.lib.model.metadata import ModelMetadata, dump_metadata

if TYPE_CHECKING:
    import keras
    import onnx

OPSET = 18  # of ONNX, the newest that tf2onnx 1.17 writes; onnxruntime reads it since 1.14
OUTPUT = "probabilities"


def to_onnx(model: "keras.Model", metadata: ModelMetadata) -> bytes:
    """The network and its metadata as an ONNX file. Raises `ModelError` where the extra `export` is not installed."""
    if missing := [name for name in ("onnx", "tf2onnx") if importlib.util.find_spec(name) is None]:
        raise ModelError(f"export to ONNX needs {' and '.join(missing)}; pip install {' '.join(missing)}")
    import onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of Keras asking NumPy for a name that tf2onnx once used
        found = onnx.load_model_from_string(_export(model, "onnx", opset_version=OPSET))
    _name_ends(found)
    onnx.helper.set_model_props(found, {ONNX_KEY: dump_metadata(metadata)})
    onnx.checker.check_model(found, full_check=True)
    return found.SerializeToString()


def to_litert(model: "keras.Model", metadata: ModelMetadata) -> bytes:
    """The network and its metadata as a LiteRT (TensorFlow Lite) file."""
    target = io.BytesIO(_export(model, "litert"))
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(zipfile.ZipInfo(METADATA_MEMBER, EARLIEST), dump_metadata(metadata))
    return target.getvalue()


def _export(model: "keras.Model", kind: str, **options: Any) -> bytes:
    """What Keras writes for a copy of `model` in float32."""
    import keras

    plain = keras.models.clone_model(model, clone_function=_in_float32, recursive=True)
    plain.set_weights(model.get_weights())
    plain(np.zeros((1, *plain.input_shape[1:]), np.float32))  # Keras exports only what was called
    for layer in plain.layers:
        if isinstance(layer, keras.layers.Normalization):
            # Tensors that are no weights are left out of what tf2onnx is given; arrays become constants.
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("model.tflite" if kind == "litert" else "model.onnx")
        plain.export(str(path), format=kind, verbose=False, **options)
        return path.read_bytes()


def _in_float32(layer: "keras.Layer") -> "keras.Layer":
    return layer.__class__.from_config(layer.get_config() | {"dtype": "float32"})


def _name_ends(found: "onnx.ModelProto") -> None:
    """Name the output and the first axis of both ends, which tf2onnx numbers; Keras names the input."""
    graph = found.graph
    (log_mel,), (output,) = graph.input, graph.output
    for node in graph.node:
        node.output[:] = [OUTPUT if name == output.name else name for name in node.output]
    output.name = OUTPUT
    for end in (log_mel, output):
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
