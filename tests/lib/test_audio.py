import numpy as np
import pytest
import soundfile

from stages.lib.audio import load_mono, n_samples_at, read_audio
from stages.lib.core.errors import AudioError


def tone(frequency, sr, duration_s=1.0, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(duration_s * sr)) / sr)


@pytest.mark.parametrize(
    ("subtype", "value", "expected"),
    [
        ("PCM_U8", -(2**31), -1.0),
        ("PCM_16", -(2**31), -1.0),
        ("PCM_16", 2**31 - 2**16, 1 - 2**-15),
        ("PCM_24", -(2**31), -1.0),
        ("PCM_32", -(2**31), -1.0),
    ],
)
def test_integer_full_scale_is_plus_or_minus_one(tmp_path, subtype, value, expected):
    soundfile.write(tmp_path / "x.wav", np.full(10, value, dtype=np.int32), 8000, subtype=subtype)
    y, sr = read_audio(tmp_path / "x.wav")
    assert (y.dtype, y.shape, sr) == (np.float32, (10, 1), 8000)
    np.testing.assert_allclose(y, expected, atol=1e-7)


def test_channels_are_averaged(tmp_path):
    left, right = tone(440, 8000), tone(1000, 8000)
    soundfile.write(tmp_path / "x.wav", np.stack([left, right], axis=1), 8000, subtype="FLOAT")
    np.testing.assert_allclose(load_mono(tmp_path / "x.wav", 8000), (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize("sr_file", [8000, 11025, 16000, 44100, 48000, 96000])
def test_a_resampled_tone_is_the_analytic_tone(tmp_path, sr_file):
    soundfile.write(tmp_path / "x.wav", tone(1000, sr_file), sr_file, subtype="FLOAT")
    y = load_mono(tmp_path / "x.wav", 22050)
    assert y.dtype == np.float32
    # The ends of the recording ring, as any band-limited step does.
    np.testing.assert_allclose(y[2000:-2000], tone(1000, 22050)[2000:-2000], atol=2e-4)


@pytest.mark.parametrize("sr_file", [8000, 44100, 48000, 96000])
@pytest.mark.parametrize("n_samples", [1, 2, 1201, 7919])
def test_the_length_after_resampling_is_known_beforehand(tmp_path, sr_file, n_samples):
    soundfile.write(tmp_path / "x.wav", np.zeros(n_samples), sr_file)
    assert len(load_mono(tmp_path / "x.wav", 22050)) == n_samples_at(n_samples, sr_file, 22050)


def test_what_is_above_half_the_new_rate_is_gone(tmp_path):
    soundfile.write(tmp_path / "x.wav", tone(15000, 48000), 48000, subtype="FLOAT")
    assert np.abs(load_mono(tmp_path / "x.wav", 22050)[2000:-2000]).max() < 1e-4


def test_a_text_file_is_refused(tmp_path):
    (tmp_path / "x.wav").write_text("not audio")
    with pytest.raises(AudioError, match=r"x\.wav: cannot be read as audio"):
        read_audio(tmp_path / "x.wav")


@pytest.mark.parametrize("name", ["a.flac", "a.aac", "a.mp3", "a.m4a", "a.wav"])
def test_what_has_the_name_of_a_recording_alone_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"no audio")
    with pytest.raises(AudioError, match=rf"^{name}: cannot be read as audio \("):
        read_audio(tmp_path / name)


def test_samples_without_a_header_are_refused(tmp_path):
    (tmp_path / "x.raw").write_bytes(bytes(100))
    with pytest.raises(AudioError, match=r"x\.raw: cannot be read as audio \(raw samples have no header"):
        read_audio(tmp_path / "x.raw")


@pytest.mark.parametrize("name", ["x.wav", 300 * "x", "folder"])
def test_what_is_no_file_is_refused(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(AudioError, match=f"{name}: cannot be read as audio"):
        read_audio(tmp_path / name)
