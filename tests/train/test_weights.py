"""Pretrained weights: the files of data/weights, where they come from, how they are read, and what does not fit."""

import hashlib
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from helpers.repository import ROOT
from stages.lib.audio import load_mono
from stages.lib.core.errors import DataError, EarError, ModelError, ParamsError, SourceError
from stages.lib.download import hash_like
from stages.lib.frontend.spectrogram import FeaturizeParams, Featurizer
from stages.lib.model.backend import start_backend
from stages.lib.split.scaler import Scaler
from stages.train import weights as module
from stages.train.litert import read_litert
from stages.train.weights import load_pretrained, read_weights_file, write_layers

FRONT_END = {"sr": 16000, "n_mels": 64, "log_offset": 0.001, "n_mfcc": None}
LAYERS = [[np.full((2, 2, 1, 3), i, np.float32), np.arange(3, dtype=np.float32)] for i in range(12)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EAR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def write_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes layers and a file that describes them; returns the path of the second."""

    def write(**changes: object) -> Path:
        layers = tmp_path / "layers.npz"
        write_layers(layers, LAYERS)
        about = {
            "title": "Net",
            "model": "yamnet",
            "address": str(layers),
            "sha256": hashlib.sha256(layers.read_bytes()).hexdigest(),
            "licence": "CC0-1.0",
            "citation": "A. Author, 2026",
            "first_layer": 2,
            "front_end": FRONT_END,
        }
        path = tmp_path / "net.yaml"
        path.write_text(yaml.safe_dump(about | changes, sort_keys=False))
        return path

    return write


def load(path: Path, model: str = "yamnet", *, needed: bool = True, **featurize: object):
    return load_pretrained(path, model, needed=needed, featurize=FRONT_END | {"fmax": 7500.0} | featurize)


def test_weights_by_path_are_read_from_the_first_layer_on(write_file):
    pretrained = load(write_file())
    assert pretrained.about.title == "Net"
    assert len(pretrained.layers) == 10
    for found, expected in zip(pretrained.layers, LAYERS[2:], strict=True):
        for array, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(array, other)


def test_what_was_read_is_kept_and_read_instead(write_file, cache, tmp_path):
    path = write_file()
    load(path)
    (tmp_path / "layers.npz").unlink()
    assert len(load(path).layers) == 10
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"layers-1\.npz: cannot be read as weights \(.*\); delete it and run again"):
        load(path)


def test_every_file_of_the_repository_is_read():
    paths = sorted((ROOT / "data/weights").iterdir())
    found = {path.stem: read_weights_file(path) for path in paths}
    assert found.pop("none") is None
    assert all(weights.licence and weights.citation and weights.front_end for weights in found.values())


def test_the_front_end_of_yamnet_is_that_of_its_own_parameters():
    """M. Plakal, D. Ellis: research/audioset/yamnet/params.py: 25 ms windows every 10 ms, 64 bands, 125 to 7500 Hz."""
    front_end = read_weights_file(ROOT / "data/weights/yamnet.yaml").front_end
    assert front_end["win_length"] / front_end["sr"] == 0.025
    assert front_end["hop_length"] / front_end["sr"] == 0.010
    assert (front_end["n_mels"], front_end["fmin"], front_end["fmax"]) == (64, 125, 7500)
    assert front_end["log_offset"] == 0.001


def test_without_weights_nothing_is_loaded():
    assert load(ROOT / "data/weights/none.yaml", "cp_resnet", needed=False) is None


def test_each_key_of_another_front_end_is_named_with_its_value(write_file):
    with pytest.raises(ParamsError) as caught:
        load(write_file(), sr=22050, n_mfcc=20, n_mels=64)
    assert str(caught.value).endswith(
        "net.yaml needs features of another kind; set featurize.sr to 16000 (is 22050), featurize.n_mfcc to null "
        "(is 20), or take a recipe ('python -m stages.commands.recipe')"
    )


REFUSED = {
    "for another network": (
        {"model": "mobile"},
        r"is for train\.model mobile, found yamnet; set train\.model to mobile",
    ),
    "front end with a slip": ({"front_end": {"nmels": 64}}, r"front_end names nmels, no key of featurize"),
    "unknown key": ({"license": "MIT"}, r"net\.yaml: license is not a known key; see data/weights/yamnet\.yaml"),
    "no hash": ({"sha256": "1234"}, r"net\.yaml: sha256: .*found '1234'"),
    "no file": (
        {"address": "/nowhere/net.npz"},
        r"net\.yaml: address /nowhere/net\.npz: no such file; set it to an address or the path",
    ),
    "wrong hash": (
        {"sha256": "0" * 64},
        r"expected sha256:0{64}, found sha256:\w{64}: [\d,]+ bytes that start with 'PK.*; get the file again",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_one_line(write_file, case):
    changes, match = REFUSED[case]
    with pytest.raises(EarError, match=match) as caught:
        load(write_file(**changes))
    assert "\n" not in str(caught.value)


def test_a_file_cut_short_is_one_line(write_file, tmp_path):
    path = write_file()
    layers = tmp_path / "layers.npz"
    layers.write_bytes(layers.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"net\.yaml: .*: expected sha256:\w+, found sha256:\w+: 1,000 bytes that"):
        load(path)


def test_another_kind_of_file_is_one_line(write_file, tmp_path):
    (tmp_path / "net.h5").write_bytes(b"abc")
    sha256 = hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(ModelError, match=r"expected a file that ends in \.tflite or \.npz, found net\.h5"):
        load(write_file(address=str(tmp_path / "net.h5"), sha256=sha256))


def test_without_a_network_it_is_one_line(write_file, monkeypatch):
    monkeypatch.setattr("stages.lib.download.WAIT_S", 0.0)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    path = write_file(address="http://127.0.0.1:9/net.npz")  # the port of "discard", where nothing listens
    with pytest.raises(
        SourceError, match=r"cannot be downloaded from .*get the file by other means and set address in"
    ):
        load(path)


def test_a_network_that_needs_weights_says_so():
    with pytest.raises(ParamsError, match=r"train\.model yamnet begins with pretrained weights, and .*none\.yaml has"):
        load(ROOT / "data/weights/none.yaml")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, r"absent\.yaml: No such file or directory; set train\.weights to a file of data/weights/"),
        ("title: [", r"x\.yaml line 1: not valid YAML"),
        ("- a", r"x\.yaml: expected keys such as title and address, found"),
        ("title: Net", r"x\.yaml: model is missing; address is missing"),
    ],
)
def test_what_is_no_file_of_weights_is_one_line(tmp_path, content, match):
    path = tmp_path / ("absent.yaml" if content is None else "x.yaml")
    if content is not None:
        path.write_text(content)
    with pytest.raises(ParamsError, match=match) as caught:
        load(path)
    assert "\n" not in str(caught.value)


# ---- LiteRT


@pytest.fixture(scope="module")
def keras():
    start_backend("tensorflow")
    import keras

    keras.utils.set_random_seed(0)
    return keras


@pytest.fixture(scope="module", params=["float32", "int8"])
def litert_file(keras, request, tmp_path_factory) -> tuple[Path, object]:
    """A small network as TensorFlow itself writes it, and the Keras model that it comes from."""
    import tensorflow

    layers = keras.layers
    x = inputs = keras.Input((16, 8, 1), batch_size=1)
    for layer in (layers.Conv2D(4, 3, strides=2), layers.DepthwiseConv2D(3, depth_multiplier=2), layers.Conv2D(6, 1)):
        x = layers.ReLU()(layer(x))
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights([rng.normal(size=array.shape) for array in layer.get_weights()])
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(model)
    if request.param == "int8":
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [rng.normal(size=(1, 16, 8, 1)).astype(np.float32)] for _ in range(9)
        )
    path = tmp_path_factory.mktemp("litert") / f"{request.param}.tflite"
    path.write_bytes(converter.convert())
    return path, model


def test_kernels_and_biases_of_a_litert_file_are_those_of_keras(litert_file):
    path, model = litert_file
    own = [layer.get_weights() for layer in model.layers if layer.weights]
    layers = read_litert(path)
    assert len(layers) == len(own) == 4
    for found, expected in zip(layers, own, strict=True):
        for array, other in zip(found, expected, strict=True):
            assert array.dtype == np.float32
            # of int8 half a step of 127 is lost
            np.testing.assert_allclose(array, other, atol=np.abs(other).max() / 200 if "int8" in path.name else 1e-6)


def test_a_damaged_litert_file_is_one_line(litert_file, tmp_path):
    path, _ = litert_file
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelError, match=r"cut\.tflite: damaged, cannot be read as a LiteRT file \(.*\); get it again"):
        read_litert(cut)
    cut.write_text("<!DOCTYPE html>")
    with pytest.raises(ModelError, match=r"cut\.tflite: expected a LiteRT file, found bytes that start with b'<!DOC"):
        read_litert(cut)


def test_without_tensorflow_a_litert_file_asks_for_it_once(litert_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow.lite.python", None)
    with pytest.raises(ModelError, match=r"needs TensorFlow, once; pip install tensorflow, or copy the \.npz"):
        read_litert(litert_file[0])


def build_yamnet(n_frames: int, n_classes: int, layers: module.Layers | None):
    from stages.train.networks import build_model

    scaler = Scaler(np.zeros(64, np.float32), np.ones(64, np.float32))
    return build_model("yamnet", n_frames=n_frames, n_classes=n_classes, scaler=scaler, pretrained=layers)


def test_arrays_of_other_shapes_are_one_line(keras):
    layers = [layer.get_weights() for layer in build_yamnet(20, 3, None).get_layer("body").layers if layer.weights]
    with pytest.raises(
        ModelError, match=r"layer 26 has arrays of shape \[\(2,\)\], dense.* of the network has \[\(1024, 10"
    ):
        build_yamnet(20, 3, [*layers[:-1], [np.zeros(2)]])
    with pytest.raises(ModelError, match=r"train\.weights: has 26 layers with weights, 27 are needed"):
        build_yamnet(20, 3, layers[:-1])


def test_yamnet_computes_what_its_own_file_does(keras, real_data):
    """Against the file's own interpreter, which rounds all activations to 8 bits: within few of these steps.

    One for each layer on the interpreter's own input. For the scores before the sigmoid, with activations rounded here
    too, one on average; a step of these is 0.35, which is up to 0.09 of a probability.
    """
    import tensorflow

    path = real_data / "pretrained/yamnet.tflite"
    about = read_weights_file(ROOT / "data/weights/yamnet.yaml")
    assert hash_like(path, f"sha256:{about.sha256}") == f"sha256:{about.sha256}"
    front_end = FeaturizeParams(**about.front_end, pcen=None, lifter=None, stretch=[], pitch=[])
    layers = read_litert(path)[about.first_layer :]
    model = build_yamnet(96, 521, layers)
    model.layers[-2].set_weights(layers[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the interpreter is deprecated
        interpreter = tensorflow.lite.Interpreter(str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    steps = {detail["index"]: detail["quantization"] for detail in interpreter.get_tensor_details()}

    def in_8_bits(values: np.ndarray, tensor: int) -> np.ndarray:
        scale, zero = steps[tensor]
        return (np.clip(np.round(values / scale) + zero, -128, 127) - zero) * scale

    def of_file(tensor: int) -> np.ndarray:
        scale, zero = steps[tensor]
        return (interpreter.get_tensor(tensor).astype(np.float32) - zero) * scale

    own = [layer for layer in model.get_layer("body").layers if layer.weights]
    for clip in sorted((real_data / "ESC-10/audio").iterdir())[:200:20]:
        y = load_mono(clip, front_end.sr)[8000:][:15600]
        interpreter.set_tensor(given["index"], y)
        interpreter.invoke()
        log_mel = Featurizer(front_end)(y)
        np.testing.assert_allclose(log_mel, interpreter.get_tensor(25), atol=0.02)
        tensor = 32  # that the first convolution reads; each takes three numbers: input, kernel, bias
        x = in_8_bits(log_mel[np.newaxis, :, :, np.newaxis], tensor)
        for layer in own:
            expected = of_file(tensor + 3)
            found = np.clip(np.asarray(layer(of_file(tensor))), 0, 6)
            np.testing.assert_allclose(found, expected, atol=1.01 * steps[tensor + 3][0])
            x = in_8_bits(np.clip(np.asarray(layer(x)), 0, 6), tensor + 3)
            tensor += 3
        scores = in_8_bits(np.asarray(model.layers[-2](in_8_bits(x.mean(axis=(1, 2)), 115))), 118)
        differences = np.abs(scores - of_file(118)) / steps[118][0]
        assert differences.mean() < 1
        assert differences.max() < 4.01
