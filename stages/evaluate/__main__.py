"""Score each model on its test fold: by clip, class, fold and group, with intervals, pictures and a report.

in   `--features`   frames of featurize
     `--models`     `<split>.keras` of train; one without a test fold has nothing to be scored on
     `--raw`        of fetch: `audio/`, for soundscapes and for the misclassified clips that the report plays, and
                    `dataset.json`, which says where the sources come from; `recordings/` and `recordings.csv`, where
                    it kept recordings with strong labels
     evaluate.unknown (of the parameters)
                    a folder of recordings of no class
     evaluate.backgrounds (of the parameters)
                    a folder of recordings of places where no event of a class is heard
     `--rejected`   of validate: the clips that it rejected, which the report counts by reason
     `--training`   the learning curves of train, as tables
     `--published`  published results, see `stages.evaluate.published`
out  `--metrics`    the numbers that runs are compared by: `n_clips`, `n_folds` and those of
                    `stages.evaluate.scores.flat_metrics`, `stages.evaluate.event_scores.summarise` and
                    `stages.evaluate.unknown.summarise_unknown`; `n_recordings` where some were scored
     `--segments`   `<split>.csv`: clip, start_s and the probability of each class for each segment, from which those
                    of the clips are averaged: what the model predicts where in a clip
     `--plots`      `predictions.csv` (clip, fold, source, salience, duration_s, truth, predicted, the probability of
                    each class), from which all else follows: `scores.csv`, `folds.csv`, `classes.csv`, `groups.csv`,
                    `calibration.csv` (see `stages.evaluate.scores.Results`), `confusions.csv`,
                    `misclassifications.csv` (see `stages.evaluate.confusions`), `precision_recall.csv`, `roc.csv`
                    (means of the classes), pictures, and `report.html`, which neither Git nor DVC tracks. Of recordings
                    composed of test clips (`stages.evaluate.soundscapes`): `soundscapes.csv`, one row per event: fold,
                    background, soundscape, kind (`reference` or `estimated`), start_s, end_s, class, clip and snr_db
                    (of a reference event), confidence (of an estimated one), `soundscape_classes.csv` and
                    `soundscape_backgrounds.csv` (see `stages.evaluate.event_scores`). Of sounds of no class:
                    `unknown.csv`, one row per model and sound, and `unknown_named.csv` (see `stages.evaluate.unknown`).
                    Only where recordings with strong labels were scored (`stages.evaluate.strong_labels`):
                    `recordings.csv`, one row per event: fold, recording, kind, start_s, end_s, class, clip (that was
                    cut out of it for a reference event), confidence (of an estimated one), and
                    `recordings_classes.csv`, as that of soundscapes
"""

import argparse
from pathlib import Path

import pandas as pd

from stages.evaluate.evaluation import Evaluation, evaluate, write_tables
from stages.evaluate.event_scores import COLLAR_S
from stages.evaluate.plots import draw_pictures
from stages.evaluate.predictions import FoldPredictions, find_models, predict_fold
from stages.evaluate.published import read_published
from stages.evaluate.recordings import find_recordings
from stages.evaluate.report import ONE_PER_FILE, Run, write_report
from stages.evaluate.scores import EvaluateParams
from stages.evaluate.strong_labels import read_strong_labels
from stages.evaluate.training_plots import read_curves
from stages.evaluate.unknown import CONFIDENT, METRICS, detect_unknown
from stages.lib.core.errors import run
from stages.lib.core.files import atomic_directory, read_json, write_csv, write_json
from stages.lib.core.params import load_params
from stages.lib.features.store import open_features
from stages.lib.inference.runtime import open_model


