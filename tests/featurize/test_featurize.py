import ast
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers.repository import ROOT
from helpers.tones import TONES_HZ, run_featurize
from stages.featurize import plots
from stages.featurize.variants import make_variant
from stages.lib.audio import load_mono
from stages.lib.core.errors import AudioError, DataError
from stages.lib.features.store import INDEX_COLUMNS, open_features
from stages.lib.frontend.spectrogram import FeaturizeParams, Featurizer

PCEN = {"gain": 0.98, "bias": 2.0, "power": 0.5, "time_constant_s": 0.4, "eps": 1e-6}


@pytest.fixture
def own_tones(tones, tmp_path):
    """The tones as a copy that a test may spoil."""
    return shutil.copytree(tones, tmp_path / "tones")


@pytest.fixture(autouse=True)
def _one_worker_and_no_pictures(monkeypatch):
    monkeypatch.setenv("EAR_WORKERS", "1")
    monkeypatch.setattr(plots, "draw", lambda *_: None)  # see tests/featurize/test_plots.py


def test_each_clip_is_found_at_its_place(tones, tone_features, small_params):
    featurizer = Featurizer(FeaturizeParams(**small_params["featurize"]))
    features = open_features(tone_features)
    assert len(features.index) == 36
    for row in features.index.itertuples():
        stored = features.frames(row.fold)[row.offset : row.offset + row.n_frames]
        expected = featurizer(load_mono(tones / "raw" / "audio" / row.clip, 8000))
        np.testing.assert_array_equal(stored, expected)


def test_the_files_of_the_folds_hold_nothing_else(tone_features):
    features = open_features(tone_features)
    for fold in features.folds:
        assert len(features.frames(fold)) == features.clips([fold])["n_frames"].sum()


def test_frames_are_memory_maps(tone_features):
    assert isinstance(open_features(tone_features).frames(1), np.memmap)


def test_facts_say_what_the_numbers_mean(tone_features, small_params):
    facts = open_features(tone_features).facts
    assert facts["featurize"] == small_params["featurize"]
    assert facts["classes"] == list(TONES_HZ)
    assert facts["folds"] == [1, 2, 3]
    assert facts["dataset"]["title"] == "Tones (synthetic)"


def test_two_workers_write_the_same_bytes(tones, tone_features, small_params, tmp_path, monkeypatch):
    monkeypatch.setenv("EAR_WORKERS", "2")
    again = run_featurize(tones, tmp_path, small_params)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in tone_features.iterdir()
    }


@pytest.fixture(scope="module")
def varied_params(small_params):
    return small_params | {"featurize": small_params["featurize"] | {"stretch": [0.8], "pitch": [-2.0]}}


@pytest.fixture(scope="module")
def varied_features(tones, varied_params, tmp_path_factory):
    """Features with a stretched and a pitched variant of each clip."""
    return run_featurize(tones, tmp_path_factory.mktemp("varied"), varied_params)


def test_variants_follow_their_clip_in_the_index_and_all_clips_in_the_file(tones, varied_features, varied_params):
    featurizer, features = Featurizer(FeaturizeParams(**varied_params["featurize"])), open_features(varied_features)
    index = features.index
    assert index["variant"].tolist() == ["", "stretch 0.8", "pitch -2"] * 36
    assert index.groupby("clip")["class"].nunique().eq(1).all()
    for row in index.iloc[:9].itertuples():
        y = load_mono(tones / "raw" / "audio" / row.clip, 8000)
        expected = featurizer(make_variant(y, 8000, row.variant) if row.variant else y)
        np.testing.assert_array_equal(features.frames(row.fold)[row.offset : row.offset + row.n_frames], expected)
        assert row.duration_s == pytest.approx(len(y) / 8000 / (0.8 if row.variant == "stretch 0.8" else 1))
    for fold in features.folds:
        ends = index["offset"] + index["n_frames"]
        here, is_clip = index["fold"] == fold, index["variant"] == ""
        assert ends[here & is_clip].max() == index.loc[here & ~is_clip, "offset"].min()
        assert ends[here].max() == len(features.frames(fold))


def test_clips_are_the_same_with_and_without_variants(tone_features, varied_features):
    plain, varied = open_features(tone_features), open_features(varied_features)
    for fold in plain.folds:
        n_frames = len(plain.frames(fold))
        np.testing.assert_array_equal(varied.frames(fold)[:n_frames], plain.frames(fold))
    pd.testing.assert_frame_equal(varied.clips([1, 2, 3]), plain.index)


def test_variants_are_left_out_unless_they_are_asked_for(varied_features):
    features = open_features(varied_features)
    assert set(features.clips([1, 2])["variant"]) == {""}
    assert len(features.clips([1, 2], variants=True)) == 3 * len(features.clips([1, 2]))


def test_only_training_asks_for_variants():
    """Or one could reach the scaler, a validation fold or a test fold."""
    asking = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "stages").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and any(k.arg == "variants" and getattr(k.value, "value", None) is True for k in node.keywords)
    }
    # Features counts all rows there to see that a file is whole; fit computes what a frozen body makes of split.train,
    # by frozen, which keeps them for the next network.
    train = {"stages/train/batches.py", "stages/train/fit.py", "stages/train/frozen.py"}
    assert asking <= {"stages/lib/features/store.py"} | train


