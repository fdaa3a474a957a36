import numpy as np
import pytest
from sklearn.metrics import f1_score

from stages.lib.model.calibration import apply_temperature, best_threshold, calibrate, fit_calibration
from stages.lib.model.segments import average_segments


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_a_temperature_divides_the_logarithms():
    scores = np.random.default_rng(0).normal(0, 3, (50, 4))
    np.testing.assert_allclose(apply_temperature(softmax(scores), 2.5), softmax(scores / 2.5), rtol=1e-6)


def test_a_certain_probability_stays_a_number():
    np.testing.assert_allclose(apply_temperature(np.array([[1.0, 0.0]]), 0.05), [[1, 0]], atol=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_applied_is_found_again(temperature):
    """Classes are drawn from the probabilities, so 1 is right; what was sharpened or softened needs the inverse."""
    rng = np.random.default_rng(1)
    right = softmax(rng.normal(0, 2, (20_000, 5)))
    class_ids = (right.cumsum(axis=1) < rng.uniform(size=(len(right), 1))).sum(axis=1)
    found, _ = fit_calibration(apply_temperature(right, 1 / temperature), np.arange(len(right)), class_ids)
    assert found == pytest.approx(temperature, rel=0.05)


def test_thresholds_are_the_best_of_all_thresholds():
    rng = np.random.default_rng(2)
    for _ in range(20):
        scores, truth = rng.uniform(size=40).round(2), rng.uniform(size=40) < 0.3
        if not truth.any():
            continue
        everywhere = [f1_score(truth, scores > threshold, zero_division=0) for threshold in np.linspace(-0.005, 1, 202)]
        assert f1_score(truth, scores > best_threshold(scores, truth)) == pytest.approx(max(everywhere))


def test_a_class_without_a_clip_gets_one_half():
    assert best_threshold(np.array([0.2, 0.9]), np.array([False, False])) == 0.5


def test_a_calibration_names_the_classes_and_the_fold():
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6]])
    found = calibrate(probabilities, np.array([0, 0, 1, 1]), np.array([0, 1]), ["a", "b"], 7)
    assert found.fold == 7
    assert set(found.thresholds) == {"a", "b"}
    clips = average_segments(apply_temperature(probabilities, found.temperature), np.array([0, 0, 1, 1]))
    assert clips[1, 0] < found.thresholds["a"] < clips[0, 0]
