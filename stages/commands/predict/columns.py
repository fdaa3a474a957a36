"""A picture of an array of any length in a bounded number of columns."""

import numpy as np

COLUMNS = 2000  # at least half as many are drawn of a long recording, twice what the width of the picture shows


class Columns:
    """The greatest values of equal parts of a sequence of unknown length, so that a picture of hours needs no more."""

    def __init__(self) -> None:
        """Begin with parts of one row."""
        self._rows: list[np.ndarray] = []
        self._part: list[np.ndarray] = []
        self.rows_per_part = 1

    def add(self, rows: np.ndarray) -> None:
        """Take the next rows, of shape (n, width)."""
        for row in rows:
            self._part.append(row)
            if len(self._part) == self.rows_per_part:
                self._rows.append(np.max(self._part, axis=0))
                self._part = []
            if len(self._rows) == COLUMNS:
                pairs = np.array(self._rows).reshape(COLUMNS // 2, 2, -1)
                self._rows, self.rows_per_part = list(pairs.max(axis=1)), 2 * self.rows_per_part

    @property
    def values(self) -> np.ndarray:
        """The parts, (n, width); the last may be of fewer rows."""
        return np.array([*self._rows, *([np.max(self._part, axis=0)] if self._part else [])])
