"""Make the picture of docs/predict.md: python -m docs.draw_predict, in a workspace with the synthetic sample's run.

Five clips of the test fold of the sample, at equal level over faint pink noise, become a recording of 40 s, and the
predict command draws what it detects in it.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from stages.commands.predict import __main__ as predict
from stages.lib.audio import load_mono
from stages.lib.soundscapes.backgrounds import PINK, coloured_noise

DOCS, RAW = Path(__file__).parent, Path("data/raw")
FOLD, SR, DURATION_S = 10, 22050, 40
PLACED = ((3.0, "car_horn"), (10.0, "dog_bark"), (17.0, "siren"), (26.0, "drilling"), (33.0, "gun_shot"))
LEVEL, NOISE = 0.05, 0.004  # root mean squares


def main() -> None:
    """Write the recording, predict, draw."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "synthetic_street.wav"
        soundfile.write(recording, place_clips(), SR)
        predict.main([str(recording), "--model", f"fold_{FOLD}", "--plot", str(DOCS / "predict.png")])


def place_clips() -> np.ndarray:
    """The recording; float32 of shape (n_samples,). Prints what is where."""
    y = NOISE * coloured_noise(DURATION_S * SR, SR, np.random.default_rng(3), PINK)
    clips = pd.read_csv(RAW / "clips.csv", keep_default_na=False).query("fold == @FOLD").sort_values("clip")
    for start_s, name in PLACED:
        clip = load_mono(RAW / "audio" / clips.loc[clips["class"] == name, "clip"].iloc[0], SR)
        start = round(start_s * SR)
        y[start : start + len(clip)] += LEVEL * clip / np.sqrt(np.mean(clip**2))
        print(f"{name} from {start_s:g} to {start_s + len(clip) / SR:g} s")
    return np.clip(y, -1, 1).astype(np.float32)


if __name__ == "__main__":
    main()
