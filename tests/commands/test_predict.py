"""The predict command, with a model of tones in the place of a network."""

import csv
import importlib.util
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.metadata import change_metadata
from helpers.odd_recordings import BROKEN, run
from helpers.predict_program import PROGRAM, read_lines
from helpers.repository import GIT_IDENTITY, ROOT
from helpers.tone_model import SR, scene, tone_model
from stages.commands.models import MODELS, choose_model, obtain_model
from stages.commands.predict import __main__ as predict
from stages.commands.predict.formats import audacity_labels, caption, clock, printable, table
from stages.lib.core.errors import AudioError, EarError, ModelError
from stages.lib.event_tables import Span, read_event_table, read_label_track
from stages.lib.inference.detect import detect
from stages.lib.inference.events import Event
from stages.lib.inference.runtime import open_model

OBTAIN_MODEL = predict.obtain_model  # which most tests replace


@pytest.fixture(autouse=True)
def _model_of_tones(monkeypatch):
    monkeypatch.setattr(predict, "open_model", lambda path: tone_model())
    monkeypatch.setattr(predict, "obtain_model", lambda wanted, revision, scratch: Path("fold_3.keras"))


@pytest.fixture
def recording(tmp_path):
    soundfile.write(tmp_path / "street.wav", scene(), SR, subtype="FLOAT")
    return tmp_path / "street.wav"


def test_a_table_for_people(recording, capsys):
    predict.main([str(recording), "--unsure-after", "0.3", "--step", "0.128"])
    out, err = capsys.readouterr()
    assert re.fullmatch(
        rf"{recording} \(00:09\.0\)\n"
        r"  00:00\.0 to 00:0[01]\.\d   3\d%  unsure\n"
        r"  00:0[01]\.\d to 00:0[23]\.\d   \d\d%  low\n"
        r"  00:0[23]\.\d to 00:0[45]\.\d   3\d%  unsure\n"
        r"  00:0[45]\.\d to 00:06\.\d   \d\d%  high\n"
        r"  00:06\.\d to 00:09\.0   3\d%  unsure\n",
        out,
    ), out
    assert err == (
        "predict: model fold_3, trained on Tones (synthetic) without fold 3, no head for frames: "
        "begin and end of events are those of whole segments\n"
    )


def test_lines_for_programs(recording, capsys):
    predict.main([str(recording), "--json"])
    events = [event for event in read_lines(capsys.readouterr().out) if event["class"] != "unsure"]
    assert [list(event) for event in events] == [["file", "start_s", "end_s", "class", "confidence", "unsure"]] * 2
    for event, (label, start_s, end_s) in zip(events, [("low", 1, 3), ("high", 5, 6.5)], strict=True):
        assert event["file"] == str(recording)
        assert event["class"] == label
        assert event["start_s"] == pytest.approx(start_s, abs=0.5)
        assert event["end_s"] == pytest.approx(end_s, abs=0.5)
        assert 0.5 < event["confidence"] <= 1
        assert event["unsure"] is False


