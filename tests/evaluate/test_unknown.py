"""Unknown sounds: what noise there is, which files are recordings, and how often a model names them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers.metadata import make_metadata
from helpers.tone_model import SR, scene, tone_model
from stages.evaluate.recordings import find_recordings
from stages.evaluate.unknown import (
    CONFIDENCES,
    LEVELS_DB,
    NOISE_S,
    UNKNOWN_COLUMNS,
    detect_unknown,
    generate_noise,
    summarise_unknown,
)
from stages.lib.core.errors import DataError


def test_noise_has_its_level_and_colour():
    signals = dict(generate_noise(SR, seed=1))
    assert len(signals) == 3 * len(LEVELS_DB)
    for name, y in signals.items():
        assert y.shape == (NOISE_S * SR,)
        assert y.dtype == np.float32
        level_db = 10 * np.log10(np.mean(y.astype(float) ** 2))
        assert name.endswith(f"{level_db:.0f} dB")
    power = np.abs(np.fft.rfft(signals["brown -20 dB"])) ** 2  # of steps of 0.1 Hz
    assert 10 * np.log10(power[2000:4000].mean() / power[1000:2000].mean()) == pytest.approx(-6.02, abs=0.6)


def test_the_seed_decides_the_noise():
    def first(seed):
        return next(generate_noise(SR, seed))[1]

    assert np.array_equal(first(1), first(1))
    assert not np.array_equal(first(1), first(2))


def write(path, y):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, y, SR)


def test_recordings_are_all_files_but_hidden_ones_and_readmes(tmp_path):
    for name in ("b.wav", "sub/a.flac", ".hidden.wav", ".cache/c.wav"):
        write(tmp_path / name, np.zeros(10))
    (tmp_path / "README.md").write_text("about")
    found = find_recordings(tmp_path, "evaluate.unknown")
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["b.wav", "sub/a.flac"]


def test_what_is_no_recording_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("not a sound")
    message = r"evaluate\.unknown: .*: notes\.txt: cannot be read as audio \(.*\); move what is no recording elsewhere"
    with pytest.raises(DataError, match=message):
        find_recordings(tmp_path, "evaluate.unknown")


def test_named_and_unsure_sounds_are_distinguished(tmp_path):
    """Tones are named by the model that knows them; one without a preference is unsure of all but silence."""
    write(tmp_path / "known.wav", scene())
    write(tmp_path / "silent.wav", np.zeros(2 * SR))
    table = detect_unknown(tone_model(), tmp_path, find_recordings(tmp_path, "evaluate.unknown"), seed=1)
    assert list(table.columns) == UNKNOWN_COLUMNS
    assert set(table["model"]) == {"fold_3"}
    recordings = table[table["kind"] == "recordings"].set_index("recording")
    assert recordings.loc["known.wav", "class"] in ("low", "high")
    assert recordings.loc["known.wav", "confidence"] > 0.9
    assert recordings.loc["known.wav", "n_named"] == 2
    assert recordings.loc["known.wav", "duration_s"] == len(scene()) / SR
    assert recordings.loc["silent.wav", ["duration_s", "n_named"]].tolist() == [2.0, 0]
    assert 3.5 <= recordings.loc["known.wav", "named_s"] <= 5.5  # two tones, 3.5 s, to half a second at each end
    assert recordings.loc["silent.wav", ["class", "named_s", "unsure_s"]].tolist() == ["", 0, 0]
    assert len(table[table["kind"] == "noise"]) == 9

    undecided = replace(tone_model(), score=lambda segments: np.full((len(segments), 3), 1 / 3, np.float32))
    table = detect_unknown(undecided, tmp_path, find_recordings(tmp_path, "evaluate.unknown"), seed=1)
    recordings = table[table["kind"] == "recordings"].set_index("recording")
    assert recordings.loc["known.wav", ["class", "confidence", "named_s", "unsure_s"]].tolist() == ["", 0, 0, 9]
    assert recordings.loc["silent.wav", "unsure_s"] == 0


def test_a_recording_that_cannot_be_read_to_its_end_is_named(tmp_path):
    y = scene()
    write(tmp_path / "sub/inverted.wav", np.stack([y, -y], axis=1))
    message = r"evaluate\.unknown: .*sub/inverted\.wav: averaging the channels loses all of the sound: .*; move it"
    with pytest.raises(DataError, match=message):
        detect_unknown(tone_model(), tmp_path, find_recordings(tmp_path, "evaluate.unknown"), seed=1)


def test_a_model_that_always_says_the_same_names_all_noise_but_what_is_as_soft_as_silence():
    def score(segments):
        return np.tile(np.array([0.01, 0.98, 0.01], np.float32), (len(segments), 1))

    table = detect_unknown(replace(tone_model(), score=score), None, [], seed=1)
    named = table[table["class"] == "middle"]
    assert set(table["recording"]) - set(named["recording"]) == {"brown -60 dB"}  # A-weighted below -70 dB
    assert named["confidence"].to_numpy() == pytest.approx(0.98, abs=1e-3)
    summary, metrics = summarise_unknown(table)
    assert metrics == {"noise_confident_rate": pytest.approx(8 / 9, abs=1e-6)}
    assert summary["events_per_hour"].to_numpy() == pytest.approx(8 / 90 * 3600)  # one in each of 8 signals of 10 s
    assert summary["named"].tolist() == pytest.approx([8 / 9] * len(CONFIDENCES))


def test_the_name_of_a_class_of_other_sounds_is_not_wrong(tmp_path):
    model = tone_model(make_metadata(classes=["low", "other", "high"], calibration=None))

    def score(segments):
        return np.tile(np.array([0.01, 0.98, 0.01], np.float32), (len(segments), 1))

    table = detect_unknown(replace(model, score=score), tmp_path, [], seed=1)
    assert (table[["named_s", "unsure_s", "confidence"]] == 0).all(axis=None)


def test_shares_are_counted_by_kind_and_confidence():
    rows = [
        ("m", "noise", "white -20 dB", 10.0, "dog", 0.9, 2, 1.0, 0.0),
        ("m", "noise", "pink -20 dB", 10.0, "", 0.0, 0, 0.0, 1.0),
        ("m", "recordings", "a.wav", 40.0, "dog", 0.45, 1, 1.0, 0.0),
        ("n", "recordings", "a.wav", 40.0, "dog", 0.95, 2, 1.0, 0.0),
    ]
    summary, metrics = summarise_unknown(pd.DataFrame(rows, columns=UNKNOWN_COLUMNS))
    assert metrics == {"noise_confident_rate": 0.5, "unknown_confident_rate": 0.5}
    shares = summary.set_index(["kind", "min_confidence"])
    assert shares.loc["noise", "named"].to_dict() == dict.fromkeys(CONFIDENCES[:-1], 0.5) | {0.95: 0.0}
    assert shares.loc["recordings", "named"].to_dict() == {0.0: 1.0} | dict.fromkeys(CONFIDENCES[1:], 0.5)
    assert shares.loc[("recordings", 0.0), "n_recordings"] == 1  # the same one, of two models
    assert shares.loc[("recordings", 0.0), "events_per_hour"] == 3 / 80 * 3600
    assert shares.loc[("noise", 0.0), "events_per_hour"] == 2 / 20 * 3600


def test_no_sound_gives_no_number():
    assert summarise_unknown(pd.DataFrame(columns=UNKNOWN_COLUMNS))[1] == {}
