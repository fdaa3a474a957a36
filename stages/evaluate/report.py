"""The report of evaluate: one HTML page that holds its pictures and sounds and asks for nothing from the network."""

import base64
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import soundfile

from stages.evaluate.evaluation import Evaluation
from stages.evaluate.event_scores import COLLAR_S, METHODS, SEGMENT_S
from stages.evaluate.plots import PICTURES, SOUNDSCAPE
from stages.evaluate.published import Protocol, differences, find_protocol
from stages.evaluate.scores import Results
from stages.evaluate.unknown import CONFIDENT, LEVELS_DB, METRICS
from stages.lib.audio import load_mono
from stages.lib.core.errors import AudioError
from stages.lib.features.store import Features
from stages.lib.model.calibration import Calibration
from stages.lib.model.metadata import ModelMetadata
from stages.lib.split.folds import Split

ONE_PER_FILE = "one per file"  # of `sources` in dataset.json, where neither a table nor a name says more
TEMPLATE = Path(__file__).with_name("report.html.jinja")
N_CONFUSIONS = 15
N_EXAMPLES = 24  # some 20 kB each
N_UNKNOWN_CLASSES = 5
LISTEN_S = 6.0  # seconds of a clip; UrbanSound8K's are at most 4, those of ESC-50 are 5
LISTEN_SR = 22050  # Hz
LIMITED = "held at a limit: these clips cannot show how sure the model should be"
MEANINGS = {
    "accuracy": ("accuracy", "the share of clips that are recognised"),
    "balanced_accuracy": ("balanced accuracy", "the same with equal weight for each class"),
    "macro_f1": ("macro F1", "precision and recall in one, mean over classes"),
    "roc_auc": ("ROC-AUC", "how often a clip of a class ranks above one of another; 0.5 is chance"),
    "average_precision": ("average precision", "area under the precision-recall curve, mean over classes"),
    "log_loss": ("log loss", "nats per clip; less is better, and being sure and wrong costs most"),
    "calibration_error": ("calibration error", "gap between confidence and accuracy; less is better"),
}
EVENT_MEANINGS = {
    "event": (
        "event F1",
        f"an event is found where its start and its end are detected within {COLLAR_S * 1000:g} ms",
    ),
    "intersection": ("event F1 by intersection", "an event is found where half of it is detected"),
    "segment": (
        f"segment-based F1 ({SEGMENT_S:g} s)",
        "which classes are active in each second, whatever event they belong to",
    ),
}


@dataclass(frozen=True)
class Run:
    """What a report describes.

    `data` is what the features say of the dataset, `sources` what fetch says about where the sources come from (key
    `sources` of `dataset.json`); `n_clips` and `folds` are the accepted clips and folds there are; `models` is the
    metadata of the model files; `rejected` has one row per clip that validate rejected, with `clip` and `reasons`, as
    its table of them.
    """

    data: dict[str, Any]
    sources: str
    classes: list[str]
    n_clips: int
    folds: list[int]
    models: list[ModelMetadata]
    rejected: pd.DataFrame

    @classmethod
    def of(cls, features: Features, sources: str, models: list[ModelMetadata], rejected: pd.DataFrame) -> "Run":
        """The run that trained `models` on `features`."""
        n_clips = len(features.clips(features.folds))
        return cls(features.facts["dataset"], sources, features.classes, n_clips, features.folds, models, rejected)


def write_report(folder: Path, run: Run, evaluation: Evaluation, audio: Path, protocols: Sequence[Protocol]) -> None:
    """Write `report.html` into `folder`, which holds the pictures and `predictions.csv`; `audio` has the clips."""
    page = render_report(
        run,
        evaluation,
        [(folder / name, text) for name, text in PICTURES.items()],
        folder / SOUNDSCAPE,
        partial(_load_clip, audio),
        protocols,
        hashlib.md5((folder / "predictions.csv").read_bytes()).hexdigest(),
    )
    (folder / "report.html").write_text(page, encoding="utf-8", newline="\n")


