"""The page of the listen command in a real browser, whose microphone plays a recording."""

import base64
import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import datetime

import numpy as np
import pytest
import soundfile
from axe_core_python.selenium import Axe
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from selenium.webdriver.support.wait import WebDriverWait

from docs.draw_listen import BROWSER, DRIVER, open_browser, serve
from docs.draw_predict import DURATION_S, FOLD, place_clips
from docs.draw_predict import SR as STREET_SR
from helpers.listen_program import running
from helpers.random_weights import use_random_yamnet
from helpers.repository import ROOT
from helpers.tone_model import scene, tone_model
from helpers.tones import TONES_HZ
from helpers.workspace import Clone, Workspace
from stages.lib.inference.detect import detect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which(BROWSER) is None or shutil.which(DRIVER) is None,
        reason=f"{BROWSER} and {DRIVER} are not installed (Debian: apt-get install chromium chromium-driver)",
    ),
]
SR = 48000
PATIENCE_S = 60
MODEL = f"fold_{FOLD}"
CLASSES = tuple(TONES_HZ)
VIEWS = ("live", "recording", "sounds", "placing", "teach")


class Page:
    """What people do on the page, and what they see there."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address

    def open(self):
        self.browser.get(self.address)
        self.wait(lambda: self.find("#choices fieldset"))
        # An alert that came and went counts too, so all of them are written down.
        self.script("""window.alerts = []; new MutationObserver(() => alerts.push(
            document.getElementById("alert-text").textContent)).observe(
            document.getElementById("alert-text"), {childList: true})""")

    def script(self, code, *arguments):
        return self.browser.execute_script(code, *arguments)

    def wait(self, condition, patience_s=PATIENCE_S):
        try:
            WebDriverWait(self.browser, patience_s).until(lambda _: condition())
        except TimeoutException:
            pytest.fail(f"waited in vain; the page says: {self.browser.find_element(By.TAG_NAME, 'body').text}")

    def find(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def text(self, name):
        return self.script("return document.getElementById(arguments[0]).textContent", name)

    def view(self, name):
        self.browser.find_element(By.CSS_SELECTOR, f'nav a[href="#{name}"]').click()
        self.wait(lambda: self.find(f'[data-view="{name}"]')[0].is_displayed())

    def choice(self, label):
        return Select(self.browser.find_element(By.CSS_SELECTOR, f'select[data-class="{label}"]'))

    def choose(self, label, what):
        self.view("sounds")
        self.choice(label).select_by_value(what)
        self.view("live")

    def listen(self):
        """Press the button, which starts or pauses, by the keyboard."""
        self.browser.find_element(By.ID, "listen").send_keys(Keys.ENTER)

    def saved(self):
        """The rows of the history as it is saved."""
        self.script("""const make = URL.createObjectURL;
            URL.createObjectURL = (blob) => { window.saved = blob; return make(blob); }""")
        self.browser.find_element(By.ID, "export").click()
        text = self.browser.execute_async_script("saved.text().then(arguments[0])")
        return list(csv.DictReader(text.splitlines()))

    def keep_samples(self):
        """Keep what is sent from now on."""
        self.script("""window.sent = []; const send = WebSocket.prototype.send;
            WebSocket.prototype.send = function (data) {
              if (data instanceof Float32Array) { sent.push(data.slice()); window.rate = this.url; }
              send.call(this, data);
            }""")

    def kept_samples(self):
        """What was sent, float32 of shape (n_samples,), and its rate in Hz."""
        address, encoded = self.browser.execute_async_script("""const reader = new FileReader();
            reader.onload = () => arguments[0]([rate, reader.result.split(",")[1]]);
            reader.readAsDataURL(new Blob(sent));""")
        return np.frombuffer(base64.b64decode(encoded), np.float32), int(re.search(r"sr=(\d+)", address)[1])

    def record(self, name, duration_s):
        """Record a take of a sound."""
        field, button = self.browser.find_element(By.ID, "take-name"), self.browser.find_element(By.ID, "record")
        field.clear()
        field.send_keys(name)
        button.click()
        self.wait(lambda: button.text == "Stop")
        time.sleep(duration_s)
        button.click()
        self.wait(lambda: self.find("#keep")[0].is_displayed())

    def keep_events(self):
        """Keep the messages about events from now on."""
        self.script("""window.events = []; const parse = JSON.parse; JSON.parse = (text) => {
            const found = parse(text); if (found.type === "ended") events.push(found); return found; }""")

    def correct(self, name):
        """Correct, by the keyboard, the first sound of a name that has ended and can be; returns its button."""
        entries = f"//ol[@id='history']/li[span='{name}'][not(contains(., 'now'))]//button"
        self.wait(lambda: self.browser.find_elements(By.XPATH, entries))
        button = self.browser.find_elements(By.XPATH, entries)[-1]
        button.send_keys(Keys.ENTER)
        assert self.find("#correct")[0].is_displayed()
        return button

    def drop(self, *paths):
        """Drop files on the page."""
        self.script("""const input = document.createElement("input");
            Object.assign(input, {type: "file", multiple: true, id: "dropped"}); document.body.append(input)""")
        self.find("#dropped")[0].send_keys("\n".join(map(str, paths)))
        self.script("""const input = document.getElementById("dropped"), dataTransfer = new DataTransfer();
            for (const file of input.files) dataTransfer.items.add(file);
            input.remove();
            for (const type of ["dragover", "drop"])
              document.body.dispatchEvent(new DragEvent(type, {dataTransfer, bubbles: true, cancelable: true}))""")

    def n_streams(self):
        """How many streams the program has."""
        return self.script("return fetch('healthz').then((answer) => answer.json()).then(({streams}) => streams)")

    def faults(self):
        """What axe finds that keeps people from using the page, by how serious it is."""
        return [
            (fault["impact"], fault["id"], fault["nodes"][0]["html"]) for fault in Axe().run(self.browser)["violations"]
        ]


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    path = tmp_path_factory.mktemp("microphone") / "tones.wav"
    soundfile.write(path, scene(SR), SR, subtype="PCM_16")
    return path


@contextmanager
def page_of(address, recording, width=1280, height=800, **how):
    with open_browser(recording, width, height, **how) as browser:
        page = Page(browser, address)
        page.open()
        yield page


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A workspace with a network trained on the sample."""
    workspace = Workspace.create(tmp_path_factory.mktemp("sample"))
    workspace.repro("train")
    return workspace


