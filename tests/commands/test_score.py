"""The score command: recordings, their labels, and the scores of what a model of tones detects in them."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers.odd_recordings import BROKEN
from helpers.predictions import PARAMS
from helpers.tone_model import SR, scene, tone_model
from helpers.tones import TONES_HZ
from stages.commands.predict import __main__ as predict
from stages.commands.score import __main__ as score
from stages.evaluate import soundscapes
from stages.evaluate.event_scores import score_classes
from stages.lib.core.errors import EarError, ModelError, SourceError
from stages.lib.event_tables import read_event_table
from stages.lib.inference.events import Event

TRUTH = "a.wav\t1\t3\tlow\na.wav\t5\t6.5\thigh\n"  # of `scene`
SETTINGS = ["--step", "0.128"]


@pytest.fixture(autouse=True)
def _model_of_tones(monkeypatch):
    for command in (score, predict):
        monkeypatch.setattr(command, "open_model", lambda path: tone_model())
        monkeypatch.setattr(command, "obtain_model", lambda wanted, revision, scratch: Path("fold_3.keras"))


@pytest.fixture
def street(tmp_path):
    """A folder with one recording, a.wav."""
    (tmp_path / "street").mkdir()
    soundfile.write(tmp_path / "street/a.wav", scene(), SR, subtype="FLOAT")
    return tmp_path / "street"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def run(*arguments, status=0):
    """Run the command, which ends with `status`."""
    arguments = [str(argument) for argument in arguments]
    if not status:
        score.main(arguments)
        return
    with pytest.raises(SystemExit) as exit_:
        score.main(arguments)
    assert exit_.value.code == status


def rows(out):
    """The cells of each class, by its name, from what was printed."""
    lines = out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("class "))
    table = [re.split(r" {2,}", line) for line in lines[at:]]
    return {cells[0]: cells[1:] for cells in table if len(cells) == len(table[0])}


def test_a_model_that_knows_its_tones_is_right(street, tmp_path, capsys):
    run(street, write(tmp_path / "events.tsv", TRUTH), *SETTINGS)
    out, err = capsys.readouterr()
    assert out.startswith("1 recording, 00:09.0\n")
    assert rows(out) == {
        "class": ["events", "found", "missed", "false", "F1", "error rate", "F1 by half", "F1 by seconds"],
        "low": ["1", "1", "0", "0", "1.000", "0.000", "1.000", rows(out)["low"][-1]],
        "high": ["1", "1", "0", "0", "1.000", "0.000", "1.000", rows(out)["high"][-1]],
        "all": ["2", "2", "0", "0", "1.000", "0.000", "1.000", rows(out)["all"][-1]],
    }
    assert err.startswith("score: model fold_3, trained on Tones (synthetic) without fold 3")


# of sed_eval 0.2.1: EventBasedMetrics(t_collar=0.5, percentage_of_length=0, event_matching_type="optimal") and
# SegmentBasedMetrics(time_resolution=1) of the two tables below
SED_EVAL = {
    "low": {"event": (3, 1, 2, 0.666667, 0.75), "segment": (7, 1, 4, 0.736842)},
    "middle": {"event": (1, 1, 0, 0.666667, 0.5), "segment": (1, 1, 0, 0.666667)},
    "high": {"event": (1, 2, 3, 0.285714, 1.666667), "segment": (9, 0, 1, 0.947368)},
}
SED_EVAL_MEANS = {"F1": 0.539683, "error rate": 0.972222, "F1 by seconds": 0.783626}
REFERENCE = """filename	onset	offset	event_label
a.wav	0.500	2.000	low
a.wav	3.000	5.500	low
a.wav	4.000	7.000	high
a.wav	8.000	8.750	middle
b.wav	0.250	1.250	low
b.wav	2.000	6.000	high
b.wav	7.500	9.000	high
b.wav	9.500	9.875	middle
c.wav	1.000	2.000	low
"""
ESTIMATED = """filename	onset	offset	event_label
a.wav	0.750	2.375	low
a.wav	3.500	5.000	low
a.wav	4.625	7.000	high
a.wav	7.875	8.500	low
b.wav	0.250	1.875	low
b.wav	2.125	5.750	high
b.wav	7.500	8.375	high
b.wav	9.250	9.875	middle
c.wav	4.000	5.000	high
c.wav	1.125	2.125	low
"""


def test_scores_are_those_of_sed_eval(street, tmp_path, monkeypatch, capsys):
    for name in ("b", "c"):
        soundfile.write(street / f"{name}.wav", np.zeros(10 * SR), SR)
    estimated, _ = read_event_table(write(tmp_path / "estimated.tsv", ESTIMATED), tone_model().metadata.classes)
    events = {name: [Event(**vars(span), confidence=1.0) for span in spans] for name, spans in estimated.items()}
    monkeypatch.setattr(score, "detect_events", lambda path, *_: (events[path.name], 10.0))
    run(street, write(tmp_path / "reference.tsv", REFERENCE), "--csv", tmp_path / "scores.csv")
    table = pd.read_csv(tmp_path / "scores.csv").set_index("class")
    assert sorted(table.index) == sorted(SED_EVAL)
    for name, expected in SED_EVAL.items():
        for method, (tp, fn, fp, f1, *error_rate) in expected.items():
            found = table.loc[name, [f"{method}_{count}" for count in ("tp", "fn", "fp", "f1")]].tolist()
            assert found == [tp, fn, fp, f1], (name, method)
            assert error_rate in ([], [table.loc[name, "event_error_rate"]])
    printed = rows(capsys.readouterr().out)
    assert printed["all"][:4] == ["9", "5", "4", "5"]
    means = dict(zip(printed["class"], printed["all"], strict=True))
    assert {name: float(means[name]) for name in SED_EVAL_MEANS} == pytest.approx(SED_EVAL_MEANS, abs=5e-4)


def load_tone(clip):
    return (0.002 * np.sin(2 * np.pi * TONES_HZ[clip] * np.arange(int(1.5 * SR)) / SR)).astype(np.float32)


def test_scores_are_those_of_evaluate(tmp_path, monkeypatch, capsys):
    """Of its soundscapes, kept as files, at a ratio to the noise that leaves something to be wrong."""
    detect, samples = soundscapes.detect, []
    monkeypatch.setattr(soundscapes, "detect", lambda y, *args, **kw: samples.append(y) or detect(y, *args, **kw))
    found = soundscapes.detect_in_soundscapes(
        tone_model(),
        3,
        pd.DataFrame({"clip": list(TONES_HZ), "class": list(TONES_HZ)}),
        load_tone,
        {"steady": soundscapes.make_backgrounds(SR, [])["steady"]},
        replace(PARAMS, n_soundscapes=3, soundscape_s=20.0, soundscape_snr_db=[-15.0, 10.0]),
    )
    (tmp_path / "recordings").mkdir()
    for number, y in enumerate(samples, start=1):
        soundfile.write(tmp_path / f"recordings/{number}.wav", y, SR, subtype="FLOAT")
    placed = found.events.query("kind == 'reference'")
    table = placed.assign(filename=placed["soundscape"].map("{}.wav".format))
    table[["filename", "start_s", "end_s", "class"]].to_csv(tmp_path / "events.csv", index=False)
    run(tmp_path / "recordings", tmp_path / "events.csv", "--csv", tmp_path / "scores.csv")
    expected = score_classes(found.counts["steady"])
    assert 0 < expected["event_tp"].sum() < expected["n_events"].sum()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "scores.csv"), expected.round(6), check_dtype=False)


@pytest.mark.parametrize("kind", ["tsv", "labels"])
def test_what_predict_writes_is_found_again(kind, street, tmp_path, capsys):
    soundfile.write(street / "b.wav", scene(44100, seed=1), 44100)
    names = [str(street / "a.wav"), str(street / "b.wav")]
    if kind == "tsv":
        predict.main([*names, "--tsv"])
        labels = write(tmp_path / "events.tsv", capsys.readouterr().out.replace(f"{street}/", ""))
    else:
        labels = tmp_path / "labels"
        predict.main([*names, "--labels", str(labels)])
    capsys.readouterr()
    run(street, labels, "--ignore", "unsure")
    cells = rows(capsys.readouterr().out)["all"]
    assert cells[1] == cells[0] != "0"
    assert cells[2:] == ["0", "0", "1.000", "0.000", "1.000", "1.000"]


def test_options_of_events_are_those_of_predict(street, tmp_path, capsys):
    labels = write(tmp_path / "events.tsv", TRUTH)
    run(street, labels, "--min-confidence", "1", *SETTINGS)
    cells = rows(capsys.readouterr().out)
    assert (cells["low"][:4], cells["high"][:4]) == (["1", "0", "1", "0"], ["1", "0", "1", "0"])


def test_the_step_of_segments_is_that_of_predict(street, tmp_path):
    with pytest.raises(ModelError, match=r"step"):
        run(street, write(tmp_path / "events.tsv", TRUTH), "--step", "99")


def test_labels_of_one_recording(street, tmp_path, capsys):
    run(street / "a.wav", write(tmp_path / "a.txt", "1\t3\tlow\n\\\t200\t400\n5\t6.5\thigh\n"), *SETTINGS)
    of_track = capsys.readouterr().out
    run(street / "a.wav", write(tmp_path / "a.CSV", TRUTH.replace("\t", ",")), *SETTINGS)
    assert capsys.readouterr().out == of_track
    run(street, write(tmp_path / "table without a header.txt", TRUTH), *SETTINGS)
    assert capsys.readouterr().out == of_track
    assert rows(of_track)["all"][:4] == ["2", "2", "0", "0"]


def test_label_tracks_may_lie_beside_the_recordings_in_subfolders(street, capsys):
    for name in ("day 1/b.wav", "day 1/c.wav", "d.wav"):
        (street / name).parent.mkdir(exist_ok=True)
        soundfile.write(street / name, scene(), SR, subtype="FLOAT")
    write(street / "day 1/b.txt", "1\t3\tlow\n")
    write(street / "d.wav.txt", "5\t6.5\thigh\n")
    write(street / "a.txt", "")  # nothing is heard in it, so two false events
    run(street, street, *SETTINGS)
    out, err = capsys.readouterr()
    assert out.startswith("3 recordings, 00:27.0\n")
    assert "score: 1 recording without labels, not scored: day 1/c.wav\n" in err
    cells = rows(out)
    assert cells["low"][:4] == ["1", "1", "0", "2"]
    assert cells["high"][:4] == ["1", "1", "0", "2"]


def test_a_recording_that_the_table_names_without_an_event_counts_false_events(street, tmp_path, capsys):
    soundfile.write(street / "b.wav", scene(), SR, subtype="FLOAT")
    soundfile.write(street / "c.wav", scene(), SR, subtype="FLOAT")
    run(street, write(tmp_path / "events.tsv", f"{TRUTH}b.wav\t\t\t\n"), *SETTINGS)
    out, err = capsys.readouterr()
    assert rows(out)["all"][:4] == ["2", "2", "0", "2"]
    assert "score: 1 recording without labels, not scored: c.wav\n" in err


def test_a_class_without_an_event_has_false_ones_and_no_score(street, tmp_path, capsys):
    run(street, write(tmp_path / "events.tsv", "a.wav\t1\t3\tlow\n"), *SETTINGS)
    cells = rows(capsys.readouterr().out)
    assert cells["high"][:6] == ["0", "0", "0", "1", "-", "-"]
    assert cells["all"][:6] == ["1", "1", "0", "1", "1.000", "0.000"]  # the mean is that of the classes with events
    assert "middle" not in cells


def test_accents_in_names_of_files_may_be_in_either_form(street, tmp_path, capsys):
    (street / "a.wav").rename(street / "cafe\u0301.wav")
    run(street, write(tmp_path / "events.tsv", TRUTH.replace("a.wav", "caf\u00e9.wav")), *SETTINGS)
    assert rows(capsys.readouterr().out)["all"][:2] == ["2", "2"]


def test_wrong_labels_get_a_line_each_before_anything_is_detected(street, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(score, "detect_events", None)
    table = write(tmp_path / "events.tsv", "a.wav\t1\t3\tcat\na.wav\t3\t2\tlow\nb.wav\t1\t2\tlow\n")
    run(street, table, status=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[1:] == [
        "error: events.tsv line 1: expected a class (low, middle, high), found 'cat'",
        "error: events.tsv line 2: expected an end after the start, found 3 to 2",
        "error: events.tsv: names 'b.wav', which is no recording",
    ]


def test_wrong_label_tracks_get_a_line_each(street, tmp_path, capsys):
    for name in ("b", "c"):
        soundfile.write(street / f"{name}.wav", scene(), SR)
    labels = tmp_path / "labels"
    write(labels / "a.txt", "1\t3\tlow\n-1\t2\tlow\n")
    write(labels / "b.txt", "").write_bytes(b"1\t3\tl\xf6w\n")
    write(labels / "c.txt", "")
    write(labels / "c.wav.txt", "")
    run(street, labels, status=1)
    lines = capsys.readouterr().err.splitlines()[1:]
    assert lines[0] == "error: a.txt line 2: expected a start in seconds from 0 on, found '-1'"
    assert re.fullmatch(r"error: b\.txt: not UTF-8 text \(.*\); save it as a label track in UTF-8", lines[1])
    assert lines[2:] == ["error: c.wav: expected one label track, found c.wav.txt and c.txt; keep one"]


def test_ignored_classes_do_not_count(street, tmp_path, capsys):
    run(street, write(tmp_path / "events.tsv", f"{TRUTH}a.wav\t7\t8\tbig cat\n"), *SETTINGS, "--ignore", "big cat")
    assert rows(capsys.readouterr().out)["all"][:4] == ["2", "2", "0", "0"]


def test_a_class_that_the_model_knows_cannot_be_ignored(street, tmp_path):
    with pytest.raises(EarError, match=r"^--ignore: the model knows low, so the events of that count$"):
        run(street, write(tmp_path / "events.tsv", TRUTH), "--ignore", "cat", "--ignore", "low")


def test_a_recording_that_cannot_be_read_is_named_and_the_others_are_scored(street, tmp_path, capsys):
    write(street / "b.wav", "no sound")
    BROKEN["claims 1 s of 5.wav"][0](street / "c.wav")
    table = write(tmp_path / "events.tsv", f"{TRUTH}b.wav\t1\t2\tlow\nc.wav\t0\t1\tlow\n")
    run(street, table, *SETTINGS, status=1)
    out, err = capsys.readouterr()
    assert rows(out)["all"][:4] == ["2", "2", "0", "0"]
    assert re.search(rf"^error: {street}/b\.wav: cannot be read as audio \(.*\)$", err, re.MULTILINE)
    assert re.search(rf"^error: {street}/c\.wav: the header claims .*; it is not scored$", err, re.MULTILINE)


@pytest.mark.parametrize(("start", "end"), [("9", "9.5"), ("5", "40")])
def test_labels_of_a_longer_recording_are_noticed(street, tmp_path, capsys, start, end):
    table = write(tmp_path / "events.tsv", f"a.wav\t1\t3\tlow\na.wav\t{start}\t{end}\tlow\n")
    run(street, table, "--csv", tmp_path / "scores.csv", status=1)
    out, err = capsys.readouterr()
    assert out == ""
    times = f"{float(start):.3f} to {float(end):.3f} s"
    assert f"error: {street}/a.wav: lasts 9.000 s, but a label goes from {times}; check whose labels these are\n" in err
    assert not (tmp_path / "scores.csv").exists()


@pytest.mark.parametrize(
    ("recordings", "labels", "message"),
    [
        ("gone", "events.tsv", r"gone: no such file or folder; give a recording, or a folder of recordings"),
        ("labels", "events.tsv", r"labels: expected recordings, found 1 file and none of them audio"),
        ("street", "gone.tsv", r"gone\.tsv: no such file or folder; give an event table, or label tracks"),
        ("street", "empty.tsv", r"empty\.tsv: expected rows of filename, onset, offset, event_label, found an empty"),
        ("street", "silent.tsv", r"silent\.tsv: expected events in the recordings, found none"),
        ("street", "labels", r"labels: expected events in the recordings, found none"),
    ],
)
def test_without_recordings_or_events_there_is_nothing_to_score(recordings, labels, message, street, tmp_path):
    write(tmp_path / "events.tsv", TRUTH)
    write(tmp_path / "empty.tsv", "")
    write(tmp_path / "silent.tsv", "a.wav\n")
    write(tmp_path / "labels/b.txt", "1\t2\tlow\n")  # of a recording that is not there
    with pytest.raises(SourceError, match=message):
        run(tmp_path / recordings, tmp_path / labels)


def test_the_model_is_named_as_for_predict(street, tmp_path, capsys):
    table = write(tmp_path / "events.tsv", TRUTH)
    run(street, table, "--rev", "HEAD", "--model", "fold_3.onnx", status=2)
    assert "--rev takes a name for --model, not a file" in capsys.readouterr().err
