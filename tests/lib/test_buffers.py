"""Buffers of a stream."""

import numpy as np
import pytest
import soundfile

from stages.lib.audio import load_mono
from stages.lib.inference.buffers import MonoStream, SlidingBuffer


@pytest.mark.parametrize(("sr", "n_channels"), [(22050, 1), (44100, 2), (48000, 6), (8000, 1), (11025, 1), (96000, 2)])
def test_a_stream_gives_the_samples_of_load_mono_to_the_bit(tmp_path, sr, n_channels):
    rng = np.random.default_rng(sr)
    y = (0.1 * rng.standard_normal((sr // 3 + 17, n_channels))).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", y, sr, subtype="FLOAT")
    stream = MonoStream(sr, 22050)
    cuts = np.sort(rng.integers(0, len(y), 40))
    found = np.concatenate([*(stream.push(block) for block in np.split(y, cuts)), stream.finish()])
    np.testing.assert_array_equal(found, load_mono(tmp_path / "a.wav", 22050))
    assert stream.duration_s == len(y) / sr


def test_a_sliding_buffer_holds_the_end_of_what_was_appended():
    buffer, everything = SlidingBuffer((2,)), np.arange(2000.0).reshape(1000, 2)
    assert len(buffer) == 0
    assert buffer.view.shape == (0, 2)
    for start in range(0, 1000, 40):
        buffer.append(everything[start : start + 40])
        buffer.drop(min(37, len(buffer)))
        np.testing.assert_array_equal(buffer.view, everything[buffer.start : buffer.end])
    assert buffer.end == 1000
