import warnings

import librosa
import numpy as np
import pytest

from stages.lib.frontend.mel import empty_bands, hz_to_mel, mel_edges, mel_filters, mel_to_hz


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_the_scale_and_its_inverse_are_those_of_librosa(scale):
    hz = np.array([0.0, 20.0, 440.0, 999.9, 1000.0, 1000.1, 8000.0, 22050.0])
    np.testing.assert_array_equal(hz_to_mel(hz, scale), librosa.hz_to_mel(hz, htk=scale == "htk"))
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz, scale), scale), hz, rtol=1e-12)
    assert hz_to_mel(1000.0, scale) == pytest.approx({"slaney": 15, "htk": 1000}[scale], rel=1e-4)  # as published


@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
@pytest.mark.parametrize("mel_norm", ["slaney", "none"])
@pytest.mark.parametrize(
    ("sr", "n_fft", "n_mels", "fmin", "fmax"),
    [(22050, 1168, 150, 0.0, 8000.0), (16000, 512, 40, 50.0, 7600.0), (44100, 2047, 200, 300.0, 22050.0),
     (22050, 1168, 1000, 0.0, 8000.0), (8000, 256, 1, 0.0, 4000.0)],
)  # fmt: skip
def test_filters_are_those_of_librosa_to_the_last_bit(sr, n_fft, n_mels, fmin, fmax, mel_scale, mel_norm):
    filters = mel_filters(
        sr=sr, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, mel_scale=mel_scale, mel_norm=mel_norm
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of empty filters
        expected = librosa.filters.mel(
            sr=sr, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, htk=mel_scale == "htk",
            norm=None if mel_norm == "none" else mel_norm,
        )  # fmt: skip
    assert filters.dtype == np.float32
    np.testing.assert_array_equal(filters, expected)


def test_a_band_peaks_where_its_neighbours_end():
    edges = mel_edges(10, 0.0, 8000.0, "slaney")
    filters = mel_filters(sr=22050, n_fft=8192, n_mels=10, fmin=0.0, fmax=8000.0, mel_scale="slaney", mel_norm="none")
    bins = np.arange(4097) * 22050 / 8192
    np.testing.assert_allclose(bins[filters.argmax(axis=1)], edges[1:-1], atol=22050 / 8192)
    inside = (bins > edges[1]) & (bins < edges[-2])
    np.testing.assert_allclose(filters[:, inside].sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("n_mels", [10, 150, 300, 1000])
def test_empty_bands_are_those_between_whose_edges_no_bin_lies(n_mels):
    filters = mel_filters(sr=22050, n_fft=1168, n_mels=n_mels, fmin=0, fmax=8000, mel_scale="slaney", mel_norm="slaney")
    edges = librosa.mel_frequencies(n_mels + 2, fmin=0, fmax=8000)
    bins = np.arange(1168 // 2 + 1) * 22050 / 1168
    expected = [b for b in range(n_mels) if not ((bins > edges[b]) & (bins < edges[b + 2])).any()]
    assert empty_bands(filters) == expected
    assert bool(expected) == (n_mels == 1000)
