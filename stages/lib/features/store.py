"""The features of a dataset on disk: frames of whole clips, one file per fold, readable as memory maps.

`fold_<k>.npy`  float32 of shape (frames of all clips of the fold, n_mels): all clips, then all their variants
`index.csv`     one row per clip, followed by one for each of its variants: clip, variant ("" for the clip itself,
                "stretch 0.81" by tempo factor, "pitch -2" by semitones), class, fold, source, salience, duration_s,
                sample_rate_hz (of the file), offset (its first frame in the file of its fold), n_frames, level_db (the
                greatest A-weighted level in dB re full scale, see `stages.lib.frontend.loudness`)
`facts.json`    what the numbers mean: `featurize` (the parameters, lengths in samples), `kind` (`log`, `db` or `pcen`
                of mel bands, or `mfcc`), `n_features` (numbers per frame, the n_mels of the shapes here), `classes`
                (names, in the order of their ids), `folds`, `floor` (the value of silence; for MFCC one per
                coefficient), `empty_bands`, `dataset` (name, title, licence and so on)
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.lib.core.errors import DataError
from stages.lib.core.files import read_json

ROWS_PER_CHUNK = 5000
ORIGINAL = ""  # the variant that is the clip itself

INDEX_COLUMNS = [
    "clip", "variant", "class", "fold", "source", "salience", "duration_s", "sample_rate_hz", "offset", "n_frames",
    "level_db",
]  # fmt: skip
TEXT_COLUMNS = dict.fromkeys(["clip", "variant", "class", "source", "salience"], str)


def read_clips(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table with one row per clip, or some of its columns; names stay text, even a class called "None".

    Read in chunks: all at once, the text of all columns would be in memory three times.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; run 'dvc repro'")
    chunks = pd.read_csv(path, dtype=TEXT_COLUMNS, keep_default_na=False, usecols=columns, chunksize=ROWS_PER_CHUNK)
    return pd.concat(chunks, ignore_index=True)


def fold_file(folder: Path, fold: int) -> Path:
    """The file of the frames of one fold."""
    return folder / f"fold_{fold}.npy"


def create_fold(folder: Path, fold: int, shape: tuple[int, int]) -> None:
    """Write a file of `shape` (n_frames, n_mels) for the frames of a fold, all zero, to be filled by `write_frames`."""
    np.lib.format.open_memmap(fold_file(folder, fold), mode="w+", dtype=np.float32, shape=shape)


def write_frames(folder: Path, fold: int, offset: int, frames: np.ndarray) -> None:
    """Write `frames`, float32 of shape (n_frames, n_mels), into the file of a fold, from its frame `offset` on.

    By plain writing, not through a memory map: a full disk is an error then, not the end of the process. Several may
    write to one file, each into its own place, and the same frames twice. Raises `DataError` where there is no file.
    """
    path = fold_file(folder, fold)
    try:
        with path.open("r+b") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            file.seek(offset * frames.shape[1] * frames.itemsize, 1)
            file.write(np.ascontiguousarray(frames).data)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; workers on other machines must see the same paths as here") from None


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
        """Numbers per frame: bands, or where `kind` is `mfcc` coefficients."""
        return self.facts["n_features"]

    def frames(self, fold: int) -> np.ndarray:
        """The frames of one fold as a read-only memory map, float32 of shape (n_frames, n_mels).

        Variants are in it too, after all clips of the fold. Raises `DataError` where the file does not fit the index.
        """
        path = fold_file(self.folder, fold)
        try:
            frames = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot be read ({error}); run 'dvc repro featurize'") from None
        expected = (int(self.clips([fold], variants=True)["n_frames"].sum()), self.n_mels)
        if frames.shape != expected:
            raise DataError(f"{path}: expected shape {expected}, found {frames.shape}; run 'dvc repro featurize'")
        return frames

    def clips(self, folds: list[int], *, variants: bool = False) -> pd.DataFrame:
        """The rows of the index that are in `folds`: the clips, and where `variants` is true their variants too.

        Variants are for training alone; whoever measures or scores leaves them out, so that is the default.
        """
        rows = self.index["fold"].isin(folds)
        if not variants:
            rows &= self.index["variant"] == ORIGINAL
        return self.index[rows].reset_index(drop=True)


def open_features(folder: Path) -> Features:
    """Open what featurize wrote; the frames are read only when they are asked for. Raises `DataError`."""
    facts_path = folder / "facts.json"
    if not facts_path.is_file():
        raise DataError(f"{folder}: holds no features; run 'dvc repro featurize'")
    index = read_clips(folder / "index.csv")
    if list(index.columns) != INDEX_COLUMNS:
        raise DataError(f"{folder / 'index.csv'}: expected columns {INDEX_COLUMNS}, found {list(index.columns)}")
    return Features(folder, index, read_json(facts_path))
