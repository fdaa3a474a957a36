"""From blocks of samples to rows of a grid."""

import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import soxr

from helpers.metadata import change_metadata
from helpers.repository import ROOT
from helpers.tone_model import HOP_S, SR, scene, tone_metadata, tone_model
from stages.lib.core.errors import AudioError, ModelError
from stages.lib.frontend.loudness import FLOOR_DB
from stages.lib.frontend.spectrogram import FeaturizeParams, Featurizer
from stages.lib.inference.runtime import Model
from stages.lib.inference.streaming import StreamingClassifier, make_featurizer
from stages.lib.model.segments import make_segmenter

PCEN = {"gain": 0.98, "bias": 2.0, "power": 0.5, "time_constant_s": 0.4, "eps": 1.0e-6}
KINDS = {
    "log": {},
    "pcen": {"compression": "pcen", "log_offset": None, "pcen": PCEN},
    "mfcc": {"n_mfcc": 12},
}


def classify(model, y, sizes, sr=SR, **options):
    """All rows of `y`, pushed in blocks of `sizes` in turn: (probabilities, levels)."""
    classifier = StreamingClassifier(model, sr, **options)
    rows, start, i = [], 0, 0
    y = y.reshape(len(y), -1)
    while start < len(y):
        rows.append(classifier.push(y[start : start + sizes[i % len(sizes)]]))
        start, i = start + sizes[i % len(sizes)], i + 1
    rows.append(classifier.finish())
    firsts = np.cumsum([0, *map(len, rows)])[:-1]
    assert all(row.first == first for row, first in zip(rows, firsts, strict=True) if len(row))
    return np.concatenate([row.probabilities for row in rows]), np.concatenate([row.levels for row in rows])


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_a_stream_are_those_of_the_whole_recording(kind):
    metadata = tone_metadata(**KINDS[kind])
    n_features = len(metadata.scaler_mean)
    found = []
    model = Model(tone_model().path, metadata, 30, n_features, lambda s: np.full((len(s), 3), 1 / 3, np.float32))
    classifier = StreamingClassifier(model, SR, on_frames=lambda frames: found.append(frames.copy()))
    y = scene()
    for block in np.split(y, [1, 100, 101, 5000, 5001, 40_000]):
        classifier.push(block[:, np.newaxis])
    classifier.finish()
    whole = Featurizer(FeaturizeParams(**metadata.featurize.model_dump()))(y)
    assert np.concatenate(found).shape == whole.shape
    np.testing.assert_allclose(np.concatenate(found), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 64])
