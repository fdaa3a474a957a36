"""Score each model on its test fold, by clip and by class.

in   `--features`  frames of featurize
     `--models`    `<split>.keras` of train; one without a test fold has nothing to be scored on
out  `--metrics`   `accuracy` of clips with its 95 % interval, `macro_f1`, `segment_accuracy`; of several folds the
                   means, the deviation of the accuracy, and the accuracy of each
     `--segments`  `<split>.csv`: clip, start_s, a probability a class for each segment, from which the clips' are
                   averaged: where in a clip the model hears what
     `--plots`     `predictions.csv` (clip, fold, source, truth, predicted, a probability a class), `classes.csv`,
                   `confusion.png`
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.lib.backend import start_backend
from stages.lib.errors import ModelError, run
from stages.lib.evaluate_figures import plot_confusion
from stages.lib.features import Features, open_features
from stages.lib.figures import save_figure
from stages.lib.files import whole_folder, write_csv, write_json
from stages.lib.model_file import load_model, read_facts
from stages.lib.params import load_params
from stages.lib.progress import progress
from stages.lib.scoring import (
    EvaluateParams,
    average_segments,
    bootstrap_accuracy,
    count_confusions,
    score_classes,
    score_folds,
)
from stages.lib.segments import make_segmenter

SEGMENTS_A_BATCH = 128


def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    args = parse_args(argv)
    params = load_params(args.params, EvaluateParams)
    features = open_features(args.features)
    models = find_models(args.models, features)

    tables, segment_accuracies = [empty_table(features)], []
    with whole_folder(args.segments) as folder:
        for path, facts in models:
            if facts["split"]["test"] is not None:
                segments, clips = apply(path, facts, features)
                write_csv(folder / f"{facts['name']}.csv", segments.drop(columns=["truth", "predicted"]).round(6))
                segment_accuracies.append((segments["truth"] == segments["predicted"]).mean())
                tables.append(clips)
    predictions = pd.concat(tables[1:] or tables, ignore_index=True)
    metrics = summarise(predictions, segment_accuracies, params)
    write_json(args.metrics, metrics)
    with whole_folder(args.plots) as plots:
        write_csv(plots / "predictions.csv", predictions)
        write_csv(plots / "classes.csv", score_classes(predictions, features.classes).round(6))
        matrix = count_confusions(predictions["truth"], predictions["predicted"], features.classes)
        save_figure(plots / "confusion.png", plot_confusion(matrix, features.classes, title(metrics, features)))
    print(closing_lines(metrics, features, args.plots))


def find_models(folder: Path, features: Features) -> list[tuple[Path, dict[str, Any]]]:
    """The model files with their facts, by test fold; all must have been made with these features."""
    models = [(path, read_facts(path)) for path in sorted(folder.glob("*.keras"))]
    if not models:
        raise ModelError(f"{folder}: holds no model; run 'dvc repro train'")
    for path, facts in models:
        made, found = ({"classes": f["classes"], **f["featurize"]} for f in (facts, features.facts))
        for key in made:
            if made[key] != found.get(key):
                name = key if key == "classes" else f"featurize.{key}"
                raise ModelError(
                    f"{path}: made with {name} {made[key]}, the features have {found.get(key)}; run 'dvc repro train'"
                )
    return sorted(models, key=lambda model: model[1]["split"]["test"] or 0)


def apply(path: Path, facts: dict[str, Any], features: Features) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict the model's test fold; returns a row a segment and a row a clip, each with truth and prediction."""
    start_backend(facts["backend"])
    from stages.lib.batches import SegmentBatches, StepBar  # these import Keras, which must not come before its backend

    batches = SegmentBatches(
        features, [facts["split"]["test"]], make_segmenter(facts), batch_size=SEGMENTS_A_BATCH, seed=None
    )
    model = load_model(path)
    with progress(total=len(batches), desc=f"evaluate {facts['name']}", unit="batches") as bar:
        probabilities = model.predict(batches, verbose=0, callbacks=[StepBar(bar)])

    clip_rows = batches.segments["clip_row"].to_numpy()
    of_segment = batches.clips.loc[clip_rows].reset_index(drop=True)
    frame_s = facts["featurize"]["hop_length"] / facts["featurize"]["sr"]
    segments = of_segment[["clip"]].assign(start_s=batches.segments["start"] * frame_s, truth=of_segment["class"])
    clips = batches.clips[["clip", "fold", "source"]].assign(truth=batches.clips["class"])
    return (
        add_probabilities(segments, probabilities, facts["classes"]),
        add_probabilities(clips, average_segments(probabilities, clip_rows), facts["classes"]).round(4),
    )


