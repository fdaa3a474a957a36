"""Export: the same predictions without Keras, and what is refused."""

import importlib.util
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from helpers.metadata import make_metadata
from helpers.repository import ROOT
from stages.commands.export import __main__ as export
from stages.lib.core.errors import ModelError
from stages.lib.inference.runtime import ONNX_KEY, open_model
from stages.lib.model.archive import read_metadata, save_model
from stages.lib.model.backend import start_backend
from stages.lib.split.scaler import Scaler

N_FRAMES, N_MELS, CLASSES = 38, 20, ["dog", "horn", "jack"]
NETWORKS = ["cp_resnet", "dcase2016", "yamnet"]
TOLERANCE = 1e-4
WITHOUT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name)

sys.meta_path.insert(0, Blocked())
"""
SCORE = """
from pathlib import Path
import numpy as np
from stages.lib.inference.runtime import open_model
model = open_model(Path(sys.argv[1]))
np.save(sys.argv[3], model.score(np.load(sys.argv[2])))
"""


@pytest.fixture(scope="module")
def keras():
    start_backend("tensorflow")
    import keras

    return keras


def make_model(keras, name, **options):
    """A network whose weights and running means are all drawn, so that none could be lost without a trace."""
    from stages.train.networks import build_model

    scaler = Scaler(np.linspace(-9, -5, N_MELS, dtype=np.float32), np.linspace(1, 3, N_MELS, dtype=np.float32))
    model = build_model(name, n_frames=N_FRAMES, n_classes=len(CLASSES), scaler=scaler, **options)
    rng, layers = np.random.default_rng(0), list(model._flatten_layers())
    normalises = any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
        elif layer.weights and hasattr(layer, "kernel"):
            shape = layer.kernel.shape
            fan_in = np.prod(shape[:2] if isinstance(layer, keras.layers.DepthwiseConv2D) else shape[:-1])
            # Without normalisation, large enough to come through many layers: He and others 2015, eq. 10.
            layer.kernel.assign(layer.kernel + rng.normal(0, 0.05 if normalises else np.sqrt(2 / fan_in), shape))
    return model


def metadata_of(name):
    """With text that is not ASCII, and a field that this version does not know."""
    return make_metadata(
        name=name,
        classes=CLASSES,
        dataset={"title": "Möwe"},
        featurize={"n_mels": N_MELS},
        scaler_mean=[-7.0] * N_MELS,
        segment={"duration_s": 0.6, "overlap_s": 0.3},
        calibration={"temperature": 1.25},
        train={"model": name},
        of_a_later_version={"a": 1},
    )


@pytest.fixture(scope="module")
def exported(keras, tmp_path_factory):
    """By network: its `.keras`, `.onnx` and `.tflite` file, made by the command, and the network."""
    folder, found = tmp_path_factory.mktemp("exported"), {}
    for name in NETWORKS:
        model = make_model(keras, name)
        paths = {suffix: folder / f"{name}.{suffix}" for suffix in ("keras", "onnx", "tflite")}
        save_model(paths["keras"], model, metadata_of(name))
        for suffix in ("onnx", "tflite"):
            export.main([f"--model={paths['keras']}", f"--out={paths[suffix]}"])
        found[name] = paths | {"model": model}
    return found


@pytest.fixture(scope="module")
def segments():
    return np.random.default_rng(1).normal(-7, 3, (9, N_FRAMES, N_MELS)).astype(np.float32)


def run_without(blocked, code, *arguments):
    command = [sys.executable, "-c", WITHOUT.format(blocked=set(blocked)) + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.parametrize("name", NETWORKS)
def test_onnxruntime_alone_gives_the_same(exported, segments, tmp_path, name):
    """No Keras, no backend of it, not even pandas, in a process of its own."""
    np.save(tmp_path / "in.npy", segments)
    blocked = ["tensorflow", "keras", "jax", "torch", "pandas", "onnx", "tf2onnx", "sklearn", "matplotlib"]
    done = run_without(blocked, SCORE, exported[name]["onnx"], tmp_path / "in.npy", tmp_path / "out.npy")
    assert done.returncode == 0, done.stderr
    expected = exported[name]["model"].predict(segments, verbose=0)
    assert np.ptp(expected, axis=0).max() > 10 * TOLERANCE  # the segments do differ
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_may_have_any_size(exported, segments, name):
    model = open_model(exported[name]["onnx"])
    whole, alone = model.score(segments), np.concatenate([model.score(s[np.newaxis]) for s in segments])
    assert (whole.dtype, whole.shape) == (np.float32, (9, len(CLASSES)))
    np.testing.assert_allclose(whole, alone, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize("name", NETWORKS)
def test_litert_gives_the_same(exported, segments, name):
    import tensorflow

    runner = tensorflow.lite.Interpreter(str(exported[name]["tflite"])).get_signature_runner()
    (found,) = runner(log_mel=segments).values()
    expected = exported[name]["model"].predict(segments, verbose=0)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_metadata_comes_along(exported, name):
    metadata = read_metadata(exported[name]["keras"])
    assert metadata == metadata_of(name)
    assert open_model(exported[name]["onnx"]).metadata == metadata
    assert read_metadata(exported[name]["tflite"]) == metadata


@pytest.mark.parametrize("name", NETWORKS)
def test_the_ends_of_the_onnx_file_are_named(exported, name):
    import onnx

    graph = onnx.load(exported[name]["onnx"]).graph
    ends = {
        end.name: [dim.dim_param or dim.dim_value for dim in end.type.tensor_type.shape.dim]
        for end in (*graph.input, *graph.output)
    }
    assert ends == {"log_mel": ["batch", N_FRAMES, N_MELS], "probabilities": ["batch", len(CLASSES)]}


def test_a_network_of_mixed_precision_is_exported_in_full(keras, segments, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = make_model(keras, "cp_resnet")
    finally:
        keras.config.set_dtype_policy("float32")
    full = make_model(keras, "cp_resnet")
    full.set_weights(mixed.get_weights())
    save_model(tmp_path / "mixed.keras", mixed, metadata_of("mixed"))
    export.main([f"--model={tmp_path / 'mixed.keras'}", f"--out={tmp_path / 'mixed.onnx'}"])
    found = open_model(tmp_path / "mixed.onnx").score(segments)
    np.testing.assert_allclose(found, full.predict(segments, verbose=0), atol=TOLERANCE, rtol=0)


@pytest.mark.weekly
def test_the_largest_network_is_exported_too(keras, segments, tmp_path):
    model = make_model(keras, "inception_resnet_v2")
    save_model(tmp_path / "large.keras", model, metadata_of("large"))
    export.main([f"--model={tmp_path / 'large.keras'}", f"--out={tmp_path / 'large.onnx'}"])
    found = open_model(tmp_path / "large.onnx").score(segments)
    np.testing.assert_allclose(found, model.predict(segments, verbose=0), atol=TOLERANCE, rtol=0)


def change_onnx(source, target, change):
    import onnx

    model = onnx.load(source)
    change(model)
    target.write_bytes(model.SerializeToString())


def without_metadata(model):
    del model.metadata_props[:]


def change_properties(model, **changes):
    values = json.loads(model.metadata_props[0].value)
    model.metadata_props[0].value = json.dumps(values | changes)


def with_newer_metadata(model):
    change_properties(model, schema_version=99)


def with_broken_metadata(model):
    model.metadata_props[0].value = "{"


def with_newer_opset(model):
    model.opset_import[0].version = 999


def with_fewer_classes(model):
    assert model.metadata_props[0].key == ONNX_KEY
    change_properties(model, classes=["dog"])


def with_fewer_bands(model):
    change_properties(model, scaler_mean=[0.0])


REFUSED = {
    "newer metadata": (
        with_newer_metadata,
        r"x\.onnx: written by a newer urban-ear: its metadata has schema_version 99, .*export the model again",
    ),
    "no metadata": (
        without_metadata,
        r"x\.onnx: not a model of this pipeline; make one with 'stages\.commands\.export'",
    ),
    "broken metadata": (with_broken_metadata, r"x\.onnx: its metadata is not a JSON object; export"),
    "newer opset": (
        with_newer_opset,
        r"x\.onnx: onnxruntime cannot load it \(.*Opset 999 is.*\); export the model again",
    ),
    "other classes": (with_fewer_classes, r"x\.onnx: has outputs \(3,\) for 1 classes"),
    "other bands": (
        with_fewer_bands,
        r"x\.onnx: expects segments of shape \(38, 20\), its metadata says 1 numbers per frame",
    ),
}


@pytest.mark.parametrize("problem", REFUSED)
def test_onnx_files_that_do_not_fit_are_refused(exported, tmp_path, problem):
    change, message = REFUSED[problem]
    change_onnx(exported["cp_resnet"]["onnx"], tmp_path / "x.onnx", change)
    with pytest.raises(ModelError, match=message) as caught:
        open_model(tmp_path / "x.onnx")
    assert "\n" not in str(caught.value)


def test_what_is_no_onnx_file_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"x\.onnx: onnxruntime cannot load it \(.*parsing failed.*\); export"):
        open_model(tmp_path / "x.onnx")


def test_without_onnxruntime_the_error_says_what_to_install(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"")
    done = run_without(["onnxruntime"], SCORE, tmp_path / "x.onnx", "", "")
    assert "x.onnx: needs onnxruntime, which is not installed; pip install onnxruntime" in done.stderr


def test_without_the_extra_the_error_says_what_to_install(exported, tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else find_spec(name))
    with pytest.raises(ModelError, match="export to ONNX needs tf2onnx; pip install tf2onnx"):
        export.main([f"--model={exported['cp_resnet']['keras']}", f"--out={tmp_path / 'x.onnx'}"])
    assert not (tmp_path / "x.onnx").exists()


BAD_ARGUMENTS = [
    (["--out=x.pb"], r"x\.pb: expected a name that ends in \.onnx \(ONNX\) or \.tflite \(LiteRT\)"),
    (["--model=missing.keras"], r"missing\.keras: not a model of this pipeline"),
    (["--model=fold_9"], r"data/models: has no model 'fold_9'; it has fold_3"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_named(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/models").mkdir(parents=True)
    (tmp_path / "data/models/fold_3.keras").touch()
    with pytest.raises(ModelError, match=message):
        export.main(arguments)


def test_the_model_of_the_workspace_is_the_default(exported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/models").mkdir(parents=True)
    (tmp_path / "data/models/all.keras").write_bytes(exported["cp_resnet"]["keras"].read_bytes())
    (tmp_path / "data/models/fold_3.keras").touch()
    export.main([])
    assert open_model(tmp_path / "exports/all.onnx").metadata == metadata_of("cp_resnet")
    assert re.fullmatch(r"export: data/models/all\.keras as exports/all\.onnx, 1\.\d MB\n", capsys.readouterr().out)
