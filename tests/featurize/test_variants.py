import numpy as np
import pytest

from stages.featurize.variants import make_variant, pitch_shift, time_stretch, variant_length, variant_names

SR = 22050


def tone(frequency, duration_s=2.0):
    return np.sin(2 * np.pi * frequency * np.arange(round(duration_s * SR)) / SR).astype(np.float32)


def noise(n_samples=SR):
    return np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)


def rms(y):
    return np.sqrt(np.mean(y[5000:-5000] ** 2))


def strongest_hz(y):
    """The frequency of the largest peak, to a tenth of a bin, by a parabola through the logarithms of three bins."""
    power = np.log(np.abs(np.fft.rfft(y * np.hanning(len(y)))) + 1e-9)
    k = power.argmax()
    left, middle, right = power[k - 1 : k + 2]
    return (k + (left - right) / (2 * (left - 2 * middle + right))) * SR / len(y)


def vocoder(y, factor, n_fft=2048, hop=512):
    """The phase vocoder as textbooks have it, frame after frame with angles in float64: the independent one."""
    window = np.hanning(n_fft + 1)[:-1]
    padded = np.pad(np.float64(y), n_fft // 2)
    spectra = [np.fft.rfft(window * padded[s : s + n_fft]) for s in range(0, len(padded) - n_fft + 1, hop)]
    spectra += [np.zeros_like(spectra[0])] * 2
    expected = 2 * np.pi * hop * np.arange(n_fft // 2 + 1) / n_fft
    phase, out, weight = np.angle(spectra[0]), np.zeros(4 * len(padded)), np.zeros(4 * len(padded))
    for i, t in enumerate(np.arange(0, len(spectra) - 2, factor)):
        left, right, share = spectra[int(t)], spectra[int(t) + 1], t % 1
        magnitude = (1 - share) * np.abs(left) + share * np.abs(right)
        out[i * hop : i * hop + n_fft] += window * np.fft.irfft(magnitude * np.exp(1j * phase))
        weight[i * hop : i * hop + n_fft] += window**2
        turn = np.angle(right) - np.angle(left) - expected
        phase = phase + expected + turn - 2 * np.pi * np.round(turn / (2 * np.pi))
    return (out / np.maximum(weight, 1e-8))[n_fft // 2 :][: round(len(y) / factor)]


def test_names_tell_what_was_done_in_the_order_of_the_parameters():
    assert variant_names([0.81, 2.0], [-2.0, 1.5]) == ["stretch 0.81", "stretch 2", "pitch -2", "pitch 1.5"]


@pytest.mark.parametrize("factor", [0.5, 0.81, 0.93, 1.07, 1.23, 2.0])
def test_stretching_agrees_with_the_textbook(factor):
    # Noise, since phases of bins that hold nothing are those of the rounding.
    np.testing.assert_allclose(time_stretch(noise(), SR, factor), vocoder(noise(), factor), atol=0.01)


@pytest.mark.parametrize("factor", [0.81, 1.23])
def test_stretching_changes_the_length_and_keeps_pitch_and_loudness(factor):
    y = time_stretch(tone(700), SR, factor)
    assert (y.dtype, len(y)) == (np.float32, round(2 * SR / factor))
    assert strongest_hz(y) == pytest.approx(700, abs=0.5)
    assert rms(y) == pytest.approx(np.sqrt(0.5), rel=0.15)  # bins of one peak drift apart a little


@pytest.mark.parametrize("semitones", [-12, -2, 1, 2.5])
def test_shifting_moves_the_pitch_and_keeps_length_and_loudness(semitones):
    y = pitch_shift(tone(700), SR, semitones)
    assert (y.dtype, len(y)) == (np.float32, 2 * SR)
    assert strongest_hz(y) == pytest.approx(700 * 2 ** (semitones / 12), abs=0.5)
    assert rms(y) == pytest.approx(np.sqrt(0.5), rel=0.15)  # bins of one peak drift apart a little


@pytest.mark.parametrize("variant", ["stretch 0.81", "stretch 3", "pitch -2", "pitch 7"])
@pytest.mark.parametrize("n_samples", [1, 2, 600, 2049, 22050])
def test_the_length_is_known_beforehand_and_silence_stays_silent(variant, n_samples):
    y = make_variant(np.zeros(n_samples, dtype=np.float32), SR, variant)
    assert len(y) == variant_length(n_samples, variant)
    assert not y.any()


def test_nothing_is_left_beyond_the_end():
    """A click near the end of the clip stays there."""
    y = np.zeros(SR, dtype=np.float32)
    y[SR - 500] = 1
    assert np.abs(time_stretch(y, SR, 0.5)).argmax() == pytest.approx(2 * (SR - 500), abs=1024)
