import numpy as np
import pandas as pd
import pytest

from helpers.metadata import make_metadata
from helpers.tones import PLAIN
from stages.lib.features.store import INDEX_COLUMNS, Features, create_fold, write_frames
from stages.lib.model.backend import start_backend
from stages.lib.model.segments import Segmenter
from stages.train.augment import AugmentParams, make_augmenter

N_MELS = 4
# clip, variant, class, n_frames. All bands of a frame hold the number of the row and, behind the point, of the frame.
ROWS = [
    ("a", "", "horn", 20), ("a", "pitch 1", "horn", 20), ("a", "stretch 2", "horn", 10),
    ("b", "", "dog", 12), ("b", "pitch 1", "dog", 12), ("b", "stretch 2", "dog", 6),
    ("c", "", "dog", 5), ("c", "pitch 1", "dog", 5), ("c", "stretch 2", "dog", 3),
]  # fmt: skip


@pytest.fixture
def features(tmp_path):
    return make_features(tmp_path, ROWS)


def make_features(folder, rows):
    index = pd.DataFrame(rows, columns=["clip", "variant", "class", "n_frames"]).assign(
        fold=1, source="s", salience="", duration_s=1.0, sample_rate_hz=8000, level_db=-20.0
    )
    index["offset"] = index["n_frames"].cumsum() - index["n_frames"]
    create_fold(folder, 1, (int(index["n_frames"].sum()), N_MELS))
    for i, row in enumerate(index.itertuples()):
        numbers = i + np.arange(row.n_frames, dtype=np.float32) / 1000
        write_frames(folder, 1, row.offset, np.repeat(numbers[:, np.newaxis], N_MELS, axis=1))
    return Features(folder, index[INDEX_COLUMNS], {"classes": ["dog", "horn"], "folds": [1], "n_features": N_MELS})


def make_batches(features, *, length=8, step=4, batch_size=4, balanced=False, seed=1, **augment):
    start_backend("tensorflow")
    from stages.train.batches import TrainingBatches

    metadata = make_metadata(scaler_mean=[0.0] * N_MELS)
    return TrainingBatches(
        features,
        [1],
        Segmenter(length, step, fill=None),
        batch_size=batch_size,
        augmenter=make_augmenter(AugmentParams(**PLAIN | augment), metadata),
        balanced=balanced,
        seed=seed,
    )


def epoch(batches):
    return [np.concatenate(parts) for parts in zip(*(batches[i] for i in range(len(batches))), strict=True)]


def numbers(segments):
    """1000 times the row and the number of the frame, (batch, length)."""
    return np.round(segments[:, :, 0].astype(float) * 1000).astype(int)


def originals(rows):
    return [row for row in rows if row[1] == ""]


def test_without_variants_the_plain_recipe_is_every_segment_once(tmp_path):
    segments, targets, weights = epoch(make_batches(make_features(tmp_path, originals(ROWS))))
    # 20 frames in segments of 8, 4 apart: 0, 4, 8, 12; 12 frames: 0, 4; 5 frames: 0, repeated
    assert sorted(numbers(segments)[:, 0]) == [0, 4, 8, 12, 1000, 1004, 2000]
    assert targets.sum(axis=0).tolist() == [3, 4]
    assert (weights == 1).all()


def test_a_batch_depends_on_seed_and_epoch_alone(features):
    one, other = (make_batches(features, crop="wrap", mix="between_class", gain_db=6.0) for _ in range(2))
    first = one[1][0]
    one[0]  # out of turn
    np.testing.assert_array_equal(other[1][0], first)
    other.start_epoch(3)
    for _ in range(3):
        one.on_epoch_end()
    np.testing.assert_array_equal(one[0][0], other[0][0])
    assert (make_batches(features, crop="wrap", seed=2)[0][0] != make_batches(features, crop="wrap")[0][0]).any()


def test_a_segment_comes_from_the_clip_or_one_of_its_variants(features):
    batches = make_batches(features)
    rows = set()
    for i in range(30):
        batches.start_epoch(i)
        segments, targets, _ = epoch(batches)
        found = numbers(segments)[:, 0] // 1000
        assert len(segments) == 7  # as many as without variants
        assert [ROWS[row][2] == "horn" for row in found] == (targets[:, 1] == 1).tolist()
        rows |= set(found)
    assert rows == set(range(len(ROWS)))


@pytest.mark.parametrize(("crop", "starts"), [("random", set(range(13))), ("wrap", set(range(20)))])
def test_crops_begin_anywhere_and_run_on(tmp_path, crop, starts):
    batches = make_batches(make_features(tmp_path, [ROWS[0], ("d", "", "dog", 5)]), crop=crop)
    seen = set()
    for i in range(100):
        batches.start_epoch(i)
        for segment in numbers(epoch(batches)[0]):
            n_frames, offset = (20, 0) if segment[0] < 1000 else (5, 1000)
            np.testing.assert_array_equal(segment - offset, (segment[0] - offset + np.arange(8)) % n_frames)
            if offset == 0:
                seen.add(int(segment[0]))
    assert seen == starts


def test_partners_are_of_another_class_and_targets_say_how_much(tmp_path):
    rows = [("a", "", "horn", 8), ("b", "", "dog", 8), ("c", "", "dog", 8)]
    batches = make_batches(make_features(tmp_path, rows), mix="between_class", batch_size=3)
    for i in range(20):
        batches.start_epoch(i)
        _, targets, _ = batches[0]
        np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
        assert ((targets > 0) & (targets < 1)).all()  # both classes in each


def test_balanced_classes_weigh_the_same(tmp_path):
    _, targets, weights = epoch(make_batches(make_features(tmp_path, originals(ROWS)), balanced=True))
    of_class = weights @ targets
    assert of_class[0] == pytest.approx(of_class[1])
    assert weights.mean() == pytest.approx(1)


def test_mixed_targets_are_weighted_by_their_shares(features):
    _, targets, weights = epoch(make_batches(features, mix="mixup", balanced=True))
    np.testing.assert_allclose(weights, targets @ [7 / 3 / 2, 7 / 4 / 2], rtol=1e-5)
