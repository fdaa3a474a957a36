"""Soundscapes: what is where, how loud, over what, and the same every time."""

from itertools import islice, pairwise

import numpy as np
import pandas as pd
import pytest

from stages.lib.soundscapes.backgrounds import (
    BROWN,
    PINK,
    WANDER_S,
    coloured,
    coloured_noise,
    recorded,
    steady,
    wandering,
    wandering_gain,
)
from stages.lib.soundscapes.compose import (
    FADE_S,
    OVERLAPPING_EVERY,
    PAUSE_S,
    SHARED,
    build_soundscapes,
    take_turns,
    trim,
)

SR = 8000
CLIPS = pd.DataFrame(
    [(f"{name}-{i}.wav", name) for name in ("dog", "horn") for i in range(3)], columns=["clip", "class"]
)
HZ = {"dog": 500.0, "horn": 1500.0}


def load_tone(clip):
    """A tone of 1.5 s with half a second of silence on both sides."""
    tone = 0.2 * np.sin(2 * np.pi * HZ[clip.split("-")[0]] * np.arange(int(1.5 * SR)) / SR + 0.5)
    return np.pad(tone, SR // 2).astype(np.float32)


def build(clips=CLIPS, load=load_tone, n=4, duration_s=12.0, snr_db=(6.0, 20.0), seed=(1, 10), background=None):
    options = {"sr": SR, "n": n, "duration_s": duration_s, "snr_db": snr_db, "seed": seed}
    return list(build_soundscapes(clips, load, background or steady(SR), **options))


def is_paired(number):
    return number % OVERLAPPING_EVERY == OVERLAPPING_EVERY - 1


def test_clips_stand_one_after_another_with_pauses():
    for number, soundscape in enumerate(build(n=6)):
        assert soundscape.y.shape == (12 * SR,)
        assert soundscape.y.dtype == np.float32
        assert len(soundscape.placed) >= 2
        assert PAUSE_S[0] <= soundscape.placed[0].start_s <= PAUSE_S[1]
        for placed in soundscape.placed:
            assert placed.end_s - placed.start_s == pytest.approx(1.5, abs=0.002)  # without its silence
            assert placed.clip.startswith(placed.label)
            assert placed.end_s <= 12
        for before, after in pairwise(soundscape.placed if not is_paired(number) else []):
            assert PAUSE_S[0] - 0.001 <= after.start_s - before.end_s <= PAUSE_S[1] + 0.001


def test_in_a_third_of_the_soundscapes_clips_of_two_classes_overlap_and_never_three():
    soundscapes = build(n=9, duration_s=30.0)
    for number, soundscape in enumerate(soundscapes):
        gaps = [after.start_s - before.end_s for before, after in pairwise(soundscape.placed)]
        overlaps = [(i, -gap) for i, gap in enumerate(gaps) if gap < 0]
        assert bool(overlaps) == is_paired(number)
        for i, shared_s in overlaps:
            before, after = soundscape.placed[i : i + 2]
            assert before.label != after.label
            assert SHARED[0] - 0.01 <= shared_s / 1.5 <= SHARED[1] + 0.01
            assert all(gap >= PAUSE_S[0] - 0.001 for gap in gaps[i + 1 : i + 2] + gaps[max(0, i - 1) : i])


def test_the_clips_do_not_depend_on_the_background():
    others = [build(background=background) for background in (wandering(SR), coloured(SR))]
    assert [[s.placed for s in other] for other in others] == [[s.placed for s in build()]] * 2


def test_each_clip_is_used_before_any_is_used_again():
    placed = [placed.clip for soundscape in build(n=10) for placed in soundscape.placed]
    assert sorted(placed[:6]) == sorted(CLIPS["clip"])
    assert sorted(placed[6:12]) == sorted(CLIPS["clip"])


def test_classes_take_turns_even_if_one_has_more_clips():
    uneven = pd.concat([CLIPS, CLIPS.iloc[:3].assign(clip=["dog-7.wav", "dog-8.wav", "dog-9.wav"])])
    labels = [label for _, label in islice(take_turns(uneven, np.random.default_rng(0)), 40)]
    assert all(set(labels[i : i + 2]) == {"dog", "horn"} for i in range(0, 40, 2))


@pytest.mark.parametrize("snr_db", [0.0, 15.0])
def test_a_tone_stands_over_the_noise_by_the_ratio(snr_db):
    """The tone's own power, found by its frequency, against that of the pauses."""
    soundscape = build(snr_db=(snr_db, snr_db))[0]
    in_pauses = np.ones(len(soundscape.y), bool)
    ratios = []
    for placed in soundscape.placed:
        start, end = round(placed.start_s * SR), round(placed.end_s * SR)
        in_pauses[start - 8 : end + 8] = False
        y = soundscape.y[start:end]
        turning = np.exp(-2j * np.pi * HZ[placed.label] * np.arange(len(y)) / SR)
        ratios.append(2 * np.abs(np.mean(y * turning)) ** 2)
    noise = np.mean(soundscape.y[in_pauses].astype(float) ** 2)
    faded_db = 20 * np.log10(1 - FADE_S / 1.5)  # of the amplitude, by the edges
    assert 10 * np.log10(np.array(ratios) / noise) == pytest.approx(snr_db + faded_db, abs=1.0)


def test_clips_keep_their_median_level():
    soundscape = build(snr_db=(20.0, 20.0))[0]
    placed = soundscape.placed[0]
    y = soundscape.y[round(placed.start_s * SR) : round(placed.end_s * SR)]
    assert np.sqrt(np.mean(y**2)) == pytest.approx(0.2 / np.sqrt(2), rel=0.03)


def test_the_seed_tells_all():
    assert [s.placed for s in build()] == [s.placed for s in build()]
    assert all(np.array_equal(a.y, b.y) for a, b in zip(build(), build(), strict=True))
    shuffled = CLIPS.sample(frac=1, random_state=0)
    assert [s.placed for s in build(shuffled)] == [s.placed for s in build()]
    assert [s.placed for s in build(seed=(1, 9))] != [s.placed for s in build()]


def test_a_long_clip_is_cut_to_a_third():
    longest = build(load=lambda clip: np.tile(load_tone(clip)[SR // 2 : -SR // 2], 20))[0]
    assert {round(placed.end_s - placed.start_s, 2) for placed in longest.placed} == {4.0}


def test_silent_clips_are_skipped():
    def load(clip):
        return load_tone(clip) * (clip != "dog-1.wav")

    placed = [placed.clip for soundscape in build(load=load, n=10) for placed in soundscape.placed]
    assert set(placed) == set(CLIPS["clip"]) - {"dog-1.wav"}


def test_where_all_is_silent_there_is_noise_alone():
    soundscapes = build(load=lambda clip: np.zeros(SR, np.float32))
    assert [soundscape.placed for soundscape in soundscapes] == [[]] * 4
    assert np.sqrt(np.mean(soundscapes[0].y ** 2)) == pytest.approx(10 ** (-50 / 20), rel=0.01)


def test_very_short_clips_are_faded_all_the_same():
    soundscape = build(load=lambda clip: np.ones(5, np.float32))[0]
    assert np.isfinite(soundscape.y).all()
    assert soundscape.placed


@pytest.mark.parametrize(("exponent", "octave_db"), [(0.0, 0.0), (PINK, -3.01), (BROWN, -6.02)])
def test_coloured_noise_has_mean_power_1_and_falls_with_frequency(exponent, octave_db):
    noise = coloured_noise(1 << 18, SR, np.random.default_rng(0), exponent)
    assert np.mean(noise**2) == pytest.approx(1)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = np.fft.rfftfreq(1 << 18, 1 / SR)
    octaves_db = [10 * np.log10(power[(hz >= low) & (hz < 2 * low)].mean()) for low in (100, 200, 400, 800, 1600)]
    assert np.diff(octaves_db) == pytest.approx(octave_db, abs=0.3)


def test_trim_keeps_what_is_within_60_db_of_the_peak():
    y = np.array([0, 0.0009, 0.0011, 1, 0, -0.5, 0, 0.0005], np.float32)
    assert trim(y).tolist() == y[2:6].tolist()
    assert len(trim(np.zeros(3, np.float32))) == len(trim(np.zeros(0, np.float32))) == 0


@pytest.mark.parametrize("background", [steady(SR), wandering(SR), coloured(SR)])
def test_backgrounds_have_mean_power_1_and_are_drawn_anew(background):
    rng = np.random.default_rng(3)
    first, second = background(5 * SR, rng), background(5 * SR, rng)
    assert first.shape == second.shape == (5 * SR,)
    assert np.mean(first**2) == pytest.approx(1)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, background(5 * SR, np.random.default_rng(3)))


def test_a_wandering_level_has_the_standard_deviation_it_says_and_moves_in_lines():
    gain_db = 20 * np.log10(wandering_gain(3000 * 100, 100, np.random.default_rng(0), 3.0))
    nodes_db = gain_db[:: round(100 * WANDER_S)]
    assert nodes_db.std() == pytest.approx(3.0, rel=0.1)
    assert gain_db[150] == pytest.approx((nodes_db[0] + nodes_db[1]) / 2, abs=0.05)


def test_colours_range_from_white_to_brown():
    rng = np.random.default_rng(0)
    slopes = []
    for _ in range(40):
        power = np.abs(np.fft.rfft(coloured(SR)(4 * SR, rng))) ** 2
        hz = np.fft.rfftfreq(4 * SR, 1 / SR)
        low, high = (power[(hz >= hz_low) & (hz < 2 * hz_low)].mean() for hz_low in (100, 1600))
        slopes.append(10 * np.log10(low / high) / 12.04)
    assert -0.1 < min(slopes) < 0.4
    assert 1.6 < max(slopes) < 2.1


def test_recordings_take_turns_and_short_ones_are_repeated_without_a_step():
    t = np.arange(SR) / SR
    tones = [np.sin(2 * np.pi * hz * t).astype(np.float32) for hz in (440.3, 1000.0)]
    background = recorded(SR, [lambda: tones[0], lambda: np.tile(tones[1], 9)])
    rng = np.random.default_rng(0)
    for hz in (440.3, 1000.0, 440.3):
        y = background(5 * SR, rng)
        assert y.shape == (5 * SR,)
        assert np.mean(y**2) == pytest.approx(1)
        strongest = np.abs(np.fft.rfft(y * np.hanning(len(y)))).argmax() / 5
        assert strongest == pytest.approx(hz, abs=2)
        steepest = np.abs(np.diff(y)).max() / np.abs(y).max()
        assert steepest <= 2 * np.sin(np.pi * hz / SR) * 1.05  # no click where it is joined
