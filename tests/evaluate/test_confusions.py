import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from stages.evaluate.confusions import (
    CONFUSION_COLUMNS,
    MISCLASSIFICATION_COLUMNS,
    find_misclassifications,
    rank_confusions,
)
from stages.evaluate.curves import mean_precision_recall, mean_roc

CLASSES = ["siren", "dog_bark", "car_horn"]
ROWS = [  # clip, source, truth, and the probabilities of the classes
    ("a", "1", "siren", 0.7, 0.2, 0.1),
    ("b", "1", "siren", 0.3, 0.6, 0.1),
    ("c", "2", "siren", 0.05, 0.9, 0.05),
    ("d", "3", "dog_bark", 0.1, 0.3, 0.6),
    ("e", "4", "dog_bark", 0.0, 1.0, 0.0),
    ("f", "5", "car_horn", 0.1, 0.8, 0.1),
]


@pytest.fixture
def predictions():
    columns = [f"p_{name}" for name in CLASSES]
    table = pd.DataFrame(ROWS, columns=["clip", "source", "truth", *columns]).assign(fold=1)
    return table.assign(predicted=np.array(CLASSES)[table[columns].to_numpy().argmax(axis=1)])


def test_misclassifications_come_with_the_most_confident_first(predictions):
    table = find_misclassifications(predictions, CLASSES)
    assert list(table.columns) == MISCLASSIFICATION_COLUMNS
    assert table[["clip", "truth", "predicted", "confidence", "p_truth"]].to_numpy().tolist() == [
        ["c", "siren", "dog_bark", 0.9, 0.05],
        ["f", "car_horn", "dog_bark", 0.8, 0.1],
        ["b", "siren", "dog_bark", 0.6, 0.3],
        ["d", "dog_bark", "car_horn", 0.6, 0.3],
    ]


def test_confusions_are_ranked_and_name_the_clips_to_listen_to(predictions):
    confusions = rank_confusions(find_misclassifications(predictions, CLASSES), predictions["truth"].value_counts())
    assert confusions.to_numpy().tolist() == [
        ["siren", "dog_bark", 2, 2, pytest.approx(2 / 3), "c; b"],
        ["car_horn", "dog_bark", 1, 1, 1.0, "f"],
        ["dog_bark", "car_horn", 1, 1, 0.5, "d"],
    ]


def test_without_misclassifications_the_tables_are_empty(predictions):
    right = predictions[predictions["truth"] == predictions["predicted"]]
    assert find_misclassifications(right, CLASSES).empty
    confusions = rank_confusions(find_misclassifications(right, CLASSES), right["truth"].value_counts())
    assert confusions.empty
    assert list(confusions.columns) == CONFUSION_COLUMNS


def test_mean_curves_counted_by_hand():
    """One class in falling order + - + -: precision 1 up to recall 1/2, then 2/3. ROC: a step up, right, up, right."""
    table = pd.DataFrame({"truth": ["x", "y", "x", "y"], "p_x": [0.9, 0.8, 0.7, 0.1]})
    curve = mean_precision_recall(table, ["x"], n_points=5)
    assert curve.to_numpy().tolist() == [
        [0, 1],
        [0.25, 1],
        [0.5, 1],
        [0.75, pytest.approx(2 / 3)],
        [1, pytest.approx(2 / 3)],
    ]
    curve = mean_roc(table, ["x"], n_points=5)
    assert curve.iloc[0].tolist() == [0, 0]
    rates = curve.set_index("false_positive_rate")["true_positive_rate"]
    assert rates[[0.25, 0.75, 1.0]].tolist() == [0.5, 1, 1]


def test_the_precision_at_a_recall_is_the_best_at_that_recall_or_more():
    """In falling order - + +: precision 1/2 at recall 1/2, but 2/3 at recall 1; at recall 0 it is 1."""
    table = pd.DataFrame({"truth": ["y", "x", "x"], "p_x": [0.9, 0.8, 0.7]})
    assert mean_precision_recall(table, ["x"], n_points=3)["precision"].tolist() == pytest.approx([1, 2 / 3, 2 / 3])


def test_the_area_under_the_mean_roc_is_the_mean_area():
    rng = np.random.default_rng(0)
    truth = rng.choice(CLASSES, 200)
    table = pd.DataFrame({"truth": truth} | {f"p_{n}": rng.random(200) + 0.5 * (truth == n) for n in CLASSES})
    curve = mean_roc(table, CLASSES, n_points=2001)
    areas = [metrics.roc_auc_score(truth == name, table[f"p_{name}"]) for name in CLASSES]
    area = np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"])
    assert area == pytest.approx(np.mean(areas), abs=1 / 200)  # less than one step of one class


@pytest.mark.parametrize("truth", [[], ["x", "x"]], ids=["no clip", "one class"])
def test_a_curve_that_cannot_be_drawn_has_no_row(truth):
    table = pd.DataFrame({"truth": truth, "p_x": [0.5] * len(truth)})
    assert mean_roc(table, ["x"]).empty
    assert mean_precision_recall(table, ["x"]).empty == (not truth)
