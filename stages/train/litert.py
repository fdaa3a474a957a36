"""Reading the weights of a network from a LiteRT (TensorFlow Lite) file, dequantised and in the layouts of Keras."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from stages.lib.core.errors import ModelError

IDENTIFIER = b"TFL3"  # bytes 4 to 7 of every file of this format


def read_litert(path: Path) -> list[list[np.ndarray]]:
    """Kernel and bias, float32, of each layer with weights in the order in which the network computes.

    Kernels have the shapes that Keras gives them: (height, width, in, out) of a convolution, (height, width, in,
    multiplier) of a depthwise one, (in, out) of a dense layer. Quantised tensors are turned into scale times (value
    minus zero point), with a scale for each channel where the file has one: the LiteRT 8-bit quantisation
    specification. The file is read by its schema, which TensorFlow has; its interpreter, which is deprecated, would
    have to run the network to hand out constants. Raises `ModelError` where it cannot be read.
    """
    content = path.read_bytes()
    if content[4:8] != IDENTIFIER:
        raise ModelError(f"{path}: expected a LiteRT file, found bytes that start with {content[:16]!r}")
    try:
        from tensorflow.lite.python import schema_py_generated as schema
    except ModuleNotFoundError:
        raise ModelError(
            f"{path}: reading a LiteRT file needs TensorFlow, once; pip install tensorflow, or copy the .npz file that "
            "another machine keeps of it in its cache folder"
        ) from None
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        return _read_layers(model, schema)
    except (struct.error, ValueError, IndexError, TypeError, AttributeError) as error:  # of flatbuffers, by the damage
        raise ModelError(f"{path}: damaged, cannot be read as a LiteRT file ({error}); get it again") from None


def _read_layers(model: Any, schema: Any) -> list[list[np.ndarray]]:
    operator = schema.BuiltinOperator
    graph = model.subgraphs[0]

    def read(index: int) -> np.ndarray:
        tensor = graph.tensors[index]
        dtypes = {schema.TensorType.FLOAT32: "<f4", schema.TensorType.INT8: "<i1", schema.TensorType.INT32: "<i4"}
        values = np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtypes[tensor.type]).reshape(tensor.shape)
        quantization = tensor.quantization
        if quantization is None or quantization.scale is None or not len(quantization.scale):
            return values.astype(np.float32)
        shape = np.ones(values.ndim, int)
        shape[quantization.quantizedDimension] = len(quantization.scale)
        scale, zero = np.reshape(quantization.scale, shape), np.reshape(quantization.zeroPoint, shape)
        return (scale.astype(np.float64) * (values - zero)).astype(np.float32)

    layers = []
    for step in graph.operators:
        code = model.operatorCodes[step.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)  # old files have only the second
        if kind not in (operator.CONV_2D, operator.DEPTHWISE_CONV_2D, operator.FULLY_CONNECTED):
            continue
        kernel, bias = (read(index) for index in step.inputs[1:3])
        if kind == operator.CONV_2D:  # (out, height, width, in)
            kernel = kernel.transpose(1, 2, 3, 0)
        elif kind == operator.DEPTHWISE_CONV_2D:  # (1, height, width, in * multiplier)
            kernel = kernel.reshape(*kernel.shape[1:3], -1, step.builtinOptions.depthMultiplier)
        else:  # (out, in)
            kernel = kernel.T
        layers.append([np.ascontiguousarray(kernel), bias])
    return layers
