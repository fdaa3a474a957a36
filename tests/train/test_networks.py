import hashlib
import zipfile
from urllib.error import URLError

import librosa
import numpy as np
import pytest

from helpers.metadata import make_metadata
from stages.lib.core.errors import ModelError
from stages.lib.model.archive import METADATA_MEMBER, load_model, read_metadata, save_model
from stages.lib.model.backend import start_backend
from stages.lib.split.scaler import Scaler


@pytest.fixture(scope="module")
def keras():
    start_backend("tensorflow")
    import keras

    keras.utils.set_random_seed(0)
    return keras


def build(n_frames=74, n_mels=150, n_classes=10, name="dcase2016"):
    from stages.train.networks import build_model

    scaler = Scaler(np.linspace(-5, 5, n_mels, dtype=np.float32), np.linspace(1, 2, n_mels, dtype=np.float32))
    return build_model(name, n_frames=n_frames, n_classes=n_classes, scaler=scaler)


def multiply_adds(model, keras):
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    return len(convolutions), sum(int(np.prod(c.kernel.shape)) * np.prod(c.output.shape[1:3]) for c in convolutions)


def test_dcase2016_has_the_published_size(keras):
    """11 convolutions, about 1.45 million weights and 0.35 billion multiply-adds for 150 bands and 150 frames."""
    model = build(n_frames=150)
    n_convolutions, n_multiply_adds = multiply_adds(model, keras)
    assert n_convolutions == 11
    assert model.count_params() == pytest.approx(1.45e6, rel=0.005)
    assert n_multiply_adds == pytest.approx(0.35e9, rel=0.03)


def test_cp_resnet_takes_a_third_of_the_multiply_adds(keras):
    reference, small = (build(n_frames=150, name=name) for name in ("dcase2016", "cp_resnet"))
    assert multiply_adds(small, keras)[1] < multiply_adds(reference, keras)[1] / 3
    assert small.count_params() == pytest.approx(0.39e6, rel=0.01)


def test_yamnet_has_the_published_size(keras):
    """3.2 million weights and 0.07 billion multiply-adds for 0.96 s, without the 521 classes of its first head."""
    model = build(n_frames=96, n_mels=64, n_classes=10, name="yamnet")
    body = model.get_layer("body")
    convolutions = [layer for layer in body.layers if layer.weights]
    depthwise = [c for c in convolutions if isinstance(c, keras.layers.DepthwiseConv2D)]
    n_multiply_adds = 0
    for c in convolutions:  # a depthwise one reads a single channel for each that it writes, (height, width, in, 1)
        n_inputs = np.prod(c.kernel.shape[:2] if c in depthwise else c.kernel.shape[:-1])
        n_multiply_adds += n_inputs * np.prod(c.output.shape[1:])
    assert (len(convolutions), len(depthwise)) == (27, 13)
    assert body.count_params() == pytest.approx(3.2e6, rel=0.01)
    assert n_multiply_adds == pytest.approx(0.07e9, rel=0.02)


def test_only_a_network_that_wants_it_scales_its_input(keras):
    for name, scales in (("cp_resnet", True), ("yamnet", False)):
        model = build(n_frames=17, n_mels=16, n_classes=3, name=name)
        assert any(isinstance(layer, keras.layers.Normalization) for layer in model.layers) is scales


def test_cp_resnet_sees_99_frames_and_bands(keras):
    """What one place of the last map depends on, by the gradient: no less than the docstring says, and no more."""
    import tensorflow

    model = build(n_frames=300, n_mels=300, name="cp_resnet")
    last = next(layer for layer in reversed(model.layers) if len(layer.output.shape) == 4)
    maps = keras.Model(model.inputs, last.output)
    seen = np.zeros((300, 300), dtype=bool)
    for seed in range(20):  # a maximum hands on one of its inputs, so one sound shows only a part
        log_mel = tensorflow.Variable(np.random.default_rng(seed).normal(0, 5, (1, 300, 300)).astype(np.float32))
        with tensorflow.GradientTape() as tape:
            output = tensorflow.reduce_sum(maps(log_mel)[0, 9, 9])
        seen |= tape.gradient(output, log_mel).numpy()[0] != 0
    frames, bands = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    for found in (frames, bands):
        assert 90 <= found[-1] - found[0] + 1 <= 99