def test_captions_are_those_of_predict_and_the_chosen_class_alerts(sample, tmp_path, monkeypatch):
    """Of the recording, and to the digit of what the microphone made of it, which begins later and may stumble.

    That is compared with predict on a microphone, since both look back only.
    """
    monkeypatch.chdir(sample.root)
    street, heard = tmp_path / "street.wav", tmp_path / "heard.raw"
    # What the fake microphone played last it plays over and over: let that be silence.
    soundfile.write(street, np.append(place_clips(), np.zeros(5 * STREET_SR)), STREET_SR, subtype="PCM_16")
    labels = [event["class"] for event in predict(sample, street) if not event["unsure"]]
    assert len(labels) >= 3
    with serve("--model", MODEL) as address, page_of(address, f"{street}%noloop") as page:
        page.choose(labels[1], "alert")
        page.keep_samples()
        page.listen()
        time.sleep(DURATION_S + 2)
        page.wait(lambda: page.text("sound") == "Silence")
        page.listen()
        page.wait(lambda: page.n_streams() == 0)
        rows, alerts = sorted(page.saved(), key=lambda row: row["time"]), page.script("return alerts")
        alerted = {name.text for name in page.find("#history .alerted .name")}
        samples, sr = page.kept_samples()
    heard.write_bytes(np.asarray(samples, "<f4").tobytes())
    expected = predict_live(sample, heard, sr)
    told = {event["class"] for event in expected if not event["unsure"]}
    assert len(told & set(labels)) >= 3, "more may be missed where the microphone stumbled, on a busy machine"
    assert [(row["class"], row["unsure"]) for row in rows] == [
        (event["class"], str(event["unsure"]).lower()) for event in expected
    ]
    starts = [datetime.fromisoformat(row["time"]).timestamp() for row in rows]
    for start, row, event in zip(starts, rows, expected, strict=True):
        assert start - starts[0] == pytest.approx(event["start_s"] - expected[0]["start_s"], abs=0.003)
        assert float(row["duration_s"]) == pytest.approx(event["end_s"] - event["start_s"], abs=0.003)
        assert float(row["confidence"]) == pytest.approx(event["confidence"], abs=0.002)
    name = labels[1].replace("_", " ")
    assert alerted == ({name} if labels[1] in told else set())
    assert set(alerts) - {name.capitalize()} == set()


