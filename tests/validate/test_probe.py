"""What probing says about files that are whole, broken, odd, or not there."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.lib.audio import BLOCK, read_audio
from stages.validate.probe import Probe, list_files, probe_file, probe_files

SR = 8000


def noise(n_samples: int, n_channels: int = 1) -> np.ndarray:
    return np.random.default_rng(1).uniform(-0.5, 0.5, (n_samples, n_channels))


def write(path: Path, samples: np.ndarray, sr: int = SR, container: str = "WAV", coding: str = "PCM_16") -> Path:
    soundfile.write(path, samples, sr, format=container, subtype=coding)
    return path


@pytest.mark.parametrize(
    ("container", "coding", "sr"),
    [
        ("WAV", "PCM_U8", SR),
        ("WAV", "PCM_16", SR),
        ("WAV", "PCM_24", 192000),
        ("WAV", "PCM_32", SR),
        ("WAV", "FLOAT", SR),
        ("WAV", "DOUBLE", 96000),
        ("WAV", "ULAW", SR),
        ("WAV", "ALAW", SR),
        ("WAV", "IMA_ADPCM", SR),
        ("WAV", "MS_ADPCM", SR),
        ("WAVEX", "PCM_24", 44100),
        ("RF64", "PCM_16", SR),
        ("W64", "PCM_16", SR),
        ("AIFF", "PCM_16", SR),
        ("AU", "PCM_16", SR),
        ("FLAC", "PCM_16", SR),
        ("OGG", "VORBIS", 44100),
        ("OGG", "OPUS", 48000),
        ("MP3", "MPEG_LAYER_III", 44100),
    ],
)
def test_codings_are_read_whole(tmp_path: Path, container: str, coding: str, sr: int):
    path = write(tmp_path / "clip", noise(4000), sr, container, coding)
    probe = probe_file(path)
    assert (probe.file_error, probe.decode_error, probe.missing) == (None, None, None)
    assert (probe.sample_rate_hz, probe.n_channels, probe.subtype) == (sr, 1, f"{container} {coding}")
    assert 0 <= probe.n_samples - 4000 < 2048  # ADPCM fills its last block
    assert probe.rms == pytest.approx(0.5 / np.sqrt(3), rel=0.15)  # of a uniform distribution; ADPCM smooths


@pytest.mark.parametrize("n_channels", range(1, 9))
def test_channels(tmp_path: Path, n_channels: int):
    assert probe_file(write(tmp_path / "clip.wav", noise(100, n_channels))).n_channels == n_channels


@pytest.mark.parametrize(
    ("container", "coding", "error"),
    [
        ("WAV", "PCM_16", "the header claims 32000 bytes, the file holds"),
        ("WAV", "IMA_ADPCM", "the header claims .* bytes"),
        ("WAVEX", "PCM_24", "the header claims 48000 bytes"),
        ("RF64", "PCM_16", "the header claims 32000 bytes"),
        ("W64", "PCM_16", "the header claims .* bytes"),
        ("AIFF", "PCM_16", "the header claims .* bytes"),
        ("AU", "PCM_16", "the header claims 32000 bytes"),
        ("FLAC", "PCM_16", "lost sync"),
        ("OGG", "VORBIS", "the last page is incomplete"),
        ("MP3", "MPEG_LAYER_III", "the header claims 2.0 s, 1.3 s can be decoded"),
    ],
)
def test_truncated(tmp_path: Path, container: str, coding: str, error: str):
    path = write(tmp_path / "clip", noise(16000), SR, container, coding)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    probe = probe_file(path)
    assert re.search(error, probe.missing or probe.decode_error)


@pytest.mark.parametrize(
    ("claim", "missing"),
    [
        (2000, None),
        (2002, "the header claims 2002 bytes, the file holds 2000"),
        (0x7FFFEFFE, "the header claims 2147479550 bytes, the file holds 2000"),
        (0xFFFFFFFF, None),  # FFmpeg writing into a pipe
        (0xFFFFFFFF - 36, None),  # the same for the size of the whole file
        (0x7FFFF000, None),  # SoX doing so
        (0x80000000, None),  # arecord, until it is stopped properly
        (0x7FFFFFFE, None),  # arecord with samples of three bytes
        (0, None),  # GStreamer and others doing so
    ],
)
def test_claims_of_a_wav_header(tmp_path: Path, claim: int, missing: str | None):
    path = write(tmp_path / "clip.wav", noise(1000))
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = claim.to_bytes(4, "little")
    path.write_bytes(content)
    probe = probe_file(path)
    assert (probe.n_samples, probe.missing) == (1000, missing)


def test_a_count_of_samples_beyond_all_memory_is_an_error(tmp_path: Path):
    path = write(tmp_path / "clip.flac", noise(1000), SR, "FLAC")
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the 36 bits of STREAMINFO that count the samples
    content[22:26] = b"\xff" * 4
    path.write_bytes(content)
    probe = probe_file(path)
    assert probe.decode_error or probe.missing


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", "it is empty, it has 0 bytes"), (b"this is no sound" * 99, "Format not recognised")],
)
def test_undecodable(tmp_path: Path, content: bytes, error: str):
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    probe = probe_file(path)
    assert error in probe.decode_error
    assert str(tmp_path) not in probe.decode_error  # a path of this machine in a tracked table


def test_no_file(tmp_path: Path):
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "broken.wav").symlink_to(tmp_path / "gone.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    os.mkfifo(tmp_path / "pipe.wav")  # to open it would wait for ever
    errors = {
        "folder.wav": "a folder",
        "broken.wav": "a link to nothing",
        "missing.wav": "no such file",
        "loop.wav": "too many levels of symbolic links",
        "pipe.wav": "not a regular file",
        "x" * 300: "file name too long",
    }
    assert {name: probe_file(tmp_path / name) for name in errors} == {
        name: Probe(file_error=error) for name, error in errors.items()
    }


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "clip.wav", noise(100))
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read everything
        monkeypatch.setattr(os, "access", lambda *_: False)
    assert probe_file(path) == Probe(file_error="no permission to read")


def test_levels(tmp_path: Path):
    sine = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(SR) / SR + np.pi / 4)  # eight samples a period, none at its top
    probe = probe_file(write(tmp_path / "sine.wav", sine[:, None] + 0.25, coding="FLOAT"))
    top = 0.5 * np.sin(np.pi / 4 + np.pi / 4)
    assert probe.peak == pytest.approx(top + 0.25, abs=1e-6)
    assert probe.swing == pytest.approx(top, abs=1e-6)  # an offset is no sound
    assert probe.rms == pytest.approx(np.sqrt(0.5**2 / 2 + 0.25**2), abs=1e-6)
    assert (probe.clipped_fraction, probe.n_not_finite) == (0, 0)


@pytest.mark.parametrize("coding", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW", "ALAW"])
def test_clipped_fraction_of_each_coding(tmp_path: Path, coding: str):
    samples = np.tile([1.0, 0.2, -1.0, -0.2, 0.1], 200)
    assert probe_file(write(tmp_path / "clip.wav", samples, coding=coding)).clipped_fraction == pytest.approx(0.4)


def test_not_finite(tmp_path: Path):
    samples = noise(100, 2)
    samples[3, 0], samples[4, 1], samples[5, 1] = np.nan, np.inf, -np.inf
    probe = probe_file(write(tmp_path / "clip.wav", samples, coding="FLOAT"))
    assert probe.n_not_finite == 3
    assert np.isfinite([probe.peak, probe.rms, probe.swing, probe.clipped_fraction]).all()


def test_no_samples_and_one(tmp_path: Path):
    none = probe_file(write(tmp_path / "none.wav", np.zeros((0, 1))))
    assert (none.n_samples, none.peak, none.digest, none.missing) == (0, None, None, None)
    one = probe_file(write(tmp_path / "one.wav", np.array([[0.25]])))
    assert (one.n_samples, one.peak, one.rms, one.swing) == (1, 0.25, 0.25, 0)


def test_digest_is_of_the_sound_not_of_the_file(tmp_path: Path):
    samples = (noise(1000, 2) * 32768).astype(np.int16)  # the writers round floats in different ways
    wav = probe_file(write(tmp_path / "a.wav", samples))
    flac = probe_file(write(tmp_path / "a.flac", samples, SR, "FLAC"))
    others = [
        write(tmp_path / "rate.wav", samples, 2 * SR),
        write(tmp_path / "mono.wav", samples.reshape(-1)),
        write(tmp_path / "shorter.wav", samples[:-1]),
    ]
    assert wav.digest == flac.digest
    assert len({wav.digest, *(probe_file(path).digest for path in others)}) == 4


@pytest.mark.parametrize(("container", "coding"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")])
def test_blocks_of_a_long_file_are_the_file(tmp_path: Path, container: str, coding: str):
    path = write(tmp_path / "long", noise(BLOCK * 2 + 5), 44100, container, coding)
    expected, sr = soundfile.read(path, dtype="float32", always_2d=True)
    samples, found_sr = read_audio(path)
    assert found_sr == sr
    np.testing.assert_array_equal(samples, expected)
    probe = probe_file(path)
    assert probe.n_samples == len(expected)
    assert probe.peak == np.abs(expected).max()
    assert probe.rms == pytest.approx(np.sqrt(np.mean(expected.astype(float) ** 2)))


def test_files_in_order_and_the_same_however_many_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = [write(tmp_path / f"{n}.wav", noise(n)) for n in range(10, 90)]
    monkeypatch.setenv("EAR_WORKERS", "1")
    alone = list(probe_files(paths))
    monkeypatch.setenv("EAR_WORKERS", "2")
    assert list(probe_files(paths)) == alone
    assert [probe.n_samples for probe in alone] == list(range(10, 90))


def test_list_files(tmp_path: Path):
    for name in ("b.wav", "a/c d.wav", "a/b/é.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_files(tmp_path) == ["a/b/é.wav", "a/c d.wav", "b.wav"]
    assert list_files(tmp_path / "missing") == []
