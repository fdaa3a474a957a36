"""Pictures of results."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure


def plot_confusion(matrix: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    """Counts of clips, int of shape (n_classes, n_classes), rows by true class; shaded by their share of the row."""
    n = len(classes)
    size = 2.5 + 0.55 * n
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axis = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axis, label="share of the clips of the true class", shrink=0.8)
    for i, j in np.argwhere(matrix):
        axis.text(j, i, matrix[i, j], ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
    axis.set_xticks(range(n), classes, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(n), classes)
    axis.set(xlabel="predicted class", ylabel="true class", title=title)
    return figure