@pytest.mark.parametrize(
    "n_samples",
    [1, 200, 256, 257, 2000, 3967, 3968, 3969, 12_345, 72_000],  # a window has 256, a segment 29 * 128 + 256 = 3968
)
def test_any_split_gives_the_same_rows_to_the_bit(n_samples, batch_size):
    y, model = scene()[:n_samples], tone_model()
    whole = classify(model, y, [n_samples], batch_size=batch_size, step_s=0.1)
    rng = np.random.default_rng(n_samples)
    for sizes in ([1] if n_samples < 3000 else [700], [97, 3], rng.integers(1, 9000, 50).tolist()):
        for found, expected in zip(classify(model, y, sizes, batch_size=batch_size, step_s=0.1), whole, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_a_resampled_stream_may_be_split_anywhere_too():
    y = np.stack([scene(44100)] * 2, axis=1)
    whole = classify(tone_model(), y, [len(y)], sr=44100)
    for found, expected in zip(classify(tone_model(), y, [441, 10_007, 2], sr=44100), whole, strict=True):
        np.testing.assert_array_equal(found, expected)


def counted_by_hand(model, y, step):
    """The grid by its definition: each row the mean of the segments that reach into it, weighted by frames shared."""
    segmenter = replace(make_segmenter(model.metadata), step=step)
    frames = Featurizer(FeaturizeParams(**model.metadata.featurize.model_dump()))(y)
    starts = segmenter.starts(len(frames))
    scores = model.score(np.stack([segmenter.cut(frames, start) for start in starts]))
    n_final = sum(start % step == 0 and start + segmenter.length <= len(frames) for start in starts)
    rows = []
    for row in range(-(-len(frames) // step)):
        total = weight = 0.0
        for start, score in zip(starts, scores, strict=True):
            on_grid = start % step == 0 and start + segmenter.length <= len(frames)
            if not on_grid and row < n_final:
                continue  # the row was final before the stream ended
            shared = len(set(range(start, start + segmenter.length)) & set(range(row * step, row * step + step)))
            total, weight = total + shared * score.astype(float), weight + shared
        rows.append(total / weight)
    return np.array(rows)


@pytest.mark.parametrize("n_samples", [200, 3000, 3968, 4100, 20_000, 33_333])
@pytest.mark.parametrize("step", [1, 7, 16, 30])
def test_rows_are_the_weighted_means_of_segments(n_samples, step):
    model, y = tone_model(), scene()[8000 : 8000 + n_samples]
    probabilities, levels = classify(model, y, [5000], step_s=step * HOP_S)
    expected = counted_by_hand(model, y, step)
    assert len(levels) == len(expected)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_a_row_is_final_as_soon_as_its_segment_is_complete():
    """Segment i ends 3968 samples after 16 i hops; groups of 0.1 s are computed at once, so it may come that late."""
    classifier = StreamingClassifier(tone_model(), SR, step_s=16 * HOP_S, batch_size=1)
    y, n_rows = scene(), 0
    for start in range(0, len(y), 80):
        n_rows += len(classifier.push(y[start : start + 80, np.newaxis]))
        n_pushed = start + 80
        n_complete = max(0, 1 + (n_pushed - 3968) // (16 * 128))
        n_due = max(0, 1 + (n_pushed - round(0.12 * SR) - 3968) // (16 * 128))
        assert n_due <= n_rows <= n_complete
        if n_rows:
            assert classifier.newest.end_s == pytest.approx(((n_rows - 1) * 16 * 128 + 3968) / SR)


def test_levels_are_of_the_loudest_frame_of_a_row():
    t = np.arange(4 * SR) / SR
    y = np.where((t >= 1) & (t < 2), np.sin(2 * np.pi * 1000 * t), 0).astype(np.float32)
    _, levels = classify(tone_model(), y, [len(y)], step_s=0.256)
    assert levels.max() == pytest.approx(0, abs=0.1)  # a sine of 1 kHz that touches full scale
    assert levels[0] == levels[-1] == FLOOR_DB
    assert np.flatnonzero(levels > -60)[[0, -1]].tolist() == [3, 7]  # rows of 0.256 s that hold a part of 1 to 2 s


def test_temperature_is_applied():
    model = tone_model()
    warm = replace(model, metadata=change_metadata(model.metadata, calibration={"temperature": 4.0}))
    sharp, flat = (classify(m, scene(), [SR])[0] for m in (model, warm))
    assert flat.max() < sharp.max() - 0.1
    np.testing.assert_allclose(flat.sum(axis=1), 1)


def test_a_model_without_calibration_is_taken_as_it_is():
    model = tone_model()
    bare = replace(model, metadata=change_metadata(model.metadata, calibration=None))
    np.testing.assert_array_equal(classify(model, scene(), [SR])[0], classify(bare, scene(), [SR])[0])


def test_the_same_sound_at_another_rate_gives_the_same_rows():
    stereo = np.stack([scene(48000), scene(48000)], axis=1)
    mono = soxr.resample(stereo.mean(axis=1), 48000, 22050, quality="HQ")
    a, b = (classify(tone_model(), y, [len(y)], sr=sr) for y, sr in ((stereo, 48000), (mono, 22050)))
    np.testing.assert_allclose(a[0], b[0], atol=0.01)
    np.testing.assert_allclose(a[1], b[1], atol=0.2)


def test_memory_does_not_grow_with_the_stream():
    model = tone_model()

    def peak(duration_s):
        tracemalloc.start()
        classifier, second = StreamingClassifier(model, SR), np.zeros((SR, 1), np.float32)
        n_rows = sum(len(classifier.push(second)) for _ in range(duration_s)) + len(classifier.finish())
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found, n_rows

    (short, n_short), (long, n_long) = peak(60), peak(600)
    assert n_long == pytest.approx(10 * n_short, abs=10)
    assert long < 1.1 * short + 10_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "db"}, r"its metadata contradicts itself: kind db, where its parameters give log; run"),
        ({"floor": -3.0}, r"its metadata contradicts itself: floor -3\.0, where its parameters give -18\.421"),
        ({"featurize": {"n_mels": 12}}, "numbers per frame 16, where its parameters give 12"),
        ({"featurize": {"fmax": 9e3}}, r"its metadata is wrong: featurize\.fmax 9000 Hz"),
        ({"featurize": {"window": 3}}, r"its metadata is wrong: featurize\.window: expected 'hamming'.*, found 3; run"),
        (
            {"segment": {"duration_s": 0.7, "overlap_s": 0.0, "pad": "repeat"}},
            r"fold_3\.keras: its segments have 30 frames, its metadata says 42; run 'dvc repro train'",
        ),
    ],
)
def test_a_model_that_contradicts_its_metadata_is_refused(changes, message):
    model = tone_model()
    with pytest.raises(ModelError, match=message):
        StreamingClassifier(replace(model, metadata=change_metadata(model.metadata, **changes)), SR)


def test_a_step_beyond_a_segment_is_refused():
    with pytest.raises(ModelError, match=r"a step of 0\.6 s is longer than a segment of fold_3\.keras, 0\.48 s; what"):
        StreamingClassifier(tone_model(), SR, step_s=0.6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_sample_that_is_not_finite_is_named(value):
    y = scene()
    y[20_000] = value
    with pytest.raises(AudioError, match=r"a sample after 2\.0 s is not a finite number"):
        classify(tone_model(), y, [SR])


def test_probabilities_that_are_not_finite_are_refused():
    model = replace(tone_model(), score=lambda segments: np.full((len(segments), 3), np.nan, np.float32))
    with pytest.raises(ModelError, match=r"fold_3\.keras: gives probabilities that are not finite"):
        classify(model, scene(), [SR])


def test_the_front_end_is_that_of_the_metadata():
    assert make_featurizer(tone_model()).params.n_mels == 16


def test_what_opens_models_imports_nothing_heavy():
    """Keras is imported only for a file of Keras."""
    heavy = {"keras", "tensorflow", "onnxruntime", "pandas"}
    code = f"import sys, stages.lib.inference.runtime; print(sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
