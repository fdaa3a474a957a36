"""Pictures of training."""

import pandas as pd
from matplotlib.figure import Figure


def plot_curves(curves: dict[str, pd.DataFrame], title: str) -> Figure:
    """Loss and accuracy by epoch: a row a model, training and validation in one frame."""
    figure = Figure(figsize=(9, 0.8 + 3 * len(curves)), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(curves), 2, squeeze=False)
    for (name, table), row in zip(curves.items(), axes, strict=True):
        for score, axis in zip(["loss", "accuracy"], row, strict=True):
            axis.plot(table["epoch"], table[score], marker=".", label="training")
            if table[f"val_{score}"].notna().any():
                axis.plot(table["epoch"], table[f"val_{score}"], marker=".", label="validation")
            axis.set(title=f"{name}: {score}", xlabel="epoch", ylabel=f"{score} of segments")
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.grid(alpha=0.3)
            axis.legend()
        row[1].set_ylim(0, 1)
    return figure
