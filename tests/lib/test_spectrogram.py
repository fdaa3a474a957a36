import json
from dataclasses import asdict, replace

import librosa
import numpy as np
import pytest
import scipy.fft

from helpers.front_ends import GRID, PCEN, STUDY
from stages.lib.core.errors import ParamsError
from stages.lib.core.params import load_params
from stages.lib.features.framing import n_frames
from stages.lib.frontend.spectrogram import FeaturizeParams, Featurizer


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
    assert Featurizer(STUDY)(noise(4 * 22050)).shape == (150, 150)


@pytest.mark.parametrize(
    ("n_samples", "expected"), [(0, 1), (1, 1), (1167, 1), (1168, 1), (1751, 1), (1752, 2), (88200, 150)]
)
def test_only_whole_frames_are_made_and_at_least_one(n_samples, expected):
    assert n_frames(n_samples, win_length=1168, hop_length=584) == expected
    assert len(Featurizer(STUDY)(noise(n_samples))) == expected


def librosa_mel(y, p):
    # librosa puts a shorter window into the middle of the FFT's samples, which moves its frames by half the difference.
    shift = (p.n_fft - p.win_length) // 2
    mel = librosa.feature.melspectrogram(
        y=np.pad(y, (shift, p.n_fft)), sr=p.sr, n_fft=p.n_fft, hop_length=p.hop_length, win_length=p.win_length,
        window=p.window, center=False, power=p.power, n_mels=p.n_mels, fmin=p.fmin, fmax=p.fmax,
        htk=p.mel_scale == "htk", norm=None if p.mel_norm == "none" else p.mel_norm,
    )  # fmt: skip
    return mel[:, : n_frames(len(y), win_length=p.win_length, hop_length=p.hop_length)]


@pytest.mark.parametrize("numpy_only", [False, True])
@pytest.mark.parametrize("changed", GRID.values(), ids=GRID)
def test_agrees_with_librosa(changed, numpy_only):
    p = replace(STUDY, **changed)
    y = noise(22050) * 0.1 + tone(700)
    ours = Featurizer(p, numpy_only=numpy_only)(y)
    # What the logarithm is taken of, so that the tolerance is that of the sound and not of its logarithm.
    np.testing.assert_allclose(np.exp(np.float64(ours)), librosa_mel(y, p).T + p.log_offset, rtol=1e-4)


@pytest.mark.parametrize("power", [1, 2])
def test_decibels_agree_with_librosa(power):
    p = replace(STUDY, compression="db", power=power, log_offset=1e-6)
    y = noise(22050)
    to_db = librosa.amplitude_to_db if power == 1 else librosa.power_to_db
    expected = to_db(librosa_mel(y, p) + p.log_offset, amin=1e-20, top_db=None).T
    np.testing.assert_allclose(Featurizer(p)(y), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "pcen",
    [PCEN, replace(PCEN, gain=0.5, power=0.25), replace(PCEN, time_constant_s=0.05, eps=1e-3, bias=10.0)],
    ids=["default", "gain", "fast"],
)
def test_pcen_agrees_with_librosa(pcen):
    p = replace(STUDY, compression="pcen", log_offset=None, pcen=pcen)
    y = noise(3 * 22050) * np.linspace(0, 1, 3 * 22050, dtype=np.float32)
    mel = librosa_mel(y, p).astype(np.float64)
    n = pcen.time_constant_s * p.sr / p.hop_length
    b = (np.sqrt(1 + 4 * n**2) - 1) / (2 * n**2)
    expected = librosa.pcen(
        mel, sr=p.sr, hop_length=p.hop_length, gain=pcen.gain, bias=pcen.bias, power=pcen.power,
        time_constant=pcen.time_constant_s, eps=pcen.eps, zi=(1 - b) * mel[:, :1],
    )  # fmt: skip
    np.testing.assert_allclose(Featurizer(p)(y), expected.T, rtol=1e-4)


