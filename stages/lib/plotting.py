"""Writing pictures, the same bytes for the same picture. What a stage draws is in a module of its own, since editing a
picture of evaluate must not rerun train.
"""

from pathlib import Path

from matplotlib.figure import Figure

from stages.lib.core.files import atomic_write


def save_figure(path: Path, figure: Figure) -> None:
    """Write a PNG without the metadata that would differ between versions of the library."""
    with atomic_write(path) as beside:
        figure.savefig(beside, format="png", dpi=100, metadata={"Software": None})
