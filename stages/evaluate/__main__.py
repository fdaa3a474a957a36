"""Score each model on its test fold: by clip, class, fold and group, with intervals, pictures and a report.

in   `--features`   frames of featurize
     `--models`     `<split>.keras` of train; one without a test fold has nothing to be scored on
     `--raw`        of fetch: `audio/`, for soundscapes and for the mistakes that the report plays
     `--training`   the learning curves of train, as tables
     `--published`  results in print, see `stages.evaluate.published`
out  `--metrics`    flat numbers: `n_clips`, `n_folds` and those of `stages.evaluate.scores.flat_metrics` and
                    `stages.evaluate.event_scores.summarise`
     `--segments`   `<split>.csv`: clip, start_s, a probability a class for each segment, from which the clips' are
                    averaged: where in a clip the model hears what
     `--plots`      `predictions.csv` (clip, fold, source, salience, duration_s, truth, predicted, a probability a
                    class), from which all else follows: `scores.csv`, `folds.csv`, `classes.csv`, `groups.csv`,
                    `calibration.csv` (see `stages.evaluate.scores.Results`), `confusions.csv`, `mistakes.csv` (see
                    `stages.evaluate.confusions`), `precision_recall.csv`, `roc.csv` (means of the classes), pictures,
                    and `report.html`, which neither Git nor DVC tracks. Of recordings made of test clips over noise
                    (`stages.evaluate.soundscapes`): `soundscapes.csv`, a row an event: fold, soundscape, kind (`true`
                    or `heard`), start_s, end_s, class, clip and snr_db (of a true one), confidence (of a heard one),
                    and `soundscape_classes.csv` (see `stages.evaluate.event_scores.summarise`)
"""

import argparse
import hashlib
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.evaluate.confusions import find_mistakes, rank_confusions
from stages.evaluate.curves import mean_precision_recall, mean_roc
from stages.evaluate.event_scores import COLLAR_S, count_events, summarise
from stages.evaluate.plots import (
    plot_classes,
    plot_confusion,
    plot_confusion_shares,
    plot_folds,
    plot_groups,
    plot_precision_recall,
    plot_reliability,
    plot_roc,
    plot_soundscape,
)
from stages.evaluate.published import read_published
from stages.evaluate.report import LISTEN_SR, Run, render_report
from stages.evaluate.scores import (
    DECIMALS,
    EvaluateParams,
    Results,
    count_confusions,
    flat_metrics,
    probability_column,
    score,
)
from stages.evaluate.soundscapes import Soundscape, SoundscapeExample, build_soundscapes, hear, known
from stages.evaluate.training_plots import plot_curves, read_curves
from stages.lib.audio import load_mono
from stages.lib.core.errors import ModelError, run
from stages.lib.core.files import atomic_directory, write_csv, write_json
from stages.lib.core.params import load_params
from stages.lib.core.progress import progress
from stages.lib.features.store import Features, open_features
from stages.lib.inference.events import Event
from stages.lib.inference.runtime import FACTS_NEEDED, Model, open_model
from stages.lib.inference.streaming import make_featurizer
from stages.lib.model.archive import read_facts
from stages.lib.model.segments import average_segments, make_segmenter
from stages.lib.plotting import save_figure

SEGMENTS_PER_BATCH = 128
CLIP_COLUMNS = ["clip", "fold", "source", "salience", "duration_s"]
SOUNDSCAPE_COLUMNS = ["fold", "soundscape", "kind", "start_s", "end_s", "class", "clip", "snr_db", "confidence"]
SOUNDSCAPE = "soundscape.png"
PICTURES = {
    "confusion.png": "Clips by true and predicted class.",
    "confusion_shares.png": "The same in per cent of the true class.",
    "classes.png": "Share of each class that was recognised.",
    "folds.png": "Accuracy of each test fold, each with its own model.",
    "groups.png": "Accuracy where the sound is in the foreground or background, and by duration.",
    "reliability.png": "Accuracy by confidence: on the dashed line the model is right as often as it says.",
    "precision_recall.png": "Precision by recall of each class against the rest.",
    "roc.png": "True by false positive rate of each class against the rest.",
    "curves.png": "Loss and accuracy of segments by epoch of training.",
}


