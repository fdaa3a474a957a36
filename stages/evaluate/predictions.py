"""What the model of a test fold predicts: of its clips, of soundscapes composed of them, of labelled recordings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stages.evaluate.scores import DECIMALS, EvaluateParams, probability_column
from stages.evaluate.soundscapes import SoundscapeDetections, detect_in_soundscapes, make_backgrounds
from stages.evaluate.strong_labels import RecordingDetections, StrongLabels, detect_in_recordings
from stages.lib.audio import load_mono
from stages.lib.core.errors import ModelError
from stages.lib.core.progress import progress
from stages.lib.features.store import Features
from stages.lib.inference.runtime import Model
from stages.lib.model.archive import read_metadata
from stages.lib.model.calibration import clip_probabilities
from stages.lib.model.metadata import ModelMetadata
from stages.lib.model.segments import make_segmenter

SEGMENTS_PER_BATCH = 128
CLIP_COLUMNS = ["clip", "fold", "source", "salience", "duration_s"]
SEGMENT_COLUMNS = ["clip", "fold", "start_s"]


@dataclass(frozen=True)
class FoldPredictions:
    """What the model of one test fold predicts.

    `segments` has one row per segment and `clips` one per clip, both with truth and prediction.
    """

    name: str
    fold: int
    segments: pd.DataFrame
    clips: pd.DataFrame
    soundscapes: SoundscapeDetections
    recordings: RecordingDetections


def find_models(folder: Path, features: Features) -> list[tuple[Path, ModelMetadata]]:
    """The model files with their metadata, by test fold. Raises `ModelError` unless all are of these features."""
    models = [(path, read_metadata(path)) for path in sorted(folder.glob("*.keras"))]
    if not models:
        raise ModelError(f"{folder}: holds no model; run 'dvc repro train'")
    of_features = {"classes": features.classes, **features.facts["featurize"]}
    for path, metadata in models:
        of_model = {"classes": metadata.classes, **metadata.featurize.model_dump()}
        for key in of_model:
            if of_model[key] != of_features.get(key):
                name = key if key == "classes" else f"featurize.{key}"
                raise ModelError(
                    f"{path}: trained with {name} {of_model[key]}, the features have {of_features.get(key)}; "
                    "run 'dvc repro train'"
                )
        if metadata.split.test not in (None, *features.folds):
            raise ModelError(
                f"{path}: its test fold is {metadata.split.test}, the features have {features.folds}; "
                "run 'dvc repro train'"
            )
    return sorted(models, key=lambda model: model[1].split.test or 0)


def predict_fold(
    model: Model,
    fold: int,
    features: Features,
    raw: Path,
    backgrounds: Sequence[Path],
    labels: StrongLabels,
    params: EvaluateParams,
) -> FoldPredictions:
    """Apply a model to the clips of its test fold, to soundscapes of them, also over the recordings `backgrounds`, and
    to the recordings of the fold that have `labels`; `raw` is what fetch wrote.
    """
    segments, clips = predict_clips(model, fold, features)
    sr = model.metadata.featurize.sr
    soundscapes = detect_in_soundscapes(
        model,
        fold,
        features.clips([fold]),
        lambda clip: load_mono(raw / "audio" / clip, sr),
        make_backgrounds(sr, backgrounds),
        params,
    )
    recordings = detect_in_recordings(model, fold, labels.events, raw / "recordings")
    return FoldPredictions(model.metadata.name, fold, segments, clips, soundscapes, recordings)


def predict_clips(model: Model, fold: int, features: Features) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict the clips of a fold; returns one row per segment and one per clip, each with truth and prediction."""
    from stages.lib.model.batches import SegmentBatches  # imports Keras, which must not come before the model's backend

    metadata = model.metadata
    batches = SegmentBatches(features, [fold], make_segmenter(metadata), batch_size=SEGMENTS_PER_BATCH)
    bar = progress(range(len(batches)), total=len(batches), desc=f"evaluate {metadata.name}", unit="batches")
    probabilities = np.concatenate([model.predict(batches[i][0]) for i in bar])

    clip_rows = batches.segments["clip_row"].to_numpy()
    of_segment = batches.clips.loc[clip_rows].reset_index(drop=True)
    segments = of_segment[["clip", "fold"]].assign(
        start_s=(batches.segments["start"] * metadata.featurize.frame_s).round(DECIMALS), truth=of_segment["class"]
    )
    clips = batches.clips[CLIP_COLUMNS].assign(truth=batches.clips["class"])
    return (
        add_probabilities(segments, probabilities, metadata.classes),
        add_probabilities(clips, clip_probabilities(probabilities, clip_rows), metadata.classes),
    )


def add_probabilities(table: pd.DataFrame, probabilities: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Add the most probable class as `predicted` and the probability of each class, rounded as it is stored."""
    predicted = np.array(classes)[probabilities.argmax(axis=1)]
    columns = [probability_column(name) for name in classes]
    rounded = probabilities.astype(float).round(DECIMALS)
    return table.assign(predicted=predicted).join(pd.DataFrame(rounded, columns=columns))