@pytest.mark.parametrize("name", ["dcase2016", "cp_resnet", "yamnet"])
@pytest.mark.parametrize("n_mels", [10, 40, 64, 150, 512])
@pytest.mark.parametrize("n_frames", [17, 74])  # 0.5 s and 2 s
def test_any_size_gives_probabilities(keras, n_mels, n_frames, name):
    model = build(n_frames, n_mels, n_classes=3, name=name)
    log_mel = np.random.default_rng(0).normal(-5, 4, (2, n_frames, n_mels)).astype(np.float32)
    probabilities = np.asarray(model(log_mel))
    assert probabilities.shape == (2, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(("n_frames", "n_mels"), [(17, 10), (74, 150)])
def test_dcase2016_deltas_has_the_deltas_of_librosa_as_channels(keras, n_frames, n_mels):
    model = build(n_frames, n_mels, n_classes=3, name="dcase2016_deltas")
    log_mel = np.random.default_rng(0).normal(-5, 4, (2, n_frames, n_mels)).astype(np.float32)
    channels = next(layer for layer in model.layers if isinstance(layer, keras.layers.Concatenate)).output
    scaled, delta, delta_delta = np.moveaxis(np.asarray(keras.Model(model.inputs, channels)(log_mel)), -1, 0)
    middle = slice(8, -8)  # librosa extends the ends, here they are 0
    expected = librosa.feature.delta(scaled, width=9, axis=1)
    np.testing.assert_allclose(delta[:, middle], expected[:, middle], atol=1e-5)
    twice = librosa.feature.delta(expected, width=9, axis=1)
    np.testing.assert_allclose(delta_delta[:, middle], twice[:, middle], atol=1e-5)
    n_fixed = sum(int(np.prod(variable.shape)) for variable in model.non_trainable_variables)
    usual = build(n_frames, n_mels, n_classes=3)
    assert (
        n_fixed - sum(int(np.prod(v.shape)) for v in usual.non_trainable_variables) == 2 * 9
    )  # the slopes, not learnt


@pytest.mark.weekly  # 54 million weights
@pytest.mark.parametrize(("n_frames", "n_mels"), [(17, 10), (74, 150)])
def test_inception_resnet_v2_gives_probabilities(keras, tmp_path, n_frames, n_mels):
    model = build(n_frames, n_mels, n_classes=3, name="inception_resnet_v2")
    log_mel = np.random.default_rng(0).normal(-5, 4, (2, n_frames, n_mels)).astype(np.float32)
    probabilities = np.asarray(model(log_mel))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    save_model(tmp_path / "x.keras", model, METADATA)
    np.testing.assert_allclose(np.asarray(load_model(tmp_path / "x.keras")(log_mel)), probabilities, atol=1e-6)


def test_imagenet_weights_that_cannot_be_obtained_are_one_line(keras, monkeypatch, tmp_path):
    def no_network(*args, **options):
        raise URLError("no network")

    def download(**options):
        keras.utils.get_file("weights.h5", "https://example.org/weights.h5", cache_dir=tmp_path)

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", no_network)
    monkeypatch.setattr(keras.applications, "InceptionResNetV2", download)  # without building it, which takes long
    with pytest.raises(
        ModelError, match=r"the ImageNet weights of Inception-ResNet-v2 cannot be obtained \(URL fetch failure"
    ):
        build(name="inception_resnet_v2_imagenet")


def test_an_error_of_a_network_that_is_not_a_download_keeps_its_traceback(keras, monkeypatch):
    def fail(**options):
        raise RuntimeError("a bug")

    monkeypatch.setattr(keras.applications, "InceptionResNetV2", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        build(name="inception_resnet_v2_imagenet")


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_probabilities_are_in_full_precision_whatever_the_rest_is(keras, precision):
    keras.mixed_precision.set_dtype_policy(precision)
    try:
        model = build(n_frames=17, n_mels=16, n_classes=3, name="cp_resnet")
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert model.output.dtype == "float32"
    assert {layer.compute_dtype for layer in model.layers if isinstance(layer, keras.layers.Conv2D)} == {precision[6:]}


def test_the_model_scales_raw_log_mel_itself(keras):
    model = build(n_mels=16)
    normalise = model.layers[1]
    log_mel = np.random.default_rng(0).normal(-5, 4, (2, 74, 16)).astype(np.float32)
    expected = (log_mel - np.linspace(-5, 5, 16)) / np.linspace(1, 2, 16)
    np.testing.assert_allclose(np.asarray(normalise(log_mel)), expected, rtol=1e-4, atol=1e-5)


def test_an_unknown_model_is_named_with_those_there_are(keras):
    with pytest.raises(ModelError, match=r"train\.model is 'alexnet', expected one of: dcase2016"):
        build(name="alexnet")


METADATA = make_metadata()


def save(keras, path, **options):
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    model = build(n_frames=17, n_mels=16, n_classes=3, **options)
    save_model(path, model, METADATA)
    return model


def test_a_saved_model_predicts_the_same_and_keeps_its_metadata(keras, tmp_path):
    model = save(keras, tmp_path / "x.keras")
    log_mel = np.random.default_rng(0).normal(-5, 4, (2, 17, 16)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(load_model(tmp_path / "x.keras")(log_mel)), np.asarray(model(log_mel)))
    assert read_metadata(tmp_path / "x.keras") == METADATA
    assert [path.name for path in tmp_path.iterdir()] == ["x.keras"]


def test_the_same_model_is_the_same_bytes(keras, tmp_path):
    for name in ("x", "y"):
        save(keras, tmp_path / f"{name}.keras")
    digests = {hashlib.md5(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    assert len(digests) == 1


def test_a_model_with_code_in_it_is_refused(keras, tmp_path):
    segments = keras.Input((17, 16))
    save_model(tmp_path / "x.keras", keras.Model(segments, keras.layers.Lambda(lambda x: x + 1)(segments)), METADATA)
    with pytest.raises(ModelError, match=r"x\.keras: Keras cannot load it \(.*; run 'dvc repro train'"):
        load_model(tmp_path / "x.keras")


def test_what_is_no_model_is_named(keras, tmp_path):
    (tmp_path / "text.keras").write_text("not a model")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with zipfile.ZipFile(tmp_path / "broken.keras", "w") as archive:
        archive.writestr(METADATA_MEMBER, "{}")
    for name in ("text", "other", "absent"):
        with pytest.raises(ModelError, match=rf"{name}\.keras: not a model of this pipeline"):
            read_metadata(tmp_path / f"{name}.keras")
    with pytest.raises(ModelError, match=r"broken\.keras: Keras cannot load it"):
        load_model(tmp_path / "broken.keras")


def test_a_second_backend_in_one_process_is_refused(keras):
    with pytest.raises(ModelError, match=r"train\.backend is jax, but Keras runs on tensorflow"):
        start_backend("jax")
