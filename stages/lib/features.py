"""The features of a dataset on disk: log-mel frames of whole clips, a fold a file, readable as memory maps.

`fold_<k>.npy`  float32 of shape (frames of all clips of the fold, n_mels)
`index.csv`     a row a clip: clip, class, fold, source, salience, duration_s, sample_rate_hz, offset (its first frame
                in the file of its fold), n_frames
`facts.json`    what the numbers mean: `featurize` (the parameters), `classes` (names, in the order of their ids),
                `folds`, `floor` (the value of silence), `empty_bands`, `dataset` (name, title, licence and so on)
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.lib.errors import DataError
from stages.lib.files import read_json

INDEX_COLUMNS = [
    "clip", "class", "fold", "source", "salience", "duration_s", "sample_rate_hz", "offset", "n_frames",
]  # fmt: skip
TEXT_COLUMNS = dict.fromkeys(["clip", "class", "source", "salience"], str)


def read_clips(path: Path) -> pd.DataFrame:
    """Read a table with a row a clip; names stay text, even a class called "None" or a source called "007"."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; run 'dvc repro'")
    return pd.read_csv(path, dtype=TEXT_COLUMNS, keep_default_na=False)


def fold_file(folder: Path, fold: int) -> Path:
    """The file of the frames of one fold."""
    return folder / f"fold_{fold}.npy"


@dataclass(frozen=True)
class Features:
    """Features as `open_features` found them."""

    folder: Path
    index: pd.DataFrame
    facts: dict[str, Any]

    @property
    def classes(self) -> list[str]:
        """Class names in the order of their ids."""
        return self.facts["classes"]

    @property
    def folds(self) -> list[int]:
        """The folds there are, ascending."""
        return self.facts["folds"]

    @property
    def n_mels(self) -> int:
        """Bands a frame."""
        return self.facts["featurize"]["n_mels"]

    def frames(self, fold: int) -> np.ndarray:
        """The frames of one fold as a read-only memory map, float32 of shape (n_frames, n_mels)."""
        path = fold_file(self.folder, fold)
        try:
            frames = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot be read ({error}); run 'dvc repro featurize'") from None
        expected = (int(self.clips([fold])["n_frames"].sum()), self.n_mels)
        if frames.shape != expected:
            raise DataError(f"{path}: expected shape {expected}, found {frames.shape}; run 'dvc repro featurize'")
        return frames

    def clips(self, folds: list[int]) -> pd.DataFrame:
        """The rows of the index that are in `folds`."""
        return self.index[self.index["fold"].isin(folds)].reset_index(drop=True)


def open_features(folder: Path) -> Features:
    """Open what featurize wrote; the frames are read only when they are asked for. Raises `DataError`."""
    facts_path = folder / "facts.json"
    if not facts_path.is_file():
        raise DataError(f"{folder}: holds no features; run 'dvc repro featurize'")
    index = read_clips(folder / "index.csv")
    if list(index.columns) != INDEX_COLUMNS:
        raise DataError(f"{folder / 'index.csv'}: expected columns {INDEX_COLUMNS}, found {list(index.columns)}")
    return Features(folder, index, read_json(facts_path))