def add_probabilities(table: pd.DataFrame, probabilities: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Add the most probable class as `predicted` and the probability of each class."""
    predicted = np.array(classes)[probabilities.argmax(axis=1)]
    columns = [probability_column(name) for name in classes]
    return table.assign(predicted=predicted).join(pd.DataFrame(probabilities, columns=columns))


def probability_column(name: str) -> str:
    """The column of a class: with a prefix, since a class may be called "source"."""
    return f"p_{name}"


def empty_table(features: Features) -> pd.DataFrame:
    """The table of predictions where no model has a test fold."""
    columns = ["clip", "fold", "source", "truth", "predicted", *map(probability_column, features.classes)]
    return pd.DataFrame(columns=columns)


def summarise(predictions: pd.DataFrame, segment_accuracies: list[float], params: EvaluateParams) -> dict[str, Any]:
    """The metrics: scores are means over folds; no score where nothing was tested."""
    metrics: dict[str, Any] = {"n_clips": len(predictions), "n_folds": len(segment_accuracies)}
    if not segment_accuracies:
        return metrics
    folds = score_folds(predictions)
    low, high = bootstrap_accuracy(predictions, params)
    scores = {
        "accuracy": folds["accuracy"].mean(),
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": folds["macro_f1"].mean(),
        "segment_accuracy": np.mean(segment_accuracies),
    }
    if len(folds) > 1:
        scores["accuracy_deviation"] = folds["accuracy"].std()  # of one fold, n - 1 in the denominator
        metrics["fold"] = {str(row.fold): {"accuracy": round(row.accuracy, 6)} for row in folds.itertuples()}
    return metrics | {name: round(float(score), 6) for name, score in scores.items()}


def title(metrics: dict[str, Any], features: Features) -> str:
    """What a picture shows, and on what."""
    tested = (
        f"accuracy {metrics['accuracy']:.1%} of {metrics['n_clips']} clips" if metrics["n_clips"] else "no test fold"
    )
    return f"{tested}\n{features.facts['dataset']['title']}"


def closing_lines(metrics: dict[str, Any], features: Features, plots: Path) -> str:
    """The result, and where to look at it."""
    where = f"evaluate: confusion matrix in {plots / 'confusion.png'}; all plots: dvc plots show"
    if not metrics["n_folds"]:
        return f"evaluate: no model has a test fold, so there is no accuracy to report\n{where}"
    return (
        f"evaluate: data: {features.facts['dataset']['title']}\n{where}\n"
        f"evaluate: test accuracy {metrics['accuracy']:.1%} of {metrics['n_clips']} clips "
        f"(95 % interval {metrics['accuracy_low']:.1%} to {metrics['accuracy_high']:.1%}, by resampling sources), "
        f"macro F1 {metrics['macro_f1']:.3f}, folds tested: {metrics['n_folds']}"
    )


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the paths, which dvc.yaml gives."""
    parser = argparse.ArgumentParser(prog="python -m stages.evaluate", description=__doc__.splitlines()[0])
    for option in ("--params", "--features", "--models", "--segments", "--metrics", "--plots"):
        parser.add_argument(option, type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
