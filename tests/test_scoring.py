import numpy as np
import pandas as pd
import pytest

from stages.lib.scoring import (
    EvaluateParams,
    average_segments,
    bootstrap_accuracy,
    count_confusions,
    score_classes,
    score_folds,
)

CLASSES = ["siren", "dog_bark", "car_horn"]  # not in alphabetical order, as the ids of a dataset need not be

# Counted by hand: of 4 sirens 3 are found and 1 is called a dog, of 3 dogs 2 are found and 1 is called a siren, of 3
# horns 1 is found and 2 are called a siren.
TRUTH = ["siren"] * 4 + ["dog_bark"] * 3 + ["car_horn"] * 3
PREDICTED = ["siren"] * 3 + ["dog_bark"] + ["dog_bark"] * 2 + ["siren"] + ["car_horn"] + ["siren"] * 2
MATRIX = [[3, 1, 0], [1, 2, 0], [2, 0, 1]]


def predictions(truth=TRUTH, predicted=PREDICTED, fold=1, source=None):
    source = source or [str(i) for i in range(len(truth))]
    return pd.DataFrame({"truth": truth, "predicted": predicted, "fold": fold, "source": source})


def test_segments_are_averaged_a_clip():
    probabilities = np.array([[1.0, 0.0], [0.0, 1.0], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6], [0.8, 0.2]])
    averaged = average_segments(probabilities, np.array([0, 0, 1, 2, 2, 2]))
    np.testing.assert_allclose(averaged, [[0.5, 0.5], [0.2, 0.8], [0.5, 0.5]])


def test_the_confusion_matrix_has_true_classes_as_rows_in_the_order_given():
    assert count_confusions(TRUTH, PREDICTED, CLASSES).tolist() == MATRIX


def test_the_confusion_matrix_of_no_clips_is_zero():
    assert count_confusions([], [], CLASSES).tolist() == [[0] * 3] * 3


def test_the_scores_of_a_class_stand_beside_its_own_name():
    table = score_classes(predictions(), CLASSES).set_index("class")
    assert table.index.tolist() == CLASSES
    assert table.loc["siren", ["precision", "recall", "n_clips"]].tolist() == pytest.approx([3 / 6, 3 / 4, 4])
    assert table.loc["dog_bark", ["precision", "recall", "n_clips"]].tolist() == pytest.approx([2 / 3, 2 / 3, 3])
    assert table.loc["car_horn", ["precision", "recall", "n_clips"]].tolist() == pytest.approx([1, 1 / 3, 3])
    assert table["f1"].tolist() == pytest.approx([2 * 0.5 * 0.75 / 1.25, 2 / 3, 2 * 1 / 3 / (4 / 3)])


def test_no_clip_makes_no_row():
    assert score_classes(predictions([], []), CLASSES).empty


def test_a_class_that_is_never_predicted_scores_0():
    table = score_classes(predictions(["siren", "dog_bark"], ["siren", "siren"]), CLASSES).set_index("class")
    assert table.loc["dog_bark", ["precision", "recall", "f1"]].tolist() == [0, 0, 0]


def test_scores_of_a_fold_leave_out_classes_that_it_does_not_have():
    both = pd.concat([predictions(), predictions(["siren"] * 2, ["siren", "dog_bark"], fold=2)])
    table = score_folds(both).set_index("fold")
    assert table.loc[1, "accuracy"] == pytest.approx(6 / 10)
    assert table.loc[1, "macro_f1"] == pytest.approx((0.6 + 2 / 3 + 0.5) / 3)
    assert table.loc[2, "macro_f1"] == pytest.approx(2 / 3)


PARAMS = EvaluateParams(n_bootstrap=4000, seed=1)


def test_the_interval_of_independent_clips_is_the_binomial_one():
    right = predictions(["siren"] * 100, ["siren"] * 80 + ["dog_bark"] * 20)
    low, high = bootstrap_accuracy(right, PARAMS)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 100)
    # Quantiles of 4,000 resamples in steps of 0.01 are a step off at the most.
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.011)


def test_clips_of_one_source_count_as_one_observation():
    """Ten sources of ten equal clips are ten observations: the interval is that of ten clips, not of a hundred."""
    sources = [str(i // 10) for i in range(100)]
    right = predictions(["siren"] * 100, ["siren"] * 80 + ["dog_bark"] * 20, source=sources)
    low, high = bootstrap_accuracy(right, PARAMS)
    assert (low, high) == (0.5, 1.0)  # quantiles 0.025 and 0.975 of a binomial of 10 at 0.8, over 10


def test_the_interval_of_several_folds_is_that_of_their_mean():
    easy = predictions(["siren"] * 50, ["siren"] * 50)
    hard = predictions(["siren"] * 100, ["siren"] * 50 + ["dog_bark"] * 50, fold=2)
    low, high = bootstrap_accuracy(pd.concat([easy, hard]), PARAMS)
    half = 1.96 * np.sqrt(0.5 * 0.5 / 100) / 2
    assert (low, high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.006)


def test_the_same_seed_gives_the_same_interval():
    assert bootstrap_accuracy(predictions(), PARAMS) == bootstrap_accuracy(predictions(), PARAMS)
