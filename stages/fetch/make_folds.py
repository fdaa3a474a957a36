"""Folds for recordings that have none: no source in two folds, each class spread evenly, the same every time."""

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from stages.lib.core.errors import SourceError


def make_folds(classes: Sequence[str], sources: Sequence[str], n_folds: int) -> np.ndarray:
    """A fold for each clip, int64 of shape (n_clips,), from 1 to `n_folds`.

    Clips of one source share a fold; each class is spread as evenly as that allows. Nothing is random.
    Raises `SourceError` where there are fewer sources than folds, or no class with as many clips as folds.
    """
    n_sources, n_largest = len(set(sources)), max(Counter(classes).values(), default=0)
    if min(n_sources, n_largest) < n_folds:
        raise SourceError(
            f"fetch.n_folds: {n_folds} folds need {n_folds} sources and a class with {n_folds} clips, found "
            f"{n_sources} sources and at most {n_largest} clips of one class; lower fetch.n_folds or add recordings"
        )
    # Where every clip is its own source there is nothing to group, and grouping takes half a minute on 100,000 clips.
    # Without shuffling, neighbours in the table go into the same fold, which is welcome: recordings with similar names
    # are often from one place and day.
    splitter = StratifiedKFold if n_sources == len(sources) else StratifiedGroupKFold
    folds = np.zeros(len(sources), dtype=np.int64)
    with warnings.catch_warnings():
        # On classes with fewer clips than folds (see `rare_classes`), and on groups, which StratifiedKFold ignores.
        warnings.simplefilter("ignore", UserWarning)
        for number, (_, members) in enumerate(splitter(n_folds).split(sources, classes, sources), start=1):
            folds[members] = number
    return folds


def rare_classes(classes: Sequence[str], sources: Sequence[str], n_folds: int) -> dict[str, int]:
    """The classes with fewer sources than folds, so absent from some fold, and their number of sources."""
    n_sources = Counter(name for name, _ in set(zip(classes, sources, strict=True)))
    return {name: n for name, n in sorted(n_sources.items()) if n < n_folds}
