"""Export: the same predictions without Keras, and what is refused."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from helpers.front_ends import GRID, PCEN, STUDY
from helpers.metadata import make_metadata
from helpers.repository import ROOT
from helpers.tiny_network import TINY, register_tiny_network
from helpers.tone_model import tone_metadata
from stages.commands.export import __main__ as export
from stages.commands.export import agreement
from stages.commands.export.converters import USE_KEY
from stages.fetch.synthetic.clips import write_source
from stages.fetch.synthetic.dataset import plan, sample_settings
from stages.lib.audio import load_mono
from stages.lib.core.errors import ModelError
from stages.lib.frontend.spectrogram import FeaturizeParams, Featurizer
from stages.lib.inference.events import settings_of
from stages.lib.inference.runtime import METADATA_KEY, ONNX_VERSION, open_model
from stages.lib.inference.streaming import StreamingClassifier, make_featurizer
from stages.lib.model.archive import read_metadata, save_model
from stages.lib.model.backend import start_backend
from stages.lib.model.calibration import apply_temperature
from stages.lib.split.scaler import Scaler

N_FRAMES, N_MELS, CLASSES = 36, 20, ["dog", "horn", "jack"]
N_SAMPLES = 256 + 35 * 128
# Every export takes seconds, so the others are for the slow tests.
NETWORKS = ["cp_resnet", *(pytest.param(name, marks=pytest.mark.slow) for name in ("dcase2016", "yamnet"))]
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
np.save(sys.argv[3], model.predict(np.load(sys.argv[2])))
"""
TEMPERATURE = 1.25


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
        calibration={"temperature": TEMPERATURE},
        train={"model": name},
        of_a_later_version={"a": 1},
    )


@pytest.fixture(scope="module")
def exported(keras, tmp_path_factory):
    """By network its `.keras`, `.onnx` and `.tflite` file, made when first asked for, and the network."""
    folder = tmp_path_factory.mktemp("exported")

    class Exported(dict):
        def __missing__(self, name):
            model = make_model(keras, name)
            paths = {suffix: folder / f"{name}.{suffix}" for suffix in ("keras", "onnx", "tflite")}
            save_model(paths["keras"], model, metadata_of(name))
            for suffix in ("onnx", "tflite"):
                export.main([f"--model={paths['keras']}", f"--out={paths[suffix]}"])
            self[name] = paths | {"model": model}
            return self[name]

    return Exported()


def probabilities_of(model, segments):
    """What users see of a network of Keras."""
    return apply_temperature(model.predict(segments, verbose=0), TEMPERATURE)


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
    blocked = ["tensorflow", "keras", "jax", "torch", "pandas", "onnx", "tf2onnx", "sklearn", "matplotlib", "scipy"]
    done = run_without(blocked, SCORE, exported[name]["onnx"], tmp_path / "in.npy", tmp_path / "out.npy")
    assert done.returncode == 0, done.stderr
    expected = probabilities_of(exported[name]["model"], segments)
    assert np.ptp(expected, axis=0).max() > 10 * TOLERANCE  # the segments do differ
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=TOLERANCE, rtol=0)


@pytest.fixture(scope="module")
def sounds():
    return agreement.make_sounds(N_SAMPLES, 8000)


def featurizer_of(metadata):
    return Featurizer(FeaturizeParams(**metadata.featurize.model_dump()))


def of_sounds(model, sounds):
    featurizer = featurizer_of(metadata_of("any"))
    return probabilities_of(model, np.stack([featurizer(y) for y in sounds]))


@pytest.mark.parametrize("name", NETWORKS)
def test_onnxruntime_gives_the_same_from_samples(exported, sounds, name):
    found = run_onnx(exported[name]["onnx"], samples=sounds)
    expected = of_sounds(exported[name]["model"], sounds)
    assert np.ptp(expected, axis=0).max() > 10 * TOLERANCE
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)


