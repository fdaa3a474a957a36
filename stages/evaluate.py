"""Score each model on its test fold: by clip, class, fold and group, with intervals, pictures and a report.

in   `--features`   frames of featurize
     `--models`     `<split>.keras` of train; one without a test fold has nothing to be scored on
     `--raw`        of fetch: `audio/`, for soundscapes and for the mistakes that the report plays
     `--training`   PNG pictures of train, for the report
     `--published`  results in print, see `stages.lib.published`
out  `--metrics`    flat numbers: `n_clips`, `n_folds` and those of `stages.lib.scoring.flat_metrics` and
                    `stages.lib.event_scoring.summarise`
     `--segments`   `<split>.csv`: clip, start_s, a probability a class for each segment, from which the clips' are
                    averaged: where in a clip the model hears what
     `--plots`      `predictions.csv` (clip, fold, source, salience, duration_s, truth, predicted, a probability a
                    class), from which all else follows: `scores.csv`, `folds.csv`, `classes.csv`, `groups.csv`,
                    `calibration.csv` (see `stages.lib.scoring.Results`), `confusions.csv`, `mistakes.csv` (see
                    `stages.lib.mistakes`), `precision_recall.csv`, `roc.csv` (means of the classes), pictures, and
                    `report.html`, which neither Git nor DVC tracks. Of recordings made of test clips over noise
                    (`stages.lib.soundscapes`): `soundscapes.csv`, a row an event: fold, soundscape, kind (`true` or
                    `heard`), start_s, end_s, class, clip and snr_db (of a true one), confidence (of a heard one), and
                    `soundscape_classes.csv` (see `stages.lib.event_scoring.summarise`)
"""

import argparse
import hashlib
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.lib.audio import load_mono
from stages.lib.backend import start_backend
from stages.lib.calibration import apply_temperature
from stages.lib.curves import mean_precision_recall, mean_roc
from stages.lib.errors import ModelError, run
from stages.lib.evaluate_figures import (
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
from stages.lib.event_scoring import COLLAR_S, count_events, summarise
from stages.lib.features import Features, open_features
from stages.lib.figures import save_figure
from stages.lib.files import whole_folder, write_csv, write_json
from stages.lib.listening import make_featurizer
from stages.lib.mistakes import find_mistakes, rank_confusions
from stages.lib.model_file import load_model, read_facts
from stages.lib.params import load_params
from stages.lib.progress import progress
from stages.lib.published import read_published
from stages.lib.report import LISTEN_SR, Run, render_report
from stages.lib.scorers import FACTS_NEEDED, open_model
from stages.lib.scoring import (
    DECIMALS,
    EvaluateParams,
    Results,
    count_confusions,
    flat_metrics,
    probability_column,
    score,
)
from stages.lib.segments import average_segments, make_segmenter
from stages.lib.soundscapes import Shown, build_soundscapes, hear, known

SEGMENTS_A_BATCH = 128
CLIP_COLUMNS = ["clip", "fold", "source", "salience", "duration_s"]
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
}


def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    args = parse_args(argv)
    params = load_params(args.params, EvaluateParams)
    published = read_published(args.published)
    features = open_features(args.features)
    models = find_models(args.models, features)

    predictions, segments = apply_all(models, features, args.segments)
    results = score(predictions, segments, features.classes, params)
    mistakes = find_mistakes(predictions, features.classes)
    confusions = rank_confusions(mistakes, predictions["truth"].value_counts())
    shown, soundscapes, counts = hear_soundscapes(models, features, args.raw / "audio", params)
    events, event_scores = summarise(counts)
    metrics = {"n_clips": len(predictions), "n_folds": len(results.folds), **flat_metrics(results), **event_scores}
    write_json(args.metrics, metrics)
    with whole_folder(args.plots) as plots:
        write_tables(plots, predictions, results, features.classes)
        write_csv(plots / "confusions.csv", confusions.round(DECIMALS))
        write_csv(plots / "mistakes.csv", mistakes)
        write_csv(plots / "soundscapes.csv", soundscapes)
        write_csv(plots / "soundscape_classes.csv", events.round(DECIMALS))
        draw_pictures(plots, predictions, results, features)
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
            list_pictures(plots, args.training),
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


