"""Soundscapes: what is where, how loud, and the same every time; and that a model detects them."""

from itertools import islice, pairwise

import numpy as np
import pandas as pd
import pytest

from helpers.tone_model import tone_model
from helpers.tones import TONES_HZ
from stages.evaluate.event_scores import count_events, summarise
from stages.evaluate.soundscapes import (
    FADE_S,
    PAUSE_S,
    PINK,
    Span,
    build_soundscapes,
    coloured_noise,
    named_events,
    take_turns,
    to_spans,
    trim,
)
from stages.lib.core.labels import UNSURE
from stages.lib.inference.detect import detect
from stages.lib.inference.events import Event

SR = 8000
CLIPS = pd.DataFrame(
    [(f"{name}-{i}.wav", name) for name in ("dog", "horn") for i in range(3)], columns=["clip", "class"]
)
HZ = {"dog": 500.0, "horn": 1500.0, **TONES_HZ}


def load_tone(clip):
    """A tone of 1.5 s with half a second of silence on both sides."""
    tone = 0.2 * np.sin(2 * np.pi * HZ[clip.split("-")[0]] * np.arange(int(1.5 * SR)) / SR + 0.5)
    return np.pad(tone, SR // 2).astype(np.float32)


def build(clips=CLIPS, load=load_tone, n=4, duration_s=12.0, snr_db=(6.0, 20.0), seed=(1, 10)):
    options = {"sr": SR, "n": n, "duration_s": duration_s, "snr_db": snr_db, "seed": seed}
    return list(build_soundscapes(clips, load, **options))


def test_clips_stand_one_after_another_with_pauses():
    for soundscape in build():
        assert soundscape.y.shape == (12 * SR,)
        assert soundscape.y.dtype == np.float32
        assert len(soundscape.placed) >= 2
        assert PAUSE_S[0] <= soundscape.placed[0].start_s <= PAUSE_S[1]
        for placed in soundscape.placed:
            assert placed.end_s - placed.start_s == pytest.approx(1.5, abs=0.002)  # without its silence
            assert placed.clip.startswith(placed.label)
            assert placed.end_s <= 12
        for before, after in pairwise(soundscape.placed):
            assert PAUSE_S[0] - 0.001 <= after.start_s - before.end_s <= PAUSE_S[1] + 0.001


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


@pytest.mark.parametrize(("exponent", "octave_db"), [(0.0, 0.0), (PINK, -3.01), (2.0, -6.02)])
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


def test_being_unsure_claims_nothing():
    events = [Event(0.0, 1.0, UNSURE, 0.3, is_unsure=True), Event(1.0, 2.0, "dog", 0.9)]
    assert to_spans(named_events(events)) == [Span(1.0, 2.0, "dog")]


def test_a_model_that_knows_its_tones_is_right_in_soundscapes():
    """The whole way, from clips to scores: every event with its name, within half a second at both ends."""
    clips = pd.DataFrame([(f"{name}-1.wav", name) for name in TONES_HZ], columns=["clip", "class"])
    # Soft, since loud noise would be a low tone to the model.
    soundscapes = build(clips, lambda clip: load_tone(clip) / 100, n=6, snr_db=(20.0, 20.0))
    counts = [
        count_events(s.reference, to_spans(named_events(detect(s.y, tone_model(), sr=SR))), list(TONES_HZ))
        for s in soundscapes
    ]
    classes, scores = summarise({3: sum(counts)})
    assert classes["n_events"].sum() >= 12
    assert scores["soundscape_event_f1"] == scores["soundscape_intersection_f1"] == 1
    assert scores["soundscape_segment_f1"] > 0.95