def test_csv_says_the_same(recording, capsys):
    predict.main([str(recording), "--json"])
    expected = read_lines(capsys.readouterr().out)
    predict.main([str(recording), "--csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["class"] for row in rows] == [event["class"] for event in expected]
    for key in ("start_s", "end_s", "confidence"):
        assert [float(row[key]) for row in rows] == [event[key] for event in expected]


def test_tsv_says_the_same_of_events_that_name_a_class(recording, tmp_path, capsys):
    """In the form of sed_eval, which would take an unsure event for one of a class of that name."""
    predict.main([str(recording), "--json", "--unsure-after", "0.3"])
    events = read_lines(capsys.readouterr().out)
    predict.main([str(recording), "--tsv", "--unsure-after", "0.3"])
    (tmp_path / "events.tsv").write_text(capsys.readouterr().out)
    assert (tmp_path / "events.tsv").read_text().startswith("filename\tonset\toffset\tevent_label\n")
    spans, problems = read_event_table(tmp_path / "events.tsv", tone_model().metadata.classes)
    assert problems == []
    named = [Span(event["start_s"], event["end_s"], event["class"]) for event in events if not event["unsure"]]
    assert spans == {str(recording): named}
    assert len(events) > len(named) > 0


def test_tsv_quotes_a_name_that_holds_a_tab(tmp_path, capsys):
    soundfile.write(tmp_path / "a\tb.wav", scene(), SR)
    predict.main([str(tmp_path / "a\tb.wav"), "--tsv"])
    (tmp_path / "events.tsv").write_text(capsys.readouterr().out)
    spans, _ = read_event_table(tmp_path / "events.tsv", tone_model().metadata.classes)
    assert list(spans) == [str(tmp_path / "a\tb.wav")]


def test_a_long_recording_shows_how_far_it_is(recording, monkeypatch, capsys):
    predict.main([str(recording), "--json"])
    expected = capsys.readouterr()
    monkeypatch.setattr(predict, "LONG_S", 5.0)
    predict.main([str(recording), "--json"])
    out, err = capsys.readouterr()
    assert out == expected.out
    assert re.search(r"street\.wav: 9 of 9, .* elapsed", err)
    assert "elapsed" not in expected.err


def test_doubt_is_distinguished_from_a_class_of_that_name(recording, monkeypatch, capsys):
    """As a model has that was trained before `unsure` was refused as the name of a class."""
    model = tone_model()
    classes = ["unsure" if name == "low" else name for name in model.metadata.classes]
    metadata = model.metadata.model_copy(update={"classes": classes, "calibration": None})
    monkeypatch.setattr(predict, "open_model", lambda path: replace(model, metadata=metadata))
    predict.main([str(recording), "--json", "--unsure-after", "0.3"])
    events = [(event["class"], event["unsure"]) for event in read_lines(capsys.readouterr().out)]
    assert events == [("unsure", True), ("unsure", False), ("unsure", True), ("high", False), ("unsure", True)]


def test_labels_for_audacity(recording, tmp_path, capsys):
    predict.main([str(recording), "--labels", str(tmp_path / "labels")])
    lines = (tmp_path / "labels/street.wav.txt").read_text().splitlines()
    assert all(re.fullmatch(r"\d+\.\d{6}\t\d+\.\d{6}\t(low|high|unsure)", line) for line in lines)
    assert any(line.endswith("\tlow") for line in lines)


def test_labels_are_read_back_with_the_classes_that_they_spell(tmp_path):
    events = [Event(0.0, 1.5, "car_horn", 0.9), Event(1.0, 2.25, "dog", 0.8)]
    (tmp_path / "a.txt").write_text(audacity_labels(events))
    spans = [Span(event.start_s, event.end_s, event.label) for event in events]
    assert read_label_track(tmp_path / "a.txt", ["dog", "car_horn"]) == (spans, [])


def test_a_picture(recording, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        predict.main([str(recording), "--plot", str(tmp_path / name)])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    "y",
    [np.zeros(5 * SR), np.random.default_rng(0).triangular(-1, 0, 1, 5 * SR) / 2**15, np.full(5 * SR, 1e-4)],
    ids=["digital", "noise of 16 bits", "offset"],
)
def test_silence_holds_no_event(y, tmp_path, capsys):
    soundfile.write(tmp_path / "silence.wav", y, SR, subtype="PCM_16")
    predict.main([str(tmp_path / "silence.wav")])
    assert capsys.readouterr().out == f"{tmp_path / 'silence.wav'} (00:05.0)\n  no event\n"


@pytest.mark.parametrize("n_samples", [1, 100, 2000])
def test_a_recording_shorter_than_a_segment(n_samples, tmp_path, capsys):
    soundfile.write(tmp_path / "short.wav", scene()[12_000 : 12_000 + n_samples], SR, subtype="FLOAT")
    predict.main([str(tmp_path / "short.wav"), "--json"])
    events = read_lines(capsys.readouterr().out)
    assert all(event["end_s"] <= n_samples / SR + 1e-3 for event in events)


@pytest.mark.parametrize(("format_", "suffix"), [("FLAC", "flac"), ("OGG", "ogg"), ("AIFF", "aiff")])
def test_formats_of_soundfile(format_, suffix, tmp_path, capsys):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.stack([scene(44100)] * 2, axis=1), 44100, format=format_)
    predict.main([str(path), "--json"])
    assert {event["class"] for event in read_lines(capsys.readouterr().out)} >= {"low", "high"}


def test_formats_of_ffmpeg(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", scene(44100), 44100)
    run("ffmpeg", "-i", str(tmp_path / "a.wav"), str(tmp_path / "phone.m4a"))
    predict.main([str(tmp_path / "phone.m4a"), "--json"])
    assert {event["class"] for event in read_lines(capsys.readouterr().out)} >= {"low", "high"}


def test_a_recording_without_a_length_is_read_to_its_end(tmp_path, capsys):
    """libsndfile estimates the length of an MP3 without a tag by the bit rate of its first frames, and stops there."""
    y = scene(44100)
    y[: len(y) // 2] = np.random.default_rng(0).uniform(-0.9, 0.9, len(y) // 2)  # costs many more bits than the rest
    soundfile.write(tmp_path / "a.wav", y, 44100)
    run("lame", "-V4", "-t", str(tmp_path / "a.wav"), str(tmp_path / "a.mp3"))
    predict.main([str(tmp_path / "a.mp3")])
    assert re.search(r"\(00:09\.[01]\)", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("claims 1 s of 5.wav", "the header claims 44100 bytes, but 176400 more follow"),
        ("inverted.wav", "averaging the channels loses all of the sound"),
    ],
)
def test_a_recording_of_which_a_part_is_lost_gets_its_events_a_line_and_status_1(name, message, tmp_path, capsys):
    BROKEN[name][0](tmp_path / name)
    with pytest.raises(SystemExit) as exit_:
        predict.main([str(tmp_path / name)])
    assert exit_.value.code == 1
    out, err = capsys.readouterr()
    assert out.startswith(str(tmp_path / name))
    assert re.search(f"error: .*{re.escape(name)}: {message}.*; the events are those of what could be read", err)
    with pytest.raises(AudioError, match=f"{re.escape(name)}: {message}"):
        detect(tmp_path / name, tone_model())


def test_each_file_that_cannot_be_read_gets_a_line_and_the_rest_go_on(recording, tmp_path, capsys):
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "zero.wav").touch()
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), SR)
    soundfile.write(tmp_path / "nan.wav", np.full(9000, np.nan), SR, subtype="FLOAT")
    soundfile.write(tmp_path / "slow.wav", np.zeros(9000), 7)
    soundfile.write(tmp_path / "fast.wav", np.zeros(9000), 2**31 - 1)
    (tmp_path / "samples.raw").write_bytes(bytes(100))
    names = ["text.wav", "nothing.wav", "list.wav\r", "zero.wav", "empty.wav", "nan.wav", "slow.wav", "fast.wav"]
    names += ["samples.raw", "", "street.wav", 300 * "a" + ".wav"]
    with pytest.raises(SystemExit) as exit_:
        predict.main([*(str(tmp_path / name) for name in names), "--json"])
    assert exit_.value.code == 1
    out, err = capsys.readouterr()
    assert {event["file"] for event in read_lines(out)} == {str(recording)}
    rate = r"expected 1,000 to 1,000,000 Hz; correct the rate in its header"
    expected = [
        # What the paths tell, before the model is opened
        r"error: .*/nothing\.wav: no such file",
        r"error: .*/list\.wav\\r: no such file, and its name ends as a line of a Windows text file does",
        r"error: .*/zero\.wav: is empty, it has 0 bytes",
        r"error: [^ ]*: is a folder; name the files in it",
        r"error: .*/a{300}\.wav: cannot be opened \(File name too long\)",
        r"predict: model fold_3, .*",
        r"error: .*/text\.wav: cannot be read as audio \(.*\)",
        r"error: .*/empty\.wav: holds no sample",
        r"error: .*/nan\.wav: a sample after 0\.0 s is not a finite number",
        rf"error: .*/slow\.wav: has a sample rate of 7 Hz, {rate}",
        rf"error: .*/fast\.wav: has a sample rate of 2,147,483,647 Hz, {rate}",
        r"error: .*/samples\.raw: cannot be read as audio \(raw samples have no header that tells their rate\)",
    ]
    lines = err.splitlines()
    assert len(lines) == len(expected), err
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), line


