"""The learning curves, read from the tables that train leaves and drawn."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from stages.lib.core.errors import DataError
from stages.lib.plotting import ACCENT, INK

SIDES = {"training": INK, "validation": ACCENT}
SCORES = ("loss", "accuracy")


def read_curves(folder: Path) -> dict[str, pd.DataFrame]:
    """Read `<split>/plots/metrics/{training,validation}/{loss,accuracy}.tsv` of DVCLive for each split.

    Returns one table per split, indexed by `epoch` (from 1), with the columns `training_loss`, `training_accuracy` and,
    where there was a validation fold, `validation_loss`, `validation_accuracy` (all of segments).
    """
    return {split.name: _read_split(split / "plots/metrics") for split in sorted(folder.iterdir()) if split.is_dir()}


def _read_split(folder: Path) -> pd.DataFrame:
    columns = {}
    for side in SIDES:
        for score in SCORES:
            path = folder / side / f"{score}.tsv"
            if path.exists():
                columns[f"{side}_{score}"] = _read_curve(path, score)
    if f"training_{SCORES[0]}" not in columns:
        raise DataError(f"{folder}: expected training/{SCORES[0]}.tsv, found none; run 'dvc repro train'")
    return pd.DataFrame(columns).rename_axis("epoch")


def _read_curve(path: Path, score: str) -> pd.Series:
    try:
        return pd.read_csv(path, sep="\t").set_index("step")[score]
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: expected the columns step and {score} ({error}); run 'dvc repro train'") from None


def plot_curves(curves: dict[str, pd.DataFrame], title: str) -> Figure:
    """Loss and accuracy by epoch: one row per model, training and validation in one frame."""
    figure = Figure(figsize=(9, 0.8 + 3 * max(1, len(curves))), layout="constrained")
    figure.suptitle(title)
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
    return figure