def apply_all(
    models: list[tuple[Path, dict[str, Any]]], features: Features, folder: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Apply each model to its test fold and write its segments; returns all clips and all segments."""
    columns = ["truth", "predicted", *map(probability_column, features.classes)]
    clips = [pd.DataFrame(columns=[*CLIP_COLUMNS, *columns])]
    segments = [pd.DataFrame(columns=["clip", "fold", "start_s", *columns])]
    with whole_folder(folder) as beside:
        for path, facts in models:
            if facts["split"]["test"] is not None:
                of_segments, of_clips = apply(path, facts, features)
                write_csv(beside / f"{facts['name']}.csv", of_segments.drop(columns=["fold", "truth", "predicted"]))
                clips.append(of_clips)
                segments.append(of_segments)
    return tuple(pd.concat(tables[1:] or tables, ignore_index=True) for tables in (clips, segments))


def apply(path: Path, facts: dict[str, Any], features: Features) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict the model's test fold; returns a row a segment and a row a clip, each with truth and prediction."""
    start_backend(facts["train"]["backend"])
    from stages.lib.batches import SegmentBatches, StepBar  # these import Keras, which must not come before its backend

    batches = SegmentBatches(features, [facts["split"]["test"]], make_segmenter(facts), batch_size=SEGMENTS_A_BATCH)
    model = load_model(path)
    if model.output_shape[-1] != len(facts["classes"]):
        raise ModelError(
            f"{path}: has {model.output_shape[-1]} outputs for {len(facts['classes'])} classes; run 'dvc repro train'"
        )
    with progress(total=len(batches), desc=f"evaluate {facts['name']}", unit="batches") as bar:
        probabilities = model.predict(batches, verbose=0, callbacks=[StepBar(bar)])
    if not np.isfinite(probabilities).all():
        raise ModelError(f"{path}: gives probabilities that are no numbers; run 'dvc repro train'")
    if facts["calibration"] is not None:
        probabilities = apply_temperature(probabilities, facts["calibration"]["temperature"])

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


def hear_soundscapes(
    models: list[tuple[Path, dict[str, Any]]], features: Features, audio: Path, params: EvaluateParams
) -> tuple[Shown | None, pd.DataFrame, dict[int, pd.DataFrame]]:
    """Build soundscapes of each test fold and let its model hear them.

    Returns the first of them to be drawn (None without any), a row an event of all, and the counts of each fold.
    """
    rows, counts, shown = [], {}, None
    for path, facts in models:
        fold, sr = facts["split"]["test"], facts["featurize"]["sr"]
        if fold is None or not params.n_soundscapes:
            continue
        model = open_model(path)
        soundscapes = build_soundscapes(
            features.clips([fold]),
            lambda clip, sr=sr: load_mono(audio / clip, sr),
            sr=sr,
            n=params.n_soundscapes,
            duration_s=params.soundscape_s,
            snr_db=tuple(params.soundscape_snr_db),
            seed=(params.seed, fold),
        )
        of_fold = []
        with progress(total=params.n_soundscapes, desc=f"soundscapes {facts['name']}", unit="soundscapes") as bar:
            for number, soundscape in enumerate(soundscapes, start=1):
                heard = hear(model, soundscape.y, sr)
                shown = shown or Shown(soundscape, heard, make_featurizer(model)(soundscape.y), facts)
                rows += [{"kind": "true", "fold": fold, "soundscape": number, **asdict(p)} for p in soundscape.placed]
                rows += [{"kind": "heard", "fold": fold, "soundscape": number, **asdict(event)} for event in heard]
                of_fold.append(count_events(soundscape.truth, known(heard), features.classes))
                bar.update()
        counts[fold] = sum(of_fold)
    columns = ["fold", "soundscape", "kind", "start_s", "end_s", "label", "clip", "snr_db", "confidence"]
    return shown, pd.DataFrame(rows, columns=columns).rename(columns={"label": "class"}), counts


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


def draw_pictures(plots: Path, predictions: pd.DataFrame, results: Results, features: Features) -> None:
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
    }
    for name, figure in figures.items():
        save_figure(plots / name, figure)


def draw_soundscape(plots: Path, shown: Shown | None, features: Features) -> None:
    """Draw the first soundscape, or that there is none."""
    save_figure(plots / SOUNDSCAPE, plot_soundscape(shown, features.facts["dataset"]["title"]))


def list_pictures(plots: Path, training: Path) -> list[tuple[Path, str]]:
    """The pictures of the report with what each shows, those of training last."""
    own = [(plots / name, text) for name, text in PICTURES.items()]
    return own + [(path, f"Training: {path.stem.replace('_', ' ')}.") for path in sorted(training.glob("*.png"))]


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
