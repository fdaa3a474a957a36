"""The head for frames: what it learns from, what it is given, and that it knows when a tone sounds."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from helpers.metadata import make_metadata
from helpers.tiny_network import TINY, register_tiny_network
from helpers.tone_model import tone_metadata
from helpers.tones import TONES_HZ
from stages.commands.export import __main__ as export
from stages.lib.inference.detect import StreamDetector, detect
from stages.lib.inference.events import EventSettings
from stages.lib.inference.runtime import open_model
from stages.lib.model.archive import save_model
from stages.lib.model.metadata import FramesMetadata
from stages.lib.model.segments import make_segmenter
from stages.lib.soundscapes.compose import Placed
from stages.lib.split.scaler import Scaler
from stages.train.recipe import EventParams

SR = 8000
CLIPS = pd.DataFrame([(f"{name}-{i}", name) for name in TONES_HZ for i in range(4)], columns=["clip", "class"])


@pytest.fixture(scope="module")
def frames():
    register_tiny_network()
    from stages.train import frames

    return frames


def load_tone(clip):
    """A tone of 1.5 s."""
    hz = TONES_HZ[clip.split("-")[0]]
    return (0.1 * np.sin(2 * np.pi * hz * np.arange(int(1.5 * SR)) / SR)).astype(np.float32)


def build(name, metadata, n_frames=None):
    from stages.train.networks import build_model

    n_features = len(metadata.scaler_mean)
    return build_model(
        name,
        n_frames=n_frames or make_segmenter(metadata).length,
        n_classes=len(metadata.classes),
        scaler=Scaler(np.full(n_features, -5, np.float32), np.full(n_features, 2, np.float32)),
    )


def make_params(**changes):
    return EventParams(**asdict(EventSettings()) | changes)


@pytest.fixture(scope="module")
def taught(frames, tmp_path_factory):
    """A model file whose head was taught tones; the network itself is as it began."""
    metadata = tone_metadata()
    model = build(TINY, metadata)
    whole, step = frames.add_frame_head(
        model, metadata, CLIPS, load_tone, make_params(n_soundscapes=24, epochs=20), seed=1
    )
    path = tmp_path_factory.mktemp("models") / "fold_3.keras"
    save_model(path, whole, metadata.model_copy(update={"frames": FramesMetadata(step=step, n_soundscapes=24)}))
    return path, model


def tone_between(start_s, end_s, duration_s=12.0, name="high"):
    t = np.arange(round(duration_s * SR)) / SR
    y = 0.003 * np.random.default_rng(5).standard_normal(len(t))
    return (y + np.where((t >= start_s) & (t < end_s), 0.1 * np.sin(2 * np.pi * TONES_HZ[name] * t), 0)).astype(
        np.float32
    )


def test_it_tells_when_a_tone_begins_and_ends(taught):
    events = [event for event in detect(tone_between(4.0, 6.5), open_model(taught[0]), sr=SR) if not event.is_unsure]
    assert [event.label for event in events] == ["high"]
    assert events[0].start_s == pytest.approx(4.0, abs=0.3)
    assert events[0].end_s == pytest.approx(6.5, abs=0.3)


def test_the_probabilities_of_segments_stay_those_of_the_network(taught):
    path, network = taught
    model = open_model(path)
    segments = np.random.default_rng(0).normal(-5, 2, (3, model.length, model.n_features)).astype(np.float32)
    np.testing.assert_allclose(model.score(segments), network.predict_on_batch(segments), atol=1e-6)
    probabilities, steps = model.predict_steps(segments)
    assert steps.shape == (3, model.length // model.metadata.frames.step, len(TONES_HZ) + 1)
    assert np.array_equal(probabilities, model.predict(segments))


@pytest.mark.parametrize("looks_ahead", [True, False])
@pytest.mark.parametrize("size", [997, 4000])
def test_a_stream_has_the_same_events_however_it_is_cut(taught, size, looks_ahead):
    model, y = open_model(taught[0]), tone_between(3.0, 5.0, duration_s=9.3)
    detector = StreamDetector(model, SR, batch_size=1, looks_ahead=looks_ahead)
    events = detector.detect(y[i : i + size, np.newaxis] for i in range(0, len(y), size))
    assert events == detect(y, model, sr=SR, looks_ahead=looks_ahead)
    assert events


def test_a_stream_that_looks_back_only_knows_at_once(taught):
    rows = []
    detector = StreamDetector(
        open_model(taught[0]), SR, batch_size=1, looks_ahead=False, step_s=0.25, on_rows=rows.append
    )
    detector.push(tone_between(2.0, 5.0)[: 4 * SR, np.newaxis])
    known_s = sum(map(len, rows)) * detector.row_s
    assert known_s > 4 - 0.25 - detector.row_s - 0.15  # a step, a row, and a group of frames
    assert detector.active_classes(detector.newest)[0][0] == "high"
    detector.push(tone_between(2.0, 5.0)[4 * SR : 6 * SR, np.newaxis])
    assert detector.active_classes(detector.newest) == []
    found = [e for e in detect(tone_between(4.0, 6.5), detector.model, sr=SR, looks_ahead=False) if not e.is_unsure]
    assert [event.label for event in found] == ["high"]
    assert found[0].start_s == pytest.approx(4.0, abs=0.35)
    assert found[0].end_s == pytest.approx(6.5, abs=0.35)


@pytest.mark.parametrize("looks_ahead", [True, False])
@pytest.mark.parametrize("duration_s", [0.01, 0.3, 0.55, 2.01])
def test_recordings_of_any_length_are_covered_to_their_end(taught, duration_s, looks_ahead):
    rows = []
    detector = StreamDetector(open_model(taught[0]), SR, looks_ahead=looks_ahead, on_rows=rows.append)
    detector.detect([tone_between(0, 9, duration_s)[:, np.newaxis]])
    found = np.concatenate(rows)
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= 1)).all()
    assert len(found) * detector.row_s == pytest.approx(duration_s, abs=detector.row_s + 0.04)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
def test_an_exported_model_has_the_steps_too(taught, tmp_path, suffix):
    out = tmp_path / f"model{suffix}"
    export.main(["--model", str(taught[0]), "--out", str(out)])
    y = tone_between(4.0, 6.5)
    if suffix == ".onnx":
        assert detect(y, open_model(out), sr=SR) == detect(y, open_model(taught[0]), sr=SR)
    else:
        import tensorflow

        assert len(tensorflow.lite.Interpreter(str(out)).get_output_details()) == 2


@pytest.mark.parametrize(
    ("name", "n_frames"), [("dcase2016", 30), ("dcase2016_deltas", 30), ("cp_resnet", 37), ("yamnet", 48)]
)
def test_every_network_can_have_the_head_and_keeps_its_probabilities(frames, name, n_frames):
    import keras

    metadata = tone_metadata()
    model = build(name, metadata, n_frames)
    maps, probabilities = frames.split_at_maps(model, n_frames // 5)
    lengths = [feature_map.shape[1] for feature_map in maps]
    assert lengths == sorted(set(lengths))
    assert lengths[-1] >= n_frames // 5
    shapes = [feature_map.shape[1:] for feature_map in maps]
    features = frames.build_step_features(shapes, model.input.shape[1:], 5)([*maps, model.input])
    both = keras.Model(model.input, [probabilities, features])
    segments = np.random.default_rng(0).normal(-5, 2, (2, *model.input.shape[1:])).astype(np.float32)
    found, of_steps = both.predict_on_batch(segments)
    np.testing.assert_allclose(found, model.predict_on_batch(segments), atol=1e-6)
    assert of_steps.shape[1] == n_frames // 5


def test_interpolation_keeps_lines_and_constants(frames):
    np.testing.assert_allclose(np.ones(6) @ frames.interpolation(6, 12), 1, atol=1e-6)
    line = (np.arange(6) + 0.5) / 6
    np.testing.assert_allclose(
        (line @ frames.interpolation(6, 12))[1:-1], ((np.arange(12) + 0.5) / 12)[1:-1], atol=1e-6
    )
    np.testing.assert_allclose(frames.interpolation(7, 7), np.eye(7), atol=1e-6)


def test_frames_are_active_where_their_middle_is_in_a_clip(frames):
    placed = [Placed(0.1, 0.3, "a", "x", 0.0), Placed(0.28, 0.4, "b", "y", 0.0)]
    found = frames.active_frames(placed, ["a", "b"], 5, 0.1)
    assert found.T.tolist() == [[0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 1, 1, 1, 0]]


def test_segments_longer_than_a_soundscape_make_it_longer(frames):
    n_frames = 1500  # 24 s
    ((segments, targets),) = frames.cut_soundscapes(
        tone_metadata(), CLIPS, load_tone, n_frames=n_frames, step=10, n=1, seed=1
    )
    assert segments.shape[1] == n_frames
    assert targets.shape[1] == n_frames // 10


def test_it_learns_from_the_clips_it_is_given_alone_and_the_same_each_time(frames):
    asked = []

    def load(clip):
        asked.append(clip)
        return load_tone(clip)

    metadata = make_metadata(**tone_metadata().model_dump(exclude={"name"}))
    options = {"n_frames": 30, "step": 5, "n": 8, "seed": 1}
    first, second = (list(frames.cut_soundscapes(metadata, CLIPS[:6], load, **options)) for _ in range(2))
    assert set(asked) <= set(CLIPS["clip"][:6])
    assert len(first) == 8
    for (segments, targets), (again, _) in zip(first, second, strict=True):
        assert segments.shape[1:] == (30, len(metadata.scaler_mean))
        assert targets.shape == (len(segments), 6, len(metadata.classes) + 1)
        assert np.array_equal(segments, again)
        assert np.array_equal(targets[..., :-1].max(axis=-1) > 0, targets[..., -1] > 0)
