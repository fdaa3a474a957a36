"""The picture of the predict command."""

import numpy as np
import pytest

from stages.commands.predict.columns import COLUMNS, Columns


@pytest.mark.parametrize("n", [0, 1, COLUMNS - 1, COLUMNS, 5 * COLUMNS + 3])
def test_columns_hold_the_greatest_of_equal_parts(n):
    rows = np.random.default_rng(n).random((n, 3))
    columns = Columns()
    for piece in np.array_split(rows, 7):
        columns.add(piece)
    assert len(columns.values) <= COLUMNS
    parts = [rows[i : i + columns.rows_per_part].max(axis=0) for i in range(0, n, columns.rows_per_part)]
    np.testing.assert_array_equal(columns.values, np.array(parts))
