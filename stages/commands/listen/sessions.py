"""A live stream: bytes in, messages for people and programs out."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from stages.commands.predict.captions import EventFollower
from stages.commands.predict.formats import as_dict
from stages.commands.predict.pcm import PcmDecoder
from stages.lib.core.labels import UNSURE
from stages.lib.inference.detect import StreamDetector
from stages.lib.inference.events import Event
from stages.lib.inference.runtime import Model

BLOCK_S = (
    0.1  # seconds that are worked on at once: one segment at most, so that each has its caption and no stream waits
)


class LiveSession:
    """The detector of one connection.

    A message is a dictionary of JSON types with a `type`: `caption` for each segment; `began`, `ended` and `withdrawn`
    for events, each with the `id` of its event.
    """

    def __init__(self, model: Model, sr: int, encoding: str) -> None:
        """Take samples at `sr` Hz in an encoding of `stages.commands.predict.pcm`. Raises as `StreamDetector` does."""
        self._decoder = PcmDecoder(encoding, 1)
        self._detector = StreamDetector(model, sr, batch_size=1, looks_ahead=False)
        self._follower = EventFollower()
        self._block = max(1, round(BLOCK_S * sr))
        self._told_s = 0.0

    def decode(self, data: bytes) -> Iterator[np.ndarray]:
        """What `push` takes, in blocks of at most `BLOCK_S`. Raises `AudioError` where the stream begins as a file."""
        return self._cut(self._decoder.push(data))

    def decode_rest(self) -> Iterator[np.ndarray]:
        """The same at the end of the stream."""
        return self._cut(self._decoder.finish())

    def push(self, block: np.ndarray) -> list[dict[str, Any]]:
        """The messages that `block`, float32 (n_samples, 1), gives. Raises as `StreamDetector.push` does."""
        return self._messages(self._detector.push(block))

    def finish(self) -> list[dict[str, Any]]:
        """The messages at the end of the stream, none of a stream without a sample."""
        return self._messages(self._detector.finish()) if self._detector.duration_s else []

    def _cut(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(samples), self._block):
            yield samples[start : start + self._block]

    def _messages(self, ended: list[Event]) -> list[dict[str, Any]]:
        changes = self._follower.follow(self._detector.ongoing, ended)
        messages: list[dict[str, Any]] = [
            {"type": kind, "id": number, **as_dict(event)}
            for kind, numbered in (("withdrawn", changes.withdrawn), ("began", changes.begun), ("ended", changes.ended))
            for number, event in numbered
        ]
        newest = self._detector.newest
        if newest is not None and newest.end_s > self._told_s:
            self._told_s = newest.end_s
            active = self._detector.active_classes(newest)
            classes = self._detector.model.metadata.classes
            sure = [(label, p) for label, p in active if label != UNSURE or UNSURE in classes]
            messages.append(
                {
                    "type": "caption",
                    "end_s": round(newest.end_s, 3),
                    "level_db": round(newest.level, 1),
                    "state": "sound" if sure else "unsure" if active else "silence",
                    "active": [{"class": label, "confidence": round(p, 4)} for label, p in sure],
                    "probabilities": {
                        name: round(float(p), 4) for name, p in zip(classes, newest.probabilities, strict=True)
                    },
                }
            )
        return messages
