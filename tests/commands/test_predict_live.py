"""The predict command on standard input: what raw samples are, captions while they come, and its end."""

import contextlib
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from helpers.predict_program import PROGRAM, read_lines, start
from helpers.repository import ROOT
from helpers.tone_model import SR, scene, tone_model
from stages.commands.predict import __main__ as predict
from stages.commands.predict.live import read_stdin
from stages.commands.predict.pcm import ENCODINGS, PcmDecoder
from stages.lib.containers import mp3_frame_bytes
from stages.lib.core.errors import AudioError


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_raw_samples_split_anywhere(encoding):
    values = np.array([[0, -1], [0.5, -0.5], [0.25, 127 / 128]])
    encoded = {
        "u8": (values * 128 + 128).astype("u1").tobytes(),
        "s16le": (values * 2**15).astype("<i2").tobytes(),
        "s24le": (values * 2**23).astype("<i4").reshape(-1, 1).view("u1")[:, :3].tobytes(),
        "s32le": (values * 2**31).astype("<i4").tobytes(),
        "f32le": values.astype("<f4").tobytes(),
    }[encoding]
    decoder = PcmDecoder(encoding, 2)
    blocks = [*(decoder.push(encoded[i : i + 1]) for i in range(len(encoded))), decoder.finish()]
    assert all(block.dtype == np.float32 for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), values)
    assert len(decoder.push(b"\x01")) == 0  # a sample that never ends


FILES = {
    "WAV": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "RF64": b"RF64\xff\xff\xff\xffWAVEds64",
    "Wave64": bytes.fromhex("726966662e91cf11a5d628db04c10000"),
    "AIFF": b"FORM\x00\x00\x00\x24AIFFCOMM",
    "AIFF-C": b"FORM\x00\x00\x00\x24AIFCFVER",
    "CAF": b"caff\x00\x01\x00\x00desc\x00\x00\x00\x00",
    "AU": b".snd\x00\x00\x00\x18\xff\xff\xff\xff\x00\x00\x00\x03",
    "FLAC": b"fLaC\x00\x00\x00\x22\x10\x00\x10\x00\x00\x00\x00\x00",
    "Ogg": b"OggS\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    "MP3": b"ID3\x04\x00\x00\x00\x00\x00\x23TSSE\x00\x00",
    "VOC": b"Creative Voice File\x1a\x1a\x00\x0a\x01",
    "TTA": b"TTA1\x01\x00\x01\x00\x10\x00\x22\x56\x00\x00\x1a\x24\x0f\x00",
    "FLV": b"FLV\x01\x04\x00\x00\x00\x09\x00\x00\x00\x00\x12\x00\x00\xb2\x00",
    "Matroska": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81",
    "M4A": b"\x00\x00\x00\x1cftypM4A \x00\x00\x02\x00",
    "text": b"dog_bark.wav,siren.wav\r\n",
}


@pytest.mark.parametrize("sizes", [[96], [1] * 96, [3, 93]])
@pytest.mark.parametrize("name", FILES)
def test_a_file_on_standard_input_is_refused(name, sizes):
    decoder, data = PcmDecoder("s16le", 1), (FILES[name] * 6)[:96]
    pieces = np.split(np.frombuffer(data, np.uint8), np.cumsum(sizes)[:-1])
    with pytest.raises(AudioError, match=rf"expected raw samples, found a file \(.*{name[:4]}.*\); .* ffmpeg -i FILE"):
        np.concatenate([decoder.push(piece.tobytes()) for piece in pieces])


@pytest.mark.parametrize("sr", [44100, 48000, 32000, 22050, 16000, 11025, 8000])
def test_an_mp3_without_a_tag_is_refused_on_standard_input(sr):
    """Its first bytes are also samples: -1025 and others."""
    file = io.BytesIO()
    soundfile.write(file, scene(sr), sr, format="MP3")
    assert file.getvalue()[:3] != b"ID3"
    decoder = PcmDecoder("s16le", 1)
    pieces = [file.getvalue()[at : at + 100] for at in range(0, 2000, 100)]
    with pytest.raises(AudioError, match=r"expected raw samples, found a file \(MP3\)"):
        np.concatenate([decoder.push(piece) for piece in pieces])


