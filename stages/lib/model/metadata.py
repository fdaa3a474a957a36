"""What a model file says about its network: all that prediction needs besides the weights, typed, as JSON.

The same metadata is in a `.keras` file (`stages.lib.model.archive`) and in what is exported from one
(`stages.commands.export.converters`), and can be read without Keras.

`schema_version` says how to read it, and is raised only where code that knows an older one would misread the new. A
field with a default may be added at any time: older files are read with the default, and older code keeps a field that
it does not know, so that an exported model has it too. Version 1 is also what files of urban-ear 0.1 hold, which have
no number. Version 2 has `frames`: a network with two outputs, which older code takes for a broken one.
"""

import json
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from stages.lib.core.errors import ModelError
from stages.lib.core.validation import describe_errors
from stages.lib.model.calibration import Calibration
from stages.lib.model.segments import SegmentParams
from stages.lib.split.folds import Split

SCHEMA_VERSION = 2  # the newest that this code reads, and the one that it writes


class FeaturizeMetadata(pydantic.BaseModel, frozen=True, strict=True, extra="allow"):
    """The section `featurize` that the features were computed with, lengths in samples.

    Declared are the keys that are used without the front end, so that training does not depend on its code; the front
    end reads all of them (`stages.lib.frontend.spectrogram.FeaturizeParams`).
    """

    sr: int
    win_length: int
    hop_length: int
    n_mels: int
    fmin: float
    fmax: float
    mel_scale: str
    power: int
    log_offset: float | None

    @property
    def frame_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop_length / self.sr

    @property
    def mel_axis(self) -> dict[str, Any]:
        """What places a frequency on an axis of bands, as `stages.lib.frontend.mel_axis.set_hz_ticks` takes it."""
        return self.model_dump(include={"n_mels", "fmin", "fmax", "mel_scale"})


class TrainMetadata(pydantic.BaseModel, frozen=True, strict=True, extra="allow"):
    """The section `train` that the network was trained with; declared are the keys that are used after training."""

    model: str
    backend: Literal["tensorflow", "jax", "torch"]


class DatasetMetadata(pydantic.BaseModel, frozen=True, strict=True, extra="allow"):
    """The dataset that the network was trained on, as fetch describes it."""

    name: str
    title: str
    synthetic: bool
    licence: str | None
    citation: str | None


class WeightsMetadata(pydantic.BaseModel, frozen=True, strict=True, extra="allow"):
    """The pretrained weights that training began with, as a file of `data/weights/` describes them.

    Not their address, which may be a path of one machine: the hash says which file it was.
    """

    title: str
    sha256: str
    licence: str
    citation: str


class FramesMetadata(pydantic.BaseModel, frozen=True, strict=True, extra="allow"):
    """The head for frames: the frames of a step, and the soundscapes that it was trained on."""

    step: Annotated[int, Field(ge=1)]
    n_soundscapes: int


class EventsMetadata(pydantic.BaseModel, frozen=True, strict=True, extra="allow"):
    """How probabilities become events unless a user asks otherwise; see `stages.lib.inference.events.EventSettings`."""

    min_confidence: float
    release: float
    min_duration_s: float
    merge_gap_s: float
    unsure_min_s: float
    silence_db: float


class ModelMetadata(pydantic.BaseModel, frozen=True, strict=True, extra="allow"):
    """A trained network.

    `name` is that of its split, `classes` are in the order of its outputs, `augment` is the section of that name.
    `kind` (see `stages.lib.features.store`), `floor` (the value of silence, or one for each coefficient of an MFCC),
    `longest` (frames of the longest training clip) and `scaler_mean` (mean of each number of a frame over the training
    folds) describe the features. `calibration` is None where no fold was kept for validation,
    `weights` where training began with random ones, `frames` and `events` where the network has no head for frames.
    """

    schema_version: Annotated[int, Field(ge=1)] = SCHEMA_VERSION
    name: str
    classes: list[str]
    dataset: DatasetMetadata
    split: Split
    featurize: FeaturizeMetadata
    kind: Literal["log", "db", "pcen", "mfcc"]
    floor: float | list[float]
    longest: int
    scaler_mean: list[float]
    segment: SegmentParams
    augment: dict[str, Any]
    train: TrainMetadata
    calibration: Calibration | None = None
    weights: WeightsMetadata | None = None
    frames: FramesMetadata | None = None
    events: EventsMetadata | None = None

    @property
    def temperature(self) -> float:
        """What `stages.lib.model.calibration.apply_temperature` takes; 1 without calibration."""
        return self.calibration.temperature if self.calibration else 1.0

    @property
    def thresholds(self) -> dict[str, float] | None:
        """By class the probability from which on it counts as detected; None without calibration."""
        return self.calibration.thresholds if self.calibration else None


def dump_metadata(metadata: ModelMetadata) -> str:
    """The metadata as JSON: the same text for the same content."""
    return json.dumps(metadata.model_dump(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def parse_metadata(text: str | bytes, *, repair: str = "run 'dvc repro train'") -> ModelMetadata:
    """Read what `dump_metadata` wrote, in this version or an earlier one.

    Raises `ModelError` where it is of a newer version, lacks something, or is no metadata; the message ends in
    `repair`, says what is wrong with the file, and leaves it to the caller to name the file.
    """
    try:
        values = {"schema_version": 1} | json.loads(text)
    except (ValueError, TypeError):
        raise ModelError(f"its metadata is not a JSON object; {repair}") from None
    version = values["schema_version"]
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ModelError(
            f"written by a newer urban-ear: its metadata has schema_version {version}, this code reads up to "
            f"{SCHEMA_VERSION}; update the code, or {repair}"
        )
    try:
        return ModelMetadata.model_validate_json(json.dumps(values))
    except pydantic.ValidationError as error:
        problems = describe_errors(error, see="stages/lib/model/metadata.py")
        raise ModelError(f"its metadata cannot be used by this version of urban-ear: {problems}; {repair}") from None
