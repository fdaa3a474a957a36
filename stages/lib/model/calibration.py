"""Calibration: from what the net says to how often it is right, fitted on the validation fold."""

import numpy as np
import pydantic

from stages.lib.model.segments import average_segments

TEMPERATURES = (0.05, 20.0)  # far beyond what is ever fitted


class Calibration(pydantic.BaseModel, frozen=True, strict=True, extra="allow"):
    """What belongs into a model file: `thresholds` are by class name, `fold` is the one that both were fitted on."""

    temperature: float
    thresholds: dict[str, float]
    fold: int


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities, (n, n_classes), with their logarithms divided by `temperature`; above 1 they become less sure.

    Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks, ICML 2017, section 4.2.
    """
    powers = np.maximum(probabilities, 1e-12).astype(np.float64) ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def fit_calibration(
    probabilities: np.ndarray, clip_rows: np.ndarray, class_ids: np.ndarray
) -> tuple[float, list[float]]:
    """The temperature of segments, and for each class the probability of a clip from which on to believe in it.

    `probabilities` (n_segments, n_classes) are those of segments of the clips `clip_rows` (n_segments,), whose classes
    are `class_ids` (n_clips,). The temperature has the least cross-entropy of clips, the threshold the best F1 of its
    class among all that tell two clips apart; 0.5 for a class without a clip. Both rounded to 4 decimals.
    """

    import scipy.optimize  # only to fit; what applies a temperature need not wait for it

    def clips(temperature: float) -> np.ndarray:
        return average_segments(apply_temperature(probabilities, temperature), clip_rows)

    def cross_entropy(log_temperature: float) -> float:
        return -np.log(clips(np.exp(log_temperature))[np.arange(len(class_ids)), class_ids] + 1e-12).mean()

    fitted = scipy.optimize.minimize_scalar(cross_entropy, bounds=np.log(TEMPERATURES), method="bounded")
    temperature = round(float(np.exp(fitted.x)), 4)
    of_clips = clips(temperature)
    return temperature, [best_threshold(of_clips[:, i], class_ids == i) for i in range(of_clips.shape[1])]


def best_threshold(scores: np.ndarray, truth: np.ndarray) -> float:
    """The threshold with the best F1: half way between two scores, the highest of equals. 0.5 where nothing is true."""
    if not truth.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + truth.sum())
    below = np.append(scores[1:], 0.0)
    f1[scores == below] = -1.0  # no threshold lies between equals
    best = int(np.argmax(f1))
    return round(float((scores[best] + below[best]) / 2), 4)


def calibrate(
    probabilities: np.ndarray, clip_rows: np.ndarray, class_ids: np.ndarray, classes: list[str], fold: int
) -> Calibration:
    """The calibration for the model file; arrays as `fit_calibration` takes them."""
    temperature, thresholds = fit_calibration(probabilities, clip_rows, class_ids)
    return Calibration(temperature=temperature, thresholds=dict(zip(classes, thresholds, strict=True)), fold=fold)