def run_with_problem(path, capsys):
    """The events of a recording that could be read in part, and the line that says so."""
    with pytest.raises(SystemExit) as exit_:
        predict.main([str(path), "--json"])
    assert exit_.value.code == 1
    out, err = capsys.readouterr()
    (line,) = err.splitlines()[1:]
    assert line.startswith(f"error: {path}: ")
    assert line.endswith("; the events are those of what could be read")
    return [event["class"] for event in read_lines(out)], line


def test_a_recording_that_ends_early_gets_a_line_and_its_events(recording, capsys):
    """Cut after 4 s of 9, as by a full disk."""
    content = recording.read_bytes()
    recording.write_bytes(content[: len(content) * 4 // 9])
    labels, line = run_with_problem(recording, capsys)
    assert labels == ["low"]
    assert "the header claims" in line


def test_a_recording_that_cannot_be_decoded_to_its_end_gets_a_line_and_its_events(tmp_path, capsys):
    path = tmp_path / "a.flac"
    y = np.concatenate([scene(), *[scene(seed=i) for i in range(1, 8)]])  # more than is decoded at once
    soundfile.write(path, y, SR, subtype="PCM_16")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 7 // 8])
    labels, _ = run_with_problem(path, capsys)
    assert labels[:2] == ["low", "high"]


def test_a_sample_that_is_not_finite_gets_a_line_and_the_events_before_it(tmp_path, capsys):
    y = np.concatenate([scene(seed=i) for i in range(5)])
    y[-1000] = np.nan
    soundfile.write(tmp_path / "nan.wav", y, SR, subtype="FLOAT")
    labels, line = run_with_problem(tmp_path / "nan.wav", capsys)
    assert labels[:2] == ["low", "high"]
    assert re.search(r"a sample after 32\.8 s is not a finite number", line)


def test_channels_that_cancel_each_other_get_a_line(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", np.stack([scene(), -scene()], axis=1), SR, subtype="FLOAT")
    labels, line = run_with_problem(tmp_path / "a.wav", capsys)
    assert labels == []
    assert "averaging the channels loses all of the sound" in line


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("without_tag.mp3", "lame --quiet -V4 -t {source} {target}"),
        ("by_sox.mp3", "sox {source} {target}"),
        ("phone.m4a", "ffmpeg -loglevel error -i {source} {target}"),
        ("film.mkv", "ffmpeg -loglevel error -i {source} -c:a libvorbis {target}"),
        ("pipe.wav", "ffmpeg -loglevel error -i {source} -f wav - > {target}"),
    ],
)
def test_what_people_record_is_read_to_its_end(name, command, tmp_path, capsys):
    program = command.split()[0]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    soundfile.write(tmp_path / "street.wav", np.concatenate([scene(44100, seed=i) for i in range(5)]), 44100)
    subprocess.run(command.format(source="street.wav", target=name), shell=True, check=True, cwd=tmp_path)
    predict.main([str(tmp_path / name), "--unsure-after", "99"])
    head, *events = capsys.readouterr().out.splitlines()
    assert re.search(r"\(00:45\.[01]\)$", head)
    assert [line.split()[-1] for line in events] == ["low", "high"] * 5


def test_no_model_is_opened_where_no_file_is_there(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(predict, "open_model", lambda path: pytest.fail("opened the model"))
    with pytest.raises(SystemExit) as exit_:
        predict.main([str(tmp_path / "strete.wav")])
    assert exit_.value.code == 1
    assert capsys.readouterr() == ("", f"error: {tmp_path / 'strete.wav'}: no such file\n")


@pytest.mark.parametrize(
    ("wanted", "names", "expected"),
    [
        (None, ["fold_10.keras"], "fold_10.keras"),
        (None, [".gitignore", "all.keras", "fold_1.keras"], "all.keras"),
        ("fold_1", ["all.keras", "fold_1.keras"], "fold_1.keras"),
    ],
)
def test_which_model_is_used(wanted, names, expected):
    assert choose_model(wanted, names, MODELS) == expected


@pytest.mark.parametrize(
    ("wanted", "names", "message"),
    [
        (None, [".gitignore"], r"data/models: holds no model; run 'dvc repro train', or 'dvc pull'"),
        (
            None,
            ["fold_1.keras", "fold_2.keras"],
            r"holds fold_1, fold_2, each .* choose one, such as with --model fold_1",
        ),
        ("fold_3", ["fold_1.keras", "fold_2.keras"], r"has no model 'fold_3'; it has fold_1, fold_2"),
    ],
)
def test_which_model_is_meant_must_be_clear(wanted, names, message):
    with pytest.raises(ModelError, match=message):
        choose_model(wanted, names, MODELS)


def test_a_file_of_another_kind_is_named_as_a_file(tmp_path):
    model = tmp_path / "fold_10.tflite"
    with pytest.raises(ModelError, match=r"fold_10\.tflite: expected a model file, which ends in \.keras or \.onnx"):
        open_model(OBTAIN_MODEL(str(model), None, tmp_path))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: FILE"),
        (["-", "a.wav"], "- cannot be combined with files"),
        (["a.wav", "b.wav", "--plot", "a.png"], "--plot draws one FILE"),
        (["a/x.wav", "b/x.wav", "--labels", "out"], "--labels: two FILEs have the same name"),
        (["x.wav", "--labels", "pyproject.toml"], "--labels: pyproject.toml is a file, expected a folder"),
        (["a.wav", "--sr", "8000"], "--sr is for - only; a file says its own"),
        (["-", "--channels", "0"], "expected a whole number from 1 to 1024, found '0'"),
        (["-", "--sr", "44100.5"], "expected a whole number from 1000 to 1000000, found '44100.5'"),
        (["-", "--sr", "8"], "expected a whole number from 1000 to 1000000, found '8'"),
        (["-", "--format", "mp3"], "invalid choice: 'mp3'"),
        (["a.wav", "--min-confidence", "1.5"], "expected a number of at least 0 and at most 1, found '1.5'"),
        (["a.wav", "--silence", "soft"], "expected a number of at most 0, found 'soft'"),
        (["a.wav", "--step", "nan"], r"expected a number of at least 0\.01, found 'nan'"),
        (["a.wav", "--json", "--csv"], "not allowed with argument --json"),
        (["a.wav", "--tsv", "--csv"], "not allowed with argument --tsv"),
        (["a.wav", "--rev", "main", "--model", "x.keras"], "--rev takes a name for --model, not a file"),
    ],
)
def test_wrong_usage(argv, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        predict.main(argv)
    assert exit_.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_what_a_small_installation_lacks_is_named(recording, monkeypatch, tmp_path):
    find_spec, missing = importlib.util.find_spec, {"matplotlib", "dvc"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find_spec(name))
    with pytest.raises(EarError, match="--plot needs matplotlib, which is not installed; pip install matplotlib"):
        predict.main([str(recording), "--plot", "x"])
    with pytest.raises(EarError, match="--rev needs dvc, which is not installed; pip install dvc"):
        obtain_model(None, "x", tmp_path)


def test_an_uncalibrated_model_says_so():
    model = tone_model()
    bare = replace(
        model, metadata=change_metadata(model.metadata, calibration=None, split={"validation": None, "test": None})
    )
    assert predict.describe(bare, "v1") == (
        "model fold_3 of v1, trained on Tones (synthetic), not calibrated: confidences are those of the network, "
        "no head for frames: begin and end of events are those of whole segments"
    )


def test_ctrl_c_ends_files_without_a_traceback(recording):
    slow = PROGRAM.replace("lambda path: tone_model()", "lambda path: replace(tone_model(), score=time.sleep)")
    # A shell that starts the tests in the background has its programs ignore Ctrl-C.
    slow = slow.replace("time.sleep", "lambda _: time.sleep(60)")
    slow = "signal.signal(signal.SIGINT, signal.default_int_handler)\n" + slow
    slow = "import signal, time\nfrom dataclasses import replace\n" + slow
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", slow, str(recording)], cwd=ROOT, **pipes)
    assert b"model" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == (b"", b"")
    assert process.returncode == 130


# Parts


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00.0"), (12.04, "00:12.0"), (59.96, "01:00.0"), (3599.96, "1:00:00.0"), (36_012.3, "10:00:12.3")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_a_caption_fits_its_line():
    active = [("car_horn", 0.912), ("dog_bark", 0.5)]
    assert caption(72.5, active, 80) == "01:12.5  car horn 91%, dog bark 50%"
    assert caption(72.5, active, 20) == "01:12.5  car horn 91"
    assert caption(72.5, [], 20) == "01:12.5  -"


@pytest.mark.parametrize("name", ["$1 to $2", r"$\\frac{$", "dog \N{DOG}", "a\tb"])
def test_a_picture_draws_any_name_as_it_is_written(name, monkeypatch, tmp_path, capsys):
    model = tone_model()
    metadata = model.metadata.model_copy(update={"classes": [name, *model.metadata.classes[1:]], "calibration": None})
    monkeypatch.setattr(predict, "open_model", lambda path: replace(model, metadata=metadata))
    path = tmp_path / f"{name[:100]}.wav"
    soundfile.write(path, scene(), SR)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict.main([str(path), "--plot", str(tmp_path / "a.png")])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_name_cannot_break_a_line():
    event = Event(0.0, 1.0, "a\t\nb", 0.5)
    assert audacity_labels([event]) == "0.000000\t1.000000\ta\\t\\nb\n"
    assert len(table("a.wav", [event], 1.0).splitlines()) == 2


def test_names_that_are_not_text_can_be_printed():
    assert printable("a\r\n\x1b[2J.wav") == r"a\r\n\x1b[2J.wav"
    assert printable(os.fsdecode(b"a\xff.wav")) == "a\\udcff.wav"
    assert printable("Übung.wav") == "Übung.wav"


# Revisions


def git(folder, *arguments):
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A DVC repository with a folder of models that changed once."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    for key, value in GIT_IDENTITY.items():
        monkeypatch.setenv(key, value)
    folder = tmp_path / "repository"
    (folder / "data/models").mkdir(parents=True)
    git(folder, "init", "-q")
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q"], cwd=folder, check=True)
    for text in ("old", "new"):
        (folder / "data/models/fold_1.keras").unlink(missing_ok=True)
        (folder / "data/models/fold_1.keras").write_text(text)
        subprocess.run([*dvc, "add", "-q", "data/models"], cwd=folder, check=True)
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", text)
    monkeypatch.chdir(folder)
    return folder


def test_a_model_of_a_revision_is_copied_out_of_the_cache(repository, tmp_path):
    from stages.commands.revisions import copy_out

    copies = {}
    for revision in ("HEAD", "HEAD~1"):
        (tmp_path / revision).mkdir()
        copies[revision] = OBTAIN_MODEL(None, revision, tmp_path / revision)
    assert {revision: path.read_text() for revision, path in copies.items()} == {"HEAD": "new", "HEAD~1": "old"}
    assert all(path.stat().st_nlink == 1 for path in copies.values())  # whoever writes to it leaves the cache alone
    with pytest.raises(EarError, match=r"nothing: no commit, branch, tag or experiment"):
        copy_out("nothing", MODELS, min, tmp_path)
    with pytest.raises(EarError, match=r"HEAD: its data/no is neither in DVC's cache nor in a remote; run 'dvc pull'"):
        copy_out("HEAD", Path("data/no"), min, tmp_path)
    for path in (repository / ".dvc/cache/files/md5").rglob("*"):
        if path.is_file() and not path.name.endswith(".dir"):
            path.unlink()
    (tmp_path / "gone").mkdir()
    with pytest.raises(EarError, match=r"HEAD~1: its data/models is neither in DVC's cache nor in a remote"):
        copy_out("HEAD~1", MODELS, min, tmp_path / "gone")


def test_the_command_starts_without_what_it_may_not_need():
    heavy = {"pandas", "matplotlib", "sklearn", "scipy", "dvc", "librosa", "tqdm", "keras", "tensorflow", "onnxruntime"}
    heavy |= {"av", "filelock", "ruamel"}
    code = f"import sys, stages.commands.predict.__main__; print(sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