def predict(workspace, recording):
    """The events that the predict command prints."""
    command = [sys.executable, "-m", "stages.commands.predict", str(recording), "--json", "--model", MODEL]
    return read_events(workspace.run(*command))


def predict_live(workspace, samples, sr):
    """The events that it prints of a file of raw samples on its standard input."""
    options = f"--format f32le --sr {sr} --json --model {MODEL}"
    return read_events(workspace.run("sh", "-c", f"python -m stages.commands.predict - {options} <{samples}"))


def read_events(printed):
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def test_choices_outlast_a_reload_and_listening_a_restart_of_the_program(tones):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open_browser(tones, 1280, 800) as browser:
        with running(port=port) as address:
            page = Page(browser, address)
            page.open()
            page.choose("high", "alert")
            page.choose("middle", "ignore")
            browser.refresh()
            page.open()
            chosen = {label: page.choice(label).first_selected_option.get_attribute("value") for label in CLASSES}
            assert chosen == {"low": "show", "middle": "ignore", "high": "alert"}
            page.listen()
            page.wait(lambda: {"low", "high"} <= {name.text for name in page.find("#history .name")})
            assert page.script("return alerts") == ["High"]
            before = len(page.find("#history li"))
        page.wait(lambda: "trying again" in page.text("status"))
        assert page.text("sound") == "Not connected"
        with running(port=port):
            page.wait(lambda: page.text("status") == "Listening")
            page.wait(lambda: len(page.find("#history li")) > before)


def test_pause_ends_the_stream(tones):
    with running() as address, page_of(address, tones) as page:
        page.listen()
        page.wait(lambda: "low" in page.text("history"))
        page.listen()
        assert page.text("sound") == page.text("status") == "Paused"
        page.wait(lambda: page.n_streams() == 0)
        rows = page.saved()
        page.listen()
        page.wait(lambda: len(page.find("#history li")) > len(rows))
        page.listen()
        page.wait(lambda: page.n_streams() == 0)
        assert page.saved()[: len(rows)] == rows, "the second stream counts its events from 1 too"
        page.find("#clear")[0].click()
        assert rows
        assert page.find("#history li") == []
        assert not page.find("#export")[0].is_enabled()


def test_what_turns_out_to_be_another_sound_is_taken_back_and_the_next_one_alerts(tones):
    with running() as address, page_of(address, tones) as page:
        page.choose("low", "alert")
        page.script("""window.WebSocket = class {
            static OPEN = 1;
            readyState = 1;
            bufferedAmount = 0;
            constructor() { window.program = this; setTimeout(() => this.onopen()); }
            send() { window.heard = true; }
            close() {}
        };""")
        page.listen()
        page.wait(lambda: page.script("return window.heard"))

        def tell(kind, number, label, end_s):
            message = {"type": kind, "id": number, "start_s": 1.0, "end_s": end_s, "class": label}
            message |= {"confidence": 0.9, "unsure": False}
            page.script("program.onmessage({data: JSON.stringify(arguments[0])})", message)
            return [entry.text.splitlines()[1:] for entry in page.find("#history li")]

        assert tell("began", 1, "low", 2.0) == [["low", "now, 90 %"]]
        assert page.script("return alerts") == ["Low"]
        assert tell("withdrawn", 1, "low", 2.0) == []
        assert tell("began", 2, "high", 3.0) == [["high", "now, 90 %"]]
        assert tell("ended", 2, "high", 4.0) == [["high", "3.0 s, 90 %"]]
        assert [(row["class"], row["duration_s"]) for row in page.saved()] == [("high", "3.000")]
        tell("began", 3, "low", 5.0)
        tell("ended", 3, "low", 6.0)
        tell("began", 4, "low", 7.0)
        assert page.script("return alerts") == ["Low", "Low"], "one for what was taken back, one for the two after"
        assert [name.text for name in page.find("#history .name")] == ["low", "low", "high"]
        assert [name.text for name in page.find("#history .alerted .name")] == ["low"]