def test_levels_are_those_of_the_tones(tone_features):
    """Sines of amplitude 0.3, -10.5 dB of full scale, A-weighted: -7.1 dB at 300 Hz, -0.3 at 900, +1.3 at 2,700."""
    levels = open_features(tone_features).index.groupby("class")["level_db"]
    assert levels.median().to_dict() == pytest.approx({"low": -17.5, "middle": -10.8, "high": -9.2}, abs=0.3)


@pytest.mark.parametrize(
    ("changed", "kind", "width", "floor"),
    [
        ({"compression": "db", "power": 2}, "db", "16 bands", -80),
        ({"n_mfcc": 5}, "mfcc", "5 coefficients", [np.sqrt(16) * np.log(1e-8), 0, 0, 0, 0]),
        ({"compression": "pcen", "log_offset": None, "pcen": PCEN}, "pcen", "16 bands", 0),
    ],
)
def test_other_kinds_are_stored_as_such(tones, small_params, tmp_path, capsys, changed, kind, width, floor):
    params = small_params | {"featurize": small_params["featurize"] | changed}
    features = open_features(run_featurize(tones, tmp_path, params))
    assert features.facts["kind"] == kind
    assert features.facts["floor"] == pytest.approx(floor, abs=1e-4)
    assert features.facts["featurize"] == params["featurize"]
    assert features.frames(1).shape[1] == features.n_mels == int(width.split()[0])
    assert f"frames of {width}, 3 folds" in capsys.readouterr().out


def test_a_class_without_an_accepted_clip_is_left_out(own_tones, small_params, tmp_path):
    accepted = pd.read_csv(own_tones / "accepted.csv")
    accepted[accepted["class"] != "middle"].to_csv(own_tones / "accepted.csv", index=False)
    assert open_features(run_featurize(own_tones, tmp_path, small_params)).classes == ["low", "high"]


def test_names_that_look_like_missing_values_stay_names(own_tones, small_params, tmp_path):
    accepted = pd.read_csv(own_tones / "accepted.csv")
    accepted.replace({"class": {"low": "None"}}).assign(source="007").to_csv(own_tones / "accepted.csv", index=False)
    text = (own_tones / "raw" / "dataset.json").read_text()
    (own_tones / "raw" / "dataset.json").write_text(text.replace('"low"', '"None"'))
    index = open_features(run_featurize(own_tones, tmp_path, small_params)).index
    assert list(index.columns) == INDEX_COLUMNS
    assert set(index["class"]) == {"None", "middle", "high"}
    assert set(index["source"]) == {"007"}


def test_empty_bands_and_low_rates_are_warned_of(own_tones, small_params, tmp_path, capsys):
    params = small_params | {"featurize": small_params["featurize"] | {"n_mels": 100, "mel_scale": "htk"}}
    accepted = pd.read_csv(own_tones / "accepted.csv")
    path = own_tones / "raw" / "audio" / accepted.loc[0, "clip"]
    soundfile.write(path, np.sin(np.arange(2000)), 4000)
    accepted.loc[0, ["n_samples", "sample_rate_hz"]] = 2000, 4000
    accepted.to_csv(own_tones / "accepted.csv", index=False)
    features = open_features(run_featurize(own_tones, tmp_path, params))
    out = capsys.readouterr().out
    n_empty = len(features.facts["empty_bands"])
    assert n_empty > 0
    assert f"warning: {n_empty} of 100 bands are empty" in out
    assert "warning: 1 clips were recorded below 8000 Hz, twice featurize.fmax" in out
    assert f"4000 Hz (1); the first is {accepted.loc[0, 'clip']}" in out


def test_a_file_that_changed_since_validate_is_named(own_tones, small_params, tmp_path):
    soundfile.write(own_tones / "raw" / "audio" / "fold2" / "low-1.wav", np.zeros(9000), 8000)
    with pytest.raises(DataError, match=r"fold2/low-1\.wav: expected 30 frames .*, found 69; the file has changed"):
        run_featurize(own_tones, tmp_path, small_params)
    assert not (tmp_path / "features").exists()


def test_a_file_that_is_gone_is_named(own_tones, small_params, tmp_path):
    (own_tones / "raw" / "audio" / "fold2" / "low-1.wav").unlink()
    with pytest.raises(AudioError, match=r"low-1\.wav"):
        run_featurize(own_tones, tmp_path, small_params)


def test_one_class_is_an_error(own_tones, small_params, tmp_path):
    accepted = pd.read_csv(own_tones / "accepted.csv")
    accepted[accepted["class"] == "low"].to_csv(own_tones / "accepted.csv", index=False)
    with pytest.raises(DataError, match="only 'low' has accepted clips; a classifier needs two classes"):
        run_featurize(own_tones, tmp_path, small_params)


def test_no_accepted_clip_is_an_error(own_tones, small_params, tmp_path):
    pd.read_csv(own_tones / "accepted.csv").iloc[:0].to_csv(own_tones / "accepted.csv", index=False)
    with pytest.raises(DataError, match="no clip was accepted"):
        run_featurize(own_tones, tmp_path, small_params)
