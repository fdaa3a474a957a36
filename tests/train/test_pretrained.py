"""Training that begins with pretrained weights: what is frozen or slower, and what the model file says of them."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from helpers.tones import PLAIN, write_params
from stages.commands.export import __main__ as export
from stages.lib.core.errors import ParamsError
from stages.lib.features.store import open_features
from stages.lib.inference.runtime import METADATA_KEY
from stages.lib.model.archive import load_model, read_metadata
from stages.lib.model.backend import start_backend
from stages.lib.model.segments import make_segmenter
from stages.scale import __main__ as scale
from stages.train import __main__ as train
from stages.train.weights import read_layers, write_layers

LICENCE, CITATION = "CC BY 4.0", "A. Author, Small, 2026"


@pytest.fixture(scope="module")
def keras():
    start_backend("tensorflow")
    import keras

    return keras


@pytest.fixture(scope="module", autouse=True)
def small(keras):
    """A network with a body of two convolutions, as an entry of the table."""
    from stages.train import networks

    def scores(x, n_classes):
        segments = keras.Input(x.shape[1:])
        y = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(segments)
        y = keras.layers.Conv2D(16, 3, strides=2, activation="relu")(y)
        body = keras.Model(segments, keras.layers.GlobalAveragePooling2D()(y), name=networks.BODY)
        return keras.layers.Dense(n_classes)(keras.layers.Dropout(0.1)(body(x)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(networks.MODELS, "small", networks.Network(scores, scaled=False, pretrained=True))
        yield


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory) -> Path:
    """A file like those of data/weights, and next to it the layers that it names."""
    folder = tmp_path_factory.mktemp("weights")
    rng = np.random.default_rng(0)
    kernels = [rng.normal(0, 0.2, shape).astype(np.float32) for shape in ((3, 3, 1, 8), (3, 3, 8, 16))]
    write_layers(folder / "small.npz", [[kernel, np.zeros(kernel.shape[-1], np.float32)] for kernel in kernels])
    about = {
        "title": "Small",
        "model": "small",
        "address": str(folder / "small.npz"),
        "sha256": hashlib.sha256((folder / "small.npz").read_bytes()).hexdigest(),
        "licence": LICENCE,
        "citation": CITATION,
        "front_end": {"n_mels": 16},
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(about))
    return folder / "small.yaml"


@pytest.fixture(scope="module")
def pretrained_params(small_params, weights_file) -> dict:
    changes = {"model": "small", "weights": str(weights_file), "epochs": 3, "learning_rate": 0.01}
    return small_params | {"train": small_params["train"] | changes}


def with_params(params: dict, augment: dict | None = None, **changes) -> dict:
    return params | {"train": params["train"] | changes} | ({} if augment is None else {"augment": augment})


@pytest.fixture
def run(tone_features, tmp_path_factory, monkeypatch):
    def run_train(params: dict, out: Path | None = None) -> Path:
        out = out or tmp_path_factory.mktemp("run")
        monkeypatch.setenv("EAR_CACHE", str(out / "cache"))
        options = [f"--params={write_params(out / 'params.yaml', params)}", f"--features={tone_features}"]
        scale.main([*options, f"--scaler={out / 'scaler'}"])
        paths = [f"--scaler={out / 'scaler'}", f"--models={out / 'models'}", f"--plots={out / 'plots'}"]
        paths += [f"--metrics={out / 'metrics.json'}", f"--checkpoints={out / 'checkpoints'}"]
        train.main([*options, *paths, f"--raw={out / 'raw'}"])
        return out

    return run_train


def model_path(out: Path) -> Path:
    return out / "models/fold_3.keras"


def body_weights(out: Path) -> list[np.ndarray]:
    return load_model(model_path(out)).get_layer("body").get_weights()


def first_weights(weights_file: Path) -> list[np.ndarray]:
    return [array for layer in read_layers(weights_file.with_suffix(".npz")) for array in layer]


def greatest_change(out: Path, weights_file: Path) -> float:
    pairs = zip(body_weights(out), first_weights(weights_file), strict=True)
    return max(np.abs(found - before).max() for found, before in pairs)


def test_frozen_layers_stay_as_they_came_and_the_head_learns(run, pretrained_params, weights_file, tone_features):
    params = with_params(pretrained_params, PLAIN, freeze="body", epochs=30, learning_rate=0.05)
    out = run(params)
    assert greatest_change(out, weights_file) == 0
    curve = pd.read_csv(out / "plots/loss.csv")
    loss = curve.loc[curve["side"] == "training", "loss"]
    assert len(loss) == 30
    assert loss.iloc[-1] < 0.5 * loss.iloc[0]
    validation = json.loads((out / "metrics.json").read_text())
    assert validation["validation_accuracy"] > 0.9


def test_the_frozen_layers_see_each_segment_once_whatever_is_left_out_in_turn(run, pretrained_params, monkeypatch):
    """A model on everything that is calibrated on three folds is four trainings."""
    from stages.train.frozen import BodyOutputs

    computed, compute = [], BodyOutputs._compute
    monkeypatch.setattr(
        BodyOutputs,
        "_compute",
        lambda self, body, fold, *rest: computed.append(fold) or compute(self, body, fold, *rest),
    )
    params = with_params(pretrained_params, PLAIN, freeze="body", calibration_folds=3) | {
        "split": {"test_folds": [], "validation": "none"}
    }
    run(params)
    assert sorted(computed) == [1, 2, 3]


def test_training_on_features_computed_once_is_training_with_a_frozen_body(
    keras, run, pretrained_params, weights_file, tone_features
):
    """Against Keras doing it the long way: all segments through the whole network, in the same batches."""
    from stages.train.augment import AugmentParams, make_augmenter
    from stages.train.batches import TrainingBatches

    params = with_params(
        pretrained_params, PLAIN, freeze="body", schedule="constant", class_weights="balanced", epochs=2
    )
    metadata = read_metadata(model_path(out := run(params)))
    found = load_model(model_path(out))
    batches = TrainingBatches(
        open_features(tone_features),
        [1],
        make_segmenter(metadata),
        batch_size=params["train"]["batch_size"],
        augmenter=make_augmenter(AugmentParams(**PLAIN), metadata),
        balanced=True,
        seed=params["train"]["seed"],
    )
    keras.utils.clear_session()
    keras.utils.set_random_seed(params["train"]["seed"])
    from stages.lib.split.scaler import Scaler
    from stages.train.networks import build_model

    mean = np.array(metadata.scaler_mean, np.float32)
    layers = read_layers(weights_file.with_suffix(".npz"))
    model = build_model(
        "small",
        n_frames=make_segmenter(metadata).length,
        n_classes=3,
        scaler=Scaler(mean, np.ones_like(mean)),
        pretrained=layers,
    )
    model.get_layer("body").trainable = False
    model.compile(keras.optimizers.Adam(0.01), loss="categorical_crossentropy")
    model.fit(batches, epochs=2, shuffle=False, verbose=0)
    for array, expected in zip(found.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(array, expected, atol=1e-4)


def test_pretrained_layers_learn_slower_by_the_factor(run, pretrained_params, weights_file):
    """Adam moves each weight by about the learning rate in the first step, whatever the gradient."""
    params = with_params(pretrained_params, PLAIN, schedule="constant", epochs=1, batch_size=1000)
    changes = {
        rate: greatest_change(run(with_params(params, pretrained_rate=rate)), weights_file) for rate in (1.0, 0.1)
    }
    assert changes[1.0] == pytest.approx(0.01, rel=0.01)
    assert changes[0.1] == pytest.approx(0.001, rel=0.01)


def test_weight_decay_leaves_pretrained_layers_alone(run, pretrained_params, weights_file):
    params = with_params(pretrained_params, PLAIN, schedule="constant", epochs=1, batch_size=1000, optimizer="adamw")
    decayed, plain = (run(with_params(params, weight_decay=decay)) for decay in (50.0, 0.0))
    for array, expected in zip(body_weights(decayed), body_weights(plain), strict=True):
        np.testing.assert_array_equal(array, expected)
    heads = [load_model(model_path(out)).layers[-2].get_weights()[0] for out in (decayed, plain)]
    assert np.abs(heads[0]).sum() < 0.6 * np.abs(heads[1]).sum()


@pytest.fixture
def run_killed(run, monkeypatch):
    """Runs a training that ends after its second epoch."""
    from stages.train.checkpoint import Checkpoint

    write = Checkpoint.on_epoch_end

    def stop(self, epoch, logs):
        write(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    def run_to_the_kill(params: dict, out: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "on_epoch_end", stop)
            with pytest.raises(KeyboardInterrupt):
                run(params, out)

    return run_to_the_kill


@pytest.mark.parametrize(
    ("augment", "changes"),
    [(PLAIN, {"freeze": "body"}), (None, {"pretrained_rate": 0.1, "average": 0.9})],
    ids=["frozen", "slower"],
)
def test_a_training_that_was_killed_goes_on_with_the_same_bytes(
    run, run_killed, pretrained_params, tmp_path, augment, changes
):
    params = with_params(pretrained_params, augment, **changes)
    run_killed(params, tmp_path)
    assert model_path(run(params, tmp_path)).read_bytes() == model_path(run(params)).read_bytes()


def test_a_training_with_other_weights_is_not_gone_on_with(run, run_killed, pretrained_params, weights_file, tmp_path):
    own = shutil.copytree(weights_file.parent, tmp_path / "weights") / "small.yaml"
    arrays = own.with_suffix(".npz")
    params = with_params(pretrained_params, weights=str(own))
    run_killed(params, tmp_path)
    write_layers(arrays, [[array * 2 for array in layer] for layer in read_layers(arrays)])
    changes = {"address": str(arrays), "sha256": hashlib.sha256(arrays.read_bytes()).hexdigest()}
    own.write_text(yaml.safe_dump(yaml.safe_load(own.read_text()) | changes))
    assert model_path(run(params, tmp_path)).read_bytes() == model_path(run(params)).read_bytes()


def test_the_model_file_and_its_export_name_licence_and_citation_of_the_weights(
    run, pretrained_params, weights_file, tmp_path
):
    onnx = pytest.importorskip("onnx")
    out = run(with_params(pretrained_params, epochs=1))
    sha256 = yaml.safe_load(weights_file.read_text())["sha256"]
    expected = {"title": "Small", "licence": LICENCE, "citation": CITATION, "sha256": sha256}
    assert read_metadata(model_path(out)).weights.model_dump() == expected
    export.main([f"--model={model_path(out)}", f"--out={tmp_path / 'x.onnx'}"])
    properties = {item.key: item.value for item in onnx.load(tmp_path / "x.onnx").metadata_props}
    assert json.loads(properties[METADATA_KEY])["weights"] == expected


REFUSED = {
    "augmentation of what is frozen": (
        {"freeze": "body", "augment": PLAIN | {"crop": "wrap", "gain_db": 6.0}},
        r"cannot change; set augment\.crop to grid \(is wrap\), augment\.gain_db to 0\.0 \(is 6\.0\), or train\.freeze",
    ),
    "a rate of what is frozen": (
        {"freeze": "body", "pretrained_rate": 0.1},
        r"train\.pretrained_rate 0\.1 is for pretrained layers that are trained, but train\.freeze is body",
    ),
    "nothing to freeze": (
        {"model": "cp_resnet", "weights": "none.yaml", "freeze": "body"},
        r"train\.freeze body is for pretrained weights, and .*none\.yaml has none; set it to none",
    ),
    "nothing that is slower": (
        {"model": "cp_resnet", "weights": "none.yaml", "pretrained_rate": 0.5},
        r"train\.pretrained_rate 0\.5 is for pretrained weights, and .*none\.yaml has none; set it to 1\.0",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_go_together_is_one_line(run, pretrained_params, small_params, case):
    changes, match = REFUSED[case]
    changes = dict(changes)
    if changes.get("weights") == "none.yaml":
        changes["weights"] = small_params["train"]["weights"]
    augment = changes.pop("augment", None)
    with pytest.raises(ParamsError, match=match) as caught:
        run(with_params(pretrained_params, augment, **changes))
    assert "\n" not in str(caught.value)
