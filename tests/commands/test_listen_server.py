"""The listen command as a program: its address, its end, and clients that behave badly."""

import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress

import numpy as np
import pytest
import soundfile
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from helpers.listen_program import running, start
from helpers.repository import ROOT
from helpers.tone_model import SR, scene, tone_model
from stages.lib.inference.detect import detect


@pytest.fixture(scope="module")
def address():
    with running() as address:
        yield address


def live(address, query=f"sr={SR}", **how):
    return connect(f"{address.replace('http', 'ws', 1)}api/live?{query}", compression=None, **how)


def listen(address, y, *, pace_s=0.0):
    """The messages that a stream of `y`, sent in tenths of a second, gets."""
    with live(address) as stream:
        for at in range(0, len(y), SR // 10):
            stream.send(y[at : at + SR // 10].tobytes())
            time.sleep(pace_s)
        stream.send("end")
        return [json.loads(message) for message in stream]  # until it is closed, by the code 1000


def closing_code(stream):
    """The code by which the program closes a stream, None where the connection broke."""
    try:
        while True:
            stream.recv(timeout=30)
    except ConnectionClosed as closed:
        return closed.rcvd and closed.rcvd.code


def ended(messages):
    return [(m["class"], m["start_s"], m["end_s"]) for m in messages if m["type"] == "ended"]


def n_streams(address):
    with urllib.request.urlopen(f"{address}healthz") as answer:
        return json.load(answer)["streams"]


def break_off(address):
    with live(address) as stream:
        stream.send(scene()[:SR].tobytes())
        stream.socket.close()  # without the handshake of an end


def send_garbage(address):
    with live(address) as stream:
        stream.send(np.random.default_rng(0).bytes(100_000))
        assert closing_code(stream) == 1007


def send_half_a_sample(address):
    with live(address) as stream:
        stream.send(b"\x00\x00")
        stream.send("end")
        assert closing_code(stream) == 1000


def send_no_websocket(address):
    host, port = re.match(r"http://([\d.]+):(\d+)/", address).groups()
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(b"\xff\xfe\x00garbage\r\n\r\n")
        raw.settimeout(10)
        raw.recv(1000)


def send_a_huge_message(address):
    with live(address) as stream:
        with suppress(ConnectionClosed):  # where it is refused before all of it is sent
            stream.send(bytes(4_000_000))
        assert closing_code(stream) in (1009, None)  # None: the connection broke before the frame that says why


def send_at_200_khz(address):
    with live(address, "sr=200000&format=s16le") as stream:
        stream.send(bytes(400_000))
        stream.send("end")
        assert closing_code(stream) == 1000


def read_nothing(address):
    with live(address, max_queue=1) as stream:
        stream.socket.settimeout(1)
        with suppress(OSError, ConnectionClosed):  # TimeoutError among them, when nothing fits in between any more
            for _ in range(20):
                stream.send(scene().tobytes())
        stream.socket.close()  # without the handshake of an end


BROKEN = {f.__name__: f for f in (
    break_off, send_garbage, send_half_a_sample, send_no_websocket, send_a_huge_message, send_at_200_khz, read_nothing
)}  # fmt: skip


def test_broken_clients_do_not_disturb_others(address):
    expected = [(event.label, event.start_s, event.end_s) for event in detect(scene(), tone_model(), sr=SR)]
    found, problems = [], []

    def disturb(client):
        try:
            client(address)
        except BaseException as problem:
            problems.append((client.__name__, problem))

    healthy = [
        threading.Thread(target=lambda: found.append(sorted(ended(listen(address, scene(), pace_s=0.02)))))
        for _ in range(2)
    ]
    broken = [threading.Thread(target=disturb, args=(client,)) for client in BROKEN.values()]
    for thread in (*healthy, *broken):
        thread.start()
    for thread in (*healthy, *broken):
        thread.join(60)
    assert problems == []
    assert found == [sorted(expected)] * 2
    deadline = time.monotonic() + 30
    while n_streams(address):
        assert time.monotonic() < deadline, "a stream was left open"
        time.sleep(0.05)


CURL = re.findall(r"^curl .*", (ROOT / "docs/listen.md").read_text(), flags=re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("line", CURL)
def test_the_lines_of_the_page_work(address, tmp_path, line):
    soundfile.write(tmp_path / "street.wav", scene(), SR, subtype="FLOAT")
    line = line.replace("http://127.0.0.1:8000/", address)
    done = subprocess.run(
        f"{line} --silent --show-error --fail", shell=True, cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    if "--data-binary" in line:
        assert [event["class"] for event in answer["events"] if not event["unsure"]] == ["low", "high"]


def test_lines_of_the_page_are_found():
    assert len(CURL) >= 3


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days",
         "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_https_and_the_token(certificate):
    token = "a-token-of-enough-length"
    pair = ("--certificate", str(certificate / "cert.pem"), "--key", str(certificate / "key.pem"))
    with running("--host", "0.0.0.0", *pair, EAR_LISTEN_TOKEN=token) as address:
        port = re.fullmatch(rf"https://[^/]+:(\d+)/\?token={token}", address)[1]
        trusted = ssl.create_default_context(cafile=certificate / "cert.pem")
        request = urllib.request.Request(
            f"https://127.0.0.1:{port}/api/model", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, context=trusted) as answer:
            assert json.load(answer)["name"] == "fold_3"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"https://127.0.0.1:{port}/", context=trusted)


def fails(*options):
    process = start(*options)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    return err


def test_a_port_in_use_is_named(address):
    port = re.search(r":(\d+)/", address)[1]
    err = fails("--port", port)
    assert err == f"error: 127.0.0.1:{port}: Address already in use; choose another with --host and --port\n"


@pytest.mark.parametrize("option", ["--model", "--rev"])
def test_a_model_that_was_named_and_is_not_there_ends_it(option):
    opened, error = fails("--port", "0", option, "nope").splitlines()
    assert opened.startswith("listen: open http://")
    assert error == "error: nope: no such model"


def test_without_any_model_it_stays_so_that_one_can_be_taught():
    process = start("--port", "0", UNTAUGHT="yes")
    try:
        opened, error = process.stderr.readline(), process.stderr.readline()
        assert error == "error: data/models: holds no model\n"
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(re.search(r"open (http\S+/)", opened)[1] + "healthz")
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_a_certificate_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "a.pem").write_text("no certificate")
    err = fails("--port", "0", "--certificate", str(tmp_path / "a.pem"), "--key", str(tmp_path / "a.pem"))
    assert re.fullmatch(r"error: .*a\.pem, .*a\.pem: cannot be used \(.*\)\n", err)
    err = fails("--port", "0", "--certificate", str(tmp_path / "b.pem"), "--key", str(tmp_path / "a.pem"))
    assert re.fullmatch(r"error: .*b\.pem, .*a\.pem: cannot be used \(No such file or directory\)\n", err)
