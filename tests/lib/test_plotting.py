"""Names in pictures are drawn as they are written, whatever characters they hold."""

import warnings

import pytest
from matplotlib.figure import Figure

from stages.lib.plotting import legible, save_figure, shorten


def named(title: str, labels: list[str]) -> Figure:
    figure = Figure(figsize=(3, 2), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    axes.set_yticks(range(len(labels)), labels)
    return figure


@pytest.mark.parametrize("name", ["$", "$1 to $2", r"$\frac{$", "$x^2$", r"a\b", "50 %", "a_b^c"])
def test_signs_of_mathematics_are_text(tmp_path, name):
    """With mathematics on, the third is an error, and the others lose signs."""
    figure = named(name, [name, "b"])
    save_figure(tmp_path / "a.png", figure)
    assert figure.axes[0].get_title() == name
    assert not figure.axes[0].title.get_parse_math()
    assert not any(label.get_parse_math() for label in figure.axes[0].get_yticklabels())


def test_an_emoji_is_written_as_its_code_point_without_a_warning(tmp_path):
    figure = named("dog 🐶", ["🐶", "café"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(tmp_path / "a.png", figure)
    assert figure.axes[0].get_title() == "dog U+1F436"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["U+1F436", "café"]


def test_what_the_font_has_stays():
    assert legible("Straße, собака, σκύλος\nnext line") == "Straße, собака, σκύλος\nnext line"
    assert legible("犬") == "U+72AC"


def test_the_same_picture_has_the_same_bytes(tmp_path):
    for name in ("once.png", "again.png"):
        save_figure(tmp_path / name, named("dog 🐶", ["a", "b"]))
    assert (tmp_path / "once.png").read_bytes() == (tmp_path / "again.png").read_bytes()


def test_a_long_name_keeps_its_beginning_and_end():
    assert shorten("siren") == "siren"
    assert shorten("a" * 32) == "a" * 32
    shortened = shorten("air conditioner on the roof of the neighbour, old one")
    assert shortened == "air conditioner on th…r, old one"
    assert len(shortened) == 32
