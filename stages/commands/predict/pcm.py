"""Raw PCM: bytes as a microphone's driver sends them, without a header, channels interleaved, little-endian."""

import io
from collections.abc import Iterable, Iterator

import numpy as np
import soundfile

from stages.lib.containers import mp3_frame_bytes
from stages.lib.core.errors import AudioError

# Names as ffmpeg has them: the subtype of libsndfile, and bytes per sample.
ENCODINGS = {
    "u8": ("PCM_U8", 1),
    "s16le": ("PCM_16", 2),
    "s24le": ("PCM_24", 3),
    "s32le": ("PCM_32", 4),
    "f32le": ("FLOAT", 4),
}
MAX_CHANNELS = 1024  # of libsndfile
# What a file begins with, at a number of bytes from its beginning.
SIGNATURES = [
    (0, b"RIFF", "WAV or AVI"),
    (0, b"RF64", "WAV (RF64)"),
    (0, b"BW64", "WAV (BW64)"),
    (0, b"riff\x2e\x91\xcf\x11", "Wave64"),
    (0, b"FORM", "AIFF"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "Ogg"),
    (0, b"ID3", "MP3"),
    (0, b"\x1aE\xdf\xa3", "Matroska or WebM"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "WMA"),
    (0, b"wvpk", "WavPack"),
    (0, b"#!AMR", "AMR"),
    (0, b"FLV\x01", "FLV"),
    (0, b"TTA1", "TTA"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"Creative Voice File", "VOC"),
    (4, b"ftyp", "MP4 (M4A)"),
]
LONGEST_SIGNATURE = max(offset + len(signature) for offset, signature, _ in SIGNATURES)  # bytes
TEXT = bytes([*b"\t\r\n", *range(32, 127)])
TEXT_BYTES = 64  # so many that are all text are no samples: of a sound some are negative, of silence all are 0 or 128


class PcmDecoder:
    """Turns bytes, split anywhere, into samples: `push` what comes, then `finish`."""

    def __init__(self, encoding: str, n_channels: int) -> None:
        """Take a name of `ENCODINGS` and the number of channels."""
        self._subtype, n_bytes = ENCODINGS[encoding]
        self._n_channels = n_channels
        self._frame_bytes = n_bytes * n_channels
        self._left = b""
        self._checked = False

    def push(self, data: bytes) -> np.ndarray:
        """The samples that are complete after `data`, float32 of shape (n_samples, n_channels), full scale at 1.

        A sample that ends in the next bytes comes with them, and the first ones once it is clear that they are samples.
        Raises `AudioError` where the stream begins as a file does, whose bytes would be classified as noise.
        """
        data = self._left + data
        if not self._checked and len(data) < bytes_to_tell(data):
            self._left = data
            return np.zeros((0, self._n_channels), np.float32)
        return self._decode(data)

    def finish(self) -> np.ndarray:
        """The samples of a stream too short to tell; one that never ended is left out. Raises as `push` does."""
        return self._decode(self._left)

    def decode(self, stream: Iterable[bytes]) -> Iterator[np.ndarray]:
        """The samples of a whole stream; `push` each piece and `finish`, with their errors."""
        for data in stream:
            yield self.push(data)
        yield self.finish()

    def _decode(self, data: bytes) -> np.ndarray:
        if not self._checked:
            refuse_files(data)
            self._checked = True
        n_whole = len(data) // self._frame_bytes * self._frame_bytes
        self._left = data[n_whole:]
        samples, _ = soundfile.read(
            io.BytesIO(data[:n_whole]), dtype="float32", always_2d=True, format="RAW", samplerate=1,
            channels=self._n_channels, subtype=self._subtype, endian="LITTLE",
        )  # fmt: skip
        return samples


def refuse_files(data: bytes) -> None:
    """Raise `AudioError` where a stream that begins with `data` is a file or text."""
    names = [name for offset, signature, name in SIGNATURES if data[offset:].startswith(signature)]
    if begins_as_mp3(data):
        names.append("MP3")
    if len(data) >= TEXT_BYTES and not data[:TEXT_BYTES].strip(TEXT):
        names.append("text")
    if names:
        raise AudioError(
            f"expected raw samples, found a file ({names[0]}); give predict the file itself, or decode it: "
            "ffmpeg -i FILE -f s16le -ac 1 -ar 44100 - | python -m stages.commands.predict -"
        )


def bytes_to_tell(data: bytes) -> int:
    """How many bytes of a stream that begins with `data` it takes to tell samples from files."""
    return max(LONGEST_SIGNATURE, TEXT_BYTES, (mp3_frame_bytes(data) or 0) + 4)


def begins_as_mp3(data: bytes) -> bool:
    """Whether two frames of an MP3 file follow each other: one header alone is also a pair of samples."""
    n_bytes = mp3_frame_bytes(data)
    if n_bytes is None:
        return False
    fixed = 0xFFFE0C00  # the mark, version, layer and rate, which are the same in all frames
    first, second = (int.from_bytes(data[at : at + 4], "big") for at in (0, n_bytes))
    return first & fixed == second & fixed
