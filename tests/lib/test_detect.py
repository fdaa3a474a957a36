"""Detection: one function for a file, for samples and for a stream."""

import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from helpers.repository import ROOT
from helpers.tone_model import SR, scene, tone_model
from stages.lib.core.errors import AudioError
from stages.lib.inference.detect import StreamDetector, detect
from stages.lib.inference.events import EventSettings


def named(events):
    return [(event.label, event.start_s, event.end_s) for event in events if event.label in ("low", "high")]


def test_the_public_names_are_those_of_the_modules_whichever_is_imported_first():
    names = "from stages.lib.inference import Event, EventSettings, Model, StreamDetector, detect, open_model"
    for first in ("", "import stages.lib.inference.detect", "from stages.lib.inference.events import Event"):
        check = "assert callable(detect); from stages.lib.inference.detect import detect as same; assert same is detect"
        heavy = "import sys; assert not {'keras', 'tensorflow', 'onnxruntime', 'scipy', 'pandas'} & {*sys.modules}"
        code = "\n".join([first, names, check, heavy])
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_sounds_of_a_scene_are_detected():
    (low, high) = named(detect(scene(), tone_model(), sr=SR))
    assert low == ("low", pytest.approx(1, abs=0.5), pytest.approx(3, abs=0.5))
    assert high == ("high", pytest.approx(5, abs=0.5), pytest.approx(6.5, abs=0.5))


@pytest.mark.parametrize("settings", [None, EventSettings(min_confidence=0.8, unsure_min_s=0.3)])
def test_a_file_its_samples_and_a_stream_give_the_same_events(tmp_path, settings):
    y = np.stack([scene(), scene(seed=1)], axis=1)
    soundfile.write(tmp_path / "a.wav", y, SR, subtype="FLOAT")
    options = {"settings": settings, "step_s": 0.2}
    of_file = detect(tmp_path / "a.wav", tone_model(), **options)
    assert len(of_file) >= 2
    assert detect(y, tone_model(), sr=SR, **options) == of_file
    assert detect(y.astype(np.float64), tone_model(), sr=SR, **options) == of_file
    assert StreamDetector(tone_model(), SR, **options).detect(np.array_split(y, 37)) == of_file


def test_events_are_returned_as_they_end_and_ongoing_until_then():
    detector, y = StreamDetector(tone_model(), SR, batch_size=1), scene()
    returned = {}
    for start in range(0, len(y), SR // 10):
        ended = detector.push(y[start : start + SR // 10, np.newaxis])
        returned |= {event.label: (detector.duration_s, event.end_s) for event in ended}
        if 2.0 <= detector.duration_s < 3.0:
            assert [event.label for event in detector.ongoing if event.label != "unsure"] == ["low"]
            assert detector.active_classes(detector.newest)[0][0] == "low"
    detector.finish()
    at_s, end_s = returned["low"]
    assert end_s < at_s < end_s + 1.5  # a pause that might be bridged, and a segment
    assert detector.duration_s == 9.0


def test_probabilities_of_all_rows_are_handed_on():
    rows = []
    detector = StreamDetector(tone_model(), SR, on_rows=rows.append)
    detector.detect([scene()[:, np.newaxis]])
    assert np.concatenate(rows).shape == (int(np.ceil(9 / detector.row_s)), 3)


def test_what_cannot_be_detected_in_is_named(tmp_path):
    with pytest.raises(AudioError, match="holds no sample"):
        detect(np.zeros(0, np.float32), tone_model(), sr=SR)
    with pytest.raises(AudioError, match=r"a sample after 0\.0 s is not a finite number"):
        detect(np.full(9000, np.nan), tone_model(), sr=SR)
    with pytest.raises(AudioError, match=r"no\.wav: cannot be read as audio"):
        detect(tmp_path / "no.wav", tone_model())
    soundfile.write(tmp_path / "cut.wav", scene(), SR)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:40_000])
    with pytest.raises(AudioError, match=r"cut\.wav: the header claims .* bytes, the file holds"):
        detect(tmp_path / "cut.wav", tone_model())
    with pytest.raises(AudioError, match="has a sample rate of 7 Hz"):
        detect(scene(), tone_model(), sr=7)
    with pytest.raises(TypeError, match=re.escape("samples need their rate, sr=")):
        detect(scene(), tone_model())
    with pytest.raises(TypeError, match="expected samples in floating point with full scale at 1, found int16"):
        detect(np.zeros(9000, np.int16), tone_model(), sr=SR)
