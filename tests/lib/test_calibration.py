import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from stages.lib.model.calibration import (
    PRIOR_CLIPS,
    TEMPERATURES,
    Calibration,
    apply_temperature,
    best_threshold,
    calibrate,
    clip_probabilities,
    fit_temperature,
    fit_threshold,
)


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def draw_clips(n, n_classes, rng, *, n_segments=1, spread=2.0):
    """Probabilities of segments, their clips, and classes drawn from the mean of each clip, so that they are right."""
    logits = np.repeat(rng.normal(0, spread, (n, n_classes)), n_segments, axis=0)
    right = softmax(logits + (rng.normal(0, 1, logits.shape) if n_segments > 1 else 0))
    clip_rows = np.repeat(np.arange(n), n_segments)
    of_clips = pd.DataFrame(right).groupby(clip_rows).mean().to_numpy()
    class_ids = (of_clips.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1)
    return right, clip_rows, class_ids


def test_a_temperature_divides_the_logarithms():
    scores = np.random.default_rng(0).normal(0, 3, (50, 4))
    np.testing.assert_allclose(apply_temperature(softmax(scores), 2.5), softmax(scores / 2.5), rtol=1e-6)


def test_a_certain_probability_stays_a_number():
    np.testing.assert_allclose(apply_temperature(np.array([[1.0, 0.0]]), 0.05), [[1, 0]], atol=1e-9)


