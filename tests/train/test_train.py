"""Train and evaluate as stages, on tones."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers.predictions import TABLES
from helpers.repository import ROOT
from helpers.tone_model import SR, scene
from helpers.tones import TONES_HZ, run_featurize, write_params
from stages.commands.predict import __main__ as predict
from stages.evaluate import __main__ as evaluate
from stages.evaluate.event_scores import METHODS
from stages.evaluate.plots import PICTURES, SOUNDSCAPE
from stages.evaluate.scores import EvaluateParams, flat_metrics
from stages.evaluate.scores import score as score_tables
from stages.lib.audio import read_audio
from stages.lib.core.errors import DataError, ModelError
from stages.lib.core.files import read_json, write_json
from stages.lib.features.store import fold_file
from stages.lib.inference.runtime import open_model
from stages.lib.inference.streaming import StreamingClassifier
from stages.lib.model.archive import read_metadata
from stages.lib.model.calibration import apply_temperature
from stages.lib.model.metadata import SCHEMA_VERSION
from stages.lib.model.segments import SegmentParams
from stages.lib.split.folds import Split
from stages.scale import __main__ as scale
from stages.train import __main__ as train


def run_stages(out, features, params, stages=("scale", "train", "evaluate")):
    options = [f"--params={write_params(out / 'params.yaml', params)}", f"--features={features}"]
    if "scale" in stages:
        scale.main([*options, f"--scaler={out / 'scaler'}"])
    if "train" in stages:
        paths = [f"--scaler={out / 'scaler'}", f"--models={out / 'models'}", f"--plots={out / 'metrics/train'}"]
        paths.append(f"--raw={out / 'raw'}")
        train.main([*options, *paths, f"--metrics={out / 'train.json'}", f"--checkpoints={out / 'checkpoints'}"])
    if "evaluate" in stages:
        write_json(out / "raw/dataset.json", {"sources": "given by the table"})  # no audio, which the report then says
        (out / "rejected.csv").write_text("clip,reasons\n")
        paths = [
            f"--models={out / 'models'}",
            f"--raw={out / 'raw'}",
            f"--rejected={out / 'rejected.csv'}",
            f"--training={out / 'metrics/train'}",
            f"--published={ROOT / 'data/published.yaml'}",
            f"--segments={out / 'segments'}",
            f"--metrics={out / 'metrics/evaluate.json'}",
        ]
        evaluate.main([*options, *paths, f"--plots={out / 'metrics/evaluate'}"])
    return out


@pytest.fixture(scope="module")
def learned(tone_features, small_params, tmp_path_factory):
    """Enough epochs to tell three tones apart."""
    params = small_params | {"train": small_params["train"] | {"epochs": 12, "learning_rate": 0.003}}
    return run_stages(tmp_path_factory.mktemp("learned"), tone_features, params)


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_tones_are_learned(learned):
    assert read_json(learned / "metrics/evaluate.json")["accuracy"] == 1.0


def test_predictions_have_one_row_per_clip_of_the_test_fold(learned, tones):
    predictions = pd.read_csv(learned / "metrics/evaluate/predictions.csv")
    clips = pd.read_csv(tones / "accepted.csv").query("fold == 3").set_index("clip")
    columns = ["clip", "fold", "source", "salience", "duration_s", "truth", "predicted", "p_low", "p_middle", "p_high"]
    assert list(predictions.columns) == columns
    assert sorted(predictions["clip"]) == sorted(clips.index)
    rows = clips.loc[predictions["clip"]]
    assert predictions["truth"].tolist() == rows["class"].tolist()
    assert predictions["source"].tolist() == rows["source"].tolist()
    assert predictions["duration_s"].tolist() == rows["duration_s"].tolist()
    probabilities = predictions[["p_low", "p_middle", "p_high"]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=2e-4)
    assert (probabilities.idxmax(axis=1) == "p_" + predictions["predicted"]).all()


def test_segments_average_to_their_clips(learned):
    segments = pd.read_csv(learned / "segments/fold_3.csv")
    clips = pd.read_csv(learned / "metrics/evaluate/predictions.csv").set_index("clip")
    columns = ["p_low", "p_middle", "p_high"]
    averaged = segments.groupby("clip")[columns].mean().loc[clips.index]
    np.testing.assert_allclose(averaged, clips[columns], atol=1e-4)
    # 1.1 s in segments of 0.5 s: 0, 0.25 and 0.5 s in whole frames of 16 ms, and the last one aligned to the end
    starts = segments.loc[segments["clip"] == "fold3/low-3.wav", "start_s"].tolist()
    assert starts == pytest.approx([0, 16 * 0.016, 32 * 0.016, 37 * 0.016])


def test_predict_classifies_each_segment_as_evaluate_does(learned, tones):
    """The front end of a stream against that of the pipeline: decoding, resampling, frames, segments, temperature."""
    model = open_model(learned / "models/fold_3.keras")
    segments = pd.read_csv(learned / "segments/fold_3.csv")
    scored = []

    def score(batch):
        scored.append(model.score(batch))
        return scored[-1]

    for clip, rows in segments.groupby("clip"):
        scored.clear()
        samples, sr = read_audio(tones / "raw/audio" / clip)
        classifier = StreamingClassifier(replace(model, score=score), sr, step_s=0.25, batch_size=2)
        for block in np.array_split(samples, 5):
            classifier.push(block)
        classifier.finish()
        found = apply_temperature(np.concatenate(scored), model.metadata.temperature)
        np.testing.assert_allclose(found, rows[["p_low", "p_middle", "p_high"]], atol=1e-5)


def test_predict_names_a_tone(learned, tones, capsys):
    recording = tones / "raw/audio/fold3/high-3.wav"
    predict.main([str(recording), f"--model={learned / 'models/fold_3.keras'}", "--csv", "--min-confidence=0.4"])
    head, *events = capsys.readouterr().out.splitlines()
    assert head == "file,start_s,end_s,class,confidence"
    assert [line.split(",")[3] for line in events] == ["high"]


def test_the_numbers_of_a_class_carry_its_name(learned, tone_features, small_params, tmp_path):
    """Where the features call low tones high and high tones low, evaluate must say that they are confused."""
    swapped = shutil.copytree(tone_features, tmp_path / "features")
    index = pd.read_csv(swapped / "index.csv", keep_default_na=False)
    index["class"] = index["class"].replace({"low": "high", "high": "low"})
    index.to_csv(swapped / "index.csv", index=False)
    for folder in ("models", "metrics/train"):
        shutil.copytree(learned / folder, tmp_path / folder)
    run_stages(tmp_path, swapped, small_params, ["evaluate"])
    classes = pd.read_csv(tmp_path / "metrics/evaluate/classes.csv").set_index("class")
    assert classes["recall"].to_dict() == {"low": 0, "middle": 1, "high": 0}


def test_metrics_are_flat_numbers(learned):
    metrics = read_json(learned / "metrics/evaluate.json")
    assert {"accuracy", "accuracy_low", "accuracy_high", "macro_f1", "log_loss"} < set(metrics)
    assert all(isinstance(value, int | float) for value in metrics.values())
    assert len(metrics) <= 16  # or the columns of 'dvc exp show' bury the accuracy
    assert (metrics["n_clips"], metrics["n_folds"]) == (12, 1)


def read_curve(out, name, side, score):
    table = pd.read_csv(out / f"metrics/train/{score}.csv")
    assert list(table.columns) == ["epoch", "model", "side", score]
    return table[(table["model"] == name) & (table["side"] == side)]


@pytest.mark.parametrize("side", ["training", "validation"])
@pytest.mark.parametrize("score", ["loss", "accuracy"])
def test_curves_have_one_row_per_epoch(learned, side, score):
    curve = read_curve(learned, "fold_3", side, score)
    assert curve["epoch"].tolist() == list(range(1, 13))
    assert curve.notna().all(axis=None)


def test_evaluate_writes_its_tables_pictures_and_report(learned):
    written = {path.name for path in (learned / "metrics/evaluate").iterdir()}
    assert written == {f"{name}.csv" for name in [*TABLES, "unknown", "unknown_named"]} | {
        *PICTURES,
        SOUNDSCAPE,
        "report.html",
    }


def test_events_of_soundscapes_are_detected(learned, tones, tone_features, small_params, tmp_path):
    """Tones are detected where they are; each has the clips of its own test fold, and a second run the same bytes."""
    params = small_params | {"evaluate": small_params["evaluate"] | {"n_soundscapes": 3, "soundscape_s": 8.0}}
    for folder in ("models", "metrics/train"):
        shutil.copytree(learned / folder, tmp_path / folder)
    shutil.copytree(tones / "raw", tmp_path / "raw")
    run_stages(tmp_path, tone_features, params, ["evaluate"])
    metrics = read_json(tmp_path / "metrics/evaluate.json")
    events = pd.read_csv(tmp_path / "metrics/evaluate/soundscapes.csv")
    reference = events.query("kind == 'reference'")
    assert len(reference) > 6
    assert set(reference["clip"].str.split("/").str[0]) == {"fold3"}
    assert set(reference["fold"]) == {3}
    assert set(reference["soundscape"]) == {1, 2, 3}
    assert metrics["soundscape_segment_f1"] > 0.2  # a training of seconds is right, but seldom sure enough to say so
    classes = pd.read_csv(tmp_path / "metrics/evaluate/soundscape_classes.csv")
    assert classes["n_events"].sum() == len(reference)
    first = content(tmp_path / "metrics")
    run_stages(tmp_path, tone_features, params, ["evaluate"])
    assert content(tmp_path / "metrics") == first


def test_recordings_with_strong_labels_are_scored_and_all_else_stays_as_it_is(
    learned, tone_features, small_params, tmp_path, capsys
):
    """A recording of the test fold, one with a clip in another, and one with a clip that validate rejected."""
    for folder in ("models", "metrics/train"):
        shutil.copytree(learned / folder, tmp_path / folder)
    clips = {"a.wav": ("fold3/low-3", "fold3/high-3"), "b.wav": ("fold3/low-2", "fold2/high-2"), "c.wav": ("x", "y")}
    rows = [
        (name, start_s, end_s, label, f"{clip}.wav")
        for name, pair in clips.items()
        for (start_s, end_s, label), clip in zip([(1.0, 3.0, "low"), (5.0, 6.5, "high")], pair, strict=True)
    ]
    (tmp_path / "raw/recordings").mkdir(parents=True)
    table = pd.DataFrame(rows, columns=["recording", "start_s", "end_s", "class", "clip"])
    table.to_csv(tmp_path / "raw/recordings.csv", index=False)
    soundfile.write(tmp_path / "raw/recordings/a.wav", scene(), SR, subtype="FLOAT")
    run_stages(tmp_path, tone_features, small_params, ["evaluate"])

    metrics, before = (read_json(folder / "metrics/evaluate.json") for folder in (tmp_path, learned))
    scores = [f"recordings_{method}_f1" for method in METHODS]
    assert {name: value for name, value in metrics.items() if name not in before} == {
        "n_recordings": 1,
        **{name: metrics[name] for name in scores},
    }
    assert before == {name: metrics[name] for name in before}
    assert metrics["recordings_segment_f1"] > 0.2  # as for soundscapes
    events = pd.read_csv(tmp_path / "metrics/evaluate/recordings.csv")
    assert events.query("kind == 'reference'")["clip"].tolist() == [f"{clip}.wav" for clip in clips["a.wav"]]
    assert set(events["recording"]) == {"a.wav"}
    classes = pd.read_csv(tmp_path / "metrics/evaluate/recordings_classes.csv").set_index("class")
    assert classes["n_events"].to_dict() == {"low": 1, "middle": 0, "high": 1}

    written, first = (content(folder / "metrics/evaluate") for folder in (tmp_path, learned))
    page, page_before = (files.pop(Path("report.html")).decode() for files in (written, first))
    assert {path.name for path in written.keys() - first.keys()} == {"recordings.csv", "recordings_classes.csv"}
    assert first == {path: written[path] for path in first}
    assert "Events in your recordings" in page
    assert "Events in your recordings" not in page_before
    out = capsys.readouterr().out
    assert "evaluate: recordings not scored, since validate rejected clips of them: 1, such as c.wav\n" in out
    assert "evaluate: recordings not scored, since their clips are in several folds: 1, such as b.wav\n" in out
    assert "evaluate: of 2 events in labelled recordings of the test folds (1) " in out
    run_stages(tmp_path, tone_features, small_params, ["evaluate"])
    assert content(tmp_path / "metrics/evaluate") == written | {Path("report.html"): page.encode()}


def test_all_else_follows_from_the_predictions(learned, small_params):
    """Whoever has predictions.csv can work out each number that is published."""
    predictions = pd.read_csv(learned / "metrics/evaluate/predictions.csv", keep_default_na=False)
    segments = pd.read_csv(learned / "segments/fold_3.csv").merge(predictions[["clip", "fold", "truth"]], on="clip")
    columns = [f"p_{name}" for name in TONES_HZ]
    segments["predicted"] = segments[columns].idxmax(axis=1).str.removeprefix("p_")
    results = score_tables(predictions, segments, list(TONES_HZ), EvaluateParams(**small_params["evaluate"]))
    metrics = read_json(learned / "metrics/evaluate.json")
    others = ("n_clips", "n_folds", "noise_confident_rate")
    assert flat_metrics(results) == pytest.approx({k: v for k, v in metrics.items() if k not in others})


def test_the_scores_of_the_validation_fold_are_kept_apart(learned):
    scores = read_json(learned / "train.json")
    assert set(scores) == {"validation_accuracy", "validation_log_loss"}
    assert scores["validation_accuracy"] == 1.0
    assert 0 < scores["validation_log_loss"] < 0.5


def test_pictures_are_there(learned):
    for picture in ("evaluate/curves.png", "evaluate/confusion.png"):
        assert (learned / "metrics" / picture).read_bytes().startswith(b"\x89PNG")


def test_the_model_file_holds_what_prediction_needs(learned, small_params):
    metadata = read_metadata(learned / "models/fold_3.keras")
    assert metadata.schema_version == SCHEMA_VERSION
    assert metadata.classes == list(TONES_HZ)
    assert metadata.featurize.model_dump() == small_params["featurize"]
    assert metadata.segment == SegmentParams(**small_params["segment"])
    assert metadata.train.model_dump() == small_params["train"] | {"epochs": 12, "learning_rate": 0.003}
    assert metadata.split == Split(train=[1], validation=2, test=3)
    assert len(metadata.scaler_mean) == 16


def test_a_head_for_frames_hears_clips_of_the_training_folds_alone(
    tones, tone_features, quick_params, tmp_path, monkeypatch
):
    """Of folds 1 to 3 the last is for the test, and one of the others for validation."""
    from stages.train import split_model

    (tmp_path / "raw").symlink_to(tones / "raw", target_is_directory=True)
    loaded = []
    load_mono = split_model.load_mono

    def load(path, sr):
        loaded.append(path.relative_to(tmp_path / "raw/audio").as_posix())
        return load_mono(path, sr)

    monkeypatch.setattr(split_model, "load_mono", load)
    params = quick_params | {"events": quick_params["events"] | {"n_soundscapes": 12}}
    run_stages(tmp_path, tone_features, params, ["scale", "train"])
    metadata = read_metadata(tmp_path / "models/fold_3.keras")
    folds = pd.read_csv(tones / "accepted.csv").set_index("clip")["fold"]
    assert set(folds[loaded]) == set(metadata.split.train)
    assert not set(metadata.split.train) & {metadata.split.test, metadata.split.validation}
    assert metadata.frames.n_soundscapes == 12
    assert metadata.events.min_confidence == params["events"]["min_confidence"]


def test_the_same_run_gives_the_same_bytes(tone_features, quick_params, tmp_path):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        run_stages(tmp_path / name, tone_features, quick_params)
    assert content(tmp_path / "x") == content(tmp_path / "y")


def test_training_never_opens_the_test_fold(tone_features, quick_params, tmp_path):
    features = shutil.copytree(tone_features, tmp_path / "features")
    fold_file(features, 3).unlink()
    run_stages(tmp_path, features, quick_params, ["scale", "train"])
    assert (tmp_path / "models/fold_3.keras").exists()


def test_each_fold_gets_its_model_and_the_metrics_are_means(tone_features, quick_params, tmp_path):
    params = quick_params | {"split": {"test_folds": [3, 1], "validation": "none"}}
    run_stages(tmp_path, tone_features, params)
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["fold_1.keras", "fold_3.keras"]
    metrics = read_json(tmp_path / "metrics/evaluate.json")
    accuracies = pd.read_csv(tmp_path / "metrics/evaluate/folds.csv").set_index("fold").loc[[1, 3], "accuracy"]
    assert metrics["accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-6)
    assert metrics["accuracy_std"] == pytest.approx(np.std(accuracies, ddof=1), abs=1e-6)
    assert metrics["n_clips"] == 24
    assert len(read_curve(tmp_path, "fold_1", "training", "loss")) == 1
    assert len(read_curve(tmp_path, "fold_1", "validation", "loss")) == 0


def test_a_model_on_everything_has_no_accuracy(tone_features, quick_params, tmp_path, capsys):
    train = quick_params["train"] | {"calibration_folds": 0}
    params = quick_params | {"split": {"test_folds": [], "validation": "previous"}, "train": train}
    run_stages(tmp_path, tone_features, params)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["all.keras"]
    assert set(read_json(tmp_path / "metrics/evaluate.json")) == {"n_clips", "n_folds", "noise_confident_rate"}
    assert len(pd.read_csv(tmp_path / "metrics/evaluate/predictions.csv")) == 0
    assert "no model has a test fold" in capsys.readouterr().out


def test_whole_clips_with_masked_padding_run_through(tone_features, quick_params, tmp_path):
    params = quick_params | {"segment": {"duration_s": None, "overlap_s": 0.0, "pad": "mask"}}
    run_stages(tmp_path, tone_features, params)
    assert read_json(tmp_path / "metrics/evaluate.json")["n_clips"] == 12


def test_models_made_with_other_features_are_refused(learned, tones, quick_params, tmp_path):
    params = quick_params | {"featurize": quick_params["featurize"] | {"n_mels": 12}}
    features = run_featurize(tones, tmp_path, params)
    for folder in ("models", "metrics/train"):
        shutil.copytree(learned / folder, tmp_path / folder)
    with pytest.raises(
        ModelError, match=r"fold_3\.keras: trained with featurize\.n_mels 16, the features have 12; run"
    ):
        run_stages(tmp_path, features, params, ["evaluate"])
    shutil.copytree(learned / "scaler", tmp_path / "scaler")
    with pytest.raises(DataError, match=r"fold_3\.npz: expected 12 bands, found \(16,\); run 'dvc repro scale'"):
        run_stages(tmp_path, features, params, ["train"])


def test_a_diverging_loss_is_an_error(tone_features, quick_params, tmp_path):
    params = quick_params | {"train": quick_params["train"] | {"learning_rate": 1e30, "schedule": "constant"}}
    with pytest.raises(ModelError, match=r"the loss of fold_3 became NaN or infinite in epoch 1; lower train\."):
        run_stages(tmp_path, tone_features, params, ["scale", "train"])
    assert not (tmp_path / "models").exists()


def test_an_empty_folder_of_models_is_named(tone_features, quick_params, tmp_path):
    (tmp_path / "models").mkdir()
    with pytest.raises(ModelError, match="holds no model; run 'dvc repro train'"):
        run_stages(tmp_path, tone_features, quick_params, ["evaluate"])


def test_a_missing_scaler_is_named(tone_features, quick_params, tmp_path):
    with pytest.raises(DataError, match=r"fold_3\.npz: cannot be read .*; run 'dvc repro scale'"):
        run_stages(tmp_path, tone_features, quick_params, ["train"])
