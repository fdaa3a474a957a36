"""Recordings with strong labels: which are scored, what a model of tones detects in them, and how that is counted."""

from pathlib import Path

import pandas as pd
import soundfile

from helpers.odd_recordings import BROKEN
from helpers.tone_model import SR, scene, tone_model
from stages.commands.score import __main__ as score
from stages.evaluate.event_scores import score_classes
from stages.evaluate.strong_labels import RECORDING_COLUMNS, detect_in_recordings, read_strong_labels

EVENTS = [(1.0, 3.0, "low"), (5.0, 6.5, "high")]  # of `scene`


def label(name, fold, events=EVENTS):
    """Rows of `StrongLabels.events`; the clips of a recording are 1.wav and so on in a folder of its name."""
    return [
        {"recording": name, "start_s": start, "end_s": end, "class": of, "clip": f"{name}/{i}.wav", "fold": fold}
        for i, (start, end, of) in enumerate(events, start=1)
    ]


def write_scene(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, scene(seed=seed), SR, subtype="FLOAT")


def test_recordings_with_rejected_clips_or_in_several_folds_are_left_out(tmp_path):
    rows = [row for name in ("a.wav", "day 2/b.wav", "c\n.wav", "d.wav") for row in label(name, fold=2)]
    pd.DataFrame(rows).drop(columns="fold").to_csv(tmp_path / "recordings.csv", index=False)
    index = pd.DataFrame(rows)[["clip", "fold"]]
    index.loc[index["clip"] == "day 2/b.wav/2.wav", "fold"] = 3
    index = index[~index["clip"].isin(["c\n.wav/1.wav", "d.wav/2.wav"])]
    labels = read_strong_labels(tmp_path, index)
    assert labels.events.to_dict("records") == label("a.wav", fold=2)
    assert labels.left_out == [
        "recordings not scored, since validate rejected clips of them: 2, such as 'c\\n.wav'",
        "recordings not scored, since their clips are in several folds: 1, such as day 2/b.wav",
    ]


def test_without_recordings_there_is_nothing_to_score(tmp_path, capsys):
    labels = read_strong_labels(tmp_path, pd.DataFrame(columns=["clip", "fold"]))
    assert labels.left_out == []
    found = detect_in_recordings(tone_model(), 3, labels.events, tmp_path / "recordings")
    assert (len(found.events), found.counts, found.problems) == (0, None, [])
    assert capsys.readouterr().err == ""  # no bar of progress either


def test_events_are_counted_as_the_score_command_does(tmp_path, monkeypatch):
    for seed, name in enumerate(("day 1/a.wav", "b.wav", "of fold 2.wav")):
        write_scene(tmp_path / name, seed)
    # One label is missing, one is longer than its sound, one has no sound.
    events = [(1.0, 3.0, "low"), (5.0, 8.0, "high"), (7.0, 8.0, "middle")]
    rows = [*label("day 1/a.wav", 3, EVENTS[:1]), *label("b.wav", 3, events), *label("of fold 2.wav", 2)]
    labels = pd.DataFrame(rows)
    found = detect_in_recordings(tone_model(), 3, labels, tmp_path)
    assert found.problems == []

    monkeypatch.setattr(score, "open_model", lambda path: tone_model())
    monkeypatch.setattr(score, "obtain_model", lambda wanted, revision, scratch: Path("fold_3.keras"))
    table = labels[labels["fold"] == 3].rename(columns={"recording": "path"})
    table.drop(columns=["clip", "fold"]).to_csv(tmp_path / "labels.csv", index=False)
    score.main([str(tmp_path), str(tmp_path / "labels.csv"), "--csv", str(tmp_path / "scores.csv")])
    expected = score_classes(found.counts).round(6)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "scores.csv"), expected, check_dtype=False)
    assert expected.set_index("class")[["event_tp", "event_fn", "event_fp"]].to_dict("index") == {
        "low": {"event_tp": 2, "event_fn": 0, "event_fp": 0},
        "middle": {"event_tp": 0, "event_fn": 1, "event_fp": 0},
        "high": {"event_tp": 0, "event_fn": 1, "event_fp": 2},
    }


def test_each_event_has_a_row(tmp_path):
    write_scene(tmp_path / "a.wav")
    events = detect_in_recordings(tone_model(), 3, pd.DataFrame(label("a.wav", 3, EVENTS[::-1])), tmp_path).events
    assert list(events) == RECORDING_COLUMNS
    reference, estimated = (events[events["kind"] == kind] for kind in ("reference", "estimated"))
    assert pd.concat([reference, estimated]).equals(events)
    columns = ["fold", "recording", "start_s", "end_s", "class", "clip"]
    assert reference[columns].to_numpy().tolist() == [
        [3, "a.wav", 1.0, 3.0, "low", "a.wav/2.wav"],
        [3, "a.wav", 5.0, 6.5, "high", "a.wav/1.wav"],
    ]
    assert reference["confidence"].isna().all()
    assert {"low", "high"} <= set(estimated["class"])
    assert estimated["clip"].isna().all()
    assert estimated["confidence"].between(0, 1).all()


def test_recordings_that_cannot_be_scored_get_a_line_and_the_others_go_on(tmp_path):
    write_scene(tmp_path / "a.wav")
    write_scene(tmp_path / "long ago.wav")
    write_scene(tmp_path / "too long.wav")
    (tmp_path / "day 1").mkdir()
    (tmp_path / "day 1/b.wav").write_text("no sound")
    BROKEN["claims 1 s of 5.wav"][0](tmp_path / "c.wav")
    labels = [*label("a.wav", 3), *label("day 1/b.wav", 3), *label("c.wav", 3, [(0.0, 1.0, "low")])]
    labels += label("long ago.wav", 3, [*EVENTS, (9.0, 9.2, "low")])
    labels += label("too long.wav", 3, [*EVENTS, (8.0, 9.6, "low")])
    found = detect_in_recordings(tone_model(), 3, pd.DataFrame(labels), tmp_path)
    assert set(found.events["recording"]) == {"a.wav"}
    assert found.counts["event_tp"].sum() == 2
    truncated, unreadable, late, long = found.problems
    assert truncated.startswith("recording c.wav: the header claims")
    assert truncated.endswith("; it is not scored")
    assert unreadable.startswith("recording day 1/b.wav: cannot be read as audio (")
    assert late == (
        "recording long ago.wav: lasts 9.000 s, but a label goes from 9.000 to 9.200 s; check whose labels these are"
    )
    assert long.startswith("recording too long.wav: lasts 9.000 s, but a label goes from 8.000 to 9.600 s; check")


def test_only_recordings_that_cannot_be_scored_are_no_score(tmp_path):
    found = detect_in_recordings(tone_model(), 3, pd.DataFrame(label("gone.wav", 3)), tmp_path)
    assert (len(found.events), found.counts, len(found.problems)) == (0, None, 1)
