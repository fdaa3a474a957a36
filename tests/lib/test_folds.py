import pytest

from stages.lib.core.errors import DataError, ParamsError
from stages.lib.split.folds import Split, SplitParams, hold_out, make_splits

TEN = list(range(1, 11))


def test_validation_is_the_fold_before_the_test_fold():
    assert make_splits(SplitParams([10], "previous"), TEN) == [Split([1, 2, 3, 4, 5, 6, 7, 8], 9, 10)]


def test_validation_wraps_round_from_the_first_fold_to_the_last():
    assert make_splits(SplitParams([1], "previous"), TEN) == [Split([2, 3, 4, 5, 6, 7, 8, 9], 10, 1)]


def test_previous_means_the_previous_fold_that_there_is():
    assert make_splits(SplitParams([7], "previous"), [7, 2, 4]) == [Split([2], 4, 7)]


def test_without_validation_all_other_folds_train():
    assert make_splits(SplitParams([3], "none"), [1, 2, 3]) == [Split([1, 2], None, 3)]


def test_each_test_fold_gets_a_split_in_ascending_order():
    splits = make_splits(SplitParams([5, 2], "previous"), TEN)
    assert [split.name for split in splits] == ["fold_2", "fold_5"]


def test_no_test_fold_means_one_model_on_everything():
    (split,) = make_splits(SplitParams([], "previous"), [1, 2, 3])
    assert (split, split.name) == (Split([1, 2, 3], None, None), "all")


def test_a_model_on_everything_leaves_out_its_last_folds_in_turn():
    splits = hold_out(Split([1, 2, 3], None, None), 2)
    assert splits == [Split([1, 3], 2, None), Split([1, 2], 3, None)]
    assert [split.name for split in splits] == ["all_without_2", "all_without_3"]


@pytest.mark.parametrize("split", [Split([1, 2], None, 3), Split([1], 2, 3), Split([1, 2], 3, None)])
def test_other_models_leave_out_no_further_fold(split):
    assert hold_out(split, 2) == []


@pytest.mark.parametrize(("folds", "n"), [([1], 1), ([1, 2, 3], 4)])
def test_more_folds_than_there_are_cannot_be_left_out(folds, n):
    assert hold_out(Split(folds, None, None), 0) == []
    with pytest.raises(ParamsError, match=rf"train\.calibration_folds {n}: the data has {len(folds)} folds.*lower it"):
        hold_out(Split(folds, None, None), n)


@pytest.mark.parametrize("validation", ["previous", "none"])
@pytest.mark.parametrize("folds", [[1, 2, 3], TEN])
def test_no_fold_is_in_two_roles_and_none_is_lost(validation, folds):
    for split in make_splits(SplitParams(folds, validation), folds):
        held_out = [fold for fold in (split.validation, split.test) if fold is not None]
        assert sorted(split.train + held_out) == folds


@pytest.mark.parametrize(
    ("params", "folds", "message"),
    [
        (SplitParams([10], "previous"), [1, 2, 3], r"split\.test_folds names \[10\]; the data has folds \[1, 2, 3\]"),
        (
            SplitParams([2], "previous"),
            [1, 2],
            r"none of the folds \[1, 2\] is left to train on; set split\.validation",
        ),
        (SplitParams([1], "none"), [1], "none of the folds"),
    ],
)
def test_folds_that_are_not_there_or_do_not_suffice_are_named(params, folds, message):
    with pytest.raises(DataError, match=message):
        make_splits(params, folds)


def test_a_fold_named_twice_is_refused():
    with pytest.raises(ValueError, match=r"split\.test_folds \[3, 3\]: a fold is named twice"):
        SplitParams([3, 3], "none")
