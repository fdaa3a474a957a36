"""Recordings as people's tools write them are read to their end, and where a part is missing, that is said."""

import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile

from helpers.odd_recordings import BROKEN, DURATION_S, SR, TWICE, WHOLE, inverted, original, write_wav
from stages.lib.audio import load_mono, open_audio, read_audio
from stages.lib.containers import PAGE, is_mp3, ogg_pages, riff_data
from stages.lib.core.errors import AudioError


def read(path: Path) -> tuple[float, str | None]:
    """The seconds decoded, and what is wrong."""
    with open_audio(path) as recording:
        n_samples = sum(map(len, recording.blocks()))
        assert n_samples == recording.n_read
        return n_samples / recording.sr, recording.problem()


def likeness(y: np.ndarray, reference: np.ndarray) -> float:
    """The greatest normalised cross-correlation, whatever the delay: 1 for the same sound."""
    correlation = scipy.signal.correlate(y, reference, mode="full", method="fft")
    return float(np.abs(correlation).max() / np.sqrt(np.square(y).sum() * np.square(reference).sum()))


@pytest.mark.parametrize("name", WHOLE)
def test_what_tools_write_is_read_whole(tmp_path: Path, name: str):
    WHOLE[name](tmp_path / name)
    seconds, problem = read(tmp_path / name)
    assert problem is None
    assert seconds == pytest.approx(DURATION_S, abs=0.1)  # MP3 without a tag keeps the encoder's delay and padding
    assert likeness(load_mono(tmp_path / name, SR), original()) > 0.9


@pytest.mark.parametrize("name", TWICE)
def test_what_follows_the_first_part_of_a_file_is_read_too(tmp_path: Path, name: str):
    TWICE[name](tmp_path / name)
    seconds, problem = read(tmp_path / name)
    assert problem is None
    assert seconds == pytest.approx(2 * DURATION_S, abs=0.2)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_said(tmp_path: Path, name: str):
    BROKEN[name][0](tmp_path / name)
    try:
        _, problem = read(tmp_path / name)
    except AudioError as error:
        problem = str(error)
        assert BROKEN[name][1] == "undecodable"
        assert str(tmp_path) not in problem
    assert problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cut.mp3", r"the header claims 5\.0 s, 3\.\d s can be decoded"),
        ("cut.mka", r"the header claims 5\.0 s, 3\.\d s can be decoded"),
        ("cut.wav", "the header claims 220500 bytes, the file holds 146992"),
        ("two links, cut.ogg", "the last page is incomplete"),
        ("cut.caf", r"the header claims 220504 bytes, the file holds 14\d{4}"),
        ("cut.sph", r"the header claims 110250 samples, 7\d{4} can be decoded"),
        ("cut.8svx", r"the header claims 110250 bytes, the file holds 7\d{4}"),
        ("hole.webm", r"by the times of its packets it lasts 5\.0 s, [34]\.\d s can be decoded"),
        ("cut.m4a", r"cut\.m4a: cannot be read as audio \(Format not recognised, or incomplete\)"),
        ("cut, header first.m4a", r"cannot be read as audio \(invalid data found when processing input at 3\.\d s\)"),
        (
            "claims 1 s of 5.wav",
            "the header claims 44100 bytes, but 176400 more follow; a WAV file over 4 GB cannot",
        ),
        ("inverted.wav", "averaging the channels loses all of the sound: they cancel each other, one may be inverted"),
        ("inverted, noisy.wav", r"averaging the channels loses \d\d dB: they cancel each other"),
        ("pictures alone.mp4", r"cannot be read as audio \(it holds no sound\)"),
    ],
)
def test_messages(tmp_path: Path, name: str, message: str):
    BROKEN[name][0](tmp_path / name)
    with pytest.raises(AudioError, match=message):  # noqa: PT012
        if problem := read(tmp_path / name)[1]:
            raise AudioError(problem)