@dataclass(frozen=True)
class FoldPredictions:
    """What the model of one test fold says of its clips, and of soundscapes made of them.

    `segments` has a row a segment and `clips` a row a clip, each with truth and prediction; `soundscapes` a row an
    event, `counts` the sum of what `stages.evaluate.event_scores.count_events` gives for each, `shown` the first; 0 and
    None where there are no soundscapes.
    """

    name: str
    fold: int
    segments: pd.DataFrame
    clips: pd.DataFrame
    soundscapes: pd.DataFrame
    counts: pd.DataFrame | int
    shown: SoundscapeExample | None


def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    args = parse_args(argv)
    params = load_params(args.params, EvaluateParams)
    published = read_published(args.published)
    features = open_features(args.features)
    models = find_models(args.models, features)
    curves = read_curves(args.training)

    tested = [
        evaluate_fold(path, features, args.raw / "audio", params)
        for path, facts in models
        if facts["split"]["test"] is not None
    ]
    with atomic_directory(args.segments) as folder:
        for of_fold in tested:
            write_csv(folder / f"{of_fold.name}.csv", of_fold.segments.drop(columns=["fold", "truth", "predicted"]))
    answers = ["truth", "predicted", *map(probability_column, features.classes)]
    predictions = join([of_fold.clips for of_fold in tested], [*CLIP_COLUMNS, *answers])
    segments = join([of_fold.segments for of_fold in tested], ["clip", "fold", "start_s", *answers])
    soundscapes = join([of_fold.soundscapes for of_fold in tested], SOUNDSCAPE_COLUMNS)
    shown = next((of_fold.shown for of_fold in tested if of_fold.shown), None)
    results = score(predictions, segments, features.classes, params)
    mistakes = find_mistakes(predictions, features.classes)
    confusions = rank_confusions(mistakes, predictions["truth"].value_counts())
    events, event_scores = summarise({of_fold.fold: of_fold.counts for of_fold in tested if of_fold.shown})
    metrics = {"n_clips": len(predictions), "n_folds": len(results.folds), **flat_metrics(results), **event_scores}
    write_json(args.metrics, metrics)
    with atomic_directory(args.plots) as plots:
        write_tables(plots, predictions, results, features.classes)
        write_csv(plots / "confusions.csv", confusions.round(DECIMALS))
        write_csv(plots / "mistakes.csv", mistakes)
        write_csv(plots / "soundscapes.csv", soundscapes)
        write_csv(plots / "soundscape_classes.csv", events.round(DECIMALS))
        draw_pictures(plots, predictions, results, curves, features)
        draw_soundscape(plots, shown, features)
        page = render_report(
            Run(
                features.facts["dataset"],
                features.classes,
                len(features.clips(features.folds)),
                features.folds,
                [f for _, f in models],
            ),
            results,
            confusions,
            mistakes,
            events,
            metrics,
            plots / SOUNDSCAPE,
            [(plots / name, text) for name, text in PICTURES.items()],
            partial(load_clip, args.raw / "audio"),
            published,
            hashlib.md5((plots / "predictions.csv").read_bytes()).hexdigest(),
        )
        (plots / "report.html").write_text(page, encoding="utf-8", newline="\n")
    print(closing_lines(metrics, features, args.plots))