@pytest.mark.parametrize(
    ("header", "n_bytes"),
    [
        ("fffb90c4", 417),  # MPEG-1, 128 kbit/s at 44,100 Hz: the length that every description of the format gives
        ("fffb92c4", 418),  # padded
        ("fffbe4c4", 960),  # 320 kbit/s at 48,000 Hz
        ("fff380c4", 208),  # MPEG-2, 64 kbit/s at 22,050 Hz
        ("ffe348c4", 288),  # MPEG-2.5, 32 kbit/s at 8,000 Hz
        ("fff98000", None),  # AAC
        ("fffd90c4", None),  # layer II
        ("fffb00c4", None),  # of free bit rate
        ("fffbfcc4", None),
        ("ffeb90c4", None),
        ("00000000", None),
        ("", None),
    ],
)
def test_the_length_of_a_frame_of_mp3(header, n_bytes):
    assert mp3_frame_bytes(bytes.fromhex(header)) == n_bytes


def test_samples_that_begin_as_a_frame_of_mp3_are_decoded():
    rng = np.random.default_rng(0)
    of_another_rate = b"\xff\xfb\x90\xc4" + bytes(413) + b"\xff\xfb\x94\xc4"  # where the next frame would begin
    for head in (b"\xff\xfb\x90\xc4", b"\xff\xf3\x48\xc4", b"\xff\xe3\xe8\xc4", b"\xff\xfb\xf0\x00", of_another_rate):
        data = head + rng.bytes(4000 - len(head) % 2)
        decoder = PcmDecoder("s16le", 1)
        samples = np.concatenate([decoder.push(data[:1000]), decoder.push(data[1000:]), decoder.finish()])
        np.testing.assert_array_equal(samples[:, 0], np.frombuffer(data, "<i2") / np.float32(2**15))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("level", [0.0, 1e-4, 0.5])
def test_sound_and_silence_are_not_taken_for_a_file(encoding, level):
    rng = np.random.default_rng(0)
    subtype, _ = ENCODINGS[encoding]
    for _ in range(50):
        file = io.BytesIO()
        y = level * rng.standard_normal((2000, 1))
        soundfile.write(file, y, 8000, subtype=subtype, format="RAW", endian="LITTLE")
        decoder = PcmDecoder(encoding, 1)
        assert len(decoder.push(file.getvalue())) + len(decoder.finish()) == 2000


def test_a_stream_too_short_to_tell_is_decoded_at_its_end():
    decoder = PcmDecoder("s16le", 1)
    assert decoder.push(b"\x00\x40").shape == (0, 1)
    assert decoder.finish().tolist() == [[0.5]]
    decoder = PcmDecoder("s16le", 1)
    decoder.push(b"RIFF")
    with pytest.raises(AudioError, match=r"found a file \(WAV or AVI\)"):
        decoder.finish()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_formats_of_soundfile_and_written_files_agree(encoding, tmp_path):
    """The independent implementation: what soundfile writes as raw samples and reads back from a WAV file."""
    subtype, _ = ENCODINGS[encoding]
    y = np.random.default_rng(0).uniform(-1, 1, (500, 2))
    soundfile.write(tmp_path / "a.wav", y, 8000, subtype=subtype)
    soundfile.write(tmp_path / "a.raw", y, 8000, subtype=subtype, format="RAW", endian="LITTLE")
    decoder = PcmDecoder(encoding, 2)
    np.testing.assert_array_equal(
        decoder.push((tmp_path / "a.raw").read_bytes()), soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    )


