"""Where frequencies lie on an axis of mel bands: held to librosa's frequencies of the peaks, and to tones."""

from dataclasses import replace

import librosa
import numpy as np
import pytest
from matplotlib.figure import Figure

from helpers.front_ends import STUDY
from stages.lib.frontend.mel import band_at
from stages.lib.frontend.mel_axis import set_hz_ticks
from stages.lib.frontend.spectrogram import Featurizer

AXIS = {"n_mels": 150, "fmin": 0.0, "fmax": 8000.0, "mel_scale": "slaney"}


def marked(**axis) -> dict[str, float]:
    axes = Figure().subplots()
    axes.set_ylim(0, axis["n_mels"])
    set_hz_ticks(axes, **axis)
    return dict(zip((label.get_text() for label in axes.get_yticklabels()), axes.get_yticks(), strict=True))


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize(("n_mels", "fmin", "fmax"), [(150, 0.0, 8000.0), (40, 50.0, 7600.0), (1, 0.0, 4000.0)])
def test_band_at_is_the_inverse_of_the_frequencies_of_the_peaks(n_mels, fmin, fmax, scale):
    peaks = librosa.mel_frequencies(n_mels=n_mels + 2, fmin=fmin, fmax=fmax, htk=scale == "htk")
    found = band_at(peaks, n_mels=n_mels, fmin=fmin, fmax=fmax, mel_scale=scale)
    np.testing.assert_allclose(found, np.arange(-1, n_mels + 1), atol=1e-9)


def test_a_mark_is_where_a_tone_of_its_frequency_is_drawn():
    """A tone lies between the middles of the two bands it is loudest in, as near to each as that one is loud."""
    params = replace(STUDY, n_mels=40, mel_norm="none", n_fft=4096, win_length=4096, hop_length=4096)
    ticks = marked(n_mels=40, fmin=0.0, fmax=8000.0, mel_scale="slaney")
    t = np.arange(4096) / params.sr
    for name in ("1,000", "2,000", "4,000"):
        tone = np.sin(2 * np.pi * int(name.replace(",", "")) * t).astype(np.float32)
        mel = np.exp(Featurizer(params)(tone)[0])
        loudest = np.sort(np.argsort(mel)[-2:])
        assert ticks[name] == pytest.approx(np.average(loudest + 0.5, weights=mel[loudest]), abs=0.1)


def test_marks_are_octaves_within_the_axis_and_do_not_crowd():
    assert list(marked(**AXIS)) == ["8,000", "4,000", "2,000", "1,000", "500", "125"]
    assert list(marked(**AXIS, gap=0.2)) == ["8,000", "4,000", "2,000", "1,000", "250"]
    assert list(marked(n_mels=20, fmin=300.0, fmax=3400.0, mel_scale="htk")) == ["2,000", "1,000", "500"]


def test_the_outer_corners_are_marked_at_the_edge_of_the_picture():
    assert marked(**AXIS)["8,000"] == 150
