"""Batches of segments, cut from the memory-mapped features as they are needed."""

import keras
import numpy as np

from stages.lib.features.store import Features
from stages.lib.model.segments import Segmenter, segment_table


class SegmentBatches(keras.utils.PyDataset):
    """All segments of the clips of some folds in order, as Keras wants them: pairs of segments and one-hot targets.

    Segments are float32 of shape (batch, length, n_mels), targets float32 of shape (batch, n_classes). `clips` are the
    rows of the features index that are in it, `class_ids` the numbers of their classes; `segments` has one
    row per segment (see `segment_table`).
    """

    def __init__(
        self,
        features: Features,
        folds: list[int],
        segmenter: Segmenter,
        *,
        batch_size: int,
        variants: bool = False,
        workers: int = 1,
    ) -> None:
        """Lay out the segments; frames are read when a batch is asked for. With `variants` those of clips count too.

        With more than one of `workers`, threads make batches ahead.
        """
        super().__init__(workers=workers)
        self.clips = features.clips(folds, variants=variants)
        self.segments = segment_table(self.clips, segmenter)
        self.n_classes = len(features.classes)
        self._segmenter = segmenter
        self._batch_size = batch_size
        ids = {name: i for i, name in enumerate(features.classes)}
        self.class_ids = self.clips["class"].map(ids).to_numpy()
        frames = {fold: np.asarray(features.frames(fold)) for fold in folds}  # views, without what memmap adds to each
        self._frames = [frames[row.fold][row.offset : row.offset + row.n_frames] for row in self.clips.itertuples()]
        self._pairs = self.segments.to_numpy()

    def __len__(self) -> int:
        """Batches per epoch; the last may be smaller."""
        return -(-len(self._pairs) // self._batch_size)

    def __getitem__(self, i: int) -> tuple[np.ndarray, ...]:
        """The segments and targets of batch `i`."""
        pairs = self._pairs[i * self._batch_size : (i + 1) * self._batch_size]
        segments = np.stack([self._segmenter.cut(self._frames[clip_row], start) for clip_row, start in pairs])
        return segments, self._one_hot(pairs[:, 0])

    def _one_hot(self, clip_rows: np.ndarray) -> np.ndarray:
        return np.eye(self.n_classes, dtype=np.float32)[self.class_ids[clip_rows]]
