import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import TONES_HZ, run_featurize

from stages.lib.audio import load_mono
from stages.lib.errors import AudioError, DataError
from stages.lib.features import INDEX_COLUMNS, open_features
from stages.lib.spectrogram import FeaturizeParams, LogMel


@pytest.fixture
def own_tones(tones, tmp_path):
    """The tones as a copy that a test may spoil."""
    return shutil.copytree(tones, tmp_path / "tones")


@pytest.fixture(autouse=True)
def _one_worker(monkeypatch):
    monkeypatch.setenv("EAR_WORKERS", "1")


def test_each_clip_is_found_at_its_place(tones, tone_features, small_params):
    log_mel = LogMel(FeaturizeParams(**small_params["featurize"]))
    features = open_features(tone_features)
    assert len(features.index) == 36
    for row in features.index.itertuples():
        stored = features.frames(row.fold)[row.offset : row.offset + row.n_frames]
        expected = log_mel(load_mono(tones / "raw" / "audio" / row.clip, 8000))
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


def test_empty_bands_and_low_rates_are_told(own_tones, small_params, tmp_path, capsys):
    params = small_params | {"featurize": small_params["featurize"] | {"n_mels": 300}}
    accepted = pd.read_csv(own_tones / "accepted.csv")
    path = own_tones / "raw" / "audio" / accepted.loc[0, "clip"]
    soundfile.write(path, np.sin(np.arange(2000)), 4000)
    accepted.loc[0, ["n_samples", "sample_rate_hz"]] = 2000, 4000
    accepted.to_csv(own_tones / "accepted.csv", index=False)
    features = open_features(run_featurize(own_tones, tmp_path, params))
    out = capsys.readouterr().out
    n_empty = len(features.facts["empty_bands"])
    assert n_empty > 0
    assert f"warning: {n_empty} of 300 bands are empty" in out
    assert "warning: 1 clips were recorded below 8000 Hz, twice featurize.fmax" in out
    assert "4000 Hz (1)" in out


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
