"""Learning on the page of the listen command, by a script in the place of the learn command."""

import os
import re
import signal
import sys
import time
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient

from helpers.tone_model import tone_metadata, tone_model
from stages.commands.listen import learning
from stages.commands.listen.app import make_app
from stages.commands.listen.options import Settings
from stages.lib.core.errors import ModelError

ADDRESS = "http://127.0.0.1:8000"
PATIENCE_S = 30
SUCCESS = """
import sys
print("Running stage 'fetch':\\n\\nRunning stage 'train':\\nepoch 1\\repoch 2")
print()
print("doorbell: 9 of 10 recordings recognised; 1 taken for kettle")
print("in all: 9 of 10 recordings recognised")
print("model: python -m stages.commands.predict --rev x FILE")
"""
FAILURE = """
import sys
print("\\n".join(f"line {i}" for i in range(100)))
sys.exit("error: recordings: holds no recording")
"""
# A process that holds on at SIGTERM, started by one that does not.
ENDLESS = """
import os, pathlib, signal, subprocess, sys, time
hold_on = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('held on'); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", hold_on])
pathlib.Path(sys.argv[1], "pids").write_text(f"{os.getpid()} {child.pid} {os.getpriority(os.PRIO_PROCESS, 0)}")
time.sleep(60)
"""


def open_taught(name):
    """A model that knows other sounds, as that of an experiment."""
    assert re.fullmatch(r"taught-\d{8}-\d{6}", name)
    metadata = tone_metadata()
    return tone_model(metadata.model_copy(update={"classes": ["doorbell", "kettle", "other"]}))


@contextmanager
def client_of(folder, script, open_revision=open_taught, *, open_model=tone_model, **settings):
    folder.mkdir(exist_ok=True)
    settings = Settings(recordings=folder, **settings)
    app = make_app(open_model, settings, open_revision, (sys.executable, "-c", script))
    with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False) as client:
        if open_model is tone_model:
            wait(lambda: client.get("/healthz").status_code != 503)
        yield client


def wait(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


def learn(client):
    """Learn to the end; the last answer."""
    assert client.post("/api/learning").status_code == 202
    return wait(lambda: (found := client.get("/api/learning").json())["state"] != "running" and found)


def start_endless(client, folder):
    """Start what does not end; the processes' numbers."""
    assert client.post("/api/learning").status_code == 202
    wait(lambda: client.get("/api/learning").json()["progress"] == "held on")
    wait(lambda: len((folder / "pids").read_text().split()) == 3)
    *pids, niceness = map(int, (folder / "pids").read_text().split())
    assert niceness >= learning.NICENESS
    return pids


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"  # an orphan that nobody has waited for


def classes(client):
    return client.get("/api/model").json()["classes"]


def test_what_is_learnt_is_told_and_listens_and_the_model_before_is_at_hand(tmp_path):
    old = tone_metadata().classes
    with client_of(tmp_path, SUCCESS) as client:
        idle = client.get("/api/learning").json()
        assert (idle["state"], idle["model"], idle["previous"]) == ("idle", "fold_3", None)
        with client.websocket_connect(f"{ADDRESS.replace('http', 'ws')}/api/live?sr=8000") as before:
            found = learn(client)
            assert (found["state"], found["log"]) == ("done", [])
            assert found["result"] == [
                "doorbell: 9 of 10 recordings recognised; 1 taken for kettle",
                "in all: 9 of 10 recordings recognised",
            ]
            assert (found["model"], found["previous"]) == (found["name"], "fold_3")
            assert classes(client) == ["doorbell", "kettle", "other"]
            assert heard(before) == old
        with client.websocket_connect(f"{ADDRESS.replace('http', 'ws')}/api/live?sr=8000") as after:
            assert heard(after) == ["doorbell", "kettle", "other"]
        for name, known in (("fold_3", old), (found["name"], ["doorbell", "kettle", "other"])):
            answer = client.post("/api/model/previous").json()
            assert answer["model"] == name != answer["previous"]
            assert classes(client) == known


def heard(socket):
    """The classes of the model of a stream."""
    socket.send_bytes(bytes(4 * 16000))
    while (message := socket.receive_json())["type"] != "caption":
        pass
    return list(message["probabilities"])


def test_progress_is_the_newest_line_of_the_log(tmp_path):
    script = "import sys, time; sys.stdout.write('loading\\nepoch 1\\repoch 2\\r\\n\\n'); time.sleep(60)"
    with client_of(tmp_path, script) as client:
        client.post("/api/learning")
        found = wait(lambda: (found := client.get("/api/learning").json())["progress"] and found)
        assert found["progress"] == "epoch 2"
        wait(lambda: client.get("/api/learning").json()["elapsed_s"] > found["elapsed_s"])


def test_the_command_gets_the_folder_and_a_name(tmp_path):
    script = "import json, sys; sys.exit(json.dumps(sys.argv[1:]))"
    with client_of(tmp_path, script) as client:
        found = learn(client)
    assert found["log"] == [f'["{tmp_path}", "--name", "{found["name"]}"]']


def test_one_is_learnt_at_a_time_and_cancelled_with_all_that_it_started(tmp_path):
    with client_of(tmp_path, ENDLESS) as client:
        pids = start_endless(client, tmp_path)
        answer = client.post("/api/learning")
        assert answer.status_code == 409
        assert answer.json() == {"detail": "sounds are being learnt already; wait for that, or cancel it"}
        assert all(map(is_running, pids))
        found = client.delete("/api/learning").json()
        assert (found["state"], found["model"], found["previous"]) == ("cancelled", "fold_3", None)
        wait(lambda: not any(map(is_running, pids)))
        assert client.get("/api/learning").json()["elapsed_s"] == found["elapsed_s"]
        assert client.post("/api/learning").status_code == 202, "after that another can begin"


def test_what_does_not_end_when_asked_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "GRACE_S", 0.1)
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('stubborn'); time.sleep(60)"
    with client_of(tmp_path, script) as client:
        client.post("/api/learning")
        wait(lambda: client.get("/api/learning").json()["progress"] == "stubborn")
        assert client.delete("/api/learning").json()["state"] == "cancelled"


