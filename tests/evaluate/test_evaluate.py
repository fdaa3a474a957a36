"""What evaluate refuses, without a network: model files are written by hand. Runs are in tests/train/test_train.py."""

import zipfile

import numpy as np
import pandas as pd
import pytest

from helpers.metadata import VALUES, make_metadata
from helpers.predictions import TABLES
from helpers.repository import ROOT
from helpers.tones import write_params
from stages.evaluate import __main__ as evaluate
from stages.evaluate.plots import PICTURES, SOUNDSCAPE
from stages.evaluate.predictions import add_probabilities
from stages.lib.core.errors import DataError, ModelError
from stages.lib.core.files import read_json, write_json
from stages.lib.features.store import INDEX_COLUMNS
from stages.lib.inference.runtime import Model
from stages.lib.model.archive import METADATA_MEMBER, read_metadata
from stages.lib.model.metadata import dump_metadata
from stages.lib.model.segments import make_segmenter

CLASSES = ["low", "high"]
FEATURIZE = VALUES["featurize"] | {"sr": 8000, "hop_length": 80, "n_mels": 4, "fmin": 0.0, "fmax": 4000.0}


@pytest.fixture
def features(tmp_path):
    """Two folds of two clips, as featurize leaves them."""
    numbers = {"salience": "", "duration_s": 0.1, "sample_rate_hz": 8000, "n_frames": 10, "level_db": -20.0}
    rows = [
        numbers
        | {"clip": f"{fold}/{name}.wav", "class": name, "fold": fold, "source": f"{name}{fold}", "offset": 10 * i}
        for fold in (1, 2)
        for i, name in enumerate(CLASSES)
    ]
    folder = tmp_path / "features"
    folder.mkdir()
    pd.DataFrame(rows).assign(variant="")[INDEX_COLUMNS].to_csv(folder / "index.csv", index=False)
    for fold in (1, 2):
        np.save(folder / f"fold_{fold}.npy", np.zeros((20, 4), np.float32))
    dataset = {"name": "zeros", "title": "Zeros (synthetic)", "synthetic": True, "licence": None, "citation": None}
    facts = {
        "featurize": FEATURIZE,
        "classes": CLASSES,
        "folds": [1, 2],
        "floor": -18.4,
        "empty_bands": [],
        "n_features": 4,
    }
    write_json(folder / "facts.json", facts | {"kind": "log", "dataset": dataset})
    return folder


def write_model(folder, **changes):
    values = {"name": "fold_2", "classes": CLASSES, "featurize": FEATURIZE, "calibration": None}
    values |= {"split": {"train": [1], "validation": None, "test": 2}}
    metadata = make_metadata(**values | changes)
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{metadata.name}.keras", "w") as archive:
        archive.writestr(METADATA_MEMBER, dump_metadata(metadata))


def run(tmp_path, params):
    (tmp_path / "training").mkdir(exist_ok=True)
    for score in ("loss", "accuracy"):
        (tmp_path / f"training/{score}.csv").write_text(f"epoch,model,side,{score}\n1,fold_2,training,0.5\n")
    write_json(tmp_path / "raw/dataset.json", {"sources": "one per file"})
    (tmp_path / "rejected.csv").write_text("clip,reasons\n")
    options = {"features": "features", "models": "models", "raw": "raw", "training": "training"}
    options |= {"rejected": "rejected.csv"}
    options |= {"segments": "segments", "metrics": "metrics.json", "plots": "plots"}
    arguments = [f"--{name}={tmp_path / path}" for name, path in options.items()]
    arguments.append(f"--params={write_params(tmp_path / 'params.yaml', params)}")
    evaluate.main([*arguments, f"--published={ROOT / 'data/published.yaml'}"])


def test_an_absent_folder_of_unknown_sounds_is_named_before_anything_is_predicted(features, tmp_path, small_params):
    write_model(tmp_path / "models")
    params = small_params | {"evaluate": small_params["evaluate"] | {"unknown": str(tmp_path / "street")}}
    with pytest.raises(DataError, match=r"evaluate\.unknown: .*street: no such folder; name one, or data/unknown for"):
        run(tmp_path, params)


REFUSED_MODELS = {
    "other classes": (
        {"classes": ["high", "low"]},
        r"trained with classes \['high', 'low'\], the features have \['low', 'high'\]",
    ),
    "other bands": (
        {"featurize": FEATURIZE | {"n_mels": 5}},
        r"trained with featurize\.n_mels 5, the features have 4; run",
    ),
    "absent fold": (
        {"split": {"train": [1], "validation": None, "test": 7}},
        r"fold_2\.keras: its test fold is 7, the features have \[1, 2\]; run 'dvc repro train'",
    ),
}


@pytest.mark.parametrize("case", REFUSED_MODELS)
def test_models_that_do_not_fit_are_refused(features, tmp_path, small_params, case):
    changes, message = REFUSED_MODELS[case]
    write_model(tmp_path / "models", **changes)
    with pytest.raises(ModelError, match=message):
        run(tmp_path, small_params)
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"fold_2\.keras: not a model of this pipeline \(File is not a zip file\); run"),
        (None, "holds no model; run"),
    ],
)
def test_missing_and_empty_models_are_named(features, tmp_path, small_params, content, message):
    (tmp_path / "models").mkdir()
    if content is not None:
        (tmp_path / "models/fold_2.keras").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        run(tmp_path, small_params)


def test_missing_features_are_named(tmp_path, small_params):
    with pytest.raises(DataError, match="features: holds no features; run 'dvc repro featurize'"):
        run(tmp_path, small_params)


def undecided(path):
    """A model that gives each class the same probability."""
    metadata = read_metadata(path)
    shape = make_segmenter(metadata).length, metadata.featurize.n_mels
    return Model(path, metadata, *shape, score=lambda segments: np.full((len(segments), 2), 0.5, np.float32))


def test_a_model_on_everything_gives_empty_tables_pictures_and_a_page(
    features, tmp_path, small_params, monkeypatch, capsys
):
    """It has no clips to be scored on, only unknown sounds; each file that DVC plots is there all the same."""
    monkeypatch.setattr(evaluate, "open_model", undecided)
    write_model(tmp_path / "models", name="all", split={"train": [1, 2], "validation": None, "test": None})
    run(tmp_path, small_params)
    assert read_json(tmp_path / "metrics.json") == {"n_clips": 0, "n_folds": 0, "noise_confident_rate": 0.0}
    assert set(pd.read_csv(tmp_path / "plots/unknown.csv")["model"]) == {"all"}
    assert "unknown sounds that are named with 90% or more: 0% of noise\n" in capsys.readouterr().out
    for table in TABLES:
        assert pd.read_csv(tmp_path / f"plots/{table}.csv").empty
    for picture in [*PICTURES, SOUNDSCAPE]:
        assert (tmp_path / "plots" / picture).stat().st_size > 0
    assert "nothing to score" in (tmp_path / "plots/report.html").read_text()


def test_probabilities_are_stored_under_the_names_of_the_model():
    table = add_probabilities(pd.DataFrame({"clip": ["a", "b"]}), np.array([[0.25, 0.75], [0.6, 0.4]]), ["x", "y"])
    assert table.to_dict("list") == {
        "clip": ["a", "b"],
        "predicted": ["y", "x"],
        "p_x": [0.25, 0.6],
        "p_y": [0.75, 0.4],
    }
