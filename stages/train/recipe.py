"""The training recipe: its parameters, apart from the code that needs Keras, since they say which backend to start."""

from typing import Annotated, Literal

from pydantic import Field

from stages.lib.core.params import section


@section("events")
class EventParams:
    """What the head for frames is trained on (`stages.train.frames`): soundscapes, 0 for no head; and epochs. The
    others are the fields of `stages.lib.inference.events.EventSettings`, which are kept with the head.
    """

    n_soundscapes: Annotated[int, Field(ge=0)]
    epochs: Annotated[int, Field(ge=1)]
    min_confidence: Annotated[float, Field(ge=0, le=1)]
    release: Annotated[float, Field(ge=0, le=1)]
    min_duration_s: Annotated[float, Field(ge=0)]
    merge_gap_s: Annotated[float, Field(ge=0)]
    unsure_min_s: Annotated[float, Field(ge=0)]
    silence_db: Annotated[float, Field(le=0)]


@section("train")
class TrainParams:
    """What is trained and how.

    `weights` is a file of `data/weights/`, `freeze` says which of the layers that have them are left as they are, and
    `pretrained_rate` is the share of the learning rate that the others of them get. `learning_rate` is the greatest of
    its `schedule`; `weight_decay` is that of AdamW; `average` the momentum of the running mean of the weights that
    becomes the result, 0 for the last weights; `patience` the number of epochs without a smaller loss on the validation
    fold after which training ends, null to go through all; `calibration_folds` the number of folds on which a model on
    everything is calibrated, by models that each leave out one of them; `seed` that of weights, order, augmentation and
    dropout.
    """

    backend: Literal["tensorflow", "jax", "torch"]
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    model: str
    weights: Annotated[str, Field(min_length=1)]
    freeze: Literal["none", "body"]
    pretrained_rate: Annotated[float, Field(gt=0, le=1)]
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    optimizer: Literal["adam", "adamw", "adamax"]
    learning_rate: Annotated[float, Field(gt=0)]
    schedule: Literal["constant", "cosine", "one_cycle", "plateau"]
    weight_decay: Annotated[float, Field(ge=0)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    class_weights: Literal["none", "balanced"]
    average: Annotated[float, Field(ge=0, lt=1)]
    patience: Annotated[int, Field(ge=1)] | None
    calibration_folds: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]

    def __post_init__(self) -> None:
        """Refuse what the optimizer would not read."""
        if self.weight_decay and self.optimizer != "adamw":
            raise ValueError(
                f"train.weight_decay {self.weight_decay:g} is only for train.optimizer adamw, found {self.optimizer}; "
                "set it to 0.0"
            )
        if self.freeze != "none" and self.pretrained_rate != 1:
            raise ValueError(
                f"train.pretrained_rate {self.pretrained_rate:g} is for pretrained layers that are trained, but "
                f"train.freeze is {self.freeze}; set it to 1.0"
            )
