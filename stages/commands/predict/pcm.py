"""Raw PCM: bytes as a microphone's driver sends them, without a header, channels interleaved, little-endian."""

import numpy as np

from stages.lib.core.errors import AudioError

# Names as ffmpeg has them: bytes a sample.
FORMATS = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4}
HEADERS = (b"RIFF", b"RF64", b"FORM", b"fLaC", b"OggS", b"ID3")
LONGEST_MARK = max(map(len, HEADERS))  # bytes


class PcmDecoder:
    """Turns bytes, split anywhere, into samples."""

    def __init__(self, encoding: str, n_channels: int) -> None:
        """Take a name of `FORMATS` and the number of channels."""
        self._encoding = encoding
        self._n_channels = n_channels
        self._left = b""
        self._begun = False

    def push(self, data: bytes) -> np.ndarray:
        """The samples that are whole after `data`, float32 of shape (n_samples, n_channels), full scale at 1.

        A sample that ends in the next bytes comes with them; one that never ends is left out. Raises `AudioError` where
        the stream begins as a file does: its header would be heard as a click, and its samples perhaps as noise.
        """
        data = self._left + data
        if not self._begun:
            if len(data) < LONGEST_MARK:
                self._left = data
                return np.zeros((0, self._n_channels), np.float32)
            self._begun = True
            if data.startswith(HEADERS):
                raise AudioError(
                    f"begins with {data[:4]!r}, the header of a file; send raw samples, as arecord does "
                    "with -t raw and ffmpeg with -f s16le"
                )
        n_bytes = FORMATS[self._encoding] * self._n_channels
        n_whole = len(data) // n_bytes * n_bytes
        self._left = data[n_whole:]
        return self._decode(data[:n_whole]).reshape(-1, self._n_channels)

    def _decode(self, data: bytes) -> np.ndarray:
        match self._encoding:
            case "u8":
                return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
            case "s16le":
                return np.frombuffer(data, "<i2").astype(np.float32) / 2**15
            case "s24le":
                # As the upper three of four bytes, so that the sign is where an integer of 32 bits has it.
                padded = np.zeros((len(data) // 3, 4), np.uint8)
                padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
                return padded.view("<i4")[:, 0].astype(np.float32) / 2**31
            case "s32le":
                return np.frombuffer(data, "<i4").astype(np.float32) / 2**31
        return np.frombuffer(data, "<f4").astype(np.float32)