def test_it_ends_with_the_server(tmp_path):
    with client_of(tmp_path, ENDLESS) as client:
        pids = start_endless(client, tmp_path)
    wait(lambda: not any(map(is_running, pids)))


def test_of_a_failure_the_last_lines_are_told_and_the_old_model_goes_on(tmp_path):
    with client_of(tmp_path, FAILURE) as client:
        found = learn(client)
        assert (found["state"], found["result"], found["previous"]) == ("failed", [], None)
        expected = [f"line {i}" for i in range(100 - learning.N_LINES + 1, 100)]
        assert found["log"] == [*expected, "error: recordings: holds no recording"]
        assert classes(client) == tone_metadata().classes


def test_killed_from_outside_the_old_model_goes_on(tmp_path):
    with client_of(tmp_path, ENDLESS) as client:
        pids = start_endless(client, tmp_path)
        os.kill(pids[0], signal.SIGKILL)
        found = wait(lambda: (found := client.get("/api/learning").json())["state"] != "running" and found)
        assert found["state"] == "failed"
        assert found["log"] == ["held on", "the process was ended by signal 9"]
        wait(lambda: not any(map(is_running, pids)))
        assert classes(client) == tone_metadata().classes


PROBLEMS = {
    "error: no such model": ModelError("no such model"),
    "the model cannot be opened (ValueError); the terminal says more": ValueError("a bug"),
}


@pytest.mark.parametrize("line", PROBLEMS)
def test_a_model_that_cannot_be_opened_is_told(tmp_path, line):
    def open_revision(name):
        raise PROBLEMS[line]

    with client_of(tmp_path, SUCCESS, open_revision) as client:
        found = learn(client)
        assert found["state"] == "failed"
        assert found["log"][-1] == line
        assert len(found["result"]) == 2
        assert classes(client) == tone_metadata().classes


def test_the_first_model_of_all_may_be_one_that_was_learnt(tmp_path):
    def open_model():
        raise ModelError("data/models: holds no model; run 'dvc repro train'")

    with client_of(tmp_path, SUCCESS, open_model=open_model) as client:
        assert client.get("/api/model").status_code == 503
        found = learn(client)
        assert (found["state"], found["previous"]) == ("done", None)
        assert classes(client) == ["doorbell", "kettle", "other"]


def test_what_cannot_be_done_is_refused_in_a_line(tmp_path):
    with client_of(tmp_path, SUCCESS) as client:
        for answer, line in (
            (client.delete("/api/learning"), "nothing is being learnt"),
            (client.post("/api/model/previous"), "there is no model before this one"),
        ):
            assert (answer.status_code, answer.json()) == (409, {"detail": line})


def test_a_command_that_cannot_be_started_is_told(tmp_path):
    app = make_app(tone_model, Settings(recordings=tmp_path), open_taught, ("/absent",))
    with TestClient(app, base_url=ADDRESS) as client:
        answer = client.post("/api/learning")
        assert answer.status_code == 503
        assert answer.json() == {"detail": "learning cannot be started (No such file or directory)"}
        assert client.get("/api/learning").json()["state"] == "idle"


ROUTES = [
    ("POST", "/api/learning"),
    ("GET", "/api/learning"),
    ("DELETE", "/api/learning"),
    ("POST", "/api/model/previous"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_other_pages_strangers_and_pages_without_takes_get_nothing(tmp_path, method, path):
    with client_of(tmp_path, SUCCESS) as client:
        assert client.request(method, path, headers={"origin": "http://evil.example"}).status_code == 403
        assert client.get("/api/learning").json()["state"] == "idle"
    token = "a-token-of-enough-length"
    with client_of(tmp_path, SUCCESS, token=token, hosts=None) as client:
        assert client.request(method, path).status_code == 401
        answer = client.get("/api/learning", headers={"authorization": f"Bearer {token}"})
        assert answer.json()["state"] == "idle"
    with TestClient(make_app(tone_model, Settings(), open_taught), base_url=ADDRESS) as client:
        assert client.request(method, path).status_code in (404, 405)
