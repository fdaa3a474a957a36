"""Recordings as people's tools write them, made with these tools (lame, sox and ffmpeg of Debian), whole and broken."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

SR = 22050
DURATION_S = 5.0


def original() -> np.ndarray:
    """A rising tone over rising noise, float64 of shape (n_samples,): no part of it is like another.

    It begins with what costs few bits, so that a length by the bit rate of the beginning is far too long.
    """
    t = np.arange(round(DURATION_S * SR)) / SR
    noise = np.random.default_rng(0).standard_normal(len(t))
    return 0.3 * np.sin(2 * np.pi * (300 + 200 * t) * t) + 0.02 * np.maximum(0, t - 1) * noise


def run(*command: str) -> bytes:
    """Run a tool; skips the test where it is not installed. Returns its standard output, which is a pipe to it."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True)
    if b"no handler for file extension" in done.stderr:
        pytest.skip(f"{command[0]} is installed without the format of {command[-1]}; on Debian install libsox-fmt-mp3")
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_wav(path: Path, samples: np.ndarray | None = None) -> Path:
    soundfile.write(path, original() if samples is None else samples, SR, format="WAV")
    return path


def by_tool(*command: str) -> Callable[[Path], None]:
    """Writes what a tool makes of the original; IN and OUT stand for its files."""

    def make(path: Path) -> None:
        source = write_wav(path.with_name(f".{path.name}.wav"))
        run(*({"IN": str(source), "OUT": str(path)}.get(part, part) for part in command))
        source.unlink()

    return make


def by_ffmpeg(*options: str) -> Callable[[Path], None]:
    return by_tool("ffmpeg", "-y", "-i", "IN", *options, "OUT")


def by_pipe(*command: str) -> Callable[[Path], None]:
    """Writes what a tool writes into a pipe, where it cannot go back to the header."""

    def make(path: Path) -> None:
        source = write_wav(path.with_name(f".{path.name}.wav"))
        path.write_bytes(run(*(str(source) if part == "IN" else part for part in command)))
        source.unlink()

    return make


def claiming(n_bytes: int) -> Callable[[Path], None]:
    """Writes a WAV file whose header claims `n_bytes` of samples."""

    def make(path: Path) -> None:
        content = bytearray(write_wav(path).read_bytes())
        at = content.index(b"data") + 4
        content[at : at + 4] = n_bytes.to_bytes(4, "little")
        path.write_bytes(content)

    return make


def repeated(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def make_twice(path: Path) -> None:
        make(path)
        path.write_bytes(2 * path.read_bytes())

    return make_twice


def cut(make: Callable[[Path], None]) -> Callable[[Path], None]:
    """Writes two thirds of what `make` writes."""

    def make_part(path: Path) -> None:
        make(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3 + 7])

    return make_part


def with_a_hole(make: Callable[[Path], None]) -> Callable[[Path], None]:
    """Writes what `make` writes with a fifth of it, in the middle, as zeros."""

    def make_with_hole(path: Path) -> None:
        make(path)
        content = path.read_bytes()
        n_bytes = len(content) // 5
        path.write_bytes(content[: 2 * n_bytes] + bytes(n_bytes) + content[3 * n_bytes :])

    return make_with_hole


def inverted(path: Path) -> None:
    """Writes two channels, one of which is the other turned round, as a wrong cable does."""
    y = original()
    write_wav(path, np.stack([y, -y], axis=1))


def inverted_with_noise(path: Path) -> None:
    y, noise = original(), 1e-3 * np.random.default_rng(1).standard_normal((round(DURATION_S * SR), 2))
    write_wav(path, np.stack([y, -y], axis=1) + noise)


