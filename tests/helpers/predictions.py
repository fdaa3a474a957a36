"""Generated predictions, as evaluate stores them, for tests of what is made of them."""

import numpy as np
import pandas as pd

from stages.evaluate.scores import EvaluateParams

PARAMS = EvaluateParams(
    n_bootstrap=20,
    calibration_bins=10,
    n_soundscapes=0,
    soundscape_s=6.0,
    soundscape_snr_db=[6.0, 20.0],
    backgrounds="",
    unknown="",
    seed=1,
)
TABLES = [  # of evaluate, without those of unknown sounds
    "predictions", "scores", "folds", "classes", "groups", "calibration", "confusions", "misclassifications",
    "precision_recall", "roc", "soundscapes", "soundscape_classes", "soundscape_backgrounds",
]  # fmt: skip
NAMES = ["siren", "<b>dog & bark</b>", "car_horn"]  # a class may be called anything


def generate_predictions(n: int = 90, classes: list[str] = NAMES, n_folds: int = 2) -> pd.DataFrame:
    """`n` clips, three from each source, with probabilities that are a little better than guessing."""
    rng = np.random.default_rng(0)
    number = np.arange(n) % len(classes)
    raw = rng.gamma(1.0, size=(n, len(classes)))
    raw[np.arange(n), number] += 1
    probabilities = (raw / raw.sum(axis=1, keepdims=True)).round(6)
    source = np.arange(n) // 3
    table = pd.DataFrame(
        {
            "clip": [f"{i}.wav" for i in range(n)],
            "fold": 1 + source % n_folds,
            "source": source.astype(str),
            "salience": rng.choice(["1", "2"], n),
            "duration_s": rng.uniform(0.1, 5, n),
            "truth": np.array(classes)[number],
            "predicted": np.array(classes)[raw.argmax(axis=1)],
        }
    )
    return table.join(pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes]))