def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    args = parse_args(argv)
    params = load_params(args.params, EvaluateParams)
    published = read_published(args.published)
    features = open_features(args.features)
    models = find_models(args.models, features)
    sources = read_json(args.raw / "dataset.json").get("sources", "")
    curves = read_curves(args.training)
    rejected = pd.read_csv(args.rejected, dtype=str, keep_default_na=False)
    others = find_recordings(Path(params.unknown), "evaluate.unknown")
    backgrounds = find_recordings(Path(params.backgrounds), "evaluate.backgrounds")
    labels = read_strong_labels(args.raw, features.clips(features.folds))

    folds, unknown = [], []
    for path, metadata in models:
        model = open_model(path)
        unknown.append(detect_unknown(model, Path(params.unknown), others, params.seed))
        if metadata.split.test is not None:
            folds.append(predict_fold(model, metadata.split.test, features, args.raw, backgrounds, labels, params))
    evaluation = evaluate(folds, unknown, features.classes, params, labels.left_out)
    described = Run.of(features, sources, [metadata for _, metadata in models], rejected)

    write_segments(args.segments, folds)
    write_json(args.metrics, evaluation.metrics)
    with atomic_directory(args.plots) as plots:
        write_tables(plots, evaluation)
        draw_pictures(plots, evaluation, curves, described.data["title"])
        write_report(plots, described, evaluation, args.raw / "audio", published)
    print(closing_lines(evaluation, described, args.plots))


def write_segments(folder: Path, folds: list[FoldPredictions]) -> None:
    """Write the predictions of segments, one file per model."""
    with atomic_directory(folder) as files:
        for fold in folds:
            write_csv(files / f"{fold.name}.csv", fold.segments.drop(columns=["fold", "truth", "predicted"]))


def closing_lines(evaluation: Evaluation, described: Run, plots: Path) -> str:
    """The result, and where to look at it."""
    metrics = evaluation.metrics
    unknown = [f"{metrics[name]:.0%} of {kind}" for kind, name in METRICS.items() if name in metrics]
    where = f"evaluate: report in {plots / 'report.html'}; plots of several revisions: dvc plots diff"
    lines = [
        f"evaluate: data: {described.data['title']}",
        where,
        f"evaluate: unknown sounds that are named with {CONFIDENT:.0%} or more: {', '.join(unknown)}",
    ]
    if not metrics["n_folds"]:
        return "\n".join([*lines, "evaluate: no model has a test fold, so there is no accuracy to report"])
    if "soundscape_event_f1" in metrics:
        lines.append(event_line("soundscapes of test clips", evaluation.soundscape_classes, metrics, "soundscape"))
    lines += [f"evaluate: {line}" for line in evaluation.not_scored]
    if "n_recordings" in metrics:
        where = f"labelled recordings of the test folds ({metrics['n_recordings']})"
        lines.append(event_line(where, evaluation.recording_classes, metrics, "recordings"))
    if described.sources == ONE_PER_FILE:
        lines.append(
            "evaluate: each file counts as its own source; where several are parts of one recording, the accuracy "
            "reads too high: set fetch.source_from"
        )
    lines.append(
        f"evaluate: test accuracy {metrics['accuracy']:.1%} of {metrics['n_clips']} clips "
        f"(95 % interval {metrics['accuracy_low']:.1%} to {metrics['accuracy_high']:.1%}, by resampling sources), "
        f"macro F1 {metrics['macro_f1']:.3f}, folds tested: {metrics['n_folds']}"
    )
    return "\n".join(lines)


def event_line(where: str, classes: pd.DataFrame, metrics: dict[str, float], prefix: str) -> str:
    """How many events are found, and the scores; `classes` and `prefix` are those of `event_scores.summarise`."""
    return (
        f"evaluate: of {classes['n_events'].sum()} events in {where} {classes['intersection_tp'].sum()} are found at "
        f"least by half (F1 {metrics[f'{prefix}_intersection_f1']:.3f}), {classes['event_tp'].sum()} with both ends "
        f"within {COLLAR_S:g} s (F1 {metrics[f'{prefix}_event_f1']:.3f}); by seconds F1 is "
        f"{metrics[f'{prefix}_segment_f1']:.3f}"
    )


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the paths, which dvc.yaml gives."""
    parser = argparse.ArgumentParser(prog="python -m stages.evaluate", description=__doc__.splitlines()[0])
    for option in (
        "params",
        "features",
        "models",
        "raw",
        "rejected",
        "training",
        "published",
        "segments",
        "metrics",
        "plots",
    ):
        parser.add_argument(f"--{option}", type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
