"""What pictures share: their colours, names drawn as they are written, and PNG files of the same bytes each time.

What a stage draws is in a module of its own, since editing a picture of evaluate must not rerun train.
"""

import textwrap
from pathlib import Path

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from stages.lib.core.files import atomic_write

INK = "#1f3a5f"  # what the picture is about
ACCENT = "#c8553d"  # what it is compared with
FAINT = "#c9d3df"  # background: other curves, bars behind points
DOUBT = "#9aa5b1"  # what the model is unsure of
GRID = "#dddddd"  # lines to compare positions by
EMPTY = "#2fb5a5"  # bands that no FFT bin falls into; not a colour of the map of levels
LEVELS = "magma"  # matplotlib's map of levels in dB, for spectrograms
SHARES = "Blues"  # its map of counts, shares and probabilities
LONGEST = 32  # characters of a name next to an axis
CHARACTERS_PER_INCH = 10  # of a title, on average, at the size that matplotlib gives it

# Names of classes and files are text: with mathematics on, "$1 to $2" loses its signs and a single "$" can end in an
# error. Tick labels of logarithmic axes would need it, so plots give those a formatter of plain numbers.
mpl.rcParams["text.parse_math"] = False


def save_figure(path: Path, figure: Figure) -> None:
    """Write a PNG without the metadata that would differ between versions of the library.

    Characters that no font of matplotlib has, such as emoji, are written as their code points: "U+1F436".
    """
    _replace_missing_characters(figure)
    with atomic_write(path) as tmp_path:
        figure.savefig(tmp_path, format="png", dpi=100, metadata={"Software": None})


def add_title(figure: Figure, text: str) -> None:
    """Title `figure` with `text`, whose lines are broken where they would not fit: some datasets have long names."""
    longest = int(CHARACTERS_PER_INCH * figure.get_figwidth())
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, longest) or [""]]
    figure.suptitle("\n".join(lines))


def legible(text: str) -> str:
    """`text` with every character that the fonts of matplotlib lack replaced by its code point, such as "U+1F436"."""
    if text.isascii():
        return text
    families = [font_manager.FontProperties(family=[name]) for name in mpl.rcParams["font.family"]]
    fonts = [font_manager.get_font(font_manager.findfont(family)) for family in families]
    return "".join(
        character if character.isspace() or any(font.get_char_index(ord(character)) for font in fonts) else
        f"U+{ord(character):04X}"
        for character in text
    )  # fmt: skip


def shorten(name: str, longest: int = LONGEST) -> str:
    """`name`, or its beginning and end around an ellipsis where it has more than `longest` characters.

    For labels of axes: one long name would leave no room for the data.
    """
    if len(name) <= longest:
        return name
    n_end = longest // 3
    return f"{name[: longest - n_end - 1]}…{name[-n_end:]}"


def _replace_missing_characters(figure: Figure) -> None:
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = [label.get_text() for label in axis.get_ticklabels()]
            if labels != (replaced := [legible(label) for label in labels]):
                axis.set_ticks(axis.get_ticklocs(), replaced)
    for artist in figure.findobj(Text):
        if isinstance(artist, Text) and artist.get_text() != (replaced_text := legible(artist.get_text())):
            artist.set_text(replaced_text)
