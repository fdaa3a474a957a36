from collections import Counter

import numpy as np
import pytest

from stages.fetch.make_folds import make_folds, rare_classes
from stages.lib.core.errors import SourceError


def clips(n_clips: int, n_per_source: int, n_classes: int = 3) -> tuple[list[str], list[str]]:
    """A class and a source for each clip; clips of one source follow each other and share their class."""
    sources = [n // n_per_source for n in range(n_clips)]
    return [f"class {source % n_classes}" for source in sources], [f"source {source}" for source in sources]


@pytest.mark.parametrize("n_per_source", [1, 4])
def test_no_source_is_in_two_folds_and_each_class_is_spread_evenly(n_per_source: int) -> None:
    classes, sources = clips(240, n_per_source)
    folds = make_folds(classes, sources, 5)

    assert sorted(set(folds)) == [1, 2, 3, 4, 5]
    assert len(set(zip(sources, folds, strict=True))) == len(set(sources))
    counts = Counter(zip(classes, folds, strict=True))
    assert len(counts) == 15
    assert all(abs(n - 240 / 15) <= n_per_source for n in counts.values())


@pytest.mark.parametrize("n_per_source", [1, 4])
def test_the_same_every_time(n_per_source: int) -> None:
    classes, sources = clips(120, n_per_source)
    np.random.seed(1)  # noqa: NPY002 - what scikit-learn would draw from, were it to draw
    first = make_folds(classes, sources, 5)
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(first, make_folds(classes, sources, 5))


def test_neighbours_share_a_fold_in_the_order_of_the_table() -> None:
    folds = make_folds(["a"] * 10, list("abcdefghij"), 5)
    assert folds.tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_the_folds_of_grouped_sources_stay_as_they_are() -> None:
    # As scikit-learn assigns them today. Another assignment would change the folds of all users, and their results.
    sources = [name for name in "abcdefghij" for _ in range(2)]
    folds = make_folds(["a"] * 20, sources, 5)
    assert folds.tolist() == [1, 1, 4, 4, 2, 2, 3, 3, 5, 5, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_as_many_sources_as_folds_are_enough() -> None:
    assert sorted(make_folds(["a"] * 5, list("abcde"), 5)) == [1, 2, 3, 4, 5]
    assert sorted(set(make_folds(["a"] * 10, list("aabbccddee"), 5))) == [1, 2, 3, 4, 5]
    assert sorted(make_folds(["a"] * 2, list("ab"), 2)) == [1, 2]
    assert rare_classes(["a"] * 5, list("abcde"), 5) == {}


def test_a_class_with_few_sources_is_named_and_still_gets_folds() -> None:
    classes, sources = [*["a"] * 10, "b", "b", "b"], [*map(str, range(10)), "x", "x", "y"]
    folds = make_folds(classes, sources, 5)

    assert rare_classes(classes, sources, 5) == {"b": 2}
    assert sorted(set(folds)) == [1, 2, 3, 4, 5]
    assert folds[10] == folds[11]


@pytest.mark.parametrize(
    ("classes", "sources", "found"),
    [
        (["a"] * 6, ["1", "1", "2", "2", "3", "3"], "found 3 sources and at most 6 clips of one class"),
        (["a", "a", "b", "b", "c", "c"], list("123456"), "found 6 sources and at most 2 clips of one class"),
        ([], [], "found 0 sources"),
    ],
)
def test_too_few_sources_is_an_error(classes: list[str], sources: list[str], found: str) -> None:
    with pytest.raises(SourceError, match=f"fetch.n_folds: 5 folds need 5 sources .*{found}.*lower fetch.n_folds"):
        make_folds(classes, sources, 5)
