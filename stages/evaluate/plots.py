"""Pictures of the results. Each names the data in its title and is legible from two classes to fifty.

`results` is what `stages.evaluate.scores.score` returns, `predictions` its table, `data` the title of the dataset.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.evaluate.curves import each_class, precision_recall, roc
from stages.evaluate.evaluation import Evaluation
from stages.evaluate.scores import Results, calibration_error, count_confusions, probability_table
from stages.evaluate.soundscapes import SoundscapeExample
from stages.evaluate.training_plots import plot_curves
from stages.lib.core.labels import UNSURE
from stages.lib.frontend.mel_axis import set_hz_ticks
from stages.lib.plotting import ACCENT, FAINT, INK, LEVELS, SHARES, add_title, save_figure, shorten

ROW = 0.24  # inches per row of text
FEW = 20  # classes up to which there is room for large type
LONGEST_TITLE = 20  # characters of a name over a small picture
NOTHING = "no model has a test fold: nothing to show"
SOUNDSCAPE = "soundscape.png"
PICTURES = {
    "confusion.png": "Clips by true and predicted class.",
    "confusion_shares.png": "The same in per cent of the true class.",
    "classes.png": "Share of each class that was recognised.",
    "folds.png": "Accuracy of each test fold, each with its own model.",
    "groups.png": "Accuracy by duration and, where the data says it, by foreground and background.",
    "reliability.png": "Accuracy by confidence: on the dashed line the model is right as often as it says.",
    "precision_recall.png": "Precision by recall of each class against the rest.",
    "roc.png": "True by false positive rate of each class against the rest.",
    "curves.png": "Loss and accuracy of segments by epoch of training.",
}


def draw_pictures(folder: Path, evaluation: Evaluation, curves: dict[str, pd.DataFrame], data: str) -> None:
    """Draw each of `PICTURES`, and `SOUNDSCAPE`, into `folder`; `curves` are those of training."""
    classes, predictions, results = evaluation.classes, evaluation.predictions, evaluation.results
    matrix = count_confusions(predictions["truth"], predictions["predicted"], classes)
    title = f"{len(predictions)} test clips by true and predicted class\n{data}"
    figures = {
        "confusion.png": plot_confusion(matrix, classes, title),
        "confusion_shares.png": plot_confusion_shares(matrix, classes, title),
        "classes.png": plot_classes(results, data),
        "folds.png": plot_folds(results, data),
        "groups.png": plot_groups(results, data),
        "reliability.png": plot_reliability(predictions, classes, results, data),
        "precision_recall.png": plot_precision_recall(predictions, classes, results, data),
        "roc.png": plot_roc(predictions, classes, results, data),
        "curves.png": plot_curves(curves, data),
        SOUNDSCAPE: plot_soundscape(evaluation.example, data),
    }
    for name, figure in figures.items():
        save_figure(folder / name, figure)


def plot_confusion(matrix: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    """Counts of clips, int of shape (n_classes, n_classes), rows by true class; shaded by their share of the row."""
    return _plot_matrix(matrix, matrix, classes, title)


def plot_confusion_shares(matrix: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    """The same in per cent of the clips of the true class."""
    percent = np.rint(100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)).astype(int)
    return _plot_matrix(matrix, percent, classes, f"In % of the true class\n{title}")


def _plot_matrix(matrix: np.ndarray, numbers: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    n, names = len(classes), [shorten(name) for name in classes]
    cell = max(0.55, min(1.0, 3.5 / max(n, 1))) if n <= FEW else 0.3  # of a few classes as large as its scale
    longest = 0.08 * max(map(len, names))  # inches of the longest name
    side = cell * n + longest
    figure = Figure(figsize=(max(6.0, side + 2.2), side + 1.4), layout="constrained")  # wide enough for the title
    axis = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axis.imshow(shares, cmap=SHARES, vmin=0, vmax=1)
    figure.colorbar(image, ax=axis, label="share of the true class", shrink=0.9 if n <= 5 else 0.6, aspect=30)
    for i, j in np.argwhere(numbers):
        color = "white" if shares[i, j] > 0.5 else "black"
        axis.text(j, i, numbers[i, j], ha="center", va="center", color=color, fontsize=10 if n <= FEW else 6.5)
    font: dict[str, Any] = {"fontsize": 10 if n <= FEW else 8}
    axis.set_xticks(range(n), names, rotation=90 if n > FEW else 45, ha="center" if n > FEW else "right", **font)
    if n <= FEW:
        axis.tick_params(axis="x", pad=1)
        for label in axis.get_xticklabels():
            label.set_rotation_mode("anchor")
    axis.set_yticks(range(n), names, **font)
    axis.set(xlabel="predicted class", ylabel="true class")
    add_title(figure, title)
    return figure


def plot_classes(results: Results, data: str) -> Figure:
    """The share of each class that was recognised, with its interval: best class on top."""
    table = results.classes.dropna(subset="recall").sort_values("recall", kind="stable")
    rows = [_count(row["class"], row) for row in table.to_dict("records")]
    return _plot_intervals(
        [("", rows, table["recall"], table["recall_low"], table["recall_high"])],
        f"Accuracy of each class with its 95 % interval; in brackets the clips\n{data}",
        _accuracy(results),
    )


def plot_folds(results: Results, data: str) -> Figure:
    """The accuracy of each test fold, each with its own model."""
    table = results.folds.iloc[::-1]
    rows = [_count(f"fold {row['fold']}", row) for row in table.to_dict("records")]
    return _plot_intervals(
        [("", rows, table["accuracy"], table["low"], table["high"])],
        f"Accuracy by test fold with its 95 % interval; in brackets the clips\n{data}",
        _accuracy(results),
    )


def plot_groups(results: Results, data: str) -> Figure:
    """The accuracy by duration and, where the data says it, of foreground and background."""
    blocks: list[Block] = []
    for kind, table in results.groups.iloc[::-1].groupby("kind", sort=False):
        rows = [_count(row["group"], row) for row in table.to_dict("records")]
        blocks.insert(0, (kind, rows, table["accuracy"], table["low"], table["high"]))
    kinds = " and ".join(name for name, *_ in blocks) or "duration"
    title = f"Accuracy by {kinds} with its 95 % interval; in brackets the clips\n{data}"
    return _plot_intervals(blocks, title, _accuracy(results))


def _count(name: str, row: dict[str, Any]) -> str:
    """The name of a row with its clips, and a warning where they are of one source, so that there is no interval."""
    return f"{shorten(name)} ({row['n_clips']}{', 1 source' if row['n_sources'] == 1 else ''})"


# The name of a block, the names of its rows from below, their values, lower and upper bounds.
Block = tuple[str, list[str], pd.Series, pd.Series, pd.Series]


def _accuracy(results: Results) -> float | None:
    return None if results.scores.empty else results.scores["clips"].iloc[0]


def _plot_intervals(blocks: list[Block], title: str, mean: float | None) -> Figure:
    """Dots with intervals."""
    blocks = [block for block in blocks if block[1]]
    if not blocks:
        return _empty(title)
    heights = [len(block[1]) + 1 for block in blocks]
    figure = Figure(figsize=(8, 1.4 + ROW * sum(heights)), layout="constrained")
    axes = figure.subplots(len(blocks), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (name, rows, values, low, high) in zip(axes, blocks, strict=True):
        at = np.arange(len(rows))
        axis.hlines(at, low, high, color=INK, linewidth=2)
        axis.plot(values, at, "o", color=INK)
        for y, value in zip(at, values, strict=True):
            axis.text(1.01, y, f"{value:.0%}", transform=axis.get_yaxis_transform(), va="center", fontsize=8)
        if mean is not None:
            axis.axvline(mean, color=ACCENT, linestyle="--", linewidth=1, label=f"accuracy {mean:.1%}")
        axis.set_yticks(at, rows, fontsize=9)
        axis.set_ylim(-0.7, len(rows) - 0.3)
        axis.set_xlim(-0.02, 1.02)
        axis.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
        axis.grid(axis="x", alpha=0.3)
        axis.set_ylabel(name)
    axes[-1].set_xlabel("clips recognised")
    add_title(figure, title)
    if mean is not None:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower right", fontsize=8)
    return figure


def plot_precision_recall(predictions: pd.DataFrame, classes: Sequence[str], results: Results, data: str) -> Figure:
    """Precision by recall, one small picture per class, the others in grey behind it."""
    curves = [
        (name, *precision_recall(*pair)[::-1])
        for name, pair in zip(classes, each_class(predictions, classes), strict=True)
        if pair[0].any()
    ]
    area = results.classes.set_index("class")["average_precision"]
    names = [f"{shorten(name, LONGEST_TITLE)} {area[name]:.2f}" for name, _, _ in curves]
    title = f"Precision by recall, with the average precision of the class\n{data}"
    return _plot_curves(curves, names, title, "recall", "precision", guide=None)


def plot_roc(predictions: pd.DataFrame, classes: Sequence[str], results: Results, data: str) -> Figure:
    """True by false positive rate, one small picture per class, the others in grey behind it."""
    curves = [
        (name, *roc(*pair))
        for name, pair in zip(classes, each_class(predictions, classes), strict=True)
        if pair[0].any() and not pair[0].all()
    ]
    area = results.classes.set_index("class")["roc_auc"]
    names = [f"{shorten(name, LONGEST_TITLE)} {area[name]:.2f}" for name, _, _ in curves]
    title = f"ROC: true by false positive rate, with the area under the curve of the class\n{data}"
    return _plot_curves(curves, names, title, "false positive rate", "true positive rate", guide=[0, 1])


def _plot_curves(
    curves: list[tuple[str, np.ndarray, np.ndarray]],
    names: list[str],
    title: str,
    x_label: str,
    y_label: str,
    guide: list[int] | None,
) -> Figure:
    if not curves:
        return _empty(title)
    n_columns = min(5 if len(curves) <= FEW else 7, len(curves))
    n_rows = -(-len(curves) // n_columns)
    figure = Figure(figsize=(max(6.0, 2.1 * n_columns + 0.6), 2.1 * n_rows + 1.2), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axis, (_, x, y), name in zip(axes, curves, names, strict=False):
        if len(curves) <= FEW:  # more would be a grey cloud, and slow to draw
            for _, other_x, other_y in curves:
                axis.plot(other_x, other_y, color=FAINT, linewidth=0.6)
        if guide:
            axis.plot(guide, guide, color=ACCENT, linestyle=":", linewidth=0.8)
        axis.plot(x, y, color=INK, linewidth=1.6)
        axis.set_title(name, fontsize=8.5)
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    for axis in axes[len(curves) :]:
        axis.set_visible(False)
    for axis in axes[max(0, len(curves) - n_columns) : len(curves)]:
        axis.tick_params(labelbottom=True)  # also where the row below is not full
    figure.supxlabel(x_label, fontsize=10)
    figure.supylabel(y_label, fontsize=10)
    add_title(figure, title)
    return figure


def plot_reliability(predictions: pd.DataFrame, classes: Sequence[str], results: Results, data: str) -> Figure:
    """Accuracy by confidence, which should be equal, and below how often each confidence occurs."""
    bins = results.calibration
    title = "Reliability: is the model right as often as it says?"
    if bins.empty:
        return _empty(f"{title}\n{data}")
    figure = Figure(figsize=(6, 7), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    width = bins["to"] - bins["from"]
    top.bar(bins["from"], bins["accuracy"], width, align="edge", color=FAINT, edgecolor="white", label="accuracy")
    top.plot([0, 1], [0, 1], color=ACCENT, linestyle="--", linewidth=1, label="perfectly calibrated")
    top.plot(bins["confidence"], bins["accuracy"], "o-", color=INK, markersize=4, label="at the mean confidence")
    top.set(ylim=(0, 1.02), xlim=(0, 1), ylabel="clips recognised")
    top.text(0.97, 0.04, f"calibration error {calibration_error(bins):.3f}", transform=top.transAxes, ha="right")
    top.legend(loc="upper left", fontsize=9)
    confidence = probability_table(predictions, classes).max(axis=1)
    below.hist(confidence, bins=np.linspace(0, 1, 41), color=INK)
    below.set(xlabel="confidence (probability of the predicted class)", ylabel="clips")
    for axis in (top, below):
        axis.grid(alpha=0.3)
    add_title(figure, f"{title}\n{data}")
    return figure


def plot_soundscape(example: SoundscapeExample | None, data: str) -> Figure:
    """A soundscape: its features, and below them by class the reference and the estimated events."""
    title = "A soundscape of test clips over noise: reference and estimated events"
    if example is None:
        return _empty(f"{title}\n{data}", "there is no soundscape to show")
    soundscape, metadata = example.soundscape, example.metadata
    duration_s = len(soundscape.y) / metadata.featurize.sr
    # Doubt has a row of its own, also where an old model has a class of its name.
    reference = [((event.label, False), event.start_s, event.end_s) for event in soundscape.placed]
    estimated = [((event.label, event.is_unsure), event.start_s, event.end_s) for event in example.estimated]
    present = {row for row, _, _ in reference + estimated}
    labels = [row for row in [*((name, False) for name in metadata.classes), (UNSURE, True)] if row in present]
    figure = Figure(figsize=(10, 4.2 + 0.3 * len(labels)), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 0.6 + 0.3 * len(labels)))
    end_s = len(example.features) * metadata.featurize.frame_s
    extent = (0, end_s, 0, example.features.shape[1])
    top.imshow(example.features.T, origin="lower", aspect="auto", cmap=LEVELS, extent=extent)
    top.set_ylabel("coefficient" if metadata.kind == "mfcc" else "frequency (Hz)")
    if metadata.kind != "mfcc":
        set_hz_ticks(top, **metadata.featurize.mel_axis)
    for events, offset, color, name in ((reference, 0.05, INK, "reference"), (estimated, -0.35, ACCENT, "estimated")):
        for i, label in enumerate(reversed(labels)):
            spans = [(start_s, end_s - start_s) for row, start_s, end_s in events if row == label]
            once = name if i == 0 else "_"  # the legend leaves out what begins with an underscore
            below.broken_barh(spans, (i + offset, 0.3), color=color, label=once)
    below.set_yticks(range(len(labels)), [shorten(name) for name, _ in reversed(labels)], fontsize=9)
    below.set(xlabel="seconds", xlim=(0, duration_s), ylim=(-0.6, max(len(labels), 1) - 0.4))
    below.grid(axis="x", alpha=0.3)
    handles, names = below.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower right", ncols=2, fontsize=9)
    add_title(figure, f"{title}\n{data}")
    return figure


def _empty(title: str, why: str = NOTHING) -> Figure:
    figure = Figure(figsize=(6, 2), layout="constrained")
    axis: Axes = figure.subplots()
    axis.axis("off")
    axis.text(0.5, 0.5, why, ha="center", va="center")
    add_title(figure, title)
    return figure
