import hashlib
import zipfile

import numpy as np
import pytest

from stages.lib.backend import start_backend
from stages.lib.errors import ModelError
from stages.lib.model_file import FACTS, load_model, read_facts, save_model
from stages.lib.scaling import Scaler


@pytest.fixture(scope="module")
def keras():
    start_backend("tensorflow")
    import keras

    keras.utils.set_random_seed(0)
    return keras


def build(n_frames=74, n_mels=150, n_classes=10, name="dcase2016"):
    from stages.lib.models import build_model

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


@pytest.mark.parametrize("n_mels", [10, 40, 64, 150, 512])
@pytest.mark.parametrize("n_frames", [17, 74])  # 0.5 s and 2 s
def test_any_size_gives_probabilities(keras, n_mels, n_frames):
    model = build(n_frames, n_mels, n_classes=3)
    log_mel = np.random.default_rng(0).normal(-5, 4, (2, n_frames, n_mels)).astype(np.float32)
    probabilities = np.asarray(model(log_mel))
    assert probabilities.shape == (2, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_the_model_scales_raw_log_mel_itself(keras):
    model = build(n_mels=16)
    normalise = model.layers[1]
    log_mel = np.random.default_rng(0).normal(-5, 4, (2, 74, 16)).astype(np.float32)
    expected = (log_mel - np.linspace(-5, 5, 16)) / np.linspace(1, 2, 16)
    np.testing.assert_allclose(np.asarray(normalise(log_mel)), expected, rtol=1e-4, atol=1e-5)


def test_an_unknown_model_is_named_with_those_there_are(keras):
    with pytest.raises(ModelError, match=r"train\.model is 'alexnet', expected one of: dcase2016"):
        build(name="alexnet")


FACTS_OF_TEST = {"classes": ["a", "b", "c"], "name": "fold_3"}


def save(keras, path, **options):
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    model = build(n_frames=17, n_mels=16, n_classes=3, **options)
    save_model(path, model, FACTS_OF_TEST)
    return model


def test_a_saved_model_predicts_the_same_and_keeps_its_facts(keras, tmp_path):
    model = save(keras, tmp_path / "x.keras")
    log_mel = np.random.default_rng(0).normal(-5, 4, (2, 17, 16)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(load_model(tmp_path / "x.keras")(log_mel)), np.asarray(model(log_mel)))
    assert read_facts(tmp_path / "x.keras") == FACTS_OF_TEST
    assert [path.name for path in tmp_path.iterdir()] == ["x.keras"]


def test_the_same_model_is_the_same_bytes(keras, tmp_path):
    for name in ("x", "y"):
        save(keras, tmp_path / f"{name}.keras")
    digests = {hashlib.md5(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    assert len(digests) == 1


def test_a_model_with_code_in_it_is_refused(keras, tmp_path):
    segments = keras.Input((17, 16))
    save_model(tmp_path / "x.keras", keras.Model(segments, keras.layers.Lambda(lambda x: x + 1)(segments)), {})
    with pytest.raises(ModelError, match=r"x\.keras: Keras cannot load it \(.*; run 'dvc repro train'"):
        load_model(tmp_path / "x.keras")


def test_what_is_no_model_is_named(keras, tmp_path):
    (tmp_path / "text.keras").write_text("not a model")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with zipfile.ZipFile(tmp_path / "broken.keras", "w") as archive:
        archive.writestr(FACTS, "{}")
    for name in ("text", "other", "absent"):
        with pytest.raises(ModelError, match=rf"{name}\.keras: not a model of this pipeline"):
            read_facts(tmp_path / f"{name}.keras")
    with pytest.raises(ModelError, match=r"broken\.keras: Keras cannot load it"):
        load_model(tmp_path / "broken.keras")


def test_a_second_backend_in_one_process_is_refused(keras):
    with pytest.raises(ModelError, match=r"train\.backend is jax, but Keras runs on tensorflow"):
        start_backend("jax")
