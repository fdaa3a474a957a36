import numpy as np
import pytest

from stages.lib.frontend.loudness import FLOOR_DB, LevelMeter, a_weights

SR = 44100
HANN = np.hanning(1025)[:-1]
# IEC 61672-1, table 3: nominal frequency (Hz, its exact value is 1000 * 10^(n/10)) and A-weighting (dB).
TABLE_3 = {10: -70.4, 31.5: -39.4, 100: -19.1, 500: -3.2, 1000: 0.0, 2000: 1.2, 4000: 1.0, 8000: -1.1, 16000: -6.6}


def level(y, window=HANN, n_fft=1024, hop_length=512, sr=SR):
    frames = np.lib.stride_tricks.sliding_window_view(y, len(window))[::hop_length]
    meter = LevelMeter(sr=sr, window=window, n_fft=n_fft, hop_length=hop_length)
    return meter(np.abs(np.fft.rfft(frames * window, n=n_fft)).astype(np.float32))


def tone(frequency, amplitude=1.0, duration_s=1.0):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(duration_s * SR)) / SR)


@pytest.mark.parametrize("nominal", TABLE_3)
def test_the_weights_are_those_of_the_standard(nominal):
    exact = 1000 * 10 ** (round(10 * np.log10(nominal / 1000)) / 10)
    assert 10 * np.log10(a_weights(exact)) == pytest.approx(TABLE_3[nominal], abs=0.051)  # the table has one decimal


def test_0_hz_weighs_nothing():
    assert a_weights(0.0) == 0


@pytest.mark.parametrize(
    ("window", "n_fft", "hop_length"),
    [(HANN, 1024, 512), (HANN, 2048, 300), (np.ones(1000), 1000, 500), (np.hamming(8000), 8001, 8000)],
    ids=["half", "padded", "boxcar", "longer than 0.1 s"],
)
@pytest.mark.parametrize(("frequency", "weight_db"), [(1000, 0.0), (4000, 0.96), (8000, -1.14)])
def test_a_sine_has_its_weighted_level_whatever_the_frames(frequency, weight_db, window, n_fft, hop_length):
    measured = level(tone(frequency, amplitude=0.1), window, n_fft, hop_length)
    assert measured == pytest.approx(-20 + weight_db, abs=0.05)


def test_the_loudest_tenth_of_a_second_counts_wherever_it_lies():
    y = tone(1000, amplitude=0.01, duration_s=3.0)
    y[60_000:66_000] = tone(1000, amplitude=0.1, duration_s=6000 / SR)
    assert level(y) == pytest.approx(-20, abs=0.1)


def test_a_click_is_averaged_over_a_tenth_of_a_second():
    """A tone of a hundredth of a second is 10 dB softer than one that goes on."""
    y = np.zeros(SR)
    y[20_000:20_441] = tone(1000, duration_s=441 / SR)
    assert level(y) == pytest.approx(-10, abs=1)


def test_a_clip_shorter_than_the_window_has_the_level_of_what_there_is():
    assert level(tone(1000, amplitude=0.1, duration_s=0.03)) == pytest.approx(-20, abs=0.2)


def test_silence_is_at_the_floor():
    assert level(np.zeros(10_000)) == level(np.full(10_000, 1e-9)) == FLOOR_DB
