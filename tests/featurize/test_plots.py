from dataclasses import replace

import numpy as np
import pytest

from helpers.front_ends import GRID, PCEN, STUDY
from stages.featurize.plots import Example, choose_examples, plot_bands, plot_classes, plot_two_tones, two_tones
from stages.lib.features.store import open_features
from stages.lib.frontend.spectrogram import Featurizer
from stages.lib.plotting import save_figure

KINDS = {
    "log": {},
    "db": {"compression": "db", "power": 2},
    "pcen": {"compression": "pcen", "log_offset": None, "pcen": PCEN},
    "mfcc": {"n_mfcc": 13},
}


def example(params, title="siren", duration_s=0.5):
    t = np.arange(round(duration_s * params.sr)) / params.sr
    y = np.sin(2 * np.pi * (400 + 100 * t) * t).astype(np.float32)
    featurizer = Featurizer(params)
    magnitudes = featurizer.magnitudes(y)
    return Example(title, y, magnitudes, featurizer.from_magnitudes(magnitudes))


def images(figure):
    return [axes.images[0] for axes in figure.axes if axes.images]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_drawn(tmp_path, kind):
    params = replace(STUDY, **KINDS[kind])
    tones = two_tones()
    draw = {
        "two_tones": lambda: plot_two_tones(tones, 32000, Featurizer(params)(tones), params),
        "classes": lambda: plot_classes([example(params), example(params, "horn", 0.01)], params, "title"),
        "bands": lambda: plot_bands(example(params), params),
    }
    for name, plot in draw.items():
        save_figure(tmp_path / f"{name}.png", plot())
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_has_the_same_bytes_each_time(tmp_path):
    for name in ("once.png", "again.png"):
        save_figure(tmp_path / name, plot_bands(example(STUDY), STUDY))
    assert (tmp_path / "once.png").read_bytes() == (tmp_path / "again.png").read_bytes()


def test_silence_can_be_drawn(tmp_path):
    silent = Example(
        "none", np.zeros(2000, np.float32), np.zeros((2, 585), np.float32), Featurizer(STUDY)(np.zeros(2000))
    )
    save_figure(tmp_path / "classes.png", plot_classes([silent], STUDY, "title"))
    save_figure(tmp_path / "bands.png", plot_bands(silent, STUDY))


def test_two_bright_lines_lie_at_the_ticks_of_the_tones():
    tones = two_tones()
    params = replace(STUDY, sr=32000, fmax=8000.0)
    figure = plot_two_tones(tones, 32000, Featurizer(params)(tones), params)
    image = images(figure)[0].get_array()
    middle = image[:, image.shape[1] // 2]
    peaks = np.flatnonzero((middle[1:-1] > middle[:-2]) & (middle[1:-1] > middle[2:]) & (middle[1:-1] > -6)) + 1.5
    axes = figure.axes[2]
    ticks = dict(zip((label.get_text() for label in axes.get_yticklabels()), axes.get_yticks(), strict=True))
    assert peaks == pytest.approx([ticks["500"], ticks["1,000"]], abs=3)


def test_empty_bands_are_counted_and_left_out_of_the_colours():
    figure = plot_bands(example(STUDY), STUDY)
    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles == ["10 bands, 0 empty", "150 bands, 0 empty", "1,000 bands, 368 empty"]
    masked = np.ma.getmaskarray(images(figure)[2].get_array())
    assert masked.all(axis=1).sum() == masked.any(axis=1).sum() == 368


def test_another_number_of_bands_is_drawn_next_to_the_three():
    params = replace(STUDY, **GRID["speech"])
    titles = [axes.get_title() for axes in plot_bands(example(params), params).axes]
    assert [title.split()[0] for title in titles if title] == ["10", "40", "150", "1,000"]


def test_examples_are_in_the_foreground_long_and_no_variants(tone_features):
    index = open_features(tone_features).index
    assert choose_examples(index)["clip"].tolist() == [
        "fold1/high-3.wav", "fold1/low-3.wav", "fold1/middle-3.wav",
    ]  # fmt: skip
    index["salience"] = np.where(index["clip"].str.contains("-0"), "1", "2")
    index["variant"] = np.where(index["fold"] == 1, "pitch 2", "")
    assert choose_examples(index)["clip"].tolist() == [
        "fold2/high-0.wav", "fold2/low-0.wav", "fold2/middle-0.wav",
    ]  # fmt: skip


def test_the_stage_draws_them(tone_features):
    plots = tone_features.parent / "plots"
    assert sorted(path.name for path in plots.iterdir()) == ["bands.png", "classes.png", "two_tones.png"]