def test_a_recording_gets_a_timeline_that_plays(tones):
    expected = [event.label for event in detect(tones, tone_model()) if not event.is_unsure]
    with running() as address, page_of(address, tones) as page:
        page.view("recording")
        page.find("#file")[0].send_keys(str(tones))
        page.wait(lambda: page.find("#result")[0].is_displayed())
        assert page.text("result-title") == "tones.wav (00:09.0)"
        names = [name.text for name in page.find("#events .name:not(.unsure)")]
        assert names == expected == ["low", "high"]
        page.script("document.querySelector('#events li:last-child button').click()")
        start = page.script("return document.querySelector('#events li:last-child time').textContent")
        page.wait(lambda: page.script("return document.getElementById('player').currentTime") > 0)
        assert page.script("return document.getElementById('player').currentTime") == pytest.approx(
            float(start.partition("–")[0].removeprefix("00:")), abs=2
        )
        page.find("#file")[0].send_keys(str(ROOT / "README.md"))
        page.wait(lambda: page.find("#recording-problem")[0].is_displayed())
        assert page.text("recording-problem").startswith("README.md: ")


def test_a_microphone_that_cannot_be_had_is_said(tones):
    with running() as address, page_of(address, tones) as page:
        for name, said in {
            "NotAllowedError": "The microphone was refused. Allow it for this page",
            "NotFoundError": "No microphone was found. Connect one",
            "NotReadableError": "The microphone is in use by another program.",
        }.items():
            page.script(
                "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', arguments[0]))", name
            )
            page.listen()
            page.wait(lambda said=said: page.text("status").startswith(said))
            assert page.text("listen") == "Listen"


