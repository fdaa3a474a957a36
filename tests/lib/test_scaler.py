import shutil

import numpy as np
import pytest

from helpers.tones import run_featurize, write_params
from stages.lib.core.errors import DataError
from stages.lib.features.store import fold_file
from stages.lib.split.scaler import ScaleParams, fit_scaler
from stages.scale import __main__ as scale


def frames(n, n_mels=5, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, n_mels)) * [1, 2, 3, 4, 5] + [-18, 0, 5, 100, 1e4]).astype(np.float32)


@pytest.mark.parametrize("sizes", [[100], [1, 99], [33, 0, 33, 34]])
def test_one_pass_over_chunks_gives_mean_and_std_of_the_whole(sizes):
    whole = frames(100)
    scaler = fit_scaler(ScaleParams("band"), np.split(whole, np.cumsum(sizes)[:-1]))
    np.testing.assert_allclose(scaler.mean, whole.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(scaler.std, whole.std(axis=0, dtype=np.float64), rtol=1e-6)
    assert scaler.mean.dtype == scaler.std.dtype == np.float32


def test_all_bands_may_share_one_mean_and_std():
    whole = frames(100)
    scaler = fit_scaler(ScaleParams("all"), np.split(whole, 4))
    np.testing.assert_allclose(scaler.mean, np.full(5, whole.mean(dtype=np.float64)), rtol=1e-6)
    np.testing.assert_allclose(scaler.std, np.full(5, whole.std(dtype=np.float64)), rtol=1e-6)


def test_a_band_that_never_changes_is_not_blown_up():
    whole = np.full((10, 2), -18.42, dtype=np.float32)
    whole[:, 1] = np.arange(10)
    assert fit_scaler(ScaleParams("band"), [whole]).std[0] == 1


def test_a_band_that_is_constant_but_for_rounding_is_not_blown_up():
    """Merging the means of chunks leaves some 1e-17 of a value that float32 does not hold exactly."""
    chunks = [np.full((n, 1), 0.1, dtype=np.float32) for n in (3, 7, 11)]
    assert fit_scaler(ScaleParams("band"), chunks).std[0] == 1
    chunks = [np.full((1000, 1), value, dtype=np.float32) for value in (0.1, 0.1 + 1e-7)]
    assert fit_scaler(ScaleParams("band"), chunks).std[0] == 1


def test_no_frames_is_an_error():
    with pytest.raises(DataError, match="hold no frame"):
        fit_scaler(ScaleParams("band"), [np.empty((0, 5), dtype=np.float32)])


def run_scale(features, params, out):
    scale.main([f"--params={write_params(out / 'p.yaml', params)}", f"--features={features}", f"--scaler={out / 's'}"])
    return {path.stem: path.read_bytes() for path in (out / "s").iterdir()}


@pytest.mark.parametrize(("fold", "changes"), [(3, False), (2, False), (1, True)])
def test_only_the_training_fold_enters_the_scaler(tone_features, small_params, tmp_path, fold, changes):
    """Test fold 3, validation fold 2, training fold 1."""
    before = run_scale(tone_features, small_params, tmp_path)
    altered = shutil.copytree(tone_features, tmp_path / "features")
    values = np.load(fold_file(altered, fold))
    np.save(fold_file(altered, fold), values + 1)
    assert (run_scale(altered, small_params, tmp_path) != before) == changes


def test_variants_never_enter_the_scaler(tones, tone_features, small_params, tmp_path):
    """Neither those of test and validation, nor those of the training folds: the scaler is that of the clips."""
    varied = small_params | {"featurize": small_params["featurize"] | {"stretch": [0.8, 1.2], "pitch": [3.0]}}
    expected = run_scale(tone_features, small_params, tmp_path)
    assert run_scale(run_featurize(tones, tmp_path, varied), varied, tmp_path) == expected


def test_a_model_on_everything_is_scaled_on_everything(tone_features, small_params, tmp_path):
    params = small_params | {"split": {"test_folds": [], "validation": "previous"}}
    assert list(run_scale(tone_features, params, tmp_path)) == ["all"]


def test_a_missing_fold_is_one_line(tone_features, small_params, tmp_path):
    params = small_params | {"split": {"test_folds": [10], "validation": "previous"}}
    with pytest.raises(DataError, match=r"names \[10\]; the data has folds \[1, 2, 3\]"):
        run_scale(tone_features, params, tmp_path)


def test_features_that_are_not_there_are_named(small_params, tmp_path):
    with pytest.raises(DataError, match=r"holds no features; run 'dvc repro featurize'"):
        run_scale(tmp_path, small_params, tmp_path)


def test_a_damaged_file_of_features_is_named(tone_features, small_params, tmp_path):
    damaged = shutil.copytree(tone_features, tmp_path / "features")
    fold_file(damaged, 1).write_bytes(b"x" * 10)
    with pytest.raises(DataError, match=r"fold_1\.npy: cannot be read"):
        run_scale(damaged, small_params, tmp_path)
    np.save(fold_file(damaged, 1), np.zeros((2, 16), dtype=np.float32))
    with pytest.raises(DataError, match=r"fold_1\.npy: expected shape \(\d+, 16\), found \(2, 16\)"):
        run_scale(damaged, small_params, tmp_path)
