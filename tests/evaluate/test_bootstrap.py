import numpy as np
import pytest
from scipy import sparse, stats
from sklearn import metrics

from stages.evaluate import bootstrap as resampling
from stages.evaluate.bootstrap import draw_sources, interval, one_hot, rank_scores, share_interval, sum_sources

RNG = np.random.default_rng(5)


def test_each_resample_draws_as_many_sources_as_there_are():
    drawn = draw_sources(7, 1000, np.random.default_rng(1))
    assert drawn.shape == (1000, 7)
    assert (drawn.sum(axis=1) == 7).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(7), abs=4 * np.sqrt(6 / 7 / 1000))  # four standard errors


def test_the_clips_of_a_source_are_added_up():
    values = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    source = np.array([1, 0, 1])
    assert sum_sources(source, values).tolist() == [[2, 20], [5, 50]]
    assert sum_sources(source, sparse.csr_array(values)).toarray().tolist() == [[2, 20], [5, 50]]


def test_one_hot_marks_one_column_a_row():
    assert one_hot(np.array([2, 0]), 3).toarray().tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("decimals", [1, 6], ids=["ties", "no ties"])
@pytest.mark.parametrize("cells", [1 << 22, 90], ids=["at once", "in parts"])
def test_rank_scores_are_those_of_scikit_learn(decimals, cells, monkeypatch):
    monkeypatch.setattr(resampling, "CELLS_AT_ONCE", cells)
    positive = RNG.random(40) < 0.4
    scores = (RNG.random(40) * 0.7 + 0.3 * positive).round(decimals)
    weights = RNG.integers(0, 4, size=(6, 40))
    areas, precisions = rank_scores(scores, positive, weights)
    for weight, area, precision in zip(weights, areas, precisions, strict=True):
        assert area == pytest.approx(metrics.roc_auc_score(positive, scores, sample_weight=weight))
        assert precision == pytest.approx(metrics.average_precision_score(positive, scores, sample_weight=weight))


def test_rank_scores_counted_by_hand():
    """In falling order + - + -: of four pairs three are in order; precision 1 at recall 1/2 and 2/3 at recall 1."""
    area, precision = rank_scores(np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False]), np.ones((1, 4)))
    assert (area[0], precision[0]) == pytest.approx((3 / 4, (1 + 2 / 3) / 2))


def test_a_resample_with_one_class_has_no_area():
    area, precision = rank_scores(np.array([0.9, 0.1]), np.array([True, False]), np.array([[1, 0], [0, 1], [1, 1]]))
    np.testing.assert_array_equal(area, [np.nan, np.nan, 1])
    np.testing.assert_array_equal(precision, [1, np.nan, 1])


def test_the_interval_of_normal_samples_is_the_normal_one():
    samples = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)[:, np.newaxis]
    assert interval(samples, [0.0])[:, 0] == pytest.approx([-1.96, 1.96], abs=0.01)


def test_the_interval_moves_where_resampling_is_biased():
    """Resamples half a std above the value: by Efron's formula the quantiles at 2 z0 - 1.96 and 2 z0 + 1.96."""
    samples = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)[:, np.newaxis] + 0.5
    low, high = interval(samples, [0.0])[:, 0]
    assert (low, high) == pytest.approx((0.5 - 1 - 1.96, 0.5 - 1 + 1.96), abs=0.05)


def test_resamples_that_equal_the_value_count_half_below_it():
    """Of {0, 1}, half of each, 3/4 count as below 1 and 1/4 as below 0, so that the interval is the same for both."""
    samples = np.repeat([0.0, 1.0], 500)[:, np.newaxis]
    assert interval(samples, [1.0])[:, 0].tolist() == [0, 1]
    assert interval(samples, [0.0])[:, 0].tolist() == [0, 1]


def test_a_value_beyond_all_resamples_counts_as_half_a_resample_from_the_end():
    samples = np.arange(100.0)[:, np.newaxis]
    shift = stats.norm.ppf(1 - 0.5 / 100)
    quantiles = stats.norm.cdf([2 * shift - 1.959964, 2 * shift + 1.959964])
    assert interval(samples, [1000.0])[:, 0] == pytest.approx(99 * quantiles, abs=1e-6)
    assert interval(samples, [-1000.0])[:, 0] == pytest.approx(99 * (1 - quantiles[::-1]), abs=1e-6)


def test_equal_samples_make_an_interval_of_no_width_and_unknown_ones_none():
    samples = np.array([[1.0, np.nan, 3.0], [1.0, np.nan, np.nan]])
    np.testing.assert_array_equal(interval(samples, [1.0, np.nan, 3.0]), [[1, np.nan, 3], [1, np.nan, 3]])


def test_all_right_is_no_proof_where_sources_are_few():
    """Of 4 sources that are all right, and of 2 that are all wrong: exact binomial bounds; else the plain ones."""
    samples = np.array([[1.0, 0.0, 0.4], [1.0, 0.0, 0.6]])
    bounds = share_interval(samples, [1.0, 0.0, 0.5], [4, 2, 9])
    exact = [stats.binomtest(k, n).proportion_ci(method="exact") for k, n in ((4, 4), (0, 2))]
    assert bounds[:, 0].tolist() == pytest.approx([exact[0].low, 1])
    assert bounds[:, 1].tolist() == pytest.approx([0, exact[1].high])
    assert bounds[:, 2].tolist() == interval(samples[:, 2:], [0.5])[:, 0].tolist()
