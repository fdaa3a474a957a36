"""The results of all test folds together, as tables and numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stages.evaluate.confusions import find_misclassifications, rank_confusions
from stages.evaluate.curves import mean_precision_recall, mean_roc
from stages.evaluate.event_scores import summarise
from stages.evaluate.predictions import CLIP_COLUMNS, SEGMENT_COLUMNS, SOUNDSCAPE_COLUMNS, FoldPredictions
from stages.evaluate.scores import DECIMALS, EvaluateParams, Results, flat_metrics, probability_column, score
from stages.evaluate.soundscapes import SoundscapeExample
from stages.lib.core.files import write_csv


@dataclass(frozen=True)
class Evaluation:
    """Results of the test folds; all tables are empty where no fold was tested.

    predictions         one row per clip: `CLIP_COLUMNS`, truth, predicted and the probability of each class
    results             the scores, see `stages.evaluate.scores.Results`
    misclassifications  see `stages.evaluate.confusions.find_misclassifications`
    confusions          see `stages.evaluate.confusions.rank_confusions`
    soundscapes         one row per event, see `stages.evaluate.predictions.list_events`
    soundscape_classes  one row per class, see `stages.evaluate.event_scores.summarise`
    example             the first soundscape, to draw
    metrics             the numbers that runs are compared by
    """

    classes: list[str]
    predictions: pd.DataFrame
    results: Results
    misclassifications: pd.DataFrame
    confusions: pd.DataFrame
    soundscapes: pd.DataFrame
    soundscape_classes: pd.DataFrame
    example: SoundscapeExample | None
    metrics: dict[str, float]


def evaluate(folds: Sequence[FoldPredictions], classes: list[str], params: EvaluateParams) -> Evaluation:
    """Score the predictions of all test folds."""
    answers = ["truth", "predicted", *map(probability_column, classes)]
    predictions = join([fold.clips for fold in folds], [*CLIP_COLUMNS, *answers])
    segments = join([fold.segments for fold in folds], [*SEGMENT_COLUMNS, *answers])
    results = score(predictions, segments, classes, params)
    misclassifications = find_misclassifications(predictions, classes)
    soundscape_classes, event_scores = summarise({fold.fold: fold.counts for fold in folds if fold.counts is not None})
    return Evaluation(
        classes=classes,
        predictions=predictions,
        results=results,
        misclassifications=misclassifications,
        confusions=rank_confusions(misclassifications, predictions["truth"].value_counts()),
        soundscapes=join([fold.soundscapes for fold in folds], SOUNDSCAPE_COLUMNS),
        soundscape_classes=soundscape_classes,
        example=next((fold.example for fold in folds if fold.example), None),
        metrics={"n_clips": len(predictions), "n_folds": len(folds), **flat_metrics(results), **event_scores},
    )


def join(tables: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The rows of all tables; without one, an empty table that has the columns."""
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def write_tables(folder: Path, evaluation: Evaluation) -> None:
    """Write the predictions and what is computed from them as CSV files."""
    results, predictions = evaluation.results, evaluation.predictions
    write_csv(folder / "predictions.csv", predictions)
    write_csv(folder / "misclassifications.csv", evaluation.misclassifications)
    write_csv(folder / "soundscapes.csv", evaluation.soundscapes)
    for name, table in {
        "scores": results.scores,
        "folds": results.folds,
        "classes": results.classes,
        "groups": results.groups,
        "calibration": results.calibration,
        "confusions": evaluation.confusions,
        "soundscape_classes": evaluation.soundscape_classes,
        "precision_recall": mean_precision_recall(predictions, evaluation.classes),
        "roc": mean_roc(predictions, evaluation.classes),
    }.items():
        write_csv(folder / f"{name}.csv", table.round(DECIMALS))
