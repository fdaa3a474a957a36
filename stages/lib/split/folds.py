"""Which folds train, validate and test each model. Folds are those of the dataset and are never mixed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stages.lib.core.errors import DataError, ParamsError
from stages.lib.core.params import section


@section("split")
class SplitParams:
    """The folds to test on, one model each, and how a validation fold is chosen."""

    test_folds: list[int]
    validation: Literal["previous", "none"]

    def __post_init__(self) -> None:
        """Refuse a fold that is named twice."""
        if len(set(self.test_folds)) < len(self.test_folds):
            raise ValueError(f"split.test_folds {self.test_folds}: a fold is named twice")


@dataclass(frozen=True)
class Split:
    """The folds of one model: `test` and `validation` are None where there is none; `train` is never empty."""

    train: list[int]
    validation: int | None
    test: int | None

    @property
    def name(self) -> str:
        """The name of the model and of its files: `fold_10` after its test fold, `all`, or `all_without_9`."""
        if self.test is not None:
            return f"fold_{self.test}"
        return "all" if self.validation is None else f"all_without_{self.validation}"


def make_splits(params: SplitParams, folds: Sequence[int]) -> list[Split]:
    """One split for each test fold, in ascending order; for no test folds one split that trains on everything.

    `folds` are the folds there are. Raises `DataError` where a test fold is not among them or nothing is left to train
    on.
    """
    folds = sorted(folds)
    absent = sorted(set(params.test_folds) - set(folds))
    if absent:
        raise DataError(f"split.test_folds names {absent}; the data has folds {folds}")
    if not params.test_folds:
        return [Split(train=folds, validation=None, test=None)]
    return [_split(params, folds, test) for test in sorted(params.test_folds)]


def hold_out(split: Split, n_folds: int) -> list[Split]:
    """For a model on everything, splits that each leave out one of its last `n_folds` folds; for others none.

    Raises `ParamsError` where that many cannot be left out.
    """
    if split.validation is not None or split.test is not None:
        return []
    if n_folds > len(split.train) or (n_folds and len(split.train) == 1):
        raise ParamsError(
            f"train.calibration_folds {n_folds}: the data has {len(split.train)} folds, and one at least must be left "
            "to train on; lower it, or set it to 0 for a model without calibration"
        )
    left_out = split.train[len(split.train) - n_folds :]
    return [Split([fold for fold in split.train if fold != one], validation=one, test=None) for one in left_out]


def _split(params: SplitParams, folds: list[int], test: int) -> Split:
    validation = folds[folds.index(test) - 1] if params.validation == "previous" else None  # index -1 wraps round
    train = [fold for fold in folds if fold not in (test, validation)]
    if not train:
        raise DataError(
            f"split: with fold {test} for test and {validation} for validation none of the folds {folds} is left to "
            "train on; set split.validation to none or add folds"
        )
    return Split(train, validation, test)
