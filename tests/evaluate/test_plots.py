"""The pictures of evaluate: that they are legible with any number of classes, whatever these are called."""

import functools
import itertools
import warnings

import numpy as np
import pytest
from matplotlib.text import Text

from helpers.predictions import NAMES, PARAMS, generate_predictions
from helpers.tone_model import SR, tone_metadata
from stages.evaluate.plots import (
    plot_classes,
    plot_confusion,
    plot_confusion_shares,
    plot_folds,
    plot_groups,
    plot_precision_recall,
    plot_reliability,
    plot_roc,
    plot_soundscape,
)
from stages.evaluate.scores import count_confusions, score
from stages.evaluate.soundscapes import SoundscapeExample
from stages.lib.core.labels import UNSURE
from stages.lib.inference.events import Event
from stages.lib.plotting import legible, save_figure, shorten
from stages.lib.soundscapes.compose import Placed, Soundscape


def soundscape_of(classes):
    """A soundscape of up to eleven clips in 30 s, a third of which is taken for something else."""
    placed = [Placed(1 + 2.5 * i, 3 + 2.5 * i, classes[i % len(classes)], "a.wav", 10.0) for i in range(11)]
    events = [
        Event(clip.start_s, clip.end_s, clip.label if i % 3 else UNSURE, 0.8, is_unsure=i % 3 == 0)
        for i, clip in enumerate(placed)
    ]
    features = np.random.default_rng(0).random((1875, 16))
    metadata = tone_metadata().model_copy(update={"classes": classes})
    return SoundscapeExample(Soundscape(np.zeros(30 * SR, np.float32), placed), events, features, metadata)


TITLE = "1000 test clips by true and predicted class\nurban-ear sample of city sounds (synthetic data)"
FIGURES = {
    "classes": lambda p, c, r: plot_classes(r, "data"),
    "folds": lambda p, c, r: plot_folds(r, "data"),
    "groups": lambda p, c, r: plot_groups(r, "data"),
    "precision_recall": lambda p, c, r: plot_precision_recall(p, c, r, "data"),
    "roc": lambda p, c, r: plot_roc(p, c, r, "data"),
    "reliability": lambda p, c, r: plot_reliability(p, c, r, "data"),
    "confusion": lambda p, c, r: plot_confusion(count_confusions(p["truth"], p["predicted"], c), c, TITLE),
    "soundscape": lambda p, c, r: plot_soundscape(soundscape_of(c) if len(p) else None, "data"),
    "shares": lambda p, c, r: plot_confusion_shares(count_confusions(p["truth"], p["predicted"], c), c, TITLE),
}


def long_names(n_classes):
    return [f"a class of sounds {i}" for i in range(n_classes)]


@functools.cache  # scikit-learn takes seconds for fifty classes
def generate_and_score(n_classes):
    predictions = generate_predictions(n=3 * n_classes, classes=long_names(n_classes), n_folds=1)
    return predictions, score(predictions, predictions, long_names(n_classes), PARAMS)


@pytest.mark.parametrize("n_classes", [2, 10, 50])
@pytest.mark.parametrize("name", sorted(set(FIGURES) - {"roc"}))  # drawn as precision_recall is
def test_pictures_name_the_data_and_cut_nothing_off(name, n_classes):
    classes = long_names(n_classes)
    predictions, results = generate_and_score(n_classes)
    figure = FIGURES[name](predictions, classes, results)
    figure.draw_without_rendering()
    # Numbers next to an axis may lie out of its limits, and are then not drawn: only words are looked at.
    words = [text for text in figure.findobj(Text) if any(map(str.isalpha, text.get_text()))]
    assert any("data" in text.get_text() for text in words)
    width, height = figure.get_size_inches() * figure.dpi
    for text in words:
        box = text.get_window_extent()
        assert -1 < box.x0 < box.x1 < width + 1, text
        assert -1 < box.y0 < box.y1 < height + 1, text


