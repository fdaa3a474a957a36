"""Training of one network."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from dvclive import Live
from tqdm import tqdm

from stages.lib.core.errors import ModelError, ParamsError
from stages.lib.core.progress import progress
from stages.lib.features.store import Features
from stages.lib.model.backend import all_devices
from stages.lib.model.batches import SegmentBatches
from stages.lib.model.calibration import Calibration, apply_temperature, calibrate, clip_probabilities
from stages.lib.model.metadata import DatasetMetadata, FeaturizeMetadata, ModelMetadata, TrainMetadata, WeightsMetadata
from stages.lib.model.segments import Segmenter, SegmentParams, make_segmenter
from stages.lib.split.folds import Split
from stages.lib.split.scaler import Scaler
from stages.train.augment import AugmentParams, make_augmenter
from stages.train.batches import TrainingBatches
from stages.train.checkpoint import Checkpoint, Orphaned
from stages.train.frozen import BodyOutputs, FrozenBatches, check_plain, split_at_body
from stages.train.networks import build_model, pretrained_variables
from stages.train.optimizer import PLATEAU_EPOCHS, make_optimizer
from stages.train.recipe import EventParams, TrainParams
from stages.train.weights import Pretrained

CURVES = {
    "loss": "training/loss",
    "accuracy": "training/accuracy",
    "val_loss": "validation/loss",
    "val_accuracy": "validation/accuracy",
}
SEGMENTS_PER_BATCH = 128  # of predictions
HELD_OUT_COLUMNS = ["clip", "fold", "source", "class", "predicted", "probability"]
DECIMALS = 6  # of probabilities in tables


@dataclass(frozen=True)
class Inputs:
    """What the trainings of a run have in common: parameters, features, recordings and first weights."""

    params: TrainParams
    augment: AugmentParams
    segment: SegmentParams
    features: Features
    pretrained: Pretrained | None
    events: EventParams
    audio: Path


def model_metadata(inputs: Inputs, split: Split, scaler: Scaler) -> ModelMetadata:
    """What belongs into the model file, but for the calibration, which is only known after training."""
    features, pretrained = inputs.features, inputs.pretrained
    return ModelMetadata(
        name=split.name,
        classes=features.classes,
        dataset=DatasetMetadata(**features.facts["dataset"]),
        split=split,
        featurize=FeaturizeMetadata(**features.facts["featurize"]),
        kind=features.facts["kind"],
        floor=features.facts["floor"],
        longest=int(features.clips(split.train)["n_frames"].max()),
        scaler_mean=scaler.mean.tolist(),
        segment=inputs.segment,
        augment=asdict(inputs.augment),
        train=TrainMetadata(**asdict(inputs.params)),
        weights=None if pretrained is None else WeightsMetadata.model_validate(pretrained.about, from_attributes=True),
    )


def train_model(
    inputs: Inputs,
    metadata: ModelMetadata,
    scaler: Scaler,
    bodies: BodyOutputs,
    checkpoint_path: Path,
    live_path: Path,
) -> tuple[keras.Model, pd.DataFrame]:
    """Fit a network, from pretrained weights or random ones, to the segments of the training folds by cross-entropy.

    The last weights, or their running mean, are the result. The test fold is not opened, the validation fold only
    watched. After each epoch all that is needed to go on is written to `checkpoint_path`, and where that file exists
    training does go on from it, with the same result. DVCLive writes the scores into the folder `live_path`. Where the
    body is frozen, its outputs come from `bodies`, which networks on other folds of the same features share.

    Returns the model, which takes raw log-mel segments, (batch, n_frames, n_mels), and the curves: one
    row per epoch with `epoch`, `loss`, `accuracy`, `val_loss` and `val_accuracy`, the last two NaN without a validation
    fold. Raises `ModelError` where the loss diverges, `ParamsError` where what is to be watched is not there.
    """
    params, features, pretrained, split = inputs.params, inputs.features, inputs.pretrained, metadata.split
    if params.patience is not None and split.validation is None:
        raise ParamsError(
            f"train.patience {params.patience} watches a validation fold, which {split.name} does not have; "
            "set it to null, or split.validation to previous"
        )
    check_freeze(params, inputs.augment, pretrained)
    keras.utils.clear_session()  # or layers would be numbered on from the model before, and the files would differ
    keras.utils.set_random_seed(params.seed)
    keras.mixed_precision.set_dtype_policy(params.precision)
    segmenter = make_segmenter(metadata)
    with all_devices():
        model = build_model(
            params.model,
            n_frames=segmenter.length,
            n_classes=len(features.classes),
            scaler=scaler,
            pretrained=None if pretrained is None else pretrained.layers,
        )
        fitted, training, validation = make_batches(inputs, metadata, segmenter, model, bodies)
        n_steps = params.epochs * len(training)
        # The optimizer belongs to a shell around the same layers, so that the model is saved without its state.
        trainer = keras.Model(fitted.inputs, fitted.outputs)
        trainer.compile(
            make_optimizer(params, n_steps, [] if pretrained is None else pretrained_variables(fitted)),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=params.label_smoothing),
            metrics=["accuracy"],
        )
        trainer.optimizer.build(trainer.trainable_variables)

    with Live(str(live_path), report=None, dvcyaml=False, save_dvc_exp=False, monitor_system=False) as live:
        watchers: list[keras.callbacks.Callback] = [LiveCurves(live)]
        if params.schedule == "plateau":
            watchers.append(keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=PLATEAU_EPOCHS))
        if params.patience is not None:
            watchers.append(keras.callbacks.EarlyStopping("val_loss", patience=params.patience))
        checkpoint = Checkpoint(checkpoint_path, [*fitted.variables, *trainer.optimizer.variables], watchers)
        n_done = len(checkpoint.history)
        training.start_epoch(n_done)
        n_batches = n_done * len(training)
        with progress(total=n_steps, desc=f"train {split.name}", unit="batches", initial=n_batches) as bar:
            trainer.fit(
                training,
                validation_data=validation,
                validation_batch_size=params.batch_size if isinstance(validation, tuple) else None,
                initial_epoch=n_done,
                epochs=n_done if checkpoint.finished else params.epochs,
                shuffle=False,  # the batches shuffle themselves, in the same way on every backend
                verbose=0,
                callbacks=[EpochBar(bar), keras.callbacks.TerminateOnNaN(), Orphaned(), *watchers, checkpoint],
            )
    trainer.optimizer.finalize_variable_values(trainer.trainable_variables)  # the running mean, where one is kept
    curves = pd.DataFrame(checkpoint.history).reindex(columns=list(CURVES))
    curves.insert(0, "epoch", range(1, len(curves) + 1))
    if not np.isfinite(curves["loss"]).all():
        raise ModelError(
            f"train: the loss of {split.name} became NaN or infinite in epoch {len(curves)}; lower train.learning_rate "
            f"({params.learning_rate:g})"
        )
    return model, curves


def make_batches(
    inputs: Inputs, metadata: ModelMetadata, segmenter: Segmenter, model: keras.Model, bodies: BodyOutputs
) -> tuple[keras.Model, TrainingBatches | FrozenBatches, SegmentBatches | tuple[np.ndarray, np.ndarray] | None]:
    """What is fitted, what it is fitted to, and what is watched: None without a validation fold.

    That is the whole of `model` and its segments, or with a frozen body the part after it and the outputs of the body.
    """
    params, features, split = inputs.params, inputs.features, metadata.split
    balanced = params.class_weights == "balanced"
    if params.freeze == "none":
        training = TrainingBatches(
            features,
            split.train,
            segmenter,
            batch_size=params.batch_size,
            augmenter=make_augmenter(inputs.augment, metadata),
            balanced=balanced,
            seed=params.seed,
        )
        watched = None
        if split.validation is not None:
            watched = SegmentBatches(features, [split.validation], segmenter, batch_size=params.batch_size)
        return model, training, watched
    body, head = split_at_body(model)
    outputs = bodies.compute(body, split.train, segmenter, variants=True)
    frozen = FrozenBatches(*outputs, batch_size=params.batch_size, balanced=balanced, seed=params.seed)
    if split.validation is None:
        return head, frozen, None
    return head, frozen, bodies.compute(body, [split.validation], segmenter, variants=False)


def check_freeze(params: TrainParams, augment: AugmentParams, pretrained: Pretrained | None) -> None:
    """Raise `ParamsError` where pretrained layers are to be treated in a way that cannot be."""
    for key, value, usual in (("freeze", params.freeze, "none"), ("pretrained_rate", params.pretrained_rate, 1.0)):
        if pretrained is None and value != usual:
            raise ParamsError(
                f"train.{key} {value} is for pretrained weights, and {params.weights} has none; set it to {usual}"
            )
    if params.freeze != "none":
        check_plain(augment)


@dataclass(frozen=True)
class HeldOut:
    """What a model says of the clips of a fold that it was not trained on.

    `probabilities` are float32 of shape (n_segments, n_classes), before temperature, `clip_rows` (n_segments,) and
    `class_ids` (n_clips,) as `stages.lib.model.calibration.calibrate` takes them; `clips` are the rows of the features
    index.
    """

    probabilities: np.ndarray
    clip_rows: np.ndarray
    class_ids: np.ndarray
    clips: pd.DataFrame
    fold: int


def predict_fold(model: keras.Model, metadata: ModelMetadata, features: Features, fold: int) -> HeldOut:
    """Apply the model to all clips of a fold that it was not trained on."""
    batches = SegmentBatches(features, [fold], make_segmenter(metadata), batch_size=SEGMENTS_PER_BATCH)
    probabilities = model.predict(batches, verbose=0)
    return HeldOut(probabilities, batches.segments["clip_row"].to_numpy(), batches.class_ids, batches.clips, fold)


def score_clips(held_out: Sequence[HeldOut]) -> dict[str, float]:
    """`validation_accuracy` and `validation_log_loss` (nats) of the clips of all folds, without temperature."""
    of_clips = np.concatenate([clip_probabilities(part.probabilities, part.clip_rows) for part in held_out])
    class_ids = np.concatenate([part.class_ids for part in held_out])
    of_truth = of_clips[np.arange(len(of_clips)), class_ids]
    return {
        "validation_accuracy": float((of_clips.argmax(axis=1) == class_ids).mean()),
        "validation_log_loss": float(-np.log(np.maximum(of_truth, 1e-6)).mean()),
    }


def table_of_clips(held_out: Sequence[HeldOut], classes: Sequence[str], temperature: float) -> pd.DataFrame:
    """What was said of each clip of all folds: a row per clip with the columns `HELD_OUT_COLUMNS`.

    `probability` is that of the class `predicted`, after the temperature.
    """
    tables = []
    for part in held_out:
        of_clips = clip_probabilities(apply_temperature(part.probabilities, temperature), part.clip_rows)
        predicted = [classes[i] for i in of_clips.argmax(axis=1)]
        tables.append(part.clips.assign(predicted=predicted, probability=of_clips.max(axis=1).round(DECIMALS)))
    return pd.concat(tables).reindex(columns=HELD_OUT_COLUMNS)


def calibrate_on(held_out: Sequence[HeldOut], classes: Sequence[str]) -> Calibration:
    """The calibration that fits the clips of all folds taken together."""
    first_rows = np.cumsum([0, *(len(part.class_ids) for part in held_out[:-1])])
    return calibrate(
        np.concatenate([part.probabilities for part in held_out]),
        np.concatenate([part.clip_rows + first for part, first in zip(held_out, first_rows, strict=True)]),
        np.concatenate([part.class_ids for part in held_out]),
        classes,
        [part.fold for part in held_out],
    )


class LiveCurves(keras.callbacks.Callback):
    """Hands the scores of every epoch to DVCLive."""

    def __init__(self, live: Live) -> None:
        """Take the logger to write to."""
        super().__init__()
        self._live = live

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Log."""
        self._live.step = epoch + 1
        for name, value in logs.items():
            if name in CURVES:
                self._live.log_metric(CURVES[name], round(float(value), 6))
        self._live.make_summary()


class EpochBar(keras.callbacks.Callback):
    """Moves a bar one step per batch, followed by the scores of the last finished epoch."""

    def __init__(self, bar: tqdm) -> None:
        """Take the bar to move."""
        super().__init__()
        self._bar = bar

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count a batch."""
        self._bar.update()

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Show them."""
        scores = {"epoch": f"{epoch + 1}/{self.params['epochs']}", "accuracy": f"{logs['accuracy']:.3f}"}
        if "val_accuracy" in logs:
            scores["validation"] = f"{logs['val_accuracy']:.3f}"
        self._bar.set_postfix(scores, refresh=False)  # or each epoch, however short, were a line in a log