def test_what_comes_before_an_error_is_given(tmp_path: Path):
    BROKEN["cut.aac"][0](tmp_path / "cut.aac")
    with open_audio(tmp_path / "cut.aac") as recording:
        blocks = recording.blocks()
        assert len(next(blocks)) / SR == pytest.approx(DURATION_S * 2 / 3, abs=0.3)
        with pytest.raises(AudioError, match="invalid data found"):
            next(blocks)


def test_names_of_codings(tmp_path: Path):
    for name, coding in {
        "lame without a tag.mp3": "MP3 MPEG_LAYER_III",
        "mp3 inside.wav": "WAV MPEG_LAYER_III",
        "size 0.wav": "WAV PCM_16",
        "phone.m4a": "MP4 AAC",
        "browser.webm": "MATROSKA OPUS",
    }.items():
        WHOLE[name](tmp_path / name)
        with open_audio(tmp_path / name) as recording:
            assert recording.coding == coding


def test_lossless_samples_are_the_same_by_either_decoder(tmp_path: Path):
    """FFmpeg decodes the first; integer full scale is 1 for both."""
    WHOLE["lossless.m4a"](tmp_path / "a.m4a")
    expected, sr = read_audio(write_wav(tmp_path / "a.wav"))
    samples, found_sr = read_audio(tmp_path / "a.m4a")
    np.testing.assert_array_equal(samples, expected)
    assert (found_sr, samples.dtype) == (sr, np.float32)


def test_without_pyav_the_reason_says_how_to_convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a b.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    with pytest.raises(
        AudioError,
        match=r"a b\.m4a: cannot be read as audio \(Format not recognised; 'pip install av' reads more formats, or "
        r"convert it: ffmpeg -i 'a b\.m4a' 'a b\.wav'\)",
    ):
        read(tmp_path / "a b.m4a")
    soundfile.write(tmp_path / "a.mp3", original(), SR, format="MP3")
    with pytest.raises(AudioError, match=r"a\.mp3: cannot be read as audio \(MP3 needs PyAV; 'pip install av'"):
        read(tmp_path / "a.mp3")
    assert read(write_wav(tmp_path / "a.wav")) == (DURATION_S, None)


def test_a_playlist_leads_to_no_other_file(tmp_path: Path):
    """FFmpeg would open what it names, on this machine or in the network."""
    WHOLE["raw.aac"](tmp_path / "a.aac")
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:5,\n{tmp_path}/a.aac\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(text)
    with pytest.raises(AudioError, match="Format not recognised"):
        read(tmp_path / "list.m3u8")


def test_a_part_of_an_m4a_that_its_edit_list_leaves_out_is_not_missing(tmp_path: Path):
    """A phone cuts a recording so; what is left out is still in the file."""
    WHOLE["phone.m4a"](tmp_path / "a.m4a")
    content = bytearray((tmp_path / "a.m4a").read_bytes())
    at = content.index(b"elst") + 12
    content[at : at + 8] = struct.pack(">Ii", 2000, 2 * SR)  # 2,000 ms from 2 s on
    (tmp_path / "a.m4a").write_bytes(content)
    seconds, problem = read(tmp_path / "a.m4a")
    assert problem is None
    assert seconds == pytest.approx(2, abs=0.1)
    assert likeness(load_mono(tmp_path / "a.m4a", SR), original()[2 * SR : 4 * SR]) > 0.9


