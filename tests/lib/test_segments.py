import numpy as np
import pandas as pd
import pytest

from helpers.metadata import make_metadata
from stages.lib.model.segments import Segmenter, SegmentParams, make_segmenter, segment_table


def study(duration_s=2.0, overlap_s=1.0, pad="repeat", longest=150):
    """Metadata with the frames of the study."""
    return make_metadata(
        segment={"duration_s": duration_s, "overlap_s": overlap_s, "pad": pad},
        featurize={"sr": 22050, "win_length": 1168, "hop_length": 584},
        floor=-18.5,
        scaler_mean=[1.0, 2.0],
        longest=longest,
    )


def test_two_seconds_with_one_of_overlap_make_three_segments_of_four_seconds():
    segmenter = make_segmenter(study())
    # 2 s are 44,100 samples: 1 + (44100 - 1168) // 584 = 74 frames; 1 s is 22050 / 584 = 37.8 frames.
    assert (segmenter.length, segmenter.step) == (74, 38)
    assert segmenter.starts(150) == [0, 38, 76]


def test_the_step_is_what_segments_do_not_share():
    # 2 s less 0.5 s are 33,075 samples: 33075 / 584 = 56.6 frames.
    assert make_segmenter(study(overlap_s=0.5)).step == 57


@pytest.mark.parametrize(
    ("n_frames", "starts"),
    [(1, [0]), (9, [0]), (10, [0]), (11, [0, 1]), (14, [0, 4]), (15, [0, 4, 5]), (18, [0, 4, 8])],
)
def test_the_last_segment_ends_with_the_clip(n_frames, starts):
    assert Segmenter(length=10, step=4, fill=None).starts(n_frames) == starts


@pytest.mark.parametrize("n_frames", range(1, 60))
def test_every_frame_is_in_a_segment_and_none_beyond_the_clip(n_frames):
    segmenter = Segmenter(length=10, step=4, fill=None)
    starts = segmenter.starts(n_frames)
    seen = {frame for start in starts for frame in range(start, min(start + 10, n_frames))}
    assert seen == set(range(n_frames))
    assert len(starts) == 1 or starts[-1] + 10 == n_frames


def test_whole_clips_have_the_length_of_the_longest_and_longer_ones_do_not_overlap():
    segmenter = make_segmenter(study(duration_s=None, longest=150))
    assert segmenter.starts(150) == [0]
    assert segmenter.starts(300) == [0, 150]


@pytest.mark.parametrize(
    ("pad", "filled"), [("repeat", [[0, 1], [2, 3], [0, 1]]), ("silence", [[-18.5] * 2] * 3), ("mask", [[1, 2]] * 3)]
)
def test_a_short_clip_is_filled_up(pad, filled):
    clip = np.array([[0, 1], [2, 3]], dtype=np.float32)
    segment = make_segmenter(study(duration_s=0.16, overlap_s=0.0, pad=pad)).cut(clip, 0)
    assert segment.dtype == np.float32
    np.testing.assert_array_equal(segment, [[0, 1], [2, 3], *filled])


def test_a_segment_of_a_longer_clip_is_a_view():
    clip = np.arange(40, dtype=np.float32).reshape(20, 2)
    segment = Segmenter(length=10, step=4, fill=None).cut(clip, 4)
    assert np.shares_memory(segment, clip)
    np.testing.assert_array_equal(segment, clip[4:14])


def test_the_table_has_one_row_per_segment_in_the_order_of_the_clips():
    clips = pd.DataFrame({"n_frames": [14, 3, 10]})
    table = segment_table(clips, Segmenter(length=10, step=4, fill=None))
    assert table.to_numpy().tolist() == [[0, 0], [0, 4], [1, 0], [2, 0]]


@pytest.mark.parametrize("overlap_s", [2.0, 3.0])
def test_segments_that_would_not_move_on_are_refused(overlap_s):
    with pytest.raises(ValueError, match=r"segment\.overlap_s \d is not below segment\.duration_s 2"):
        SegmentParams(duration_s=2.0, overlap_s=overlap_s, pad="repeat")