def _load_clip(audio: Path, clip: str) -> np.ndarray:
    return load_mono(audio / clip, LISTEN_SR)


def render_report(
    run: Run,
    evaluation: Evaluation,
    pictures: Sequence[tuple[Path, str]],
    soundscape: Path,
    load: Callable[[str], np.ndarray],
    protocols: Sequence[Protocol],
    digest: str,
) -> str:
    """Render the page.

    `pictures` are PNG files with what they show; `soundscape` is the PNG file of a soundscape; `load(clip)` gives the
    samples of a clip at `LISTEN_SR` Hz, float of shape (n_samples,), or raises `AudioError`; `digest` identifies the
    predictions that the page shows.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    results, confusions = evaluation.results, evaluation.confusions.head(N_CONFUSIONS)
    protocol = None if run.data["synthetic"] else find_protocol(protocols, run.data["name"], len(run.classes))
    tested = [model.split.test for model in run.models if model.split.test is not None]
    validation = any(model.split.validation is not None for model in run.models)
    return environment.get_template(TEMPLATE.name).render(
        data=run.data,
        one_source_per_file=run.sources == ONE_PER_FILE,
        class_names=run.classes,
        n_folds=len(results.folds),
        n_models=len(run.models),
        cards=_cards(results),
        tested=_tested(results),
        scores=[_score_row(row) for row in results.scores.to_dict("records")],
        protocol=protocol,
        differences=differences(protocol, tested, run.n_clips, validation) if protocol else [],
        published=_published_rows(protocol, results) if protocol else [],
        pictures=[
            {"uri": _data_uri("image/png", path.read_bytes()), "text": text, "whole": _is_wide(path)}
            for path, text in pictures
        ],
        confusions=[row | {"share": f"{row['share']:.0%}"} for row in confusions.to_dict("records")],
        rejected=_rejected(run),
        soundscapes=_events(evaluation.metrics, "soundscape", evaluation.soundscape_classes),
        recordings=_events(evaluation.metrics, "recordings", evaluation.recording_classes)
        | {"n": evaluation.metrics.get("n_recordings", 0), "not_scored": evaluation.not_scored},
        unknown=_unknown(evaluation),
        soundscape_picture=_data_uri("image/png", soundscape.read_bytes()),
        examples=[_example(row, load) for row in choose_examples(evaluation.misclassifications).to_dict("records")],
        n_misclassified=len(evaluation.misclassifications),
        classes=[_class_row(row) for row in results.classes.to_dict("records")],
        card=_card(run),
        calibration=_calibration(run.models),
        weights=run.models[0].weights,
        parameters=_parameters(run.models),
        digest=digest,
    )


def choose_examples(misclassifications: pd.DataFrame) -> pd.DataFrame:
    """The most confident misclassifications, at most `N_EXAMPLES`: one per source and pair of classes, since slices of
    a source are alike.
    """
    return misclassifications.drop_duplicates(["source", "truth", "predicted"]).head(N_EXAMPLES)


def encode_mp3(y: np.ndarray, sr: int) -> bytes:
    """Samples, float of shape (n_samples,) at `sr` Hz, as MP3, which every browser plays."""
    target = io.BytesIO()
    soundfile.write(target, y, sr, format="MP3", subtype="MPEG_LAYER_III")
    return target.getvalue()


def _example(row: dict[str, Any], load: Callable[[str], np.ndarray]) -> dict[str, Any]:
    try:
        y = load(row["clip"])[: round(LISTEN_S * LISTEN_SR)]
        sound = {"uri": _data_uri("audio/mpeg", encode_mp3(y, LISTEN_SR)), "error": ""}
    except AudioError as error:
        sound = {"uri": "", "error": str(error)}
    return row | sound | {"confidence": f"{row['confidence']:.0%}", "p_truth": f"{row['p_truth']:.0%}"}


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _is_wide(path: Path) -> bool:
    width = int.from_bytes(path.read_bytes()[16:20], "big")  # of the header of a PNG, in pixels
    return width > 850  # half the page would be too small for its type


def _number(value: float, percent: bool = False) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value:.1%}" if percent else f"{value:.3f}"


def _interval(low: float, high: float, percent: bool = False) -> str:
    return f"[{_number(low, percent)}, {_number(high, percent)}]" if np.isfinite(low) else "–"


def _score_row(row: dict[str, Any]) -> dict[str, str]:
    name, meaning = MEANINGS[row["score"]]
    percent = "accuracy" in row["score"]
    numbers = {column: _number(row[column], percent) for column in ("clips", "segments", "std")}
    return numbers | {"name": name, "meaning": meaning, "interval": _interval(row["low"], row["high"], percent)}


def _cards(results: Results) -> list[dict[str, str]]:
    rows = {row["score"]: _score_row(row) for row in results.scores.to_dict("records")}
    names = [name for name in ("accuracy", "balanced_accuracy", "macro_f1", "calibration_error") if name in rows]
    cards = [{"name": rows[n]["name"], "value": rows[n]["clips"], "note": rows[n]["interval"]} for n in names]
    for row in results.groups.query("kind == 'salience'").to_dict("records"):
        note = f"{_interval(row['low'], row['high'], True)}, {row['n_clips']} clips"
        cards.append({"name": row["group"], "value": _number(row["accuracy"], True), "note": note})
    return cards


def _tested(results: Results) -> str:
    folds = results.folds["fold"].tolist()
    n_clips = int(results.folds["n_clips"].sum())
    if len(folds) == 1:
        return f"{n_clips:,} clips of fold {folds[0]}. One fold is a quick look; a result is the mean over all."
    return f"{n_clips:,} clips of {len(folds)} folds; scores are means over the folds, each with a model of its own."


def _published_rows(protocol: Protocol, results: Results) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "name": result.name,
            "value": result.accuracy,
            "pretrained": "yes" if result.pretrained else "no",
            "weights": {"last": "last", "best": "best on the test fold", None: "not said"}[result.weights],
            "source": result.source,
            "own": False,
        }
        for result in protocol.results
    ]
    if not results.scores.empty:
        own = {"name": "this run", "value": results.scores["clips"].iloc[0], "own": True}
        rows.append(own | {"pretrained": "", "weights": "not chosen by the test fold", "source": ""})
    return [row | {"accuracy": _number(row["value"], True)} for row in sorted(rows, key=lambda row: row["value"])]


def _rejected(run: Run) -> dict[str, Any]:
    """How many clips were rejected, and each check that did so with its clips and one of them, most clips first."""
    first = run.rejected["reasons"].str.split("; ").str[0].str.split(": ", n=1)
    table = pd.DataFrame({"check": first.str[0], "detail": first.str[1], "clip": run.rejected["clip"]})
    reasons = [
        {"check": check, "n_clips": len(rows), "example": f"{rows['clip'].iloc[0]}: {rows['detail'].iloc[0]}"}
        for check, rows in table.groupby("check")
    ]
    return {
        "accepted": f"{run.n_clips:,}",
        "all": f"{run.n_clips + len(table):,}",
        "n": f"{len(table):,}" if len(table) else "none",
        "reasons": sorted(reasons, key=lambda row: -row["n_clips"]),
    }


def _events(metrics: dict[str, float], prefix: str, classes: pd.DataFrame) -> dict[str, Any]:
    """How many events there are, the scores, and those of each class.

    `prefix` and `classes` are those of `stages.evaluate.event_scores.summarise`. Each score has the counts behind it:
    in segments for the segment-based one, else in events.
    """
    scores = []
    for method in METHODS:
        if (key := f"{prefix}_{method}_f1") in metrics:
            name, meaning = EVENT_MEANINGS[method]
            tp, fn, fp = (int(classes[f"{method}_{count}"].sum()) for count in ("tp", "fn", "fp"))
            found = f"{tp:,} of {tp + fn:,}"
            value = _number(metrics[key])
            scores.append({"name": name, "meaning": meaning, "value": value, "found": found, "false": f"{fp:,}"})
    return {
        "n_events": int(classes["n_events"].sum()),
        "scores": scores,
        "classes": [_event_row(row) for row in classes.to_dict("records") if row["n_events"]],
    }


def _event_row(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"name": row["class"]} | {f"{name}_f1": _number(row[f"{name}_f1"]) for name in METHODS}


def _unknown(evaluation: Evaluation) -> dict[str, Any]:
    """How many unknown sounds of each kind there are, how often they are named, and as what."""
    named = evaluation.unknown_named
    shares = named.pivot_table(index="min_confidence", columns="kind", values="named")
    as_class = evaluation.unknown[evaluation.unknown["confidence"] >= CONFIDENT].groupby("kind")["class"]
    return {
        "n": dict.fromkeys(METRICS, 0) | named.groupby("kind")["n_recordings"].first().to_dict(),
        "levels": LEVELS_DB,
        "confident": f"{CONFIDENT:.0%}",
        "shares": [
            {"least": f"{least:.0%}" if least else "any", **{kind: _number(share, True) for kind, share in row.items()}}
            for least, row in zip(shares.index, shares.to_dict("records"), strict=True)
        ],
        "classes": {kind: list(names.value_counts().head(N_UNKNOWN_CLASSES).items()) for kind, names in as_class},
    }


def _class_row(row: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: _number(row[name]) for name in ("f1", "roc_auc", "average_precision")}
    shares = {name: _number(row[name], True) for name in ("recall", "precision")}
    interval = _interval(row["recall_low"], row["recall_high"], True)
    interval += " (1 source)" if row["n_sources"] == 1 else ""
    return row | numbers | shares | {"name": row["class"], "interval": interval}


def _card(run: Run) -> dict[str, Any]:
    first, n_models = run.models[0], len(run.models)
    featurize, train = first.featurize, first.train
    low = f"below {featurize.fmin:g} Hz or " if featurize.fmin else ""
    folds = "; ".join(_describe_split(model.split) for model in run.models[:3])
    return {
        "model": f"{train.model}, trained on {train.backend}" + (f"; {n_models} models" if n_models > 1 else ""),
        "band": f"{low}above {featurize.fmax:g} Hz",
        "n_clips": f"{run.n_clips:,}",
        "n_data_folds": len(run.folds),
        "training": folds + (f"; and so on for {n_models - 3} more" if n_models > 3 else ""),
    }


def _calibration(models: list[ModelMetadata]) -> dict[str, Any]:
    """The temperature of each model and its thresholds by class, with the clips that they rest on."""
    fitted = [(model.name, model.calibration) for model in models if model.calibration]
    return {
        "models": [
            {
                "name": name,
                "temperature": f"{calibration.temperature:.2f}",
                "clips": f"{sum(calibration.n_clips.values()):,}" if calibration.n_clips else "–",
                "folds": ", ".join(map(str, calibration.folds)),
                "note": LIMITED if calibration.limited else "",
            }
            for name, calibration in fitted
        ],
        "columns": [(name, name, "n") for name, _ in fitted],
        "not_calibrated": [model.name for model in models if model.calibration is None],
        "thresholds": [
            {"class": name} | {model: _threshold(calibration, name) for model, calibration in fitted}
            for name in models[0].classes
        ],
    }


def _threshold(calibration: Calibration, name: str) -> str:
    clips = f" ({calibration.n_clips[name]})" if name in calibration.n_clips else ""
    return f"{calibration.thresholds.get(name, 0.5):.2f}{clips}"


def _describe_split(split: Split) -> str:
    kept = "" if split.validation is None else f", validated on {split.validation}"
    tested = "" if split.test is None else f", tested on {split.test}"
    return f"trained on folds {', '.join(map(str, split.train))}{kept}{tested}"


def _parameters(models: list[ModelMetadata]) -> list[tuple[str, list[tuple[str, Any]]]]:
    """The sections of the parameters of the first model; those of the others differ in their folds only."""
    values = models[0].model_dump()
    sections = [(name, sorted(values[name].items())) for name in ("train", "segment", "featurize", "augment")]
    return [*sections, ("split", [(model.name, _describe_split(model.split)) for model in models])]
