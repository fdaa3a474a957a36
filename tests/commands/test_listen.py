"""The listen command: its API, who may use it, and what it refuses."""

import asyncio
import base64
import io
import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import soundfile
from fastapi import HTTPException, Request
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from helpers.predict_program import read_lines
from helpers.tone_model import SR, scene, tone_model
from stages.commands.listen import __main__ as command
from stages.commands.listen import live, recordings, service, webhook
from stages.commands.listen.app import STATIC, make_app
from stages.commands.listen.options import Settings, parse_args
from stages.commands.predict import __main__ as predict
from stages.lib.core.errors import ModelError
from stages.lib.inference.detect import detect

TOKEN = "a-token-of-enough-length"
ADDRESS = "http://127.0.0.1:8000"


@contextmanager
def client_of(settings=None, open_model=tone_model, address=ADDRESS, *, wait=True):
    """A client of the application; with `wait` once it has its model."""
    app = make_app(open_model, settings or Settings(), tone_model)
    with TestClient(app, base_url=address, raise_server_exceptions=False) as client:
        headers = {"authorization": f"Bearer {TOKEN}"} if settings and settings.token else {}
        while wait and client.get("/healthz", headers=headers).status_code == 503:
            time.sleep(0.01)
        yield client


@pytest.fixture
def client():
    with client_of() as client:
        yield client


@pytest.fixture
def client_with_token():
    with client_of(Settings(token=TOKEN, hosts=None)) as client:
        yield client


def connect(client, path, **how):
    """A WebSocket; that of the client would go to a name of its own."""
    return client.websocket_connect(ADDRESS.replace("http", "ws") + path, **how)


def as_file(y, sr=SR, **how):
    file = io.BytesIO()
    soundfile.write(file, y, sr, **({"format": "WAV", "subtype": "FLOAT"} | how))
    return file.getvalue()


def listen(client, data, *, sr=SR, encoding="f32le", size=4000):
    """The messages that a stream of `data`, sent in messages of `size` bytes, gets."""
    with connect(client, f"/api/live?sr={sr}&format={encoding}") as socket:
        for at in range(0, len(data), size):
            socket.send_bytes(data[at : at + size])
        socket.send_text("end")
        return receive_all(socket)


def receive_all(socket):
    """The messages until the stream ends, which it does in order."""
    messages, (code, reason) = until_closed(socket)
    assert code == 1000, reason
    return messages


def until_closed(socket):
    """The messages until the stream ends, and the code and line with which it does."""
    messages = []
    while True:
        try:
            messages.append(socket.receive_json())
        except WebSocketDisconnect as error:
            return messages, (error.code, error.reason)


def refusal(client, *sent, query=f"sr={SR}"):
    """Code and line with which a stream is closed that sends `sent`."""
    with connect(client, f"/api/live?{query}") as socket:
        for message in sent:
            (socket.send_text if isinstance(message, str) else socket.send_bytes)(message)
        _, (code, reason) = until_closed(socket)
    assert "\n" not in reason
    return code, reason


def plain(events):
    return [(event.label, event.start_s, event.end_s, event.confidence, event.is_unsure) for event in events]


def plain_messages(messages):
    return [tuple(m[key] for key in ("class", "start_s", "end_s", "confidence", "unsure")) for m in messages]


def test_a_recording_gets_what_predict_prints(client, tmp_path, monkeypatch, capsys):
    (tmp_path / "street.wav").write_bytes(as_file(scene()))
    monkeypatch.setattr(predict, "open_model", lambda path: tone_model())
    monkeypatch.setattr(predict, "obtain_model", lambda wanted, revision, scratch: None)
    monkeypatch.chdir(tmp_path)
    predict.main(["street.wav", "--json"])
    expected = read_lines(capsys.readouterr().out)
    answer = client.post("/api/events?file=street.wav", content=as_file(scene()))
    assert answer.status_code == 200
    assert answer.json()["events"] == expected
    assert {key: answer.json()[key] for key in ("file", "duration_s", "problem", "spectrogram")} == {
        "file": "street.wav", "duration_s": 9.0, "problem": None, "spectrogram": None,
    }  # fmt: skip


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF"])
def test_recordings_are_recognised_by_their_content(client, tmp_path, form):
    """The upload has neither a name nor a type."""
    data = as_file(scene(44100), 44100, format=form, subtype=None)
    (tmp_path / f"a.{form.lower()}").write_bytes(data)
    found = client.post("/api/events", content=data).json()["events"]
    assert plain_messages(found) == plain(detect(tmp_path / f"a.{form.lower()}", tone_model()))


