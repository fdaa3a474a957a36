"""Batches to train on: the segments of the training folds, in a new order every epoch, augmented."""

import numpy as np

from stages.lib.core.parallel import n_workers
from stages.lib.features.store import Features
from stages.lib.model.batches import SegmentBatches
from stages.lib.model.segments import Segmenter
from stages.train.augment import Augmenter


def epoch_order(seed: int, epoch: int, n_segments: int) -> np.ndarray:
    """The order in which an epoch takes the segments, int (n_segments,)."""
    return np.random.default_rng([seed, epoch]).permutation(n_segments)


def class_weights(class_ids: np.ndarray, n_classes: int, *, balanced: bool) -> np.ndarray:
    """What a segment of each class weighs in the loss, float32 (n_classes,); `class_ids` are those of all segments.

    With `balanced` each class that there is weighs the same, and a segment 1 on average; else each segment 1.
    """
    if not balanced:
        return np.ones(n_classes, np.float32)
    counts = np.bincount(class_ids, minlength=n_classes)
    return (len(class_ids) / np.maximum(counts, 1) / (counts > 0).sum()).astype(np.float32)


class TrainingBatches(SegmentBatches):
    """The segments of the training folds in a new order every epoch, augmented, with a weight each.

    A clip gives as many segments per epoch as it has, each of them cut from the clip itself or, where featurize made
    variants of it, from one of those, drawn at random. A batch depends on seed, epoch and its number alone, so that a
    training that goes on in a later epoch sees what it would have seen.
    """

    def __init__(
        self,
        features: Features,
        folds: list[int],
        segmenter: Segmenter,
        *,
        batch_size: int,
        augmenter: Augmenter,
        balanced: bool,
        seed: int,
    ) -> None:
        """Lay out the segments. With `balanced` each class weighs the same, else each segment."""
        super().__init__(features, folds, segmenter, batch_size=batch_size, variants=True, workers=max(2, n_workers()))
        self._augmenter, self._seed = augmenter, seed
        self._levels_db = self.clips["level_db"].to_numpy()
        families = {clip: rows.index.to_numpy() for clip, rows in self.clips.groupby("clip")}
        self._families = [families[clip] for clip in self.clips["clip"]]
        of_original = (self.clips["variant"] == "").to_numpy()[self._pairs[:, 0]]
        self._pairs = self._pairs[of_original]
        classes = self.class_ids[self._pairs[:, 0]]
        self._class_weights = class_weights(classes, self.n_classes, balanced=balanced)
        between = augmenter.params.mix == "between_class"
        everyone = np.arange(len(self._pairs))
        self._partners = [everyone[classes != i] if between else everyone for i in range(self.n_classes)]
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Take the order of this epoch."""
        self._epoch, self._order = epoch, epoch_order(self._seed, epoch, len(self._pairs))

    def __getitem__(self, i: int) -> tuple[np.ndarray, ...]:
        """The segments, targets and weights, float32 (batch,), of batch `i`."""
        rng = np.random.default_rng([self._seed, self._epoch, i])
        rows = self._order[i * self._batch_size : (i + 1) * self._batch_size]
        segments, clip_rows = self._draw(rows, rng)
        if self._augmenter.params.mix == "none":
            segments, _ = self._augmenter(segments, rng)
            targets = self._one_hot(clip_rows)
        else:
            partners, partner_rows = self._draw(self._draw_partners(clip_rows, rng), rng)
            levels_db = self._levels_db[clip_rows], self._levels_db[partner_rows]
            segments, share = self._augmenter(segments, rng, partners, levels_db)
            share = share[:, np.newaxis].astype(np.float32)
            targets = share * self._one_hot(clip_rows) + (1 - share) * self._one_hot(partner_rows)
        return segments, targets, targets @ self._class_weights

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
        self.start_epoch(self._epoch + 1)

    def _draw_partners(self, clip_rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A segment to mix with for each of the clips `clip_rows`."""
        partners = [self._partners[class_id] for class_id in self.class_ids[clip_rows]]
        drawn = rng.integers([len(rows) for rows in partners])
        return np.array([rows[i] for rows, i in zip(partners, drawn, strict=True)])

    def _draw(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Cut the segments `rows`, from a variant and elsewhere where that is asked for; also their rows in `clips`."""
        families = [self._families[clip_row] for clip_row in self._pairs[rows, 0]]
        drawn = rng.integers([len(family) for family in families])
        clip_rows = np.array([family[i] for family, i in zip(families, drawn, strict=True)])
        starts = self._pairs[rows, 1]
        segments = [self._crop(self._frames[row], start, rng) for row, start in zip(clip_rows, starts, strict=True)]
        return np.stack(segments), clip_rows

    def _crop(self, frames: np.ndarray, start: int, rng: np.random.Generator) -> np.ndarray:
        """A segment of the frames of a clip: at `start`, anywhere, or anywhere in the clip as if it were a loop."""
        crop, n_frames, length = self._augmenter.params.crop, len(frames), self._segmenter.length
        if crop == "wrap" and n_frames < length and self._segmenter.fill is not None:
            return np.roll(self._segmenter.cut(frames, 0), rng.integers(length), axis=0)
        if crop == "wrap":
            return frames.take(np.arange(length) + rng.integers(n_frames), axis=0, mode="wrap")
        last = max(0, n_frames - length)
        return self._segmenter.cut(frames, int(rng.integers(last + 1)) if crop == "random" else min(start, last))
