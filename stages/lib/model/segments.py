"""Segments: slices of a clip's frames, of equal length, that the network sees one at a time.

A segment starts every `duration_s - overlap_s` seconds; the last one is aligned to the end of the clip, so that nothing
of the clip is left out and nothing but the clip is in. Only a clip shorter than one segment is padded.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from stages.lib.core.params import section
from stages.lib.features.framing import n_frames

if TYPE_CHECKING:
    import pandas as pd

    from stages.lib.model.metadata import ModelMetadata


@section("segment")
class SegmentParams:
    """Length of a segment and overlap with the next in seconds, and what fills up a shorter clip."""

    duration_s: Annotated[float, Field(gt=0)] | None
    overlap_s: Annotated[float, Field(ge=0)]
    pad: Literal["repeat", "silence", "mask"]

    def __post_init__(self) -> None:
        """Refuse segments that would not move on."""
        if self.duration_s is not None and self.overlap_s >= self.duration_s:
            raise ValueError(
                f"segment.overlap_s {self.overlap_s:g} is not below segment.duration_s {self.duration_s:g}; "
                "each segment must begin after the one before it"
            )


@dataclass(frozen=True)
class Segmenter:
    """Cuts clips into segments of `length` frames, `step` frames apart.

    `fill` is what fills up a clip shorter than a segment: None to repeat the clip, or the values of the n_mels bands.
    """

    length: int
    step: int
    fill: np.ndarray | None

    def starts(self, n_frames: int) -> list[int]:
        """First frames of the segments of a clip of `n_frames` frames; at least one."""
        last = max(0, n_frames - self.length)
        return [*range(0, last, self.step), last]

    def cut(self, frames: np.ndarray, start: int) -> np.ndarray:
        """The segment at `start` of the `frames` of a clip, (n_frames, n_mels).

        Returns (length, n_mels): a view, or a copy where the clip had to be padded.
        """
        segment = frames[start : start + self.length]
        missing = self.length - len(segment)
        if not missing:
            return segment
        if self.fill is None:
            return np.resize(segment, (self.length, segment.shape[1]))  # repeats its rows
        return np.concatenate([segment, np.broadcast_to(self.fill, (missing, len(self.fill)))])


def make_segmenter(metadata: "ModelMetadata") -> Segmenter:
    """The segmenter of a model.

    Where `segment.duration_s` is null a segment has the length of the longest training clip, and a longer clip makes
    several segments without overlap.
    """
    params, featurize = metadata.segment, metadata.featurize
    if params.duration_s is None:
        length = step = metadata.longest
    else:
        n_samples = round(params.duration_s * featurize.sr)
        length = n_frames(n_samples, win_length=featurize.win_length, hop_length=featurize.hop_length)
        step = max(1, round((params.duration_s - params.overlap_s) * featurize.sr / featurize.hop_length))
    if params.pad == "repeat":
        return Segmenter(length, step, fill=None)
    mean = np.asarray(metadata.scaler_mean, dtype=np.float32)
    return Segmenter(length, step, fill=mean if params.pad == "mask" else np.full_like(mean, metadata.floor))


def segment_table(clips: "pd.DataFrame", segmenter: Segmenter) -> "pd.DataFrame":
    """One row per segment of the rows of `clips` (a features index): `clip_row`, a position in `clips`, and `start`."""
    import pandas as pd  # a second or two, which cutting alone, as predict does, need not wait

    rows: Iterable[tuple[int, int]] = (
        (clip_row, start) for clip_row, n in enumerate(clips["n_frames"]) for start in segmenter.starts(n)
    )
    return pd.DataFrame(rows, columns=["clip_row", "start"])