def find_models(folder: Path, features: Features) -> list[tuple[Path, dict[str, Any]]]:
    """The model files with their facts, by test fold; all must have been made with these features."""
    models = [(path, read_facts(path)) for path in sorted(folder.glob("*.keras"))]
    if not models:
        raise ModelError(f"{folder}: holds no model; run 'dvc repro train'")
    for path, facts in models:
        if missing := sorted((FACTS_NEEDED | {"name", "train"}) - set(facts)):
            raise ModelError(f"{path}: expected the facts {missing}, which it lacks; run 'dvc repro train'")
        made, found = ({"classes": f["classes"], **f["featurize"]} for f in (facts, features.facts))
        for key in made:
            if made[key] != found.get(key):
                name = key if key == "classes" else f"featurize.{key}"
                raise ModelError(
                    f"{path}: made with {name} {made[key]}, the features have {found.get(key)}; run 'dvc repro train'"
                )
        if facts["split"]["test"] not in (None, *features.folds):
            raise ModelError(
                f"{path}: its test fold is {facts['split']['test']}, the features have {features.folds}; "
                "run 'dvc repro train'"
            )
    return sorted(models, key=lambda model: model[1]["split"]["test"] or 0)


def evaluate_fold(path: Path, features: Features, audio: Path, params: EvaluateParams) -> FoldPredictions:
    """Let a model hear the clips of its test fold, and soundscapes made of them."""
    model = open_model(path)
    segments, clips = apply(model, features)
    heard = hear_soundscapes(model, features, audio, params)
    fold = model.facts["split"]["test"]
    rows = [
        {"fold": fold, "soundscape": number, "kind": kind, **asdict(event)}
        for number, (soundscape, events) in enumerate(heard, start=1)
        for kind, group in (("true", soundscape.placed), ("heard", events))
        for event in group
    ]
    soundscapes = pd.DataFrame(rows).rename(columns={"label": "class"}).reindex(columns=SOUNDSCAPE_COLUMNS)
    counts = [count_events(soundscape.truth, known(events), features.classes) for soundscape, events in heard]
    shown = SoundscapeExample(*heard[0], make_featurizer(model)(heard[0][0].y), model.facts) if heard else None
    return FoldPredictions(model.facts["name"], fold, segments, clips, soundscapes, sum(counts), shown)


def hear_soundscapes(
    model: Model, features: Features, audio: Path, params: EvaluateParams
) -> list[tuple[Soundscape, list[Event]]]:
    """Build soundscapes of the model's test fold; each with what the model hears in it."""
    if not params.n_soundscapes:
        return []
    sr, fold = model.facts["featurize"]["sr"], model.facts["split"]["test"]
    soundscapes = build_soundscapes(
        features.clips([fold]),
        lambda clip: load_mono(audio / clip, sr),
        sr=sr,
        n=params.n_soundscapes,
        duration_s=params.soundscape_s,
        snr_db=tuple(params.soundscape_snr_db),
        seed=(params.seed, fold),
    )
    bar = progress(
        soundscapes, total=params.n_soundscapes, desc=f"soundscapes {model.facts['name']}", unit="soundscapes"
    )
    return [(soundscape, hear(model, soundscape.y, sr)) for soundscape in bar]


def apply(model: Model, features: Features) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict the model's test fold; returns a row a segment and a row a clip, each with truth and prediction."""
    from stages.lib.model.batches import SegmentBatches  # imports Keras, which must not come before the model's backend

    facts = model.facts
    batches = SegmentBatches(features, [facts["split"]["test"]], make_segmenter(facts), batch_size=SEGMENTS_PER_BATCH)
    bar = progress(range(len(batches)), total=len(batches), desc=f"evaluate {facts['name']}", unit="batches")
    probabilities = np.concatenate([model.predict(batches[i][0]) for i in bar])

    clip_rows = batches.segments["clip_row"].to_numpy()
    of_segment = batches.clips.loc[clip_rows].reset_index(drop=True)
    frame_s = facts["featurize"]["hop_length"] / facts["featurize"]["sr"]
    segments = of_segment[["clip", "fold"]].assign(
        start_s=(batches.segments["start"] * frame_s).round(DECIMALS), truth=of_segment["class"]
    )
    clips = batches.clips[CLIP_COLUMNS].assign(truth=batches.clips["class"])
    return (
        add_probabilities(segments, probabilities, facts["classes"]),
        add_probabilities(clips, average_segments(probabilities, clip_rows), facts["classes"]),
    )