@pytest.mark.parametrize("sr", [8000, 11025, 44100])
def test_the_delay_of_an_encoder_is_not_missing(tmp_path: Path, sr: int):
    """It is 0.2 s of an MP3 at 8 kHz."""
    soundfile.write(tmp_path / "a.mp3", original()[: sr // 2], sr, format="MP3")
    assert read(tmp_path / "a.mp3") == (pytest.approx(0.5, abs=1e-4), None)


def test_fewer_samples_than_the_packets_hold_are_said(tmp_path: Path):
    """Of an MP3 without a tag no header says the length."""
    WHOLE["lame without a tag.mp3"](tmp_path / "a.mp3")
    with open_audio(tmp_path / "a.mp3") as recording:
        n_samples = sum(map(len, recording.blocks()))
        assert recording.n_expected is None
        assert recording.length_problem(n_samples - SR) == "its packets hold 5.1 s, 4.1 s can be decoded"


def test_a_rate_that_changes_on_the_way_is_said(tmp_path: Path):
    for sr in (22050, 44100):
        soundfile.write(tmp_path / f"{sr}.mp3", np.zeros((sr, 1)), sr, format="MP3")
    (tmp_path / "a.mp3").write_bytes((tmp_path / "22050.mp3").read_bytes() + (tmp_path / "44100.mp3").read_bytes())
    with pytest.raises(AudioError, match="it changes on the way: 44100 Hz and 1 channels after 22050 Hz and 1"):
        read(tmp_path / "a.mp3")


@pytest.mark.parametrize(
    ("channels", "loss_db"),
    [
        ([1.0, 1.0], 0),
        (
            [1.0, 0.0],
            20 * np.log10(np.sqrt(2)),
        ),  # half of the amplitude, of 1/sqrt(2)
        ([1.0, -0.9], 20 * np.log10(np.sqrt((1 + 0.81) / 2) / 0.05)),
        ([1.0, -1.0], np.inf),
        ([1.0], None),
        ([0.0, 0.0], None),
    ],
)
def test_what_averaging_loses(tmp_path: Path, channels: list[float], loss_db: float | None):
    soundfile.write(tmp_path / "a.wav", original()[:, None] * channels + 0.1, SR, subtype="FLOAT")  # plus an offset
    with open_audio(tmp_path / "a.wav") as recording:
        list(recording.blocks())
        expected = loss_db if loss_db is None else pytest.approx(loss_db, abs=1e-2)
        assert recording.mixdown_loss_db == expected


def test_measuring_leaves_the_samples_as_they_are(tmp_path: Path):
    samples = np.array([[0.5, -0.25]], np.float32)  # one sample: its channels lie in memory as they would side by side
    soundfile.write(tmp_path / "a.wav", samples, SR, subtype="FLOAT")
    with open_audio(tmp_path / "a.wav") as recording:
        np.testing.assert_array_equal(next(recording.blocks()), samples)


def test_independent_channels_lose_what_the_limit_allows(tmp_path: Path):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (SR, 8))
    write_wav(tmp_path / "a.wav", samples)
    with open_audio(tmp_path / "a.wav") as recording:
        list(recording.blocks())
        assert recording.mixdown_loss_db == pytest.approx(10 * np.log10(8), abs=0.2)
        assert recording.problem() is None


def test_joint_stereo_does_not_hide_an_inverted_channel(tmp_path: Path):
    inverted(tmp_path / "a.wav")
    samples, sr = soundfile.read(tmp_path / "a.wav")
    soundfile.write(tmp_path / "a.mp3", samples, sr, format="MP3")
    assert "cancel each other" in read(tmp_path / "a.mp3")[1]


def riff(path: Path, form: bytes, *chunks: tuple[bytes, int, bytes]) -> Path:
    body = b"".join(name + size.to_bytes(4, "little") + content for name, size, content in chunks)
    path.write_bytes(form + (4 + len(body)).to_bytes(4, "little") + b"WAVE" + body)
    return path


FORMAT = (b"fmt ", 16, struct.pack("<HHIIHH", 1, 1, SR, 2 * SR, 2, 16))


@pytest.mark.parametrize(
    ("chunks", "claimed", "unexplained"),
    [
        ([(b"data", 5000, bytes(5000))], 5000, 0),
        ([(b"data", 5000, bytes(5000)), (b"LIST", 4, b"INFO")], 5000, 0),
        ([(b"LIST", 4, b"INFO"), (b"data", 5000, bytes(5000))], 5000, 0),
        ([(b"data", 5001, bytes(5001) + b"\0"), (b"LIST", 4, b"INFO")], 5001, 0),  # filled up to an even length
        ([(b"data", 5001, bytes(5001)), (b"LIST", 4, b"INFO")], 5001, 0),  # and not
        ([(b"data", 5000, bytes(9000))], 5000, 4000),
        ([(b"data", 0, b"")], 0, 0),
        ([(b"data", 0, b""), (b"LIST", 4, b"INFO")], 0, 0),  # really nothing
        ([(b"data", 0, bytes(9000))], None, 9000),
        ([(b"data", 2**32 - 1, bytes(9000))], None, 0),
    ],
)
def test_chunks_of_wav(tmp_path: Path, chunks: list, claimed: int | None, unexplained: int):
    data = riff_data(riff(tmp_path / "a.wav", b"RIFF", FORMAT, *chunks))
    assert (data.claimed, data.unexplained) == (claimed, unexplained)


def test_a_wav_file_over_4_gb_whose_size_wrapped(tmp_path: Path):
    """27 h that claim 60 s: only the walk over the chunks is tried, on a file with a hole."""
    n_bytes = 2**32 + 60 * 2 * SR
    path = riff(tmp_path / "a.wav", b"RIFF", FORMAT, (b"data", n_bytes % 2**32, b""))
    os.truncate(path, path.stat().st_size + n_bytes)
    data = riff_data(path)
    assert (data.claimed, data.available) == (60 * 2 * SR, n_bytes)
    assert data.problem.startswith(f"the header claims {60 * 2 * SR} bytes, but {2**32} more follow")


def test_rf64_keeps_its_size_apart(tmp_path: Path):
    n_bytes = 2**32 + 1000
    sizes = struct.pack("<QQQI", 0, n_bytes, n_bytes // 2, 0)
    path = riff(tmp_path / "a.wav", b"RF64", (b"ds64", 28, sizes), FORMAT, (b"data", 2**32 - 1, b""))
    os.truncate(path, path.stat().st_size + n_bytes)
    assert riff_data(path).problem is None
    os.truncate(path, path.stat().st_size - 1000)
    assert riff_data(path).problem == f"the header claims {n_bytes} bytes, the file holds {n_bytes - 1000}"


def test_a_page_of_padding_is_no_sound(tmp_path: Path):
    path = riff(tmp_path / "a.wav", b"RIFF", FORMAT, (b"data", 5000, bytes(5000 + PAGE - 1)))
    assert riff_data(path).problem is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xff\xfb\x90\x64", True),
        (b"\xff\xf3\x40\xc4", True),  # MPEG 2
        (b"ID3\x04\0\0\0\0\1\2" + bytes(130) + b"\xff\xfb\x90\x64", True),
        (b"ID3\x04\0\0\0\0\1\2" + bytes(129) + b"\xff\xfb\x90\x64", False),
        (b"\xff\xf1\x50\x80", False),  # AAC
        (b"\xff\xfd\x90\x64", False),  # layer II
        (b"\xff\xfeh\0i\0", False),  # text in UTF-16
        (b"\xff\xfb\xf0\x64", False),  # no such bit rate
        (b"\xff\xfb\x9c\x64", False),  # no such sample rate
        (b"\xff\xeb\x90\x64", False),  # no such version
        (b"\xff\xfb", False),
        (b"RIFF", False),
    ],
)
def test_first_frames_of_mp3(tmp_path: Path, content: bytes, expected: bool):
    (tmp_path / "a").write_bytes(content)
    assert is_mp3(tmp_path / "a") is expected


def test_no_wav(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"FORM")
    assert riff_data(tmp_path / "a") is None
    assert riff_data(riff(tmp_path / "b", b"RIFF", FORMAT)) is None


def test_pages_of_ogg(tmp_path: Path):
    soundfile.write(tmp_path / "a.ogg", original(), SR, format="OGG", subtype="VORBIS")
    content = (tmp_path / "a.ogg").read_bytes()
    for n_links, is_cut, data in (
        (1, False, content),
        (2, False, 2 * content),
        (1, True, content[:-1]),
        (1, True, content + b"O"),
        (0, True, b"OggS"),
    ):
        (tmp_path / "b.ogg").write_bytes(data)
        pages = ogg_pages(tmp_path / "b.ogg")
        assert (pages.n_links, pages.is_cut) == (n_links, is_cut)