@pytest.mark.parametrize("n_mfcc", [1, 13, 40])
@pytest.mark.parametrize("lifter", [None, 22.0])
def test_mfcc_agree_with_librosa(n_mfcc, lifter):
    p = replace(STUDY, n_mels=40, compression="db", power=2, log_offset=1e-10, n_mfcc=n_mfcc, lifter=lifter)
    y = noise(22050) * 0.1 + tone(700)
    db = librosa.power_to_db(librosa_mel(y, p) + p.log_offset, amin=1e-20, top_db=None)
    expected = librosa.feature.mfcc(S=db, n_mfcc=n_mfcc, lifter=lifter or 0).T
    assert expected.shape == (36, n_mfcc)
    np.testing.assert_allclose(Featurizer(p)(y), expected, rtol=1e-4, atol=2e-3)  # of sums of numbers up to 50


def test_mfcc_may_be_of_the_natural_logarithm():
    log_mel = Featurizer(STUDY)(noise(22050))
    expected = scipy.fft.dct(log_mel, norm="ortho")[:, :20]
    np.testing.assert_allclose(Featurizer(replace(STUDY, n_mfcc=20))(noise(22050)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("p", [STUDY, replace(STUDY, n_fft=1280, window="boxcar", power=2)], ids=["study", "padded"])
def test_agrees_with_the_definition(p):
    y = noise(4000)
    log_mel = Featurizer(p)
    expected = dft_log_mel(np.float64(y), p, log_mel.filters)
    np.testing.assert_allclose(np.exp(log_mel(y)), np.exp(expected), rtol=1e-4)


def slaney_mel(hz):
    """Slaney's Auditory Toolbox (1998): linear up to 1 kHz at 200/3 Hz a mel, logarithmic above, 27 a factor of 6.4."""
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


@pytest.mark.parametrize("frequency", [100, 440, 1000, 3000, 7000])
def test_a_tone_peaks_in_the_band_that_the_mel_formula_gives(frequency):
    log_mel = Featurizer(STUDY)(tone(frequency))
    # Band b is centred at (b + 1) of n_mels + 1 equal steps in mel from fmin to fmax.
    step = slaney_mel(STUDY.fmax) / (STUDY.n_mels + 1)
    bin_width_in_bands = (slaney_mel(frequency) - slaney_mel(frequency - STUDY.sr / STUDY.n_fft)) / step
    peaks = log_mel.argmax(axis=1)
    assert np.abs(peaks - (slaney_mel(frequency) / step - 1)).max() <= 0.5 + bin_width_in_bands


@pytest.mark.parametrize("compression", ["log", "db"])
@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
def test_two_tones_are_recovered_through_the_whole_clip(mel_scale, compression):
    """The base case of the study: 512 and 1,024 Hz, 1 s at 32 kHz."""
    p = replace(STUDY, sr=32000, fmax=16000.0, mel_scale=mel_scale, compression=compression)
    featurizer, y = Featurizer(p), tone(512, sr=32000) + tone(1024, sr=32000)
    to_mel = {"slaney": slaney_mel, "htk": lambda hz: 2595 * np.log10(1 + hz / 700)}[mel_scale]
    magnitudes, bands = featurizer.magnitudes(y), featurizer(y)
    assert len(magnitudes) == len(bands) == 1 + (32000 - 1168) // 584
    bin_width = p.sr / p.n_fft
    step = to_mel(p.fmax) / (p.n_mels + 1)
    for spectrum, frame in zip(magnitudes, bands, strict=True):
        assert two_highest_peaks(spectrum) * bin_width == pytest.approx([512, 1024], abs=bin_width / 2)
        for band, frequency in zip(two_highest_peaks(frame), (512, 1024), strict=True):
            width = (to_mel(frequency) - to_mel(frequency - bin_width)) / step  # of a bin, in bands
            assert band == pytest.approx(to_mel(frequency) / step - 1, abs=0.5 + width)


def two_highest_peaks(values):
    peaks = np.flatnonzero((values[1:-1] > values[:-2]) & (values[1:-1] >= values[2:])) + 1
    return np.sort(peaks[np.argsort(values[peaks])[-2:]])


def test_twice_the_amplitude_is_6_02_db_more():
    log_mel = Featurizer(STUDY)
    gain_db = 20 / np.log(10) * (log_mel(tone(1000)) - log_mel(tone(1000, amplitude=0.5)))
    assert gain_db[:, Featurizer(STUDY)(tone(1000))[0].argmax()] == pytest.approx(20 * np.log10(2), abs=1e-3)


def test_decibels_of_twice_the_amplitude_are_6_02_more_for_magnitude_and_power():
    for power in (1, 2):
        featurizer = Featurizer(replace(STUDY, compression="db", power=power))
        gain_db = featurizer(tone(1000)) - featurizer(tone(1000, amplitude=0.5))
        assert gain_db.max(axis=1) == pytest.approx(np.full(36, 6.0206), abs=1e-2)


@pytest.mark.parametrize(
    ("changed", "floor"),
    [
        ({}, np.log(1e-8)),
        ({"compression": "db"}, -160),
        ({"compression": "db", "power": 2}, -80),
        ({"compression": "pcen", "log_offset": None, "pcen": PCEN}, 0),
        ({"n_mfcc": 3}, [np.log(1e-8) * np.sqrt(150), 0, 0]),
    ],
)
def test_silence_is_at_the_floor_and_finite(changed, floor):
    featurizer = Featurizer(replace(STUDY, **changed))
    assert featurizer.floor == pytest.approx(floor, abs=1e-4)
    silence = featurizer(np.zeros(5000, dtype=np.float32))
    np.testing.assert_allclose(silence, np.broadcast_to(featurizer.floor, silence.shape), atol=1e-4)


def test_the_result_is_float32_and_bands_run_along_the_last_axis():
    log_mel = Featurizer(replace(STUDY, n_mels=40))(noise(22050))
    assert (log_mel.dtype, log_mel.shape) == (np.float32, (36, 40))


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("log", {}),
        ("db", {"compression": "db"}),
        ("pcen", {"compression": "pcen", "log_offset": None, "pcen": PCEN}),
        ("mfcc", {"n_mfcc": 13}),
        ("mfcc", {"compression": "db", "n_mfcc": 13, "lifter": 22.0}),
    ],
)
def test_each_kind_is_float32_of_its_width(kind, changed):
    p = replace(STUDY, n_mels=40, **changed)
    features = Featurizer(p)(noise(22050))
    assert (p.kind, features.dtype, features.shape) == (kind, np.float32, (36, p.n_features))
    assert p.n_features == (13 if kind == "mfcc" else 40)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_fft": 1024}, "featurize.win_length 1168 is over featurize.n_fft 1024"),
        ({"fmax": 12000.0}, "featurize.fmax 12000 Hz is over half of featurize.sr 22050 Hz"),
        ({"hop_length": 1169}, "featurize.hop_length 1169 is over featurize.win_length 1168; samples between"),
        (
            {"n_mels": 424},
            "featurize.n_mels 424 is over the 423 FFT bins between featurize.fmin 0 Hz and feat",
        ),
        ({"fmin": 7000.0}, r"n_mels 150 is over the 53 FFT bins .*; lower it, or raise featurize.n_fft \(1168\)"),
        ({"n_mfcc": 151}, "featurize.n_mfcc 151 is over featurize.n_mels 150; as many bands have no more"),
        ({"lifter": 22.0}, "featurize.lifter 22 weights MFCC, but featurize.n_mfcc is null; set one of them"),
        ({"pcen": PCEN}, "featurize.pcen does not apply to featurize.compression log; set it to null"),
        ({"log_offset": None}, "featurize.log_offset is null; featurize.compression log needs it"),
        ({"compression": "pcen", "log_offset": None}, "featurize.pcen is null; featurize.compression pcen needs it"),
        ({"compression": "pcen", "pcen": PCEN}, "featurize.log_offset does not apply to featurize.compression pcen"),
        ({"fmin": 8000.0}, "featurize.fmin 8000 Hz is not below featurize.fmax 8000 Hz"),
        ({"stretch": [0.9, 1.0]}, r"featurize.stretch \[0.9, 1.0\]: expected different numbers other than 1, which"),
        ({"pitch": [2.0, 2.0]}, r"featurize.pitch \[2.0, 2.0\]: expected different numbers other than 0, which"),
    ],
)
def test_numbers_that_do_not_fit_each_other_are_named(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(STUDY, **changed)


def load(tmp_path, **changed):
    """Parameters as a user writes them."""
    path = tmp_path / "params.yaml"
    values = {key: json.dumps(value) for key, value in asdict(STUDY).items()} | {"log_offset": "1.0e-8"} | changed
    path.write_text("featurize:\n" + "".join(f"  {key}: {value}\n" for key, value in values.items()))
    return load_params(path, FeaturizeParams)


@pytest.mark.parametrize("text", ["53 ms", "53ms", "0.053 s", ".053s", "52.97 ms"])
def test_window_and_hop_may_be_durations(tmp_path, text):
    p = load(tmp_path, win_length=text, n_fft="null", hop_length="10 ms")
    expected = 1168 if text == "52.97 ms" else 1169  # 0.053 * 22050 = 1168.65
    assert (p.win_length, p.n_fft, p.hop_length) == (expected, expected, 220)


def test_durations_follow_the_rate(tmp_path):
    p = load(tmp_path, sr="44100", win_length="50 ms", n_fft="4096", hop_length="0.025 s")
    assert (p.win_length, p.n_fft, p.hop_length) == (2205, 4096, 1102)


def test_pcen_is_a_mapping(tmp_path):
    text = "{gain: 0.98, bias: 2, power: 0.5, time_constant_s: 0.4, eps: 1.0e-6}"
    assert load(tmp_path, compression="pcen", log_offset="null", pcen=text).pcen == PCEN


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"win_length": "53"}, "featurize.hop_length 584 is over featurize.win_length 53"),
        ({"win_length": "0.053"}, "win_length: expected samples, a whole number, or a duration such as '53 ms'"),
        ({"hop_length": "53 m"}, r"featurize\.hop_length: expected samples, .* found '53 m'$"),
        ({"hop_length": "0 ms"}, r"featurize\.hop_length: expected a value greater than or equal to 1, found"),
        ({"hop_length": "true"}, r"featurize\.hop_length: expected a whole number, found True"),
        ({"win_length": "53 ms", "sr": "fast"}, r"params\.yaml: featurize\.sr: expected a whole number, found 'fast'$"),
        ({"window": "square"}, "featurize.window: expected 'hamming', 'hann', .* found 'square'"),
        (
            {"compression": "pcen", "pcen": "{gain: 1.0}"},
            "featurize.pcen.bias is missing; featurize.pcen.power",
        ),
        (
            {"pcen": "{gain: x, bias: 2, power: 1, time_constant_s: 1, eps: 1, a: 1}"},
            "pcen.gain: expected .*pcen.a is not",
        ),
        ({"stretch": "[5.0]"}, r"featurize.stretch\[0\]: expected a value less than or equal to 4, found 5.0"),
        ({"pitch": "[up]"}, r"featurize.pitch\[0\]: expected a number, found 'up'"),
        ({"n_mfcc": "0"}, "featurize.n_mfcc: expected a value greater than or equal to 1, found 0"),
    ],
)
def test_what_a_user_writes_wrongly_is_named(tmp_path, changed, message):
    with pytest.raises(ParamsError, match=message):
        load(tmp_path, **changed)
