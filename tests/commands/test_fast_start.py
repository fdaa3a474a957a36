"""Models that are converted on their first use: when, what is said, and what becomes of a conversion that fails."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.repository import ROOT
from helpers.tone_model import SR, scene
from stages.commands import fast_start
from stages.commands.export import __main__ as export
from stages.lib.core.errors import ModelError
from stages.lib.inference import runtime

MODEL = ROOT / "tests/data/tones_0.1.keras"
CONVERTED = "model tones_0.1: is converted on its first use, in about 20 s; from then on it starts in about a second\n"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "tones.onnx"
    export.main([f"--model={MODEL}", f"--out={out}"])
    return out


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EAR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/models"


@pytest.fixture
def commands(exported, cache, monkeypatch):
    """The conversions that were asked for; each is done by copying one that was made before."""
    asked = []

    def run(command, **options):
        asked.append(command)
        assert options["stdin"] == subprocess.DEVNULL
        time.sleep(0.2)
        shutil.copy(exported, command[-1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fast_start.subprocess, "run", run)
    return asked


def segments(model):
    return np.random.default_rng(0).normal(-7, 3, (5, model.length, model.n_features)).astype(np.float32)


def test_the_first_use_converts_and_later_ones_find_it(commands, cache, capsys):
    first = fast_start.open_model(MODEL)
    assert capsys.readouterr().err == CONVERTED
    assert commands == [
        [sys.executable, "-m", "stages.commands.export", "--model", str(MODEL), "--out", str(kept_file(cache))]
    ]
    again = fast_start.open_model(MODEL)
    assert capsys.readouterr().err == ""
    assert len(commands) == 1
    by_keras = runtime.open_model(MODEL)
    for model in (first, again):
        assert (model.path, model.metadata) == (MODEL, by_keras.metadata)
        found, expected = model.predict(segments(model)), by_keras.predict(segments(model))
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


def kept_file(cache):
    (found,) = cache.glob("*.onnx")
    return found


def test_a_model_with_other_bytes_is_converted_anew(commands, cache, tmp_path):
    for content in (b"", b"\n"):
        path = tmp_path / f"{len(content)}.keras"
        path.write_bytes(content + MODEL.read_bytes())  # a zip archive may have something before it
        fast_start.open_model(path)
    assert len(commands) == len(list(cache.glob("*.onnx"))) == 2


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def garble(path):
    path.write_bytes(b"no model")


def make_older(path):
    import onnx

    model = onnx.load(path)
    model.model_version = 0
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("damage", [cut, garble, make_older])
def test_a_file_that_cannot_be_used_is_made_again(damage, commands, cache, capsys):
    fast_start.open_model(MODEL)
    good = kept_file(cache).read_bytes()
    damage(kept_file(cache))
    capsys.readouterr()
    fast_start.open_model(MODEL)
    assert capsys.readouterr().err == CONVERTED
    assert kept_file(cache).read_bytes() == good


def test_of_two_commands_at_once_one_converts(commands, cache):
    opened = []
    threads = [threading.Thread(target=lambda: opened.append(fast_start.open_model(MODEL))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 2
    assert len(commands) == 1


def test_where_the_conversion_fails_keras_computes(commands, cache, monkeypatch, capsys):
    stderr = "some log\nerror: the ONNX file differs\n"
    monkeypatch.setattr(
        fast_start.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", stderr)
    )
    model = fast_start.open_model(MODEL)
    assert not model.is_calibrated  # it is that of Keras
    assert capsys.readouterr().err == CONVERTED + (
        "model tones_0.1: cannot be converted for a faster start, so Keras computes it (the ONNX file differs)\n"
    )
    assert list(cache.glob("*.onnx")) == []


def test_without_the_packages_keras_computes_and_a_line_says_which_are_missing(commands, cache, monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    missing = ("onnx", "tf2onnx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find_spec(name))
    assert not fast_start.open_model(MODEL).is_calibrated
    assert capsys.readouterr().err == (
        "model tones_0.1: is computed by Keras; with onnx and tf2onnx installed it would start in about a second\n"
    )
    assert commands == []


def test_without_keras_the_error_says_what_to_use(commands, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "keras" else find_spec(name))
    with pytest.raises(ModelError, match=r"tones_0\.1\.keras: needs Keras, .*; where it is, make an \.onnx file"):
        fast_start.open_model(MODEL)


def test_where_nothing_can_be_kept_keras_computes(commands, cache, capsys):
    cache.parent.write_text("a file in the place of the folder")
    assert not fast_start.open_model(MODEL).is_calibrated
    assert capsys.readouterr().err == CONVERTED + (
        f"model tones_0.1: cannot be kept in {cache} for a faster start (Not a directory); EAR_CACHE moves it\n"
    )
    assert commands == []


def test_exported_models_and_what_is_none_are_opened_as_they_are(commands, exported, tmp_path, capsys):
    assert fast_start.open_model(exported).path == exported
    (tmp_path / "a.keras").write_text("no archive")
    with pytest.raises(ModelError, match=r"a\.keras: not a model of this pipeline"):
        fast_start.open_model(tmp_path / "a.keras")
    with pytest.raises(ModelError, match=r"b\.keras: no such model; run 'dvc repro train'"):
        fast_start.open_model(tmp_path / "b.keras")
    assert commands == []
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_the_command_starts_without_keras_from_its_second_use_on(tmp_path):
    soundfile.write(tmp_path / "street.wav", scene(), SR, subtype="FLOAT")
    environment = os.environ | {"EAR_CACHE": str(tmp_path / "cache")}
    blocked = "import sys; sys.modules['keras'] = sys.modules['tensorflow'] = None\n"
    code = "import runpy; runpy.run_module('stages.commands.predict', run_name='__main__')"
    outputs = []
    for start in ("", blocked):
        command = [sys.executable, "-c", start + code, str(tmp_path / "street.wav"), "--json", f"--model={MODEL}"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (CONVERTED in done.stderr) == (start == "")
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert [json.loads(line)["class"] for line in outputs[0].splitlines()]
    assert len(list(Path(tmp_path / "cache/models").glob("*.onnx"))) == 1