def test_clips_are_the_mean_of_their_segments_after_temperature():
    rng = np.random.default_rng(3)
    probabilities, clip_rows = softmax(rng.normal(0, 2, (30, 3))), np.sort(rng.integers(0, 8, 30))
    clip_rows = np.unique(clip_rows, return_inverse=True)[1]
    sharpened = probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True)
    expected = pd.DataFrame(sharpened).groupby(clip_rows).mean()
    np.testing.assert_allclose(clip_probabilities(probabilities, clip_rows, 0.5), expected, rtol=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_applied_is_found_again(temperature):
    """Classes are drawn from the probabilities, so 1 is right; what was sharpened or softened needs the inverse."""
    right, clip_rows, class_ids = draw_clips(20_000, 5, np.random.default_rng(1))
    found, limited = fit_temperature(apply_temperature(right, 1 / temperature), clip_rows, class_ids)
    assert found == pytest.approx(temperature, rel=0.05)
    assert not limited


def test_the_temperature_is_that_of_segments_not_of_their_mean():
    """Of three segments per clip, against a search on a grid that applies it to segments, by pandas."""
    rng = np.random.default_rng(4)
    probabilities, clip_rows, class_ids = draw_clips(400, 3, rng, n_segments=3)
    sharp = apply_temperature(probabilities, 0.4)

    def loss(temperature, sharpened_last):
        powers = sharp if sharpened_last else sharp ** (1 / temperature)
        of_clips = pd.DataFrame(powers / powers.sum(axis=1, keepdims=True)).groupby(clip_rows).mean().to_numpy()
        if sharpened_last:
            of_clips = of_clips ** (1 / temperature)
            of_clips /= of_clips.sum(axis=1, keepdims=True)
        targets = np.full(of_clips.shape, 1 / 402 / 2)
        targets[np.arange(400), class_ids] = 401 / 402
        return -(targets * np.log(of_clips)).sum(axis=1).mean()

    grid = np.geomspace(0.5, 10, 600)
    of_segments, of_means = (grid[np.argmin([loss(t, last) for t in grid])] for last in (False, True))
    assert fit_temperature(sharp, clip_rows, class_ids)[0] == pytest.approx(of_segments, rel=0.006)
    assert abs(of_means / of_segments - 1) > 0.05  # the two differ here, so the test can tell


def flawless(n_clips, confidence, n_classes=3):
    """Clips that are all classified as they should be, each with the same confidence."""
    class_ids = np.arange(n_clips) % n_classes
    probabilities = np.full((n_clips, n_classes), (1 - confidence) / (n_classes - 1))
    probabilities[np.arange(n_clips), class_ids] = confidence
    return probabilities, np.arange(n_clips), class_ids


@pytest.mark.parametrize("confidence", [0.4, 0.6, 0.9])
def test_a_fold_without_errors_does_not_make_the_model_more_confident(confidence):
    assert fit_temperature(*flawless(24, confidence)) == (1.0, True)


@pytest.mark.parametrize("n_clips", [12, 24, 240])
def test_a_fold_without_errors_supports_a_confidence_by_its_size(n_clips):
    """All alike: the least cross-entropy is where the confidence is the target, (n + 1) / (n + 2)."""
    probabilities, clip_rows, class_ids = flawless(n_clips, 1 - 1e-7)
    temperature, limited = fit_temperature(probabilities, clip_rows, class_ids)
    assert temperature > 1
    assert not limited
    found = clip_probabilities(probabilities, clip_rows, temperature)
    np.testing.assert_allclose(found[np.arange(n_clips), class_ids], (n_clips + 1) / (n_clips + 2), rtol=1e-4)


@pytest.mark.parametrize("n_clips", [80, 400])
def test_with_errors_the_temperature_is_about_that_of_the_plain_cross_entropy(n_clips):
    for seed in range(5):
        right, clip_rows, class_ids = draw_clips(n_clips, 10, np.random.default_rng(seed))
        blurred = apply_temperature(right, 1.5)
        grid = np.geomspace(0.2, 5, 400)
        losses = [
            -np.log(clip_probabilities(blurred, clip_rows, t)[np.arange(n_clips), class_ids]).mean() for t in grid
        ]
        plain = grid[np.argmin(losses)]
        assert fit_temperature(blurred, clip_rows, class_ids)[0] == pytest.approx(plain, rel=0.1)


def test_more_confidence_is_allowed_where_there_are_errors():
    right, clip_rows, class_ids = draw_clips(2000, 5, np.random.default_rng(6))
    temperature, limited = fit_temperature(apply_temperature(right, 2.0), clip_rows, class_ids)
    assert temperature == pytest.approx(0.5, rel=0.1)
    assert not limited


def test_the_end_of_the_range_is_reported():
    """A network that is always sure and mostly wrong."""
    probabilities, clip_rows, class_ids = flawless(30, 0.999)
    temperature, limited = fit_temperature(probabilities, clip_rows, (class_ids + 1) % 3)
    assert temperature == pytest.approx(TEMPERATURES[1], rel=0.1)
    assert limited


def test_thresholds_are_the_best_of_all_thresholds():
    rng = np.random.default_rng(2)
    for _ in range(20):
        scores, truth = rng.uniform(size=40).round(2), rng.uniform(size=40) < 0.3
        if not truth.any():
            continue
        tp = (truth & (scores > np.linspace(-0.005, 1, 202)[:, np.newaxis])).sum(axis=1)
        detected = (scores > np.linspace(-0.005, 1, 202)[:, np.newaxis]).sum(axis=1)
        best = (2 * tp / (detected + truth.sum())).max()
        assert f1_score(truth, scores > best_threshold(scores, truth)) == pytest.approx(best)


def test_a_class_without_a_clip_gets_one_half():
    assert best_threshold(np.array([0.2, 0.9]), np.array([False, False])) == 0.5
    assert fit_threshold(np.array([0.2, 0.9]), np.array([False, False])) == 0.5


@pytest.mark.parametrize("n_clips", [1, 9, 1000])
def test_a_threshold_is_drawn_towards_one_half_by_how_little_it_rests_on(n_clips):
    scores = np.repeat([0.99, 0.93], n_clips)
    is_class = np.repeat([True, False], n_clips)
    assert best_threshold(scores, is_class) == pytest.approx(0.96)
    expected = (0.96 * n_clips + 0.5 * PRIOR_CLIPS) / (n_clips + PRIOR_CLIPS)
    assert fit_threshold(scores, is_class) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("n_clips", [5, 9, 20])
def test_drawn_thresholds_detect_better_than_those_that_fit_best(n_clips):
    """Fitted on few clips, tried on many: mean F1 of three classes over 30 draws, with errors that differ by class."""
    rng = np.random.default_rng(n_clips)

    def draw(n, bias):
        class_ids = np.repeat(np.arange(3), n)
        logits = rng.normal(0, 1, (3 * n, 3))
        logits[np.arange(3 * n), class_ids] += 2
        return softmax(2 * logits + bias), class_ids

    gains = []
    for _ in range(30):
        bias = rng.normal(0, 0.7, 3)
        (few, of_few), (many, of_many) = draw(n_clips, bias), draw(300, bias)
        scores = [
            np.mean([f1_score(of_many == i, many[:, i] >= fit(few[:, i], of_few == i)) for i in range(3)])
            for fit in (fit_threshold, best_threshold)
        ]
        gains.append(scores[0] - scores[1])
    assert np.mean(gains) > 0.002


def test_a_calibration_says_what_it_rests_on():
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.4, 0.6], [0.1, 0.9]])
    clip_rows, class_ids = np.array([0, 0, 1, 2, 3]), np.array([0, 1, 0, 1])
    found = calibrate(probabilities, clip_rows, class_ids, ["a", "b"], [7, 8])
    temperature, limited = fit_temperature(probabilities, clip_rows, class_ids)
    assert (found.temperature, found.limited, found.folds) == (temperature, limited, [7, 8])
    assert found.n_clips == {"a": 2, "b": 2}
    of_clips = clip_probabilities(probabilities, clip_rows, temperature)
    assert found.thresholds == {name: fit_threshold(of_clips[:, i], class_ids == i) for i, name in enumerate("ab")}


def test_a_calibration_of_version_0_1_is_read():
    found = Calibration.model_validate_json('{"temperature": 0.8, "thresholds": {"a": 0.4}, "fold": 9}')
    assert found == Calibration(temperature=0.8, thresholds={"a": 0.4}, folds=[9], n_clips={}, limited=False)
