"""Training of one network."""

from dataclasses import asdict
from typing import Any

import keras
import numpy as np
import pandas as pd

from stages.lib.batches import SegmentBatches, StepBar
from stages.lib.errors import ModelError
from stages.lib.features import Features
from stages.lib.models import build_model
from stages.lib.progress import progress
from stages.lib.recipe import TrainParams
from stages.lib.scaling import Scaler
from stages.lib.segments import SegmentParams, make_segmenter
from stages.lib.split import Split

CURVES = ["loss", "accuracy", "val_loss", "val_accuracy"]


def train_model(
    params: TrainParams, segment: SegmentParams, features: Features, split: Split, scaler: Scaler
) -> tuple[keras.Model, dict[str, Any], pd.DataFrame]:
    """Fit a network by Adam to the categorical cross-entropy of the segments of the training folds.

    The weights after the last epoch are the result. The test fold is not opened, the validation fold only watched.
    Returns the model, which takes raw log-mel segments, (batch, n_frames, n_mels), the facts that belong into its file
    (see `stages.lib.model_file`), and the curves: a row an epoch with `epoch`, `loss`, `accuracy`, `val_loss` and
    `val_accuracy`, the last two NaN without a validation fold. Raises `ModelError` where the loss diverges.
    """
    facts = {
        "name": split.name,
        "model": params.model,
        "backend": params.backend,
        "classes": features.classes,
        "featurize": features.facts["featurize"],
        "floor": features.facts["floor"],
        "segment": asdict(segment),
        "longest": int(features.clips(split.train)["n_frames"].max()),
        "scaler_mean": scaler.mean.tolist(),
        "split": asdict(split),
        "dataset": features.facts["dataset"],
    }
    segmenter = make_segmenter(facts)
    training = SegmentBatches(features, split.train, segmenter, batch_size=params.batch_size, seed=params.seed)
    validation = None
    if split.validation is not None:
        validation = SegmentBatches(features, [split.validation], segmenter, batch_size=params.batch_size)

    keras.utils.clear_session()  # or layers would be numbered on from the model before, and the files would differ
    keras.utils.set_random_seed(params.seed)
    model = build_model(params.model, n_frames=segmenter.length, n_classes=len(features.classes), scaler=scaler)
    # The optimizer belongs to a shell around the same layers, so that the model is saved without its state.
    trainer = keras.Model(model.inputs, model.outputs)
    n_steps = params.epochs * len(training)
    learning_rate = params.learning_rate
    if params.schedule == "cosine":
        learning_rate = keras.optimizers.schedules.CosineDecay(learning_rate, n_steps)
    trainer.compile(keras.optimizers.Adam(learning_rate), loss="categorical_crossentropy", metrics=["accuracy"])
    with progress(total=n_steps, desc=f"train {split.name}", unit="batches") as bar:
        history = trainer.fit(
            training,
            validation_data=validation,
            epochs=params.epochs,
            shuffle=False,  # the batches shuffle themselves, in the same way on every backend
            verbose=0,
            callbacks=[_EpochBar(bar), keras.callbacks.TerminateOnNaN()],
        )
    curves = pd.DataFrame(history.history).reindex(columns=CURVES).round(6)
    curves.insert(0, "epoch", range(1, len(curves) + 1))
    if not np.isfinite(curves["loss"]).all():
        raise ModelError(
            f"train: the loss of {split.name} is no number any more in epoch {len(curves)}; lower train.learning_rate "
            f"({params.learning_rate:g})"
        )
    return model, facts, curves


class _EpochBar(StepBar):
    """Shows the scores of the last finished epoch beside the bar."""

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        scores = {"epoch": f"{epoch + 1}/{self.params['epochs']}", "accuracy": f"{logs['accuracy']:.3f}"}
        if "val_accuracy" in logs:
            scores["validation"] = f"{logs['val_accuracy']:.3f}"
        self._bar.set_postfix(scores)
