"""What a model detects in soundscapes: which sounds it is asked for, and how that is counted."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers.predictions import PARAMS
from helpers.tone_model import SR, tone_model
from helpers.tones import TONES_HZ
from stages.evaluate.event_scores import add_counts, summarise
from stages.evaluate.soundscapes import (
    SOUNDSCAPE_COLUMNS,
    count_overlaps,
    detect_in_soundscapes,
    make_backgrounds,
    to_spans,
)
from stages.lib.core.errors import DataError
from stages.lib.core.labels import UNSURE
from stages.lib.event_tables import Span
from stages.lib.inference.events import Event, named_events

CLIPS = pd.DataFrame([(f"{name}-1.wav", name) for name in TONES_HZ], columns=["clip", "class"])


def load_tone(clip):
    """A tone of 1.5 s, soft, since loud noise would be a low tone to the model."""
    return (0.002 * np.sin(2 * np.pi * TONES_HZ[clip.split("-")[0]] * np.arange(int(1.5 * SR)) / SR)).astype(np.float32)


def params(**changes):
    return PARAMS.__class__(**vars(PARAMS) | {"soundscape_snr_db": [20.0, 20.0]} | changes)


def test_being_unsure_claims_nothing():
    events = [Event(0.0, 1.0, UNSURE, 0.3, is_unsure=True), Event(1.0, 2.0, "dog", 0.9)]
    assert to_spans(named_events(events)) == [Span(1.0, 2.0, "dog")]


def test_a_model_that_knows_its_tones_is_right_in_soundscapes():
    """The whole way, from clips to scores: every event with its name, within half a second at both ends."""
    backgrounds = {"steady": make_backgrounds(SR, [])["steady"]}
    found = detect_in_soundscapes(
        tone_model(), 3, CLIPS, load_tone, backgrounds, params(n_soundscapes=2, soundscape_s=20.0)
    )
    classes, scores = summarise({3: add_counts(found.counts)}, "soundscape")
    assert classes["n_events"].sum() >= 8
    assert scores["soundscape_event_f1"] == scores["soundscape_intersection_f1"] == 1
    assert classes["event_error_rate"].tolist() == [0] * len(TONES_HZ)
    assert scores["soundscape_segment_f1"] > 0.95
    assert list(found.events) == SOUNDSCAPE_COLUMNS


def test_each_background_has_its_scores_and_the_same_clips(tmp_path):
    soundfile.write(tmp_path / "street.wav", 0.1 * np.random.default_rng(0).standard_normal(SR), SR)
    backgrounds = make_backgrounds(SR, [tmp_path / "street.wav"])
    assert list(backgrounds) == ["steady", "wandering", "coloured", "recorded"]
    found = detect_in_soundscapes(tone_model(), 3, CLIPS, load_tone, backgrounds, params(n_soundscapes=3))
    assert list(found.counts) == list(found.overlaps) == list(backgrounds)
    reference = found.events.query("kind == 'reference'").groupby("background")["clip"].agg(list)
    assert len(set(map(tuple, reference))) == 1
    assert all(total_s > 0 for _, total_s in found.overlaps.values())


def test_without_soundscapes_there_is_nothing():
    found = detect_in_soundscapes(tone_model(), 3, CLIPS, load_tone, make_backgrounds(SR, []), params())
    assert (len(found.events), found.counts, found.overlaps, found.example) == (0, {}, {}, None)


@pytest.mark.parametrize(("samples", "message"), [(np.zeros(SR), "is silent"), (None, "put it right")])
def test_a_background_that_cannot_be_used_is_named(tmp_path, samples, message):
    path = tmp_path / "street.wav"
    path.write_bytes(b"RIFF") if samples is None else soundfile.write(path, samples, SR)
    background = make_backgrounds(SR, [path])["recorded"]
    with pytest.raises(DataError, match=rf"^evaluate\.backgrounds: .*street\.wav.*{message}"):
        background(SR, np.random.default_rng(0))


def test_overlaps_count_the_seconds_of_both_classes():
    reference = [Span(0, 4, "dog"), Span(2, 6, "horn"), Span(3, 5, "dog"), Span(8, 9, "dog")]
    # dog and horn overlap from 2 to 4 and from 3 to 5: 4 s in all, of two classes each; dog with dog does not count.
    assert count_overlaps(reference, []) == (0, 8)
    assert count_overlaps(reference, [Span(2.5, 4.5, "horn")]) == (3, 8)
    assert count_overlaps(reference, [Span(0, 9, "horn"), Span(0, 9, "dog")]) == (8, 8)
    assert count_overlaps(reference[:1], reference[:1]) == (0, 0)
