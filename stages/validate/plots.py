"""Pictures of what validate accepted."""

import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from stages.lib.plotting import INK, SHARES, add_title, shorten
from stages.validate.columns import Dataset

WIDTH = 8.0  # inches
ROW = 0.22  # inches per class


def plot_durations(accepted: pd.DataFrame, dataset: Dataset) -> Figure:
    """Draw how long clips are: all of them as a histogram, and each class as a row of shares by duration.

    `accepted` has the columns `class` and `duration_s` (s).
    """
    longest = max(1.0, float(accepted["duration_s"].max())) if len(accepted) else 1.0
    edges = np.linspace(0, longest, 41)
    counts = np.array(
        [np.histogram(accepted.loc[accepted["class"] == name, "duration_s"], edges)[0] for name in dataset.classes]
    )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # [n_classes, n_bins]
    height = 2.0 + ROW * len(dataset.classes)
    figure = Figure(figsize=(WIDTH, 1.2 + height), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.0, height - 2.0))
    add_title(figure, _title(f"Durations of {len(accepted)} accepted clips", dataset))
    top.stairs(counts.sum(axis=0), edges, fill=True, color=INK)
    top.set_yscale("symlog")  # most clips of a dataset often have one length; the others should be seen too
    top.yaxis.set_major_formatter(lambda n, _: f"{n:,.0f}")
    top.set_ylabel("clips")
    mesh = below.pcolormesh(
        edges, np.arange(len(counts) + 1) - 0.5, shares, cmap=SHARES, norm=PowerNorm(0.5, vmin=0, vmax=1)
    )
    below.invert_yaxis()
    below.set_yticks(range(len(counts)), [shorten(name) for name in dataset.classes], fontsize=8)
    below.set_xlabel("duration (s)")
    figure.colorbar(mesh, ax=below, label="share of the class")
    return figure


def plot_classes_by_fold(accepted: pd.DataFrame, dataset: Dataset) -> Figure:
    """Draw the number of accepted clips of each class in each fold. `accepted` has the columns `class` and `fold`."""
    counts = pd.crosstab(accepted["class"], accepted["fold"]) if len(accepted) else pd.DataFrame()
    counts = counts.reindex(index=dataset.classes, columns=dataset.folds, fill_value=0).to_numpy()
    figure = Figure(figsize=(WIDTH, 1.6 + ROW * len(dataset.classes)), layout="constrained")
    axes = figure.subplots()
    add_title(figure, _title(f"{len(accepted)} accepted clips by class and fold", dataset))
    most = max(1, counts.max())
    axes.imshow(counts, cmap=SHARES, vmin=0, vmax=most, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if count > 0.6 * most else "black"
        axes.text(column, row, str(count), ha="center", va="center", fontsize=7, color=color)
    axes.set_yticks(range(len(dataset.classes)), [shorten(name) for name in dataset.classes], fontsize=8)
    axes.set_xticks(range(len(dataset.folds)), [str(fold) for fold in dataset.folds])
    axes.set_xlabel("fold")
    return figure


def _title(text: str, dataset: Dataset) -> str:
    return f"{text}\n{dataset.title}"
