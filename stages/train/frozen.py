"""Training with a frozen body: its outputs for all segments are computed once, and the head is trained on these."""

import keras
import numpy as np

from stages.lib.core.errors import ParamsError
from stages.lib.core.progress import progress
from stages.lib.features.store import Features
from stages.lib.model.batches import SegmentBatches
from stages.lib.model.segments import Segmenter
from stages.train.augment import AugmentParams
from stages.train.batches import class_weights, epoch_order
from stages.train.networks import BODY

PLAIN = {"crop": "grid", "gain_db": 0.0, "filter_db": 0.0, "mask_frames": 0, "mask_bands": 0, "mix": "none"}


def check_plain(augment: AugmentParams) -> None:
    """Raise `ParamsError` where segments, and so the outputs of a body, are to change from epoch to epoch."""
    if changed := [
        f"augment.{key} to {value} (is {getattr(augment, key)})"
        for key, value in PLAIN.items()
        if getattr(augment, key) != value
    ]:
        raise ParamsError(
            "train.freeze body computes the outputs of the frozen layers once for each segment, so segments "
            f"cannot change; set {', '.join(changed)}, or train.freeze to none"
        )


def split_at_body(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """The part of a network up to its body, and the part after it; they share the layers of `model`.

    The first takes segments and returns the outputs of the body, (batch, n), the second takes these and
    returns probabilities. The layers after the body must be a chain.
    """
    body = model.get_layer(BODY)
    after = model.layers.index(body) + 1
    return _chain(model.layers[1:after], model.input_shape), _chain(model.layers[after:], body.output_shape)


def _chain(layers: list[keras.Layer], shape: tuple[int | None, ...]) -> keras.Model:
    x = inputs = keras.Input(shape[1:])
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


class BodyOutputs:
    """What a frozen body makes of the segments of each fold, computed when it is first asked for, and once.

    Networks that differ only in the folds that they are trained on share it. Variants that featurize made of clips are
    clips like the others, in training.
    """

    def __init__(self, features: Features, *, batch_size: int) -> None:
        """Take the features; nothing is computed yet."""
        self._features, self._batch_size = features, batch_size
        self._found: dict[tuple[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}  # by fold and length

    def compute(
        self, body: keras.Model, folds: list[int], segmenter: Segmenter, *, variants: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """The outputs for all segments of the folds, float32 (n, n_features), and their one-hot targets."""
        for fold in folds:
            if (fold, segmenter.length) not in self._found:
                self._found[fold, segmenter.length] = self._compute(body, fold, segmenter)
        parts = [self._found[fold, segmenter.length] for fold in folds]
        outputs, targets, is_variant = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        keep = slice(None) if variants else ~is_variant
        return outputs[keep], targets[keep]

    def _compute(self, body: keras.Model, fold: int, segmenter: Segmenter) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        batches = SegmentBatches(self._features, [fold], segmenter, batch_size=self._batch_size, variants=True)
        desc = f"frozen layers, fold {fold}"
        shown = progress(range(len(batches)), total=len(batches), desc=desc, unit="batches")
        segments_and_targets = (batches[i] for i in shown)
        parts = [(body.predict_on_batch(segments), targets) for segments, targets in segments_and_targets]
        outputs, targets = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        is_variant = (batches.clips["variant"] != "").to_numpy()[batches.segments["clip_row"]]
        return outputs.astype(np.float32), targets, is_variant


class FrozenBatches(keras.utils.PyDataset):
    """Outputs of a frozen body, (n, n_features), with their one-hot targets, in a new order every epoch.

    With the same seed the order is that of `stages.train.batches.TrainingBatches`.
    """

    def __init__(self, outputs: np.ndarray, targets: np.ndarray, *, batch_size: int, balanced: bool, seed: int) -> None:
        """Take both. With `balanced` each class weighs the same, else each segment."""
        super().__init__()
        self.inputs, self.targets = outputs, targets
        weights = class_weights(targets.argmax(axis=1), targets.shape[1], balanced=balanced)
        self._weights = targets @ weights
        self._batch_size, self._seed = batch_size, seed
        self.start_epoch(0)

    def __len__(self) -> int:
        """Batches per epoch; the last may be smaller."""
        return -(-len(self.inputs) // self._batch_size)

    def start_epoch(self, epoch: int) -> None:
        """Take the order of this epoch."""
        self._epoch, self._order = epoch, epoch_order(self._seed, epoch, len(self.inputs))

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features, targets and weights of batch `i`."""
        rows = self._order[i * self._batch_size : (i + 1) * self._batch_size]
        return self.inputs[rows], self.targets[rows], self._weights[rows]

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
        self.start_epoch(self._epoch + 1)