def test_a_missing_model_is_said(tones, tmp_path):
    command = [sys.executable, "-m", "stages.commands.listen", "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            address = process.stderr.readline().split("open ")[1].split()[0]
            with open_browser(tones, 1280, 800) as browser:
                browser.get(address)
                page = Page(browser, address)
                page.wait(lambda: "data/models: holds no model; run 'dvc repro train'" in page.text("notice"))
                page.listen()
                page.wait(lambda: "holds no model" in page.text("status"))
                assert "trying again" in page.text("status")
        finally:
            process.terminate()


def test_takes_are_recorded_looked_at_and_kept(tones, tmp_path):
    folder = tmp_path / "recordings"
    with running("--recordings", str(folder)) as address, page_of(address, tones) as page:
        page.view("teach")
        allowed = """const field = document.getElementById("take-name");
            return arguments[0].map((name) => { field.value = name; return field.checkValidity(); })"""
        assert page.script(allowed, ["../x", ".git", "", "Türklingel 2 ", "k"]) == [False, False, False, True, True]
        page.record("door bell", 5)
        assert page.find("#take-problem")[0].text == ""
        page.find("#keep")[0].click()
        page.wait(lambda: "1 recording, 4 more to go" in page.text("takes"))
        (file,) = (folder / "door bell").iterdir()
        y, sr = soundfile.read(file)
        assert (sr, y.ndim) == (page.script("return new AudioContext().sampleRate"), 1)
        assert len(y) / sr > 4
        assert np.abs(y).max() > 0.2  # a tone of the scene
        page.record("Doorbell", 0.5)
        page.find("#keep")[0].click()
        page.wait(lambda: page.text("take-problem").endswith("write each in one way"))
        page.find("#discard")[0].click()
        assert page.text("take-state") == "Thrown away."
        assert [path.name for path in (folder / "door bell").iterdir()] == [file.name]
        page.find("#takes button[aria-label='Delete take 1 of door bell']")[0].click()
        page.browser.switch_to.alert.accept()
        page.wait(lambda: page.text("takes") == "")
        assert list(folder.iterdir()) == []


WORTH = {
    1: "1 recording, 4 more to go",
    5: "5 recordings: a start. With 10, about 3 more of 100 are recognised, with 20 about 4",
    10: "10 recordings: good. With 20, about 1 more of 100 is recognised",
    20: "20 recordings",
}


def test_what_more_recordings_are_worth_is_said(tones, tmp_path):
    for count in WORTH:
        (tmp_path / f"sound {count:02}").mkdir()
        for i in range(count):
            (tmp_path / f"sound {count:02}/{i}.wav").touch()
    with running("--recordings", str(tmp_path)) as address, page_of(address, tones) as page:
        page.view("teach")
        assert [line.text for line in page.find("#takes > li > .faint")] == list(WORTH.values())


def test_files_that_are_dropped_become_takes_or_say_why_not(tones, tmp_path):
    folder, files = tmp_path / "recordings", tmp_path / "files"
    files.mkdir()
    sounds = {"good.flac": scene(SR), "soft.wav": 0.001 * scene(SR), "short.wav": scene(SR)[SR : SR + SR // 10]}
    for name, y in sounds.items():
        soundfile.write(files / name, y, SR)
    (files / "half.wav").write_bytes(tones.read_bytes()[:-9999])
    paths = [*(files / name for name in (*sounds, "half.wav")), ROOT / "README.md"]
    with running("--recordings", str(folder)) as address, page_of(address, tones) as page:
        page.view("teach")
        page.drop(*paths)
        assert page.text("added") == "Name the sound, then add its recordings."
        assert page.script("return document.activeElement.id") == "take-name"
        assert not folder.exists()
        page.find("#take-name")[0].send_keys("kettle")
        page.drop(*paths)
        page.wait(lambda: page.text("take-state") == "3 of 5 kept.")
        lines = [" ".join(line.text.split()) for line in page.find("#added li")]
        assert lines[0] == "soft.wav: kept. This take is too soft. Move the microphone nearer. Delete it"
        assert lines[1] == "short.wav: kept. This take is too short. Delete it"
        assert lines[2].startswith("half.wav: ")
        assert lines[3].startswith("README.md: cannot be read as audio")
        assert len(lines) == 4
        page.wait(lambda: "3 recordings, 2 more to go" in page.text("takes"))
        assert sorted(soundfile.info(path).duration for path in (folder / "kettle").iterdir()) == [0.1, 9, 9]
        for left in (2, 1):
            page.find("#added button")[0].click()
            page.wait(lambda left=left: len(page.find("#added button")) == left - 1)
            assert len(list((folder / "kettle").iterdir())) == left
        (file,) = (folder / "kettle").iterdir()
        np.testing.assert_allclose(soundfile.read(file)[0], scene(SR), atol=2**-15)
        page.find("#take-files")[0].send_keys(str(files / "good.flac"))
        page.wait(lambda: page.text("take-state") == "Kept.")
        assert page.find("#added li") == []
        page.view("live")
        page.drop(tones)
        page.wait(lambda: page.text("result-title") == "tones.wav (00:09.0)")
        assert page.find("#recording-title")[0].is_displayed()
        assert len(list((folder / "kettle").iterdir())) == 2


LEARN = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
if (folder / "broken").exists():
    sys.exit("error: recordings: holds no recording")
print("epoch 1 of 20", flush=True)
while not (folder / "learnt").exists():
    time.sleep(0.1)
print()
print("door bell: 4 of 5 recordings recognised; 1 taken for kettle")
print("model: python -m stages.commands.predict --rev x FILE")
"""


def test_what_is_learnt_listens_and_what_is_not_leaves_the_old_model(tones, tmp_path):
    with running("--recordings", str(tmp_path), LEARN=LEARN) as address, page_of(address, tones) as page:
        page.listen()
        page.wait(lambda: "low" in page.text("history"))
        page.view("teach")
        page.wait(lambda: page.text("learn-model") == "The model that listens is fold_3.")
        learn, cancel, before = (page.find(f"#{name}")[0] for name in ("learn", "learn-cancel", "model-before"))
        learn.click()
        page.wait(lambda: page.text("learn-progress") == "epoch 1 of 20")
        page.wait(lambda: page.text("learn-time") == "00:02")
        assert (page.text("learn-state"), learn.is_enabled()) == ("Learning", False)
        cancel.click()
        page.wait(lambda: page.text("learn-state") == "Cancelled.")
        (tmp_path / "broken").touch()
        learn.click()
        page.wait(lambda: page.text("learn-log") == "error: recordings: holds no recording")
        assert page.text("learn-state") == "Learning failed. The model of before goes on."
        assert not before.is_displayed()
        (tmp_path / "broken").unlink()
        learn.click()
        page.wait(lambda: page.text("learn-progress"))
        page.view("live")  # followed here too
        heard = len(page.find("#history li"))
        page.script("""window.states = []; new MutationObserver(() => states.push(
            document.getElementById("status").textContent)).observe(
            document.getElementById("status"), {childList: true})""")
        (tmp_path / "learnt").touch()
        page.wait(lambda: "The model taught-" in page.text("model"))
        page.wait(lambda: page.script("return states") == ["Changing to the other model", "Listening"])
        page.wait(lambda: len(page.find("#history li")) > heard)
        assert page.n_streams() == 1
        page.view("teach")
        assert page.text("learn-result") == "door bell: 4 of 5 recordings recognised; 1 taken for kettle"
        assert not page.find("#learn-log")[0].is_displayed()
        before.click()
        page.wait(lambda: page.text("learn-model") == "The model that listens is fold_3.")
        assert before.text.startswith("Use the model before, taught-")
        page.wait(lambda: page.text("model").startswith("The model fold_3"))


def test_without_a_folder_for_takes_there_is_no_view_of_them(tones):
    with running() as address, page_of(address, tones) as page:
        page.wait(lambda: not page.find("#teach, #correct"))
        assert not page.find("#teach-link")[0].is_displayed()
        assert not page.find("#remembered")[0].is_displayed()
        page.listen()
        page.wait(lambda: "low" in page.text("history"))
        assert page.find("#history button") == []


PROBLEMS = {
    None: "[new Float32Array(4800).fill(0.1), new Float32Array(4800)]",
    "This take is too short.": "[new Float32Array(1600).fill(0.1)]",
    "This take is too soft. Move the microphone nearer.": "Array(9).fill(new Float32Array(4800).fill(0.002))",
    "This take is too loud, so its peaks are cut off. Move the microphone away.":
        "Array(9).fill(new Float32Array(4800).fill(0.5)).concat([new Float32Array(4800).fill(1)])",
}  # fmt: skip


def test_what_is_wrong_with_a_take_is_said(tones):
    with running() as address, page_of(address, tones) as page:
        for problem, blocks in PROBLEMS.items():
            found = page.browser.execute_async_script(
                f"import('/static/take.js').then((take) => arguments[0](take.findProblem({blocks}, 16000)))"
            )
            assert found == problem


def test_a_caption_is_corrected_with_its_sound_only_when_kept(tones, tmp_path):
    folder = tmp_path / "recordings"
    with running("--recordings", str(folder)) as address, page_of(address, tones) as page:
        page.keep_samples()
        page.keep_events()
        page.listen()
        button, what = page.correct("low"), Select(page.find("#correct-what")[0])
        assert [option.text for option in what.options] == [
            "choose", "nothing, the room as it is", "a new sound", *CLASSES,
        ]  # fmt: skip
        assert re.fullmatch(r"At \d\d:\d\d:\d\d, told as low\.", page.text("correct-heard"))
        assert page.text("correct-problem") == ""
        page.find("#correct-what")[0].send_keys(Keys.ESCAPE)
        assert not page.find("#correct")[0].is_displayed()
        assert page.browser.switch_to.active_element == button
        assert not folder.exists()
        page.correct("low")
        page.find("#correct-keep")[0].click()
        assert page.find("#correct")[0].is_displayed(), "a name is asked for"
        what.select_by_visible_text("a new sound")
        field = page.find("#correct-name")[0]
        field.send_keys("test", Keys.ENTER)
        page.wait(lambda: page.text("correct-problem").startswith("'test': name it by letters"))
        assert not folder.exists()
        page.script("arguments[0].value = ''", field)
        field.send_keys("kettle", Keys.ENTER)
        page.wait(lambda: "kept as kettle" in page.text("history"))
        page.wait(lambda: page.text("takes").startswith("kettle"))
        page.correct("high")
        assert [option.text for option in what.options][3:] == ["kettle", *CLASSES]
        what.select_by_visible_text("nothing, the room as it is")
        page.find("#correct-keep")[0].click()
        page.wait(lambda: "kept as other" in page.text("history"))
        page.listen()
        samples, sr = page.kept_samples()
        events = page.script("return events")
    for name, label in {"kettle": "low", "other": "high"}.items():
        (file,) = (folder / name).iterdir()
        y, sr_file = soundfile.read(file, dtype="float32")
        event = next(event for event in events if event["class"] == label)
        start, end = (round(seconds * sr) for seconds in (event["start_s"] - 0.5, event["end_s"] + 0.5))
        assert sr_file == sr
        # The end may not have come yet when it was corrected: where it is, the page knows no more.
        assert end - start - 0.5 * sr <= len(y) <= end - start + 1
        np.testing.assert_allclose(y, samples[start : start + len(y)], atol=2**-22)


def test_the_page_remembers_the_last_seconds_to_the_sample(tones):
    """Of three streams in the blocks of a microphone, what is remembered of each, and parts of it."""
    remember = """
        const done = arguments[0];
        import("/static/memory.js").then(({ Memory }) => {
          const memory = new Memory(2);
          const ramp = (from) => Float32Array.from({ length: 100 }, (_, i) => from + i);
          for (let block = 0; block < 12; block += 1) memory.push("a", ramp(100 * block), 1000);
          const before = memory.span("a");
          for (let block = 0; block < 13; block += 1) memory.push("b", ramp(100 * block), 1000);
          const found = [before, memory.span("a"), memory.span("b"), memory.span("c")];
          const cuts = [["a", 0.5, 0.75], ["a", 0.95, 1.1505], ["b", -1, 0.002], ["b", 1.299, 9]].map(
            ([stream, start, end]) => [...memory.cut(stream, start, end).samples]);
          memory.forget();
          memory.push("b", ramp(1300), 1000);
          done([...found, memory.span("b"), ...cuts]);
        })"""
    with running() as address, page_of(address, tones) as page:
        found = page.browser.execute_async_script(remember)
    assert found[:5] == [[0, 1.2], [0.5, 1.2], [0, 1.3], None, [1.3, 1.4]]
    assert found[5:] == [list(range(500, 750)), list(range(950, 1151)), [0, 1], [1299]]


OFFERS = """
    const done = arguments[0];
    import("/static/correct.js").then(async ({ Corrections }) => {
      const corrections = new Corrections(() => {});
      corrections.start();
      const list = document.getElementById("history");
      const offer = (start_s, end_s, ongoing) => {
        const line = document.createElement("div");
        list.append(line);
        const event = { class: "x", start_s, end_s, unsure: false };
        corrections.offer(line, { startedAt: 1, event, at: new Date(), ongoing });
        return line;
      };
      const block = new Float32Array(1000).fill(0.1);
      for (let second = 0; second < 65; second += 1) corrections.hear(1, block, 1000);
      const lines = [offer(4.9, 6), offer(5, 6), offer(1, 40), offer(0, 34.4), offer(10, 12, true), offer(64, 65)];
      await new Promise((later) => setTimeout(later, 1500));
      const spans = lines.map((line) => {
        line.firstChild.click?.();
        return line.querySelector("button") ? document.getElementById("correct-span").textContent : line.textContent;
      });
      done(spans);
    })"""


def test_what_is_no_longer_remembered_cannot_be_corrected(tones, tmp_path):
    """After 65 s, of which 5 are forgotten; of long sounds the last half minute."""
    with running("--recordings", str(tmp_path)) as address, page_of(address, tones) as page:
        found = page.browser.execute_async_script(OFFERS)
    gone, around = "its sound is no longer there", "would be kept: the sound and a little of what is around it."
    last = "Its last 30.0 s would be kept."
    assert found == [gone, f"1.5 s {around}", last, gone, last, f"1.5 s {around}"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_view_is_accessible_and_fits(tones, tmp_path, width, dark):
    with running("--recordings", str(tmp_path)) as address, page_of(address, tones, width, 740, dark=dark) as page:
        page.choose("high", "alert")
        page.listen()
        page.wait(lambda: page.script("return alerts"))
        page.view("recording")
        page.find("#file")[0].send_keys(str(tones))
        page.wait(lambda: page.find("#result")[0].is_displayed())
        page.view("teach")
        page.find("#take-name")[0].send_keys("door bell")
        page.drop(ROOT / "README.md", tones)
        page.wait(lambda: page.text("take-state") == "1 of 2 kept.")
        page.find("#learn")[0].click()
        page.wait(lambda: page.find("#learn-log")[0].is_displayed())
        page.view("live")
        page.correct("low")
        assert page.faults() == []
        assert page.script("return document.documentElement.scrollWidth") <= width
        page.find("#correct-cancel")[0].click()
        for view in VIEWS:
            page.view(view)
            assert page.faults() == [], view
            assert page.script("return document.documentElement.scrollWidth") <= width, view


def test_sounds_are_recorded_learnt_and_captioned(finished, tmp_path, monkeypatch):
    """From three sounds that no model knows to captions of them, on the page alone; the weights are random."""
    workspace = Clone(finished, tmp_path / "workspace")
    use_random_yamnet(workspace, tmp_path)
    monkeypatch.chdir(workspace.root)
    rng, t = np.random.default_rng(9), np.arange(8 * 8000) / 8000
    sounds = {"doorbell": [700], "kettle": [2500], "buzzer": [150 * n for n in range(1, 26)]}
    y = [sum(np.sin(2 * np.pi * f * t) for f in of) * 0.3 / np.sqrt(len(of)) for of in sounds.values()]
    y = [of + 0.01 * rng.standard_normal(len(t)) for of in y]
    for name, of in zip(sounds, y, strict=True):
        soundfile.write(tmp_path / f"{name}.wav", of, 8000)
    quiet = 0.001 * rng.standard_normal(8000 * 4)
    soundfile.write(tmp_path / "street.wav", np.concatenate([part for of in y for part in (quiet, of[:32000])]), 8000)
    with serve("--recordings", "recordings") as address:
        for name in sounds:
            with open_browser(tmp_path / f"{name}.wav", 1280, 800) as browser:
                page = Page(browser, address)
                browser.get(f"{address}#teach")
                page.wait(lambda page=page: page.find("#take-name")[0].is_displayed())
                for n in range(1, 6):
                    page.record(name, 1.2 + 0.3 * n)  # or takes of this microphone may be the same
                    page.find("#keep")[0].click()
                    page.wait(lambda page=page, name=name, n=n: re.search(rf"{name}\s*{n} record", page.text("takes")))
        with open_browser(tmp_path / "street.wav", 1280, 800) as browser:
            page = Page(browser, address)
            browser.get(f"{address}#teach")
            page.wait(lambda: page.find("#learn")[0].is_displayed())
            page.find("#learn")[0].click()
            page.wait(lambda: page.text("learn-state") == "Learning")
            page.wait(lambda: page.text("learn-state") != "Learning", 600)
            assert page.text("learn-state").startswith("Learnt."), page.text("learn-log")
            result = page.text("learn-result")
            assert re.search(r"in all: 1\d of 15 recordings recognised", result), result
            page.view("live")
            page.listen()
            page.wait(lambda: set(sounds) <= {entry.text for entry in page.find("#history .name")}, 120)