# Name -> how it is made; all are the original and decode whole. Those of TWICE hold it twice.
WHOLE: dict[str, Callable[[Path], None]] = {
    "lame.mp3": by_tool("lame", "-V4", "IN", "OUT"),
    "lame without a tag.mp3": by_tool("lame", "-V4", "-t", "IN", "OUT"),
    "lame at a constant rate without a tag.mp3": by_tool("lame", "-b", "64", "-t", "IN", "OUT"),
    "lame into a pipe.mp3": by_pipe("lame", "-V4", "IN", "-"),
    "sox.mp3": by_tool("sox", "IN", "OUT"),
    "ffmpeg.mp3": by_ffmpeg(),
    "ffmpeg without a tag.mp3": by_ffmpeg("-write_xing", "0"),
    "mp3 inside.wav": by_ffmpeg("-c:a", "libmp3lame"),
    "arecord.wav": claiming(2**31),
    "arecord of three bytes.wav": claiming(2**31 - 2),
    "size 0.wav": claiming(0),
    "ffmpeg into a pipe.wav": by_pipe("ffmpeg", "-i", "IN", "-f", "wav", "-"),
    "sox into a pipe.wav": by_pipe("sox", "IN", "-t", "wav", "-"),
    "ffmpeg into a pipe.flac": by_pipe("ffmpeg", "-i", "IN", "-f", "flac", "-"),
    "phone.m4a": by_ffmpeg(),
    "header first.m4a": by_ffmpeg("-movflags", "+faststart"),
    "lossless.m4a": by_ffmpeg("-c:a", "alac"),
    "raw.aac": by_ffmpeg(),
    "browser.webm": by_ffmpeg("-c:a", "libopus"),
    "matroska.mka": by_ffmpeg(),
    "windows.wma": by_ffmpeg(),
    "film.mov": by_ffmpeg("-f", "mov"),
    "vorbis.ogg": by_ffmpeg(),
    "opus.opus": by_ffmpeg(),
    "sony.w64": by_ffmpeg(),
    "apple.caf": by_ffmpeg(),
    "apple lossless.caf": by_ffmpeg("-c:a", "alac"),
    "ffmpeg into a pipe.caf": by_pipe("ffmpeg", "-i", "IN", "-f", "caf", "-"),
    "nist.sph": by_tool("sox", "IN", "OUT"),
    "browser into a pipe.webm": by_pipe("ffmpeg", "-i", "IN", "-f", "webm", "-c:a", "libopus", "-"),
    "flash.flv": by_ffmpeg("-ar", "22050"),
    "streamed.aiff": by_pipe("sox", "IN", "-t", "aiff", "-"),
}
TWICE: dict[str, Callable[[Path], None]] = {
    "two links.ogg": repeated(by_ffmpeg()),
    "two files.mp3": repeated(by_tool("lame", "-V4", "-t", "IN", "OUT")),
}
# Name -> how it is made, and the check of validate that finds it.
BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut.mp3": (cut(WHOLE["lame.mp3"]), "truncated"),
    "cut.wav": (cut(write_wav), "truncated"),
    "cut inside.wav": (cut(WHOLE["mp3 inside.wav"]), "truncated"),
    "cut.flac": (cut(by_ffmpeg()), "undecodable"),
    "cut.ogg": (cut(by_ffmpeg()), "truncated"),
    "cut.opus": (cut(by_ffmpeg()), "truncated"),
    "two links, cut.ogg": (cut(TWICE["two links.ogg"]), "truncated"),
    "flac inside, cut.ogg": (cut(by_pipe("ffmpeg", "-i", "IN", "-f", "ogg", "-c:a", "flac", "-")), "truncated"),
    "cut.caf": (cut(by_tool("sox", "IN", "OUT")), "truncated"),
    "cut.sph": (cut(WHOLE["nist.sph"]), "truncated"),
    "cut.8svx": (cut(by_tool("sox", "IN", "OUT")), "truncated"),
    "hole.webm": (with_a_hole(WHOLE["browser into a pipe.webm"]), "truncated"),
    "hole.flac": (with_a_hole(WHOLE["ffmpeg into a pipe.flac"]), "truncated"),
    "cut.m4a": (cut(WHOLE["phone.m4a"]), "undecodable"),
    "cut, header first.m4a": (cut(WHOLE["header first.m4a"]), "undecodable"),
    "cut.mka": (cut(by_ffmpeg()), "truncated"),
    "cut.aac": (cut(by_ffmpeg()), "undecodable"),
    "claims 1 s of 5.wav": (claiming(2 * SR), "truncated"),
    "inverted.wav": (inverted, "cancelling_channels"),
    "inverted, noisy.wav": (inverted_with_noise, "cancelling_channels"),
    "text.m4a": (lambda path: path.write_text("no sound"), "undecodable"),
    "pictures alone.mp4": (
        by_tool("ffmpeg", "-y", "-f", "lavfi", "-i", "color=size=64x64:duration=1", "OUT"),
        "undecodable",
    ),
}
