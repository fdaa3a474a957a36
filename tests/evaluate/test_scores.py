import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from helpers import predictions as generated
from stages.evaluate import scores as scoring
from stages.evaluate.scores import (
    COMPARED,
    SCORES,
    calibration_error,
    count_classes,
    count_confusions,
    flat_metrics,
    group_clips,
    resample,
    score,
    score_calibration,
    score_classes,
    score_counts,
    score_folds,
)
from stages.lib.model.calibration import clip_probabilities

CLASSES = ["siren", "dog_bark", "car_horn"]  # not in alphabetical order, as the ids of a dataset need not be

# Counted by hand: of 4 sirens 3 are found and 1 is called a dog, of 3 dogs 2 are found and 1 is called a siren, of 3
# horns 1 is found and 2 are called a siren.
TRUTH = ["siren"] * 4 + ["dog_bark"] * 3 + ["car_horn"] * 3
PREDICTED = ["siren"] * 3 + ["dog_bark"] + ["dog_bark"] * 2 + ["siren"] + ["car_horn"] + ["siren"] * 2
MATRIX = [[3, 1, 0], [1, 2, 0], [2, 0, 1]]


def predictions(truth=TRUTH, predicted=PREDICTED, fold=1, source=None, classes=CLASSES, confidence=0.8):
    """A table in which each clip gives its predicted class `confidence` and the other classes equal shares."""
    source = source or [str(i) for i in range(len(truth))]
    table = pd.DataFrame({"truth": truth, "predicted": predicted, "fold": fold, "source": source})
    table = table.assign(clip=[f"{fold}/{i}.wav" for i in range(len(truth))], salience="", duration_s=4.0)
    for name in classes:
        table[f"p_{name}"] = np.where(table["predicted"] == name, confidence, (1 - confidence) / (len(classes) - 1))
    return table


def accuracy_interval(table, classes=("siren", "dog_bark", "car_horn")):
    row = score(table, table, list(classes), PARAMS).scores.set_index("score").loc["accuracy"]
    return row["low"], row["high"]


def test_segments_are_averaged_a_clip():
    probabilities = np.array([[1.0, 0.0], [0.0, 1.0], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6], [0.8, 0.2]])
    averaged = clip_probabilities(probabilities, np.array([0, 0, 1, 2, 2, 2]))
    np.testing.assert_allclose(averaged, [[0.5, 0.5], [0.2, 0.8], [0.5, 0.5]])


def test_the_confusion_matrix_has_true_classes_as_rows_in_the_order_given():
    assert count_confusions(TRUTH, PREDICTED, CLASSES).tolist() == MATRIX


def test_the_confusion_matrix_of_no_clips_is_zero():
    assert count_confusions([], [], CLASSES).tolist() == [[0] * 3] * 3


def test_the_scores_of_a_class_stand_next_to_its_own_name():
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
    table = score_folds(both, CLASSES).set_index("fold")
    assert table.loc[1, "accuracy"] == pytest.approx(6 / 10)
    assert table.loc[1, "macro_f1"] == pytest.approx((0.6 + 2 / 3 + 0.5) / 3)
    assert table.loc[2, "macro_f1"] == pytest.approx(2 / 3)


FEW = dataclasses.replace(generated.PARAMS, n_bootstrap=50)
PARAMS = dataclasses.replace(FEW, n_bootstrap=4000)


def random_predictions(n=300, n_folds=3, classes=CLASSES, seed=3):
    rng = np.random.default_rng(seed)
    truth = rng.choice(classes, n)
    raw = rng.gamma(1.0, size=(n, len(classes))) + 2 * (truth[:, np.newaxis] == np.array(classes))
    table = pd.DataFrame((raw / raw.sum(axis=1, keepdims=True)).round(3), columns=[f"p_{name}" for name in classes])
    table = table.assign(truth=truth, predicted=np.array(classes)[raw.argmax(axis=1)])
    source = rng.integers(60, size=n)
    salience, duration_s = rng.choice(["1", "2"], n), rng.uniform(0.1, 4, n).round(3)
    clip = [f"{i}.wav" for i in range(n)]
    return table.assign(source=source.astype(str), fold=1 + source % n_folds, clip=clip, salience=salience,
                        duration_s=duration_s)  # fmt: skip


