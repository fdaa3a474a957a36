"""The learning curves, read from the tables that train leaves and drawn."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from stages.lib.core.errors import DataError
from stages.lib.plotting import ACCENT, INK, add_title

SIDES = {"training": INK, "validation": ACCENT}
SCORES = ("loss", "accuracy")
NOTE = (
    "Segments of training are mixed and changed where section augment says so, those of validation never:\n"
    "training may look worse than validation."
)


def read_curves(folder: Path) -> dict[str, pd.DataFrame]:
    """Read `loss.csv` and `accuracy.csv` of train.

    Returns one table per model, indexed by `epoch` (from 1), with the columns `training_loss`, `training_accuracy` and,
    where there was a validation fold, `validation_loss`, `validation_accuracy` (all of segments). Raises `DataError`.
    """
    columns: dict[str, dict[str, pd.Series]] = {}
    for side in SIDES:
        for score in SCORES:
            table = _read_table(folder / f"{score}.csv", score)
            for model, rows in table[table["side"] == side].groupby("model", sort=False):
                columns.setdefault(str(model), {})[f"{side}_{score}"] = rows.set_index("epoch")[score]
    return {model: pd.DataFrame(of_model) for model, of_model in columns.items()}


def _read_table(path: Path, score: str) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"model": str})
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run 'dvc repro train'") from None
    if missing := {"epoch", "model", "side", score} - set(table):
        raise DataError(f"{path}: has no column {min(missing)}; run 'dvc repro train'")
    return table


def plot_curves(curves: dict[str, pd.DataFrame], title: str) -> Figure:
    """Loss and accuracy by epoch: one row per model, training and validation in one frame."""
    figure = Figure(figsize=(9, 0.8 + 3 * max(1, len(curves))), layout="constrained")
    add_title(figure, title)
    axes = figure.subplots(max(1, len(curves)), len(SCORES), squeeze=False)
    for (name, table), row in zip(curves.items(), axes, strict=True):
        for score, axis in zip(SCORES, row, strict=True):
            for side, color in SIDES.items():
                if f"{side}_{score}" in table:
                    axis.plot(table.index, table[f"{side}_{score}"], marker=".", color=color, label=side)
            axis.set(title=f"{name}: {score}", xlabel="epoch", ylabel=f"{score} of segments")
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.grid(alpha=0.3)
            axis.legend()
        row[1].set_ylim(0, 1)
    figure.supxlabel(NOTE, fontsize=9)
    return figure
