from dataclasses import replace

import librosa
import numpy as np
import pytest

from stages.lib.framing import n_frames
from stages.lib.spectrogram import FeaturizeParams, LogMel

# The recipe of the study: 53 ms Hamming windows, half overlapping, 150 bands up to 8 kHz.
STUDY = FeaturizeParams(
    sr=22050, window="hamming", win_length=1168, n_fft=1168, hop_length=584, n_mels=150, fmin=0.0, fmax=8000.0,
    mel_scale="slaney", mel_norm="slaney", power=1, log_offset=1e-8, stretch=[], pitch=[],
)  # fmt: skip


def tone(frequency, sr=22050, duration_s=1.0, amplitude=1.0):
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(round(duration_s * sr)) / sr)).astype(np.float32)


def noise(n_samples, seed=0):
    return np.random.default_rng(seed).standard_normal(n_samples).astype(np.float32)


def dft_log_mel(y, p, filters):
    """The definition, term by term, in float64: the independent implementation."""
    n = np.arange(p.win_length)
    window = {"hamming": 0.54 - 0.46 * np.cos(2 * np.pi * n / p.win_length), "boxcar": np.ones(p.win_length)}[p.window]
    bins = np.arange(p.n_fft // 2 + 1)
    basis = np.exp(-2j * np.pi * np.outer(n, bins) / p.n_fft)
    starts = range(0, len(y) - p.win_length + 1, p.hop_length)
    spectra = np.array([np.abs((y[s : s + p.win_length] * window) @ basis) ** p.power for s in starts])
    return np.log(spectra @ filters.T + p.log_offset)


def test_four_seconds_make_150_frames():
    assert LogMel(STUDY)(noise(4 * 22050)).shape == (150, 150)


@pytest.mark.parametrize(
    ("n_samples", "expected"), [(0, 1), (1, 1), (1167, 1), (1168, 1), (1751, 1), (1752, 2), (88200, 150)]
)
def test_only_whole_frames_are_made_and_at_least_one(n_samples, expected):
    assert n_frames(n_samples, win_length=1168, hop_length=584) == expected
    assert len(LogMel(STUDY)(noise(n_samples))) == expected


GRID = [
    STUDY,
    replace(STUDY, power=2),
    replace(STUDY, mel_scale="htk", mel_norm="none"),
    replace(STUDY, n_mels=10),
    replace(STUDY, n_fft=2048),
    replace(STUDY, win_length=400, n_fft=512, hop_length=160, n_mels=40, fmin=50.0, fmax=7600.0),
    replace(STUDY, window="hann", n_mels=64),
    replace(STUDY, window="blackman", n_mels=64),
    replace(STUDY, window="boxcar", n_mels=64),
]


@pytest.mark.parametrize("p", GRID, ids=range(len(GRID)))
def test_agrees_with_librosa(p):
    y = noise(22050) * 0.1 + tone(700)
    # librosa puts a shorter window into the middle of the FFT's samples, which moves its frames by half the difference.
    shift = (p.n_fft - p.win_length) // 2
    padded = np.pad(y, (shift, p.n_fft))
    mel = librosa.feature.melspectrogram(
        y=padded, sr=p.sr, n_fft=p.n_fft, hop_length=p.hop_length, win_length=p.win_length, window=p.window,
        center=False, power=p.power, n_mels=p.n_mels, fmin=p.fmin, fmax=p.fmax, htk=p.mel_scale == "htk",
        norm=None if p.mel_norm == "none" else p.mel_norm,
    )  # fmt: skip
    ours = LogMel(p)(y)
    expected = np.log(mel + p.log_offset).T[: len(ours)]
    np.testing.assert_allclose(np.exp(ours), np.exp(expected), rtol=1e-4)


@pytest.mark.parametrize("p", [STUDY, replace(STUDY, n_fft=1280, window="boxcar", power=2)], ids=["study", "padded"])
def test_agrees_with_the_definition(p):
    y = noise(4000)
    log_mel = LogMel(p)
    expected = dft_log_mel(np.float64(y), p, log_mel.filters.toarray())
    np.testing.assert_allclose(np.exp(log_mel(y)), np.exp(expected), rtol=1e-4)


def slaney_mel(hz):
    """Slaney's Auditory Toolbox (1998): linear up to 1 kHz at 200/3 Hz a mel, logarithmic above, 27 a factor of 6.4."""
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


@pytest.mark.parametrize("frequency", [100, 440, 1000, 3000, 7000])
def test_a_tone_peaks_in_the_band_that_the_mel_formula_gives(frequency):
    log_mel = LogMel(STUDY)(tone(frequency))
    # Band b is centred at (b + 1) of n_mels + 1 equal steps in mel from fmin to fmax.
    step = slaney_mel(STUDY.fmax) / (STUDY.n_mels + 1)
    bin_width_in_bands = (slaney_mel(frequency) - slaney_mel(frequency - STUDY.sr / STUDY.n_fft)) / step
    peaks = log_mel.argmax(axis=1)
    assert np.abs(peaks - (slaney_mel(frequency) / step - 1)).max() <= 0.5 + bin_width_in_bands


def test_twice_the_amplitude_is_6_02_db_more():
    log_mel = LogMel(STUDY)
    gain_db = 20 / np.log(10) * (log_mel(tone(1000)) - log_mel(tone(1000, amplitude=0.5)))
    assert gain_db[:, LogMel(STUDY)(tone(1000))[0].argmax()] == pytest.approx(20 * np.log10(2), abs=1e-3)


def test_silence_is_at_the_floor_and_finite():
    log_mel = LogMel(STUDY)
    assert log_mel.floor == pytest.approx(np.log(1e-8))
    np.testing.assert_allclose(log_mel(np.zeros(5000, dtype=np.float32)), log_mel.floor, rtol=1e-6)


def test_the_result_is_float32_and_bands_run_along_the_last_axis():
    log_mel = LogMel(replace(STUDY, n_mels=40))(noise(22050))
    assert (log_mel.dtype, log_mel.shape) == (np.float32, (36, 40))


@pytest.mark.parametrize("n_mels", [10, 150, 300, 1000])
def test_empty_bands_are_those_between_whose_edges_no_bin_lies(n_mels):
    log_mel = LogMel(replace(STUDY, n_mels=n_mels))
    edges = librosa.mel_frequencies(n_mels + 2, fmin=STUDY.fmin, fmax=STUDY.fmax)
    bins = np.arange(STUDY.n_fft // 2 + 1) * STUDY.sr / STUDY.n_fft
    expected = [b for b in range(n_mels) if not ((bins > edges[b]) & (bins < edges[b + 2])).any()]
    assert log_mel.empty_bands == expected
    assert bool(expected) == (n_mels == 1000)
    np.testing.assert_allclose(log_mel(noise(22050))[:, expected], log_mel.floor, rtol=1e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_fft": 1024}, "featurize.win_length 1168 is over featurize.n_fft 1024"),
        ({"fmax": 12000.0}, "featurize.fmax 12000 Hz is over half of featurize.sr 22050 Hz"),
        ({"fmin": 8000.0}, "featurize.fmin 8000 Hz is not below featurize.fmax 8000 Hz"),
        ({"stretch": [0.9, 1.0]}, r"featurize.stretch \[0.9, 1.0\]: expected different numbers other than 1, which"),
        ({"pitch": [2.0, 2.0]}, r"featurize.pitch \[2.0, 2.0\]: expected different numbers other than 0, which"),
    ],
)
def test_numbers_that_do_not_fit_each_other_are_named(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(STUDY, **changed)
