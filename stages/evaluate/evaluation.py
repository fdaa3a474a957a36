"""The results of all test folds together, as tables and numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stages.evaluate.confusions import find_misclassifications, rank_confusions
from stages.evaluate.curves import mean_precision_recall, mean_roc
from stages.evaluate.event_scores import add_counts, summarise, summarise_backgrounds
from stages.evaluate.predictions import CLIP_COLUMNS, SEGMENT_COLUMNS, FoldPredictions
from stages.evaluate.scores import DECIMALS, EvaluateParams, Results, flat_metrics, probability_column, score
from stages.evaluate.soundscapes import SOUNDSCAPE_COLUMNS, SoundscapeExample
from stages.evaluate.strong_labels import RECORDING_COLUMNS
from stages.evaluate.unknown import UNKNOWN_COLUMNS, summarise_unknown
from stages.lib.core.files import write_csv


@dataclass(frozen=True)
class Evaluation:
    """Results of a run; tables of test folds are empty where no fold was tested.

    predictions         one row per clip: `CLIP_COLUMNS`, truth, predicted and the probability of each class
    results             the scores, see `stages.evaluate.scores.Results`
    misclassifications  see `stages.evaluate.confusions.find_misclassifications`
    confusions          see `stages.evaluate.confusions.rank_confusions`
    soundscapes         one row per event, see `stages.evaluate.soundscapes.list_events`
    soundscape_classes  one row per class, see `stages.evaluate.event_scores.summarise`
    soundscape_backgrounds
                        one row per background, see `stages.evaluate.event_scores.summarise_backgrounds`
    example             the first soundscape, to draw
    recordings          one row per event, see `stages.evaluate.strong_labels.RecordingDetections`; empty without any
    recording_classes   one row per class, see `stages.evaluate.event_scores.summarise`; empty as well
    not_scored          why other recordings are not scored, a line for each reason
    unknown             one row per model and unknown sound, see `stages.evaluate.unknown.detect_unknown`
    unknown_named       how often they are named, see `stages.evaluate.unknown.summarise_unknown`
    metrics             the numbers that runs are compared by
    """

    classes: list[str]
    predictions: pd.DataFrame
    results: Results
    misclassifications: pd.DataFrame
    confusions: pd.DataFrame
    soundscapes: pd.DataFrame
    soundscape_classes: pd.DataFrame
    soundscape_backgrounds: pd.DataFrame
    example: SoundscapeExample | None
    recordings: pd.DataFrame
    recording_classes: pd.DataFrame
    not_scored: list[str]
    unknown: pd.DataFrame
    unknown_named: pd.DataFrame
    metrics: dict[str, float]


def evaluate(
    folds: Sequence[FoldPredictions],
    unknown: Sequence[pd.DataFrame],
    classes: list[str],
    params: EvaluateParams,
    left_out: Sequence[str] = (),
) -> Evaluation:
    """Score the predictions of all test folds, and what all models detect in unknown sounds.

    `left_out` is that of `stages.evaluate.strong_labels.StrongLabels`.
    """
    answers = ["truth", "predicted", *map(probability_column, classes)]
    predictions = join([fold.clips for fold in folds], [*CLIP_COLUMNS, *answers])
    segments = join([fold.segments for fold in folds], [*SEGMENT_COLUMNS, *answers])
    results = score(predictions, segments, classes, params)
    misclassifications = find_misclassifications(predictions, classes)
    scored = {fold.fold: fold.soundscapes for fold in folds if fold.soundscapes.counts}
    soundscape_classes, event_scores = summarise(
        {fold: add_counts(found.counts) for fold, found in scored.items()}, "soundscape"
    )
    labelled = {fold.fold: fold.recordings for fold in folds if fold.recordings.counts is not None}
    recordings = join([found.events for found in labelled.values()], RECORDING_COLUMNS)
    recording_classes, recording_scores = summarise(
        {fold: found.counts for fold, found in labelled.items()}, "recordings"
    )
    if labelled:
        recording_scores["n_recordings"] = recordings["recording"].nunique()
    unknown_sounds = join(unknown, UNKNOWN_COLUMNS)
    unknown_named, unknown_rates = summarise_unknown(unknown_sounds)
    metrics = {"n_clips": len(predictions), "n_folds": len(folds)}
    return Evaluation(
        classes=classes,
        predictions=predictions,
        results=results,
        misclassifications=misclassifications,
        confusions=rank_confusions(misclassifications, predictions["truth"].value_counts()),
        soundscapes=join([fold.soundscapes.events for fold in folds], SOUNDSCAPE_COLUMNS),
        soundscape_classes=soundscape_classes,
        soundscape_backgrounds=summarise_backgrounds(
            {fold: found.counts for fold, found in scored.items()},
            {fold: found.overlaps for fold, found in scored.items()},
        ),
        example=next((found.example for found in scored.values()), None),
        recordings=recordings,
        recording_classes=recording_classes,
        not_scored=[*left_out, *(problem for fold in folds for problem in fold.recordings.problems)],
        unknown=unknown_sounds,
        unknown_named=unknown_named,
        metrics={**metrics, **flat_metrics(results), **event_scores, **recording_scores, **unknown_rates},
    )


def join(tables: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The rows of all tables; without one, an empty table that has the columns."""
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def write_tables(folder: Path, evaluation: Evaluation) -> None:
    """Write the predictions and what is computed from them as CSV files, those of recordings where there are some."""
    results, predictions = evaluation.results, evaluation.predictions
    write_csv(folder / "predictions.csv", predictions)
    write_csv(folder / "misclassifications.csv", evaluation.misclassifications)
    write_csv(folder / "soundscapes.csv", evaluation.soundscapes)
    write_csv(folder / "unknown.csv", evaluation.unknown)
    if len(evaluation.recordings):
        write_csv(folder / "recordings.csv", evaluation.recordings)
        write_csv(folder / "recordings_classes.csv", evaluation.recording_classes.round(DECIMALS))
    for name, table in {
        "scores": results.scores,
        "folds": results.folds,
        "classes": results.classes,
        "groups": results.groups,
        "calibration": results.calibration,
        "confusions": evaluation.confusions,
        "soundscape_classes": evaluation.soundscape_classes,
        "soundscape_backgrounds": evaluation.soundscape_backgrounds,
        "unknown_named": evaluation.unknown_named,
        "precision_recall": mean_precision_recall(predictions, evaluation.classes),
        "roc": mean_roc(predictions, evaluation.classes),
    }.items():
        write_csv(folder / f"{name}.csv", table.round(DECIMALS))
