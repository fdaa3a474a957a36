"""Datasets for the tests of fetch: files that are no more than names, and the listing of what lies in a folder."""

from pathlib import Path

from stages.fetch.layouts import list_clips
from stages.fetch.listing import Listing
from stages.fetch.sources import FetchParams, Source


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"RIFF")


def list_dataset(
    place: Path, layout: str, esc10: bool = False, n_folds: int = 2, source_from: str = "file", **known: object
) -> Listing:
    dataset = layout
    source = Source(name=dataset, title=dataset, synthetic=False, layout=layout, **known)
    return list_clips(place, source, FetchParams(dataset, "x", esc10, n_folds, source_from))


def put_table(folder: Path, *rows: str, head: str = "path,class,fold") -> None:
    """A table, and the recordings that it names."""
    put(folder, *(row.split(",")[0] for row in rows))
    (folder / "clips.csv").write_text("\n".join([head, *rows]))