def run_onnx(path, output="probabilities", **inputs):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    (found,) = onnxruntime.InferenceSession(path, options).run([output], inputs)
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_may_have_any_size(exported, segments, name):
    model = open_model(exported[name]["onnx"])
    whole, alone = model.predict(segments), np.concatenate([model.predict(s[np.newaxis]) for s in segments])
    assert (whole.dtype, whole.shape) == (np.float64, (9, len(CLASSES)))
    np.testing.assert_allclose(whole, alone, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize("name", NETWORKS)
def test_litert_gives_the_same_from_samples(exported, sounds, name):
    import tensorflow

    runner = tensorflow.lite.Interpreter(str(exported[name]["tflite"])).get_signature_runner()
    (found,) = runner(samples=sounds).values()
    np.testing.assert_allclose(found, of_sounds(exported[name]["model"], sounds), atol=TOLERANCE, rtol=0)


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
    assert ends == {
        "samples": ["batch of samples", N_SAMPLES],
        "features": ["batch of features", N_FRAMES, N_MELS],
        "probabilities": ["batch of probabilities", len(CLASSES)],
    }


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
    found = open_model(tmp_path / "mixed.onnx").predict(segments)
    np.testing.assert_allclose(found, probabilities_of(full, segments), atol=TOLERANCE, rtol=0)


@pytest.mark.weekly
def test_the_largest_network_is_exported_too(keras, segments, tmp_path):
    model = make_model(keras, "inception_resnet_v2")
    save_model(tmp_path / "large.keras", model, metadata_of("large"))
    export.main([f"--model={tmp_path / 'large.keras'}", f"--out={tmp_path / 'large.onnx'}"])
    found = open_model(tmp_path / "large.onnx").predict(segments)
    np.testing.assert_allclose(found, probabilities_of(model, segments), atol=TOLERANCE, rtol=0)


def change_onnx(source, target, change):
    import onnx

    model = onnx.load(source)
    change(model)
    target.write_bytes(model.SerializeToString())


def without_metadata(model):
    del model.metadata_props[:]


def metadata_property(model):
    (found,) = (prop for prop in model.metadata_props if prop.key == METADATA_KEY)
    return found


def change_properties(model, **changes):
    found = metadata_property(model)
    found.value = json.dumps(json.loads(found.value) | changes)


def with_newer_metadata(model):
    change_properties(model, schema_version=99)


def with_broken_metadata(model):
    metadata_property(model).value = "{"


def of_another_version(model):
    assert model.model_version == ONNX_VERSION
    model.model_version = 0


def with_newer_opset(model):
    model.opset_import[0].version = 999


def with_fewer_classes(model):
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
    "version 0.2": (
        of_another_version,
        r"x\.onnx: exported in version 0 of the format, this code reads 1; export the model again",
    ),
    "newer opset": (
        with_newer_opset,
        r"x\.onnx: onnxruntime cannot load it \(.*Opset 999 is.*\); export the model again",
    ),
    "other classes": (with_fewer_classes, r"x\.onnx: has outputs \(3,\) for 1 classes"),
    "other bands": (
        with_fewer_bands,
        r"x\.onnx: expects segments of shape \(36, 20\), its metadata says 1 numbers per frame",
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
    (["--rev=main", "--model=x.keras"], r"x\.keras: --rev takes a name for --model, not a file"),
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


def test_what_is_left_to_the_program_that_uses_it_comes_along(exported):
    import onnx

    properties = {prop.key: prop.value for prop in onnx.load(exported["cp_resnet"]["onnx"]).metadata_props}
    assert set(properties) == {METADATA_KEY, USE_KEY}
    with zipfile.ZipFile(exported["cp_resnet"]["tflite"]) as archive:
        assert archive.read(f"{USE_KEY}.json").decode() == properties[USE_KEY]
    assert json.loads(properties[USE_KEY]) == {
        "sample_rate_hz": 8000,
        "n_samples": N_SAMPLES,
        "step_samples": 18 * 128,  # half of a segment, which is less than half a second
        "events": asdict(settings_of(metadata_of("cp_resnet"))),
    }


FRONT_ENDS = GRID | {
    "db": {"compression": "db", "log_offset": 1e-6},
    "db of power": {"compression": "db", "power": 2, "log_offset": 1e-10},
    "mfcc": {"n_mels": 40, "n_mfcc": 13},
    "mfcc, lifter": {"n_mels": 40, "n_mfcc": 20, "lifter": 22.0, "compression": "db"},
}


@pytest.mark.parametrize("changed", FRONT_ENDS.values(), ids=FRONT_ENDS)
def test_the_front_end_gives_the_features_of_the_pipeline(keras, changed):
    from stages.commands.export.front_end import FrontEnd

    params, n = replace(STUDY, **changed), 7
    featurizer = Featurizer(params)
    sounds = agreement.make_sounds(params.win_length + (n - 1) * params.hop_length, params.sr)
    found = np.asarray(FrontEnd(featurizer, n)(sounds))
    expected = np.stack([featurizer(y) for y in sounds])
    assert found.shape == expected.shape == (len(sounds), n, params.n_features)
    if params.n_mfcc is None:  # as loud as the sound itself, since its softest bands hold what rounding leaves
        scale = np.log(10) * params.power / 20 if params.compression == "db" else 1
        found, expected = (np.exp(np.float64(x) * scale) for x in (found, expected))
        loudest = expected.max(axis=(1, 2), keepdims=True)
        np.testing.assert_array_less(np.abs(found - expected) / loudest, 1e-5)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("n_fft", [1, 2, 3, 8, 1001, 1168, 1301])
def test_the_two_step_dft_is_that_of_numpy(keras, n_fft):
    from stages.commands.export.front_end import dft

    frames = np.random.default_rng(0).standard_normal((2, 3, max(1, n_fft - 1))).astype(np.float32)
    real, imaginary = dft(frames, n_fft)
    expected = np.fft.rfft(frames.astype(np.float64), n=n_fft)
    np.testing.assert_allclose(np.asarray(real) + 1j * np.asarray(imaginary), expected, atol=1e-6 * n_fft**0.5 * 5)


def script_of_the_page():
    (found,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/export.md").read_text(), re.DOTALL | re.MULTILINE)
    return found


def recordings(folder):
    """Clips of the synthetic sample, and some of ESC-10 where they are here, at 8 kHz."""
    settings = sample_settings(yaml.safe_load((ROOT / "data/sources/sample.yaml").read_text())["render"])
    (folder / "audio/fold1").mkdir(parents=True)
    for source in plan(settings)[:3]:
        write_source((folder, source))
    paths = sorted((folder / "audio").rglob("*.*"))
    if real := os.environ.get("EAR_REAL_DATA"):
        paths += sorted((Path(real) / "ESC-10/audio").glob("*.ogg"))[::80]
    for i, path in enumerate(paths):
        soundfile.write(folder / f"{i}.wav", load_mono(path, 8000), 8000, subtype="FLOAT")
    return sorted(folder.glob("*.wav"))


def test_the_script_of_the_page_gives_what_predict_gives_without_this_repository(exported, tmp_path):
    model, n_compared = open_model(exported["cp_resnet"]["keras"]), 0
    for path in recordings(tmp_path):
        command = [sys.executable, "-I", "-c", script_of_the_page(), str(exported["cp_resnet"]["onnx"]), str(path)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        found = [json.loads(line) for line in done.stdout.splitlines()]
        expected = segments_of_predict(model, path)
        if not expected:
            continue  # shorter than a segment
        assert [segment["start_s"] for segment in found] == pytest.approx([start_s for start_s, _ in expected])
        for segment, (_, probabilities) in zip(found, expected, strict=True):
            assert list(segment["probabilities"]) == CLASSES
            np.testing.assert_allclose(list(segment["probabilities"].values()), probabilities, atol=TOLERANCE, rtol=0)
            n_compared += 1
    assert n_compared > 20


def segments_of_predict(model, path):
    """Starts in seconds and probabilities of the segments that the predict command scores, but for the one at the end.

    `tests/lib/test_streaming.py` holds the streaming classifier to the same definition.
    """
    classifier = StreamingClassifier(model, 8000)
    frames = make_featurizer(model)(load_mono(path, 8000))
    starts = range(0, len(frames) - model.length + 1, classifier.step)
    return [
        (start * 128 / 8000, model.predict(frames[np.newaxis, start : start + model.length])[0]) for start in starts
    ]


def test_the_script_of_the_page_names_the_rate_that_it_needs(exported, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(44100), 44100)
    command = [sys.executable, "-I", "-c", script_of_the_page(), exported["cp_resnet"]["onnx"], tmp_path / "a.wav"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path / 'a.wav'}: has 44100 Hz, resample it to 8000 Hz\n"


def test_a_file_that_computes_something_else_is_not_written(exported, keras, tmp_path, monkeypatch):
    other = make_model(keras, "cp_resnet")
    other.set_weights([w + 0.1 for w in other.get_weights()])
    monkeypatch.setattr(export, "load_model", lambda path: other)
    content = exported["cp_resnet"]["onnx"].read_bytes()
    monkeypatch.setattr("stages.commands.export.converters.to_onnx", lambda *arguments: content)
    with pytest.raises(ModelError, match=r"the ONNX file differs from the network by \S+ in a probability"):
        export.main([f"--model={exported['cp_resnet']['keras']}", f"--out={tmp_path / 'x.onnx'}"])
    assert list(tmp_path.iterdir()) == []


def test_a_model_on_pcen_takes_features(keras, tmp_path, capsys):
    featurize = {"compression": "pcen", "log_offset": None, "pcen": asdict(PCEN)}
    metadata = tone_metadata(**featurize)
    scaler = Scaler(np.zeros(16, np.float32), np.ones(16, np.float32))
    register_tiny_network()
    from stages.train.networks import build_model

    model = build_model(TINY, n_frames=30, n_classes=3, scaler=scaler)
    save_model(tmp_path / "a.keras", model, metadata)
    segments = np.random.default_rng(0).random((5, 30, 16), np.float32)
    export.main([f"--model={tmp_path / 'a.keras'}", f"--out={tmp_path / 'a.onnx'}"])
    assert "it takes features, not samples: PCEN looks back to before a segment" in capsys.readouterr().out
    expected = model.predict(segments, verbose=0)
    np.testing.assert_allclose(open_model(tmp_path / "a.onnx").predict(segments), expected, atol=TOLERANCE)
    np.testing.assert_allclose(run_onnx(tmp_path / "a.onnx", features=segments), expected, atol=TOLERANCE)


def test_a_second_output_of_the_network_comes_along(keras, tmp_path):
    features = keras.Input((30, 16), name="log_mel")
    frames = keras.layers.Conv1D(4, 3, strides=2, activation="sigmoid")(features)
    probabilities = keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling1D()(frames))
    model = keras.Model(features, [probabilities, frames])
    save_model(tmp_path / "a.keras", model, tone_metadata())
    export.main([f"--model={tmp_path / 'a.keras'}", f"--out={tmp_path / 'a.onnx'}"])
    sounds = agreement.make_sounds(256 + 29 * 128, 8000)
    featurizer = featurizer_of(tone_metadata())
    expected = model.predict(np.stack([featurizer(y) for y in sounds]), verbose=0)
    for name, values in zip(["probabilities", "frames"], expected, strict=True):
        found = run_onnx(tmp_path / "a.onnx", output=name, samples=sounds)
        np.testing.assert_allclose(found, values, atol=TOLERANCE, rtol=0)