def test_the_interval_of_independent_clips_is_the_binomial_one():
    low, high = accuracy_interval(predictions(["siren"] * 100, ["siren"] * 80 + ["dog_bark"] * 20))
    half = 1.96 * np.sqrt(0.8 * 0.2 / 100)
    # Quantiles of 4,000 resamples in steps of 0.01 are a step off at the most.
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.011)


def test_clips_of_one_source_count_as_one_observation():
    """Ten sources of ten equal clips are ten observations: the interval is that of ten clips, not of a hundred."""
    sources = [str(i // 10) for i in range(100)]
    right = predictions(["siren"] * 100, ["siren"] * 80 + ["dog_bark"] * 20, source=sources)
    assert accuracy_interval(right) == (0.5, 1.0)  # quantiles 0.02 and 0.97 of a binomial of 10 at 0.8, over 10


def test_the_interval_of_several_folds_is_that_of_their_mean():
    easy = predictions(["siren"] * 50, ["siren"] * 50)
    hard = predictions(["siren"] * 100, ["siren"] * 50 + ["dog_bark"] * 50, fold=2)
    half = 1.96 * np.sqrt(0.5 * 0.5 / 100) / 2
    assert accuracy_interval(pd.concat([easy, hard])) == pytest.approx((0.75 - half, 0.75 + half), abs=0.008)


def test_the_same_seed_gives_the_same_interval():
    assert accuracy_interval(predictions()) == accuracy_interval(predictions())


def test_scores_of_a_fold_are_those_of_scikit_learn():
    table = random_predictions(n_folds=1)
    row = score_folds(table, CLASSES).iloc[0]
    probabilities = table[[f"p_{name}" for name in CLASSES]].to_numpy()
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    one_hot = np.array([[truth == name for name in CLASSES] for truth in table["truth"]])
    in_order = [CLASSES.index(name) for name in sorted(CLASSES)]  # the order in which scikit-learn wants columns
    assert row["n_clips"] == 300
    expected = {
        "accuracy": metrics.accuracy_score(table["truth"], table["predicted"]),
        "balanced_accuracy": metrics.balanced_accuracy_score(table["truth"], table["predicted"]),
        "macro_f1": metrics.f1_score(table["truth"], table["predicted"], average="macro"),
        "roc_auc": metrics.roc_auc_score(one_hot, probabilities, average="macro"),
        "average_precision": metrics.average_precision_score(one_hot, probabilities, average="macro"),
        "log_loss": metrics.log_loss(table["truth"], probabilities[:, in_order], labels=sorted(CLASSES)),
    }
    # Probabilities of 3 decimals do not sum to 1 exactly, which moves a rank or two.
    assert row[list(expected)].astype(float).to_dict() == pytest.approx(expected, abs=2e-3)


def test_the_log_loss_of_a_confident_error_is_finite_and_counted_by_hand():
    sure = predictions(["siren", "siren"], ["siren", "dog_bark"], confidence=1.0)
    # The other classes are stored as 0 and read as 1e-6, of a sum of 1 + 2e-6.
    expected = (np.log(1 + 2e-6) + np.log((1 + 2e-6) / 1e-6)) / 2
    assert score_folds(sure, CLASSES).loc[0, "log_loss"] == pytest.approx(expected)


def test_calibration_counted_by_hand():
    """Two clips at 0.8 of which one is right, and one at 0.5 that is right: gaps 0.3 and 0.5, weights 2 and 1."""
    table = pd.concat(
        [predictions(["siren"] * 2, ["siren", "dog_bark"]), predictions(["siren"], ["siren"], confidence=0.5)]
    )
    bins = score_calibration(table, CLASSES, 10)
    assert bins[["from", "to", "n_clips", "confidence", "accuracy"]].to_numpy().tolist() == [
        pytest.approx([0.4, 0.5, 1, 0.5, 1]),
        pytest.approx([0.7, 0.8, 2, 0.8, 0.5]),
    ]
    assert calibration_error(bins) == pytest.approx((2 * 0.3 + 1 * 0.5) / 3)


def test_scores_of_counts_leave_out_classes_without_clips():
    numbers = {name: i for i, name in enumerate(CLASSES)}
    truth, predicted = (np.array([numbers[name] for name in names]) for names in (TRUTH, PREDICTED))
    counts = count_classes(truth, predicted, 3).toarray()
    assert counts.sum(axis=0).tolist() == [3, 2, 1, 4, 3, 3, 6, 3, 1]
    scores = score_counts(np.stack([counts.sum(axis=0), counts[:2].sum(axis=0)]))
    assert scores["accuracy"].tolist() == pytest.approx([6 / 10, 1])
    assert scores["balanced_accuracy"].tolist() == pytest.approx([(3 / 4 + 2 / 3 + 1 / 3) / 3, 1])
    assert scores["macro_f1"].tolist() == pytest.approx([(0.6 + 2 / 3 + 0.5) / 3, 1])
    np.testing.assert_array_equal(scores["recall"][1], [1, np.nan, np.nan])


def test_a_resample_that_draws_each_source_once_scores_as_the_data_itself(monkeypatch):
    """All resampled scores against those of scikit-learn, which are computed in another way."""
    table = random_predictions()
    groups = group_clips(table)
    monkeypatch.setattr(scoring, "draw_sources", lambda n_sources, n_draws, rng: np.ones((n_draws, n_sources), int))
    draws = resample(table, CLASSES, groups, FEW)
    results = score(table, table, CLASSES, FEW)
    of_data = results.scores.set_index("score")["clips"]
    assert {name: draws.scores[name][0] for name in SCORES} == pytest.approx(of_data.to_dict())
    assert draws.recall[0].tolist() == pytest.approx(results.classes["recall"].tolist())
    assert draws.f1[0].tolist() == pytest.approx(results.classes["f1"].tolist())
    assert draws.groups[0].tolist() == pytest.approx(results.groups["accuracy"].tolist())
    assert [draws.folds[fold][0] for fold in (1, 2, 3)] == pytest.approx(results.folds["accuracy"].tolist())


def test_scores_are_means_over_folds_with_their_standard_deviation():
    both = pd.concat([predictions(), predictions(["siren"] * 2, ["siren", "siren"], fold=2)])
    row = score(both, both, CLASSES, FEW).scores.set_index("score").loc["accuracy"]
    assert row["clips"] == pytest.approx(0.8)
    assert row["segments"] == pytest.approx(0.8)
    assert row["std"] == pytest.approx(np.std([0.6, 1.0], ddof=1))


def test_clips_are_grouped_by_salience_and_duration():
    table = predictions(["siren"] * 5, ["siren", "siren", "dog_bark", "siren", "dog_bark"])
    table["salience"] = ["1", "1", "1", "2", ""]
    table["duration_s"] = [0.3, 3.99, 4.0, 0.5, 40.0]  # 3.99 s is one of 4 s
    groups = score(table, table, CLASSES, FEW).groups
    assert groups[["kind", "group", "n_clips", "accuracy"]].to_numpy().tolist() == [
        ["salience", "foreground", 3, pytest.approx(2 / 3)],
        ["salience", "background", 1, 1.0],
        ["duration", "under 0.5 s", 1, 1.0],
        ["duration", "0.5 to 1 s", 1, 1.0],
        ["duration", "4 to 8 s", 2, 0.5],
        ["duration", "32 s and over", 1, 0.0],
    ]


def test_metrics_are_flat_and_leave_out_what_is_not_known():
    table = predictions(["siren"] * 4, ["siren"] * 4)
    found = flat_metrics(score(table, table, CLASSES, FEW))
    assert set(found) == {*COMPARED, "accuracy_low", "accuracy_high"}  # one fold has no standard deviation
    assert (found["accuracy"], found["accuracy_low"]) == (1.0, pytest.approx(0.025 ** (1 / 4), abs=1e-6))
    folds = pd.concat([table, table.assign(fold=2)])
    assert flat_metrics(score(folds, folds, CLASSES, FEW))["accuracy_std"] == 0


def test_nothing_tested_gives_empty_tables():
    empty = predictions([], [])
    results = score(empty, empty, CLASSES, FEW)
    assert flat_metrics(results) == {}
    assert all(table.empty for table in vars(results).values())


def test_swapping_two_classes_swaps_their_numbers_and_nothing_else():
    table = random_predictions()
    swap = {"siren": "dog_bark", "dog_bark": "siren"}
    swapped = table.assign(truth=table["truth"].replace(swap), predicted=table["predicted"].replace(swap))
    swapped = swapped.rename(columns={f"p_{a}": f"p_{b}" for a, b in swap.items()})
    before, after = (
        score(t, t, CLASSES, FEW).classes.set_index("class").drop(columns="predicted_as") for t in (table, swapped)
    )
    pd.testing.assert_frame_equal(after.loc[["dog_bark", "siren", "car_horn"]].reset_index(drop=True),
                                  before.loc[["siren", "dog_bark", "car_horn"]].reset_index(drop=True))  # fmt: skip
    assert before.loc["siren", "recall"] != before.loc["dog_bark", "recall"]  # or the test could not fail


def test_a_class_without_a_clip_has_no_recall():
    table = score(predictions(["siren", "siren"], ["siren", "dog_bark"]), predictions(), CLASSES, FEW).classes
    assert table["recall"].isna().tolist() == [False, True, True]
    assert table["predicted_as"].tolist() == ["dog_bark", "", ""]


def of_sources(n_sources, n_clips, right, name="siren", fold=1):
    """Clips of one class, `n_clips` from each of `n_sources`, all recognised or all predicted as another class."""
    other = CLASSES[CLASSES.index(name) - 1]
    source = [f"{name}-{fold}-{i // n_clips}" for i in range(n_sources * n_clips)]
    return predictions([name] * len(source), [name if right else other] * len(source), fold=fold, source=source)


def test_intervals_rest_on_sources_and_not_on_clips():
    """Ten clips of two sources, all right: two independent trials, for the class, its group and its fold."""
    table = pd.concat([of_sources(2, 5, right=True), of_sources(4, 2, right=True, name="dog_bark", fold=2)])
    table["salience"] = np.where(table["truth"] == "siren", "1", "2")
    results = score(table, table, CLASSES, FEW)
    low = {n: pytest.approx(0.025 ** (1 / n)) for n in (2, 4, 6)}
    assert results.classes.set_index("class").loc[["siren", "dog_bark"], "recall_low"].tolist() == [low[2], low[4]]
    assert results.folds["low"].tolist() == [low[2], low[4]]
    assert results.folds["n_sources"].tolist() == [2, 4]
    groups = results.groups.set_index("group")
    assert groups.loc[["foreground", "background"], "low"].tolist() == [low[2], low[4]]
    assert groups["n_sources"].to_dict() == {"foreground": 2, "background": 4, "4 to 8 s": 6}
    assert results.scores.loc[0, "low"] == low[6]  # the sources of all folds together


def test_f1_has_an_interval_of_its_own():
    """All 20 sirens are found, and 20 dogs are predicted as sirens: recall is 1 in every resample, F1 is not."""
    table = pd.concat([of_sources(20, 1, right=True), of_sources(20, 1, right=False, name="dog_bark")])
    siren = score(table, table, CLASSES, FEW).classes.set_index("class").loc["siren"]
    assert siren["f1"] == pytest.approx(2 / 3)
    assert 0.4 < siren["f1_low"] < 2 / 3 < siren["f1_high"] < 0.9
    assert siren["recall_high"] == 1


def test_segments_have_scores_of_their_own():
    clips, segments = of_sources(4, 1, right=True), random_predictions(n_folds=1)
    found = score(clips, segments, CLASSES, FEW).scores.set_index("score")
    expected = score_folds(segments, CLASSES)[SCORES[:-1]].iloc[0].to_dict()
    expected["calibration_error"] = calibration_error(score_calibration(segments, CLASSES, 10))
    assert found["segments"].to_dict() == pytest.approx(expected)
    assert found.loc["accuracy", "clips"] == 1


def test_the_log_loss_of_a_resample_is_divided_by_its_own_clips():
    """Two sources of 1 and 9 clips with the same loss: whatever is drawn, the loss per clip is the same."""
    table = predictions(["siren"] * 10, ["siren"] * 10, source=["a"] + ["b"] * 9)
    row = score(table, table, CLASSES, FEW).scores.set_index("score").loc["log_loss"]
    assert (row["low"], row["high"]) == pytest.approx((row["clips"], row["clips"]), abs=1e-12)


def test_a_class_without_a_clip_has_no_f1():
    table = score_classes(predictions(["siren"] * 2, ["siren", "car_horn"]), CLASSES).set_index("class")
    assert table["f1"].isna().to_dict() == {"siren": False, "dog_bark": True, "car_horn": True}