def join(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The rows of all tables; with none, an empty table that has the columns."""
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def add_probabilities(table: pd.DataFrame, probabilities: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Add the most probable class as `predicted` and the probability of each class, rounded as it is stored."""
    predicted = np.array(classes)[probabilities.argmax(axis=1)]
    columns = [probability_column(name) for name in classes]
    rounded = probabilities.astype(float).round(DECIMALS)
    return table.assign(predicted=predicted).join(pd.DataFrame(rounded, columns=columns))


def write_tables(plots: Path, predictions: pd.DataFrame, results: Results, classes: list[str]) -> None:
    """Write the predictions and what is computed from them."""
    write_csv(plots / "predictions.csv", predictions)
    for name in ("scores", "folds", "classes", "groups", "calibration"):
        write_csv(plots / f"{name}.csv", getattr(results, name).round(DECIMALS))
    write_csv(plots / "precision_recall.csv", mean_precision_recall(predictions, classes).round(DECIMALS))
    write_csv(plots / "roc.csv", mean_roc(predictions, classes).round(DECIMALS))


def draw_pictures(
    plots: Path, predictions: pd.DataFrame, results: Results, curves: dict[str, pd.DataFrame], features: Features
) -> None:
    """Draw each picture of `PICTURES`."""
    classes, data = features.classes, features.facts["dataset"]["title"]
    matrix = count_confusions(predictions["truth"], predictions["predicted"], classes)
    title = f"{len(predictions)} test clips by true and predicted class\n{data}"
    figures = {
        "confusion.png": plot_confusion(matrix, classes, title),
        "confusion_shares.png": plot_confusion_shares(matrix, classes, title),
        "classes.png": plot_classes(results, data),
        "folds.png": plot_folds(results, data),
        "groups.png": plot_groups(results, data),
        "precision_recall.png": plot_precision_recall(predictions, classes, results, data),
        "roc.png": plot_roc(predictions, classes, results, data),
        "reliability.png": plot_reliability(predictions, classes, results, data),
        "curves.png": plot_curves(curves, data),
    }
    for name, figure in figures.items():
        save_figure(plots / name, figure)


def draw_soundscape(plots: Path, shown: SoundscapeExample | None, features: Features) -> None:
    """Draw the first soundscape, or that there is none."""
    save_figure(plots / SOUNDSCAPE, plot_soundscape(shown, features.facts["dataset"]["title"]))


def load_clip(audio: Path, clip: str) -> np.ndarray:
    """The samples of a clip as the report plays them."""
    return load_mono(audio / clip, LISTEN_SR)


def closing_lines(metrics: dict[str, Any], features: Features, plots: Path) -> str:
    """The result, and where to look at it."""
    heard = ""
    if "soundscape_event_f1" in metrics:
        heard = (
            f"\nevaluate: {metrics['n_soundscape_events']} events in soundscapes of test clips: "
            f"F1 {metrics['soundscape_event_f1']:.3f} within {COLLAR_S:g} s, "
            f"{metrics['soundscape_intersection_f1']:.3f} by intersection, "
            f"{metrics['soundscape_second_f1']:.3f} second by second"
        )
    where = f"evaluate: report in {plots / 'report.html'}; plots of several revisions: dvc plots diff"
    if not metrics["n_folds"]:
        return f"evaluate: no model has a test fold, so there is no accuracy to report\n{where}"
    return (
        f"evaluate: data: {features.facts['dataset']['title']}\n{where}{heard}\n"
        f"evaluate: test accuracy {metrics['accuracy']:.1%} of {metrics['n_clips']} clips "
        f"(95 % interval {metrics['accuracy_low']:.1%} to {metrics['accuracy_high']:.1%}, by resampling sources), "
        f"macro F1 {metrics['macro_f1']:.3f}, folds tested: {metrics['n_folds']}"
    )


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the paths, which dvc.yaml gives."""
    parser = argparse.ArgumentParser(prog="python -m stages.evaluate", description=__doc__.splitlines()[0])
    for option in ("params", "features", "models", "raw", "training", "published", "segments", "metrics", "plots"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