class StandardInput:
    """In the place of standard input: yields pieces, and is interrupted by Ctrl-C while it waits for one."""

    def __init__(self, *pieces):
        self.buffer, self.pieces = self, list(pieces)

    def isatty(self):
        return False

    def read1(self, n_bytes):
        piece = self.pieces.pop(0) if self.pieces else b""
        if piece is signal.SIGINT:
            signal.raise_signal(signal.SIGINT)
        return piece


def pcm(y):
    return np.round(y * 32767).astype("<i2").tobytes()


@pytest.fixture
def predict_stdin(monkeypatch):
    """Runs the command with the model of tones on pieces of standard input."""
    monkeypatch.setattr(predict, "open_model", lambda path: tone_model())
    monkeypatch.setattr(predict, "obtain_model", lambda wanted, revision, scratch: None)

    def run(*pieces, options=()):
        monkeypatch.setattr(sys, "stdin", StandardInput(*pieces))
        predict.main(["-", *options])

    return run


def test_live_gives_the_events_of_the_file(predict_stdin, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", np.round(scene() * 32767).astype(np.int16), SR)
    predict.main([str(tmp_path / "a.wav"), "--json"])
    of_file = capsys.readouterr().out
    data = pcm(scene())
    predict_stdin(*(data[i : i + 999] for i in range(0, len(data), 999)), options=["--sr", str(SR), "--json"])
    live = capsys.readouterr().out
    expected = read_lines(of_file)
    found = sorted(read_lines(live), key=lambda event: event["start_s"])
    assert [event["class"] for event in found] == [event["class"] for event in expected]
    for event, of_whole in zip(found, expected, strict=True):
        assert event["file"] == "-"
        for key in ("start_s", "end_s", "confidence"):
            assert event[key] == pytest.approx(of_whole[key], abs=1e-3)


def test_live_tsv_has_the_events_that_name_a_class(predict_stdin, capsys):
    data = pcm(scene())
    predict_stdin(data, options=["--sr", str(SR), "--json", "--unsure-after", "0.3"])
    events = read_lines(capsys.readouterr().out)
    predict_stdin(data, options=["--sr", str(SR), "--tsv", "--unsure-after", "0.3"])
    named = [
        f"-\t{event['start_s']:.3f}\t{event['end_s']:.3f}\t{event['class']}" for event in events if not event["unsure"]
    ]
    assert capsys.readouterr().out.splitlines() == ["filename\tonset\toffset\tevent_label", *named]
    assert len(events) > len(named) > 0


def test_live_without_a_terminal_prints_each_event_when_it_begins():
    process = start("-", "--sr", str(SR), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdin.write(pcm(scene()[: 5 * SR // 2]))
    process.stdin.flush()
    assert re.fullmatch(rb"00:0[01]\.\d   \d\d%  low\n", process.stdout.readline())  # it sounds until 3 s
    out, _ = process.communicate(pcm(scene()[5 * SR // 2 :]))
    assert re.fullmatch(rb"(.*unsure\n)?00:0[45]\.\d +\d+%  high\n(.*unsure\n)?", out), out
    assert process.returncode == 0


def read_terminal(end):
    text = b""
    while True:
        try:
            piece = os.read(end, 4096)
        except OSError:  # how Linux says that the other end is closed
            return text.decode()
        if not piece:
            return text.decode()
        text += piece


def test_live_captions_are_rewritten_in_place_on_a_terminal():
    ours, theirs = pty.openpty()
    process = start("-", "--sr", str(SR), stdin=subprocess.PIPE, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    process.stdin.write(pcm(scene()))
    process.stdin.close()
    text = read_terminal(ours)
    assert process.wait() == 0
    lines = [line.rstrip("\r").split("\r")[-1].removeprefix("\x1b[K") for line in text.split("\n")]
    assert [line.split("  ")[-1].strip() for line in lines if "low" in line or "high" in line] == ["low", "high"]
    captions = re.findall(r"\r\x1b\[K(\d\d:\d\d\.\d)  ([^\r\n]*)", text)
    assert captions
    assert {said.split()[0] for _, said in captions if " to " not in said} <= {"unsure", "low", "high"}


def test_ctrl_c_ends_live_with_what_was_read():
    options = ["--sr", str(SR), "--json", "--unsure-after", "0.3"]
    process = start("-", *options, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert b"model" in process.stderr.readline()
    process.stdin.write(pcm(scene()[: 5 * SR]))
    process.stdin.flush()
    while json.loads(process.stdout.readline())["class"] != "low":  # it ends at 3 s, so more was read by then
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    (last,) = read_lines(out.decode())
    assert last["class"] == "unsure"  # which goes on until the end of the stream
    assert last["end_s"] > 3.2


def test_ctrl_c_while_waiting_ends_the_stream(monkeypatch):
    monkeypatch.setattr(sys, "stdin", StandardInput(b"a", b"b", signal.SIGINT, b"c"))
    before = signal.getsignal(signal.SIGINT)
    assert list(read_stdin()) == [b"a", b"b"]
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_between_two_reads_ends_the_stream_and_a_second_one_the_program(monkeypatch):
    monkeypatch.setattr(sys, "stdin", StandardInput(b"a", b"b"))
    stream = read_stdin()
    assert next(stream) == b"a"
    signal.raise_signal(signal.SIGINT)
    assert next(stream, None) is None
    stream = read_stdin()
    assert next(stream) == b"b"
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    stream.close()


def test_the_end_of_a_pipe_is_not_an_error():
    process = start("-", "--sr", str(SR), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert b"model" in process.stderr.readline()
    process.stdout.close()
    with contextlib.suppress(BrokenPipeError):  # it may have ended before it took all
        process.stdin.write(pcm(scene()))
        process.stdin.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1


def test_a_sample_that_is_not_finite_gets_a_line_and_the_events_before_it():
    y = scene()
    y[-100] = np.nan
    options = ["--sr", str(SR), "--format", "f32le", "--unsure-after", "99", "--json"]
    process = start("-", *options, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(y[: 6 * SR].astype("<f4").tobytes())
    process.stdin.flush()
    first = process.stdout.readline()  # until then nothing else is sent, so that the rest is read by itself
    out, err = process.communicate(y[6 * SR :].astype("<f4").tobytes())
    assert process.returncode == 1
    assert [event["class"] for event in read_lines((first + out).decode())] == ["low", "high"]
    problem = r"a sample after \d\.\d s is not a finite number; the events are those of what came before"
    assert re.search(rf"error: standard input: {problem}\n$", err.decode())


HOW = r"send raw samples through a pipe: arecord .* \| python -m stages\.commands\.predict -"


def test_a_closed_standard_input_is_named_before_the_model_is_opened():
    done = subprocess.run(
        ["bash", "-c", '"$0" "$@" <&-', sys.executable, "-c", PROGRAM, "-"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert re.fullmatch(rf"error: standard input: is closed; {HOW}\n", done.stderr), done.stderr


def test_a_terminal_as_standard_input_is_named_before_the_model_is_opened():
    ours, theirs = pty.openpty()
    process = start("-", stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, err = process.communicate()
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 1
    assert re.fullmatch(rf"error: standard input: is a terminal; {HOW}\n", err.decode()), err


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no sample"),
        (b"\x00", "holds no sample"),
        (np.full(9000, np.nan, "<f4").tobytes(), r"a sample after 0\.0 s is not a finite number"),
        (FILES["WAV"] * 10, r"expected raw samples, found a file \(WAV or AVI\); .*"),
    ],
)
def test_what_is_wrong_with_standard_input_is_named(predict_stdin, data, message):
    with pytest.raises(AudioError, match=f"^standard input: {message}$"):
        predict_stdin(data, options=["--format", "f32le"])