def test_the_spectrogram_shows_the_tones_where_they_are(client):
    answer = client.post("/api/events?spectrogram=true", content=as_file(scene())).json()["spectrogram"]
    image = np.frombuffer(base64.b64decode(answer["values"]), np.uint8)
    image = image.reshape(answer["n_columns"], answer["n_bands"]).astype(float)
    assert answer["n_columns"] * answer["column_s"] == pytest.approx(9, abs=0.1)
    loud = image.max(axis=1) > 200
    times = answer["column_s"] * np.arange(len(loud))
    assert loud[(times > 1.1) & (times < 2.9)].all()
    assert loud[(times > 5.1) & (times < 6.4)].all()
    assert not loud[(times > 3.2) & (times < 4.8)].any()
    low, high = (image[(times > start) & (times < end)].mean(axis=0).argmax() for start, end in ((1, 3), (5, 6.5)))
    assert low < high


def test_of_a_recording_that_breaks_off_the_events_so_far_come_with_the_reason(client):
    data = as_file(scene(), subtype="PCM_16")
    answer = client.post("/api/events", content=data[: len(data) // 2])
    assert answer.status_code == 200
    assert re.search(r"^.* claims? .*; the events are those of what could be read$", answer.json()["problem"])
    assert [event["class"] for event in answer.json()["events"] if not event["unsure"]] == ["low"]


NOISE = np.random.default_rng(0).bytes(5000)
REFUSED = {
    "nothing": ({"content": b""}, 400, "the request has no body; send the recording: curl --data-binary @FILE"),
    "garbage": ({"content": NOISE}, 422, "recording: cannot be read as audio (Format not recognised, or incomplete)"),
    "no sample": ({"content": as_file(np.zeros(0))}, 422, "recording: holds no sample"),
    "not finite": ({"content": as_file(np.full(9000, np.nan))}, 422, "recording: a sample after 0.0 s is not a finite"),
    "a form": ({"files": {"file": b"x"}}, 415, "send the recording as the body itself: curl --data-binary @FILE"),
    "too large": ({"content": bytes(300_001)}, 413, "the recording has more than 300,000 bytes, which is the limit"),
    "too large, of unknown length": ({"content": iter([bytes(200_000)] * 2)}, 413, "the recording has more than"),
    "too long": ({"content": as_file(np.zeros(21 * 1000, np.float32), 1000)}, 413, "recording: is longer than 20 s"),
    "channels": ({"content": as_file(np.zeros((9, 33)))}, 422, "recording: has 33 channels, expected at most 32"),
    "a long name": ({"content": b"x", "params": {"file": "x" * 256}}, 422, "file: String should have at most 255"),
    "no choice": ({"content": b"x", "params": {"spectrogram": "maybe"}}, 422, "spectrogram: Input should be a valid"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_each_refusal_of_a_recording_is_a_status_and_a_line(case):
    request, status, line = REFUSED[case]
    with client_of(Settings(max_upload_bytes=300_000, max_length_s=20.0)) as client:
        answer = client.post("/api/events", **request)
        assert answer.status_code == status
        assert answer.json()["detail"].startswith(line)
        assert "\n" not in answer.json()["detail"]
        assert client.get("/healthz").json() == {"status": "ok", "streams": 0, "uploads": 0}


def test_no_path_comes_from_a_request(client, tmp_path):
    (tmp_path / "secret.wav").write_bytes(as_file(scene()))
    answer = client.post("/api/events", params={"file": str(tmp_path / "secret.wav")}, content=NOISE)
    assert answer.status_code == 422  # of what was sent
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/app.py"):
        assert client.get(path).status_code == 404


def test_too_many_recordings_at_once_are_refused(client, monkeypatch):
    monkeypatch.setattr(service, "MAX_UPLOADS", 0)
    answer = client.post("/api/events", content=b"x")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["detail"] == "0 recordings are in work, which is the limit; try again"


@pytest.mark.parametrize(
    ("then", "status", "line"),
    [("nothing", 408, "nothing came for 0.05 s"), ("http.disconnect", 400, "the connection broke off")],
)
def test_an_upload_that_stops_is_given_up(tmp_path, monkeypatch, then, status, line):
    monkeypatch.setattr(recordings, "SLOW_UPLOAD_S", 0.05)
    messages = [{"type": "http.request", "body": b"RIFF", "more_body": True}]

    async def receive():
        if messages:
            return messages.pop()
        if then == "nothing":
            await asyncio.sleep(5)
        return {"type": then}

    request = Request({"type": "http", "headers": []}, receive)
    with pytest.raises(HTTPException) as caught:
        asyncio.run(recordings.receive(request, tmp_path / "a", 1000))
    assert (caught.value.status_code, caught.value.detail) == (status, line)


def test_a_live_stream_gets_the_events_of_the_file_and_a_caption_for_each_segment(client, tmp_path):
    expected = plain(detect(scene(), tone_model(), sr=SR))
    messages = listen(client, scene().tobytes())
    ended = sorted(plain_messages([m for m in messages if m["type"] == "ended"]), key=lambda event: event[1:3])
    assert [event[:3] for event in ended] == [event[:3] for event in expected]
    np.testing.assert_allclose([event[3] for event in ended], [event[3] for event in expected], atol=1e-3)
    captions = [m for m in messages if m["type"] == "caption"]
    ends = [m["end_s"] for m in captions]
    assert ends == sorted(ends)
    assert np.diff(ends).max() < 0.6
    of_low = [m for m in captions if 2.0 < m["end_s"] < 2.9]
    assert of_low
    for message in of_low:
        assert message["state"] == "sound"
        assert [sound["class"] for sound in message["active"]] == ["low"]
        assert message["active"][0]["confidence"] == message["probabilities"]["low"]
        assert set(message["probabilities"]) == set(tone_model().metadata.classes)
        assert 0 > message["level_db"] > -30
    assert {m["state"] for m in captions if 4.0 < m["end_s"] < 4.9} == {"unsure"}


def test_an_event_is_told_when_it_begins(client):
    messages = [m for m in listen(client, scene().tobytes()) if m["type"] != "caption" and not m["unsure"]]
    assert [(m["type"], m["class"]) for m in messages] == [
        ("began", "low"), ("ended", "low"), ("began", "high"), ("ended", "high"),
    ]  # fmt: skip
    assert messages[0]["start_s"] == messages[1]["start_s"]
    assert messages[0]["end_s"] < messages[1]["end_s"]
    assert messages[0]["id"] == messages[1]["id"] != messages[2]["id"] == messages[3]["id"]


def test_silence_is_silence(client):
    captions = [m for m in listen(client, bytes(4 * 5 * SR)) if m["type"] == "caption"]
    assert captions
    assert {(m["state"], len(m["active"])) for m in captions} == {("silence", 0)}
    json.dumps(captions, allow_nan=False)


@pytest.mark.parametrize("size", [1001, 7, 1_000_000])
def test_samples_may_be_split_anywhere(client, size):
    y = scene()[:SR] if size == 7 else scene()
    assert listen(client, y.tobytes(), size=size) == listen(client, y.tobytes())


def test_other_formats_and_rates(client):
    y = np.round(scene(200_000) * 32767).astype("<i2")
    messages = listen(client, y.tobytes(), sr=200_000, encoding="s16le", size=200_000)
    assert [m["class"] for m in messages if m["type"] == "ended" and not m["unsure"]] == ["low", "high"]


def test_a_stream_without_a_sample_ends_in_order(client):
    assert listen(client, b"") == []
    assert listen(client, b"\x00\x00\x00") == []  # less than one


STREAMS_REFUSED = {
    "rate": ([], "sr=2000000", 1007, "sr: expected 1000 to 1000000 Hz, found '2000000'"),
    "no rate": ([], "sr=x", 1007, "sr: expected 1000 to 1000000 Hz, found 'x'"),
    "format": ([], "format=mp3", 1007, "format: expected u8, s16le, s24le, s32le, f32le, found 'mp3'"),
    "text": (["hello"], f"sr={SR}", 1007, "expected samples as binary messages, or the text 'end'"),
    "a file": ([as_file(scene())], f"sr={SR}", 1007, "expected raw samples, found a file (WAV or AVI)"),
    "garbage": ([NOISE], f"sr={SR}", 1007, "a sample after 0.0 s is not a finite number"),
}


@pytest.mark.parametrize("case", STREAMS_REFUSED)
def test_each_refusal_of_a_stream_is_a_code_and_a_line(client, case):
    sent, query, code, line = STREAMS_REFUSED[case]
    found = refusal(client, *sent, query=query)
    assert found[0] == code
    assert found[1].startswith(line)
    assert client.get("/healthz").json()["streams"] == 0


def test_a_stream_too_many_is_refused_until_another_ends():
    with client_of(Settings(max_streams=1)) as client:
        with connect(client, f"/api/live?sr={SR}") as first:
            first.send_bytes(scene().tobytes()[:40000])
            assert first.receive_json()["type"]
            assert refusal(client) == (1013, "1 streams are open, which is the limit; try again later")
        deadline = time.monotonic() + 5
        while client.get("/healthz").json()["streams"] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert listen(client, scene().tobytes())


def test_a_client_that_sends_nothing_is_closed(client, monkeypatch):
    monkeypatch.setattr(live, "SILENT_CLIENT_S", 0.05)
    assert refusal(client) == (1008, "no samples came for 0.05 s")


def test_a_model_that_fails_closes_the_stream_with_its_line(client):
    broken = replace(tone_model(), score=lambda segments: np.full((len(segments), 3), np.nan, np.float32))
    with client_of(open_model=lambda: broken) as client:
        code, line = refusal(client, scene().tobytes())
        assert code == 1011
        assert "gives probabilities that are not finite" in line
        assert client.post("/api/events", content=as_file(scene())).status_code == 500


def test_the_model_is_described(client):
    found = client.get("/api/model").json()
    metadata = tone_model().metadata
    assert found["classes"] == metadata.classes
    assert found["synthetic"] is True
    assert set(found["thresholds"]) == set(metadata.classes)
    assert min(found["thresholds"].values()) >= 0.5


def test_without_a_model_the_line_says_why_until_there_is_one(monkeypatch, capsys):
    monkeypatch.setattr(service, "RETRY_S", 0.0)
    there = threading.Event()

    def open_model():
        if not there.is_set():
            raise ModelError("data/models: holds no model; run 'dvc repro train'")
        return tone_model()

    with client_of(open_model=open_model, wait=False) as client:
        while (answer := client.get("/api/model")).json()["detail"] == service.OPENING:
            time.sleep(0.01)
        assert answer.status_code == 503
        assert answer.json()["detail"] == "data/models: holds no model; run 'dvc repro train'"
        assert client.get("/healthz").status_code == 503
        assert client.post("/api/events", content=b"x").status_code == 503
        assert refusal(client) == (1013, "data/models: holds no model; run 'dvc repro train'")
        assert client.get("/").status_code == 200
        there.set()
        while (answer := client.get("/api/model")).status_code == 503:
            time.sleep(0.01)
        assert answer.json()["name"] == "fold_3"
    assert capsys.readouterr().err.count("error: data/models: holds no model") == 1


def denial(client, path, **headers):
    with (
        pytest.raises(WebSocketDenialResponse) as caught,
        connect(client, path, headers={name.replace("_", "-"): value for name, value in headers.items()}),
    ):
        pass
    return caught.value.status_code, caught.value.json()["detail"]


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:9999", "https://127.0.0.1", "null"])
def test_another_page_is_refused(client, origin):
    line = f"another page ({origin}) may not use this; start it with --origin to allow that"
    assert denial(client, "/api/live", origin=origin) == (403, line)
    answer = client.post("/api/events", content=as_file(scene()), headers={"origin": origin})
    assert (answer.status_code, answer.json()["detail"]) == (403, line)


def test_the_page_itself_and_allowed_ones_are_not_refused():
    with client_of(Settings(origins=frozenset({"https://home.example"}))) as client:
        for origin in (ADDRESS, "https://home.example", "https://HOME.example"):
            with connect(client, "/api/live", headers={"origin": origin}) as socket:
                socket.send_text("end")
                assert receive_all(socket) == []


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "[::1", ""])
def test_a_name_that_was_made_to_lead_here_is_refused(client, host):
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith(f"is not {host!r}: open it as 127.0.0.1 or localhost")


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8000"])
def test_names_of_this_machine_are_not_refused(client, host):
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/model", "/healthz", "/api/openapi.json", "/none"])
def test_without_the_token_nothing_is_served(client_with_token, path):
    for query in ("", "?token=wrong"):
        answer = client_with_token.get(path + query, follow_redirects=False)
        assert answer.status_code == 401
        assert answer.json()["detail"].startswith("needs the token: open the address that the program printed")
    assert denial(client_with_token, "/api/live")[0] == 401
    assert denial(client_with_token, "/api/live", authorization="Bearer wrong")[0] == 401
    assert client_with_token.post("/api/events", content=b"x").status_code == 401


def test_the_token_in_the_address_becomes_a_cookie(client_with_token):
    answer = client_with_token.get(f"/?token={TOKEN}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "./")
    assert re.search("HttpOnly.*SameSite=strict", answer.headers["set-cookie"])
    assert client_with_token.get("/").text.startswith("<!doctype html>")
    assert client_with_token.get("/api/model").status_code == 200
    with connect(client_with_token, "/api/live") as socket:
        socket.send_text("end")
        assert receive_all(socket) == []


def test_programs_send_the_token_in_a_header_or_the_address(client_with_token):
    answer = client_with_token.get("/api/model", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert client_with_token.get(f"/api/model?token={TOKEN}").status_code == 200
    with connect(client_with_token, f"/api/live?token={TOKEN}") as socket:
        socket.send_text("end")
        assert receive_all(socket) == []


def test_every_answer_forbids_what_the_page_does_not_need(client):
    for answer in (client.get("/"), client.get("/none"), client.get("/static/main.js"), client.get("/api/model")):
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == policy["style-src"] == "'self'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_page_needs_nothing_inline_and_nothing_from_elsewhere(client):
    page = client.get("/").text
    assert not re.search(r"\s(on\w+|style)=", page)
    assert not re.search(r"<script(?! type=\"module\" src=)|<style", page)
    for name in re.findall(r"(?:src|href)=\"([^\"#]+)\"", page):
        assert client.get(f"/{name}").status_code == 200, name
    for path in STATIC.iterdir():
        text = path.read_text()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path
        assert ".innerHTML" not in text
        for module in re.findall(r"from \"\./([^\"]+)\"", text):
            assert (STATIC / module).is_file(), module
        if path.suffix == ".js":
            assert "javascript" in client.get(f"/static/{path.name}").headers["content-type"]


def test_every_element_that_a_script_asks_for_is_on_the_page():
    page = (STATIC / "index.html").read_text()
    ids = re.findall(r"\sid=\"([^\"]+)\"", page)
    assert len(ids) == len(set(ids))
    for path in STATIC.glob("*.js"):
        assert set(re.findall(r"byId\(\"([^\"]+)\"\)", path.read_text())) <= set(ids), path
    labels = re.findall(r"(?:aria-labelledby|for)=\"([^\"]+)\"", page)
    assert set(labels) <= set(ids)


def test_the_api_describes_itself_and_loads_nothing_from_elsewhere(client):
    found = client.get("/api/openapi.json").json()
    assert set(found["paths"]) == {"/api/events", "/api/model", "/healthz"}
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def test_a_proxy_may_put_it_below_a_path():
    """The page asks for all by relative addresses."""
    app = make_app(tone_model, Settings(), tone_model)
    with TestClient(app, base_url=ADDRESS, root_path="/ear") as client:
        assert client.get("/ear/").status_code == 200
        assert client.get("/ear/static/main.js").status_code == 200
        assert client.get("/ear/api/openapi.json").json()["servers"] == [{"url": "/ear"}]
    for path in STATIC.iterdir():
        assert not re.search(r"(?:src|href)=\"/|fetch\(\"/|open\(\"[A-Z]+\", [`\"]/", path.read_text()), path


class Hook(BaseHTTPRequestHandler):
    """Another program; answers with the statuses that the server has, the last one over and over."""

    def do_POST(self):
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hook(monkeypatch):
    monkeypatch.setattr(webhook, "WAITS_S", (0.01, 0.01))
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        server.bodies, server.statuses = [], [200]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_events_are_posted(hook):
    with client_of(Settings(webhook=f"http://127.0.0.1:{hook.server_port}/hook")) as client:
        sent = [m for m in listen(client, scene().tobytes()) if m["type"] != "caption"]
    times = [body.pop("time") for body in hook.bodies]
    assert hook.bodies == sent
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", time) for time in times)


@pytest.mark.parametrize(
    ("statuses", "n_posts", "line"),
    [
        ([500, 503, 200], 3, ""),
        ([500], 3, "answers 500; events are lost until it answers"),
        ([404], 1, "answers 404; events are lost until it answers"),
    ],
)
def test_posts_are_tried_again_where_that_may_help(hook, capsys, statuses, n_posts, line):
    hook.statuses = statuses
    with client_of(Settings(webhook=f"http://127.0.0.1:{hook.server_port}/hook")) as client:
        listen(client, scene()[: 3 * SR].tobytes())  # one event begins and ends
        deadline = time.monotonic() + 5
        while len(hook.bodies) < n_posts and time.monotonic() < deadline:
            time.sleep(0.01)
    first = [body for body in hook.bodies if body == hook.bodies[0]]
    assert len(first) == n_posts
    err = capsys.readouterr().err
    assert line in err
    assert err.count("--webhook") == (1 if line else 0)


def test_a_hook_that_does_not_answer_is_named_once_and_captions_do_not_wait(monkeypatch, capsys):
    monkeypatch.setattr(webhook, "WAITS_S", (0.01, 0.01))
    with client_of(Settings(webhook="http://127.0.0.1:9/hook")) as client:
        assert any(m["type"] == "ended" for m in listen(client, scene().tobytes()))
    assert re.fullmatch(
        r"error: --webhook http://127\.0\.0\.1:9/hook: does not answer \(ConnectionError\); events are lost .*\n",
        capsys.readouterr().err,
    )


def test_of_events_that_wait_too_long_the_oldest_are_given_up():
    posts = webhook.Webhook("http://127.0.0.1:9")
    for i in range(webhook.MAX_WAITING + 5):
        posts.put({"i": i})
    assert posts._waiting.qsize() == webhook.MAX_WAITING
    assert posts._waiting.get_nowait() == {"i": 5}


OPTIONS_REFUSED = {
    "a certificate alone": (["--certificate", "a.pem"], "--certificate and --key belong together"),
    "port": (["--port", "65536"], "expected a whole number from 0 to 65535, found '65536'"),
    "origin": (["--origin", "https://a.example/path"], "expected scheme, name and port alone"),
    "webhook": (["--webhook", "home.example"], "expected an address such as https://home.example/hook"),
    "root path": (["--root-path", "ear/"], "--root-path begins with / and does not end with it, found 'ear/'"),
    "a revision's file": (["--rev", "v1", "--model", "x.keras"], "--rev takes a name for --model, not a file"),
    "streams": (["--max-streams", "0"], "expected a whole number from 1 to 1000, found '0'"),
}


@pytest.mark.parametrize("case", OPTIONS_REFUSED)
def test_options_that_cannot_be_are_refused(case, capsys):
    options, line = OPTIONS_REFUSED[case]
    with pytest.raises(SystemExit):
        parse_args(options, "")
    assert line in capsys.readouterr().err


def test_beyond_this_machine_there_is_a_token(monkeypatch):
    monkeypatch.delenv("EAR_LISTEN_TOKEN", raising=False)
    for options in (["--host", "0.0.0.0"], ["--host", "ear.local"], ["--origin", "https://home.example"]):
        settings = parse_args(options, "").settings
        assert len(settings.token) > 30
        assert settings.token != parse_args(options, "").settings.token
    for options in ([], ["--host", "localhost"], ["--host", "::1"], ["--host", "127.0.0.2"]):
        assert parse_args(options, "").settings.token is None


def test_the_token_can_be_chosen_and_must_be_long(monkeypatch, capsys):
    monkeypatch.setenv("EAR_LISTEN_TOKEN", TOKEN)
    assert parse_args(["--host", "0.0.0.0"], "").settings.token == TOKEN
    monkeypatch.setenv("EAR_LISTEN_TOKEN", "short")
    with pytest.raises(SystemExit):
        parse_args(["--host", "0.0.0.0"], "")
    assert "EAR_LISTEN_TOKEN: expected at least 16 characters, found 5" in capsys.readouterr().err


def test_the_model_of_a_revision_is_used_and_named(monkeypatch, capsys):
    def obtain(wanted, revision, scratch):
        assert (wanted, revision) == ("fold_3", "v1")
        path = scratch / "fold_3.keras"
        path.touch()
        return path

    def open_copy(path):
        assert path.is_file()
        return tone_model()

    monkeypatch.setattr(command, "obtain_model", obtain)
    monkeypatch.setattr(command, "open_model", open_copy)
    assert command.prepare_model("fold_3", "v1").path.stem == "fold_3"
    assert capsys.readouterr().err == (
        "listen: model fold_3 of v1, trained on Tones (synthetic) without fold 3, no head for frames: "
        "begin and end of events are those of whole segments\n"
    )
