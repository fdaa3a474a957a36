"""The picture of the predict command: features, probabilities and events of a recording on one time axis."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from stages.commands.predict.columns import Columns
from stages.commands.predict.formats import spoken
from stages.lib.core.labels import UNSURE
from stages.lib.frontend.mel_axis import set_hz_ticks
from stages.lib.inference.detect import StreamDetector
from stages.lib.inference.events import Event
from stages.lib.model.metadata import ModelMetadata
from stages.lib.plotting import DOUBT, GRID, INK, LEVELS, SHARES


class Picture:
    """The picture of one recording, filled while it is read."""

    def __init__(self) -> None:
        """Begin empty: `features` takes frames, (n, n_features), `probabilities` rows of the grid, (n, n_classes)."""
        self.features, self.probabilities = Columns(), Columns()

    def draw(self, detector: StreamDetector, events: Sequence[Event], name: str) -> Figure:
        """Draw features, probabilities and events of the recording `name`, which `detector` has read to its end."""
        metadata = detector.model.metadata
        return plot_prediction(
            self.features,
            self.probabilities,
            events,
            metadata,
            row_s=detector.row_s,
            duration_s=detector.duration_s,
            title=f"{name}\nclassified by a model trained on {metadata.dataset.title}",
        )


def plot_prediction(
    features: Columns, probabilities: Columns, events: Sequence[Event], metadata: ModelMetadata, *, row_s: float,
    duration_s: float, title: str,
) -> Figure:  # fmt: skip
    """Draw features (n_frames, n_features) as they came, probabilities (n_rows, n_classes), and the events in time.

    `metadata` is that of the model. A recording without an event has an empty third part.
    """
    featurize, classes = metadata.featurize, metadata.classes
    labels = [*classes, UNSURE]
    lines = 0.19 * len(labels)
    height = 3.6 + 2 * lines
    figure = Figure(figsize=(10, height))
    margins = {"left": 0.17, "right": 0.9, "bottom": 0.5 / height, "top": 1 - 0.75 / height, "hspace": 0.3}
    ratios = {"height_ratios": [2.0, lines, lines]}
    features_axes, probability_axes, event_axes = figure.subplots(3, 1, sharex=True, gridspec_kw=margins | ratios)
    figure.suptitle(title, y=1 - 0.1 / height, va="top", fontsize=11)

    image = features.values.T
    features_axes.imshow(
        image, origin="lower", aspect="auto", cmap=LEVELS, interpolation="none",
        vmin=np.quantile(image, 0.05), vmax=image.max(),
        extent=(0, image.shape[1] * features.rows_per_part * featurize.frame_s, 0, len(image)),
    )  # fmt: skip
    features_axes.set_ylabel("coefficient" if metadata.kind == "mfcc" else "frequency (Hz)")
    if metadata.kind != "mfcc":
        set_hz_ticks(features_axes, **featurize.mel_axis, fontsize=8)
    features_axes.set_title("features as the model takes them", fontsize=9, loc="left")

    image = probabilities.values.T
    shades = probability_axes.imshow(
        image, aspect="auto", cmap=SHARES, interpolation="none", vmin=0, vmax=1,
        extent=(0, image.shape[1] * probabilities.rows_per_part * row_s, len(classes) - 0.5, -0.5),
    )  # fmt: skip
    probability_axes.set_yticks(range(len(classes)), [spoken(name) for name in classes], fontsize=8)
    probability_axes.set_title("probabilities", fontsize=9, loc="left")
    place = probability_axes.get_position()
    figure.colorbar(shades, cax=figure.add_axes((0.915, place.y0, 0.012, place.height))).ax.tick_params(labelsize=8)

    for i, name in enumerate(labels):
        is_unsure = i == len(classes)
        of_row = [event for event in events if event.is_unsure == is_unsure and event.label == name]
        spans = [(event.start_s, event.end_s - event.start_s) for event in of_row]
        event_axes.broken_barh(spans, (i - 0.35, 0.7), color=DOUBT if is_unsure else INK)
    event_axes.set_yticks(range(len(labels)), [spoken(name) for name in labels], fontsize=8)
    event_axes.set_ylim(len(labels) - 0.5, -0.5)
    event_axes.grid(axis="x", color=GRID, linewidth=0.6)
    event_axes.set_axisbelow(True)
    event_axes.set_title("events", fontsize=9, loc="left")
    event_axes.set(xlabel="time (s)", xlim=(0, duration_s))
    return figure