@pytest.mark.parametrize("name", FIGURES)
def test_pictures_of_nothing_can_be_drawn(name, tmp_path):
    predictions = generate_predictions(n=0)
    save_figure(tmp_path / "x.png", FIGURES[name](predictions, NAMES, score(predictions, predictions, NAMES, PARAMS)))


def test_classes_are_drawn_with_the_best_on_top_next_to_their_own_name():
    predictions = generate_predictions()
    results = score(predictions, predictions, NAMES, PARAMS)
    axis = plot_classes(results, "data").axes[0]
    named = [label.get_text().rsplit(" (", 1)[0] for label in axis.get_yticklabels()]
    recall = results.classes.set_index("class")["recall"]
    drawn = axis.lines[0].get_xdata().tolist()
    assert drawn == [recall[name] for name in named] == sorted(recall)


LONG = "a name that somebody typed as a sentence, with (brackets), 120 % of the detail, and an end"
ODD_NAMES = ["$1 to $2", "\U0001f415 dog", LONG, "$", "<b>", r"$\frac{$"]


@pytest.mark.parametrize("name", sorted(set(FIGURES) - {"roc"}))
def test_pictures_keep_room_for_data_whatever_classes_are_called(name, tmp_path):
    predictions = generate_predictions(n=36, classes=ODD_NAMES)
    figure = FIGURES[name](predictions, ODD_NAMES, score(predictions, predictions, ODD_NAMES, PARAMS))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(tmp_path / "a.png", figure)
    widest = max(axis.get_position().width for axis in figure.axes)
    assert widest > 0.6 or name == "precision_recall" or (name in ("confusion", "shares") and widest > 0.4)
    titles = [axis.title for axis in figure.axes if axis.title.get_text()]
    for left, right in itertools.pairwise(titles):
        if left.get_window_extent().y0 == right.get_window_extent().y0:  # in one row
            assert left.get_window_extent().x1 < right.get_window_extent().x0
    drawn = {text.get_text().split(" (")[0] for text in figure.findobj(Text)}
    if name in ("classes", "confusion", "shares", "soundscape"):
        assert {legible(shorten(odd)).split(" (")[0] for odd in ODD_NAMES} <= drawn


def test_doubt_has_a_row_of_its_own_next_to_a_class_of_that_name():
    example = soundscape_of([UNSURE, "siren"])
    events = [Event(1.0, 2.0, UNSURE, 0.9), Event(5.0, 6.0, UNSURE, 0.4, is_unsure=True)]
    below = plot_soundscape(
        SoundscapeExample(example.soundscape, events, example.features, example.metadata), "d"
    ).axes[1]
    assert [label.get_text() for label in below.get_yticklabels()] == [UNSURE, "siren", UNSURE]


def test_a_group_of_one_source_says_so():
    predictions = generate_predictions(n=30).assign(source="1", salience="1")
    results = score(predictions, predictions, NAMES, PARAMS)
    labels = [label.get_text() for label in plot_groups(results, "data").axes[0].get_yticklabels()]
    assert labels == ["foreground (30, 1 source)"]


def test_a_long_name_of_the_data_is_broken_and_not_cut_off():
    predictions = generate_predictions()
    results = score(predictions, predictions, NAMES, PARAMS)
    figure = plot_classes(results, "Recordings of our street, in the winter and the summer, by five people" * 2)
    figure.draw_without_rendering()
    box = figure.texts[0].get_window_extent()
    assert 0 < box.x0 < box.x1 < figure.get_figwidth() * figure.dpi


def test_salience_is_named_only_where_the_data_has_it():
    titles = []
    for salience in ("1", ""):
        predictions = generate_predictions(n=30).assign(salience=salience)
        figure = plot_groups(score(predictions, predictions, NAMES, PARAMS), "data")
        titles.append(figure.get_suptitle().split(" with")[0])
    assert titles == ["Accuracy by salience and duration", "Accuracy by duration"]
