"""Calibration: how often a network is right, by its probabilities, fitted on clips that it was not trained on.

One temperature makes the probabilities of segments more or less sure, one threshold per class says from which
probability on the class counts as detected. Both are fitted on few clips, so neither says more than these can bear:

- The temperature has the least cross-entropy of clips with smoothed targets, as Platt's: n clips without an error do
  not show that the next one is right more often than (n + 1) / (n + 2), Laplace's rule of succession. Where no clip is
  misclassified the temperature is at least 1, too: how far it should fall could not be seen, and in use there are
  sounds of other classes, which a lower one would name with the same certainty.
- The threshold with the best F1 on n clips of its class is drawn towards 0.5, by `PRIOR_CLIPS` clips' worth. For
  probabilities that are right the best threshold is half of the best F1, so never above 0.5 (Lipton, Elkan,
  Naryanaswamy: Optimal thresholding of classifiers to maximize F1 measure, ECML 2014): one far above comes of few
  clips or of an error that the temperature left.

Platt: Probabilistic outputs for support vector machines, 1999, section 2.2; Guo, Pleiss, Sun, Weinberger: On
calibration of modern neural networks, ICML 2017, section 4.2.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pydantic

TEMPERATURES = (0.05, 20.0)  # far beyond what a network needs
# Of 0, 5, 10, 20, 50 and more the best or within 0.007 of the best F1 in each of 40 simulations: 3 and 10 classes, 5 to
# 100 clips of each, with and without errors that differ by class. Without it F1 was up to 0.027 less.
PRIOR_CLIPS = 10


class Calibration(pydantic.BaseModel, frozen=True, strict=True, extra="allow"):
    """What belongs into a model file.

    `thresholds` and `n_clips`, the clips that each threshold rests on, are by class name; `folds` are those of the
    clips. `limited` is true where a limit decided the temperature (see `fit_temperature`). Files of version 0.1 have
    one `fold`, and neither `n_clips` nor `limited`.
    """

    temperature: float
    thresholds: dict[str, float]
    folds: list[int]
    n_clips: dict[str, int] = pydantic.Field(default_factory=dict)
    limited: bool = False

    @pydantic.model_validator(mode="before")
    @classmethod
    def _read_version_0_1(cls, values: Any) -> Any:
        if isinstance(values, dict) and "fold" in values and "folds" not in values:
            return {key: value for key, value in values.items() if key != "fold"} | {"folds": [values["fold"]]}
        return values


def calibrate(
    probabilities: np.ndarray, clip_rows: np.ndarray, class_ids: np.ndarray, classes: Sequence[str], folds: list[int]
) -> Calibration:
    """Fit the calibration of a model on the clips of `folds`, which it was not trained on.

    `probabilities` (n_segments, n_classes), in the order of `classes`, are those of segments of the clips `clip_rows`
    (n_segments,), whose classes are `class_ids` (n_clips,). Numbers are rounded to 4 decimals.
    """
    temperature, limited = fit_temperature(probabilities, clip_rows, class_ids)
    of_clips = clip_probabilities(probabilities, clip_rows, temperature)
    thresholds = {name: fit_threshold(of_clips[:, i], class_ids == i) for i, name in enumerate(classes)}
    n_clips = {name: int((class_ids == i).sum()) for i, name in enumerate(classes)}
    return Calibration(temperature=temperature, thresholds=thresholds, folds=folds, n_clips=n_clips, limited=limited)


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities, (n, n_classes), with their logarithms divided by `temperature`; above 1 they become less sure.

    Returns float64 of the same shape.
    """
    powers = np.maximum(probabilities, 1e-12).astype(np.float64) ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def clip_probabilities(probabilities: np.ndarray, clip_rows: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """The probabilities of clips: the mean over the segments of each, after temperature.

    `probabilities` is (n_segments, n_classes), `clip_rows` int of shape (n_segments,), ascending from 0 without a gap.
    Returns float64 of shape (n_clips, n_classes).
    """
    starts = np.flatnonzero(np.diff(clip_rows, prepend=-1))
    counts = np.diff(np.append(starts, len(clip_rows)))
    return np.add.reduceat(apply_temperature(probabilities, temperature), starts, axis=0) / counts[:, np.newaxis]


def fit_temperature(probabilities: np.ndarray, clip_rows: np.ndarray, class_ids: np.ndarray) -> tuple[float, bool]:
    """The temperature of segments with the least cross-entropy of clips, and whether a limit decided it.

    Limits are the ends of `TEMPERATURES`, and 1 from below where every clip is classified as it should be. Arrays are
    those of `calibrate`.
    """
    import scipy.optimize  # only to fit; what applies a temperature need not wait for it

    n_clips, n_classes = len(class_ids), probabilities.shape[1]
    targets = np.full((n_clips, n_classes), 1 / (n_clips + 2) / max(1, n_classes - 1))
    targets[np.arange(n_clips), class_ids] = (n_clips + 1) / (n_clips + 2)

    def cross_entropy(log_temperature: float) -> float:
        of_clips = clip_probabilities(probabilities, clip_rows, np.exp(log_temperature))
        return float(-(targets * np.log(of_clips + 1e-12)).sum(axis=1).mean())

    fitted = scipy.optimize.minimize_scalar(cross_entropy, bounds=np.log(TEMPERATURES), method="bounded")
    temperature = float(np.exp(fitted.x))
    flawless = bool((clip_probabilities(probabilities, clip_rows).argmax(axis=1) == class_ids).all())
    if flawless and temperature < 1:
        return 1.0, True
    low, high = TEMPERATURES
    return round(temperature, 4), not low * 1.1 < temperature < high / 1.1  # the search stops short of its ends


def fit_threshold(scores: np.ndarray, is_class: np.ndarray) -> float:
    """The threshold of a class: that with the best F1, drawn towards 0.5 the more, the fewer clips it rests on.

    `scores` are probabilities of clips, (n_clips,), `is_class` is bool of the same shape.
    """
    n_clips = int(is_class.sum())
    weight = n_clips / (n_clips + PRIOR_CLIPS)
    return round(0.5 + weight * (best_threshold(scores, is_class) - 0.5), 4)


def best_threshold(scores: np.ndarray, is_class: np.ndarray) -> float:
    """The threshold with the best F1: half way between two scores, the highest of equals; 0.5 without a clip."""
    if not is_class.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    scores, true_positives = scores[order], np.cumsum(is_class[order])
    f1 = 2 * true_positives / (np.arange(1, len(scores) + 1) + is_class.sum())
    below = np.append(scores[1:], 0.0)
    f1[scores == below] = -1.0  # no threshold lies between equals
    best = int(np.argmax(f1))
    return float((scores[best] + below[best]) / 2)
