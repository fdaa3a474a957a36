import email.utils
import gzip
import hashlib
import io
import os
import re
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from stages.fetch.archives import check_archive
from stages.lib import download as module
from stages.lib.core.errors import SourceError
from stages.lib.download import download

N_BYTES = 3 * module.CHUNK_BYTES  # of the archive: three chunks, so that a cut in the last leaves two


def make_archive(seed: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("a.wav")
        info.size = N_BYTES
        tar.addfile(info, io.BytesIO(bytes([seed]) * N_BYTES))
    return packed.getvalue()


ARCHIVE, OTHER = make_archive(1), make_archive(2)
MD5 = hashlib.md5(ARCHIVE).hexdigest()
PAGE = b"<!DOCTYPE html><html>Under maintenance</html>"


class Server(ThreadingHTTPServer):
    """Answers request after request as `script` says, and the last entry from then on; keeps what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[str] = ["whole"]
        self.content = ARCHIVE
        self.etag: str | None = '"one"'
        self.asked: list[dict[str, str]] = []
        self.go_on = threading.Event()  # what an answer waits for

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files/sounds.tar.gz?download=1"

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.asked]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a connection that the client has given up."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        step = self.server.script[min(len(self.server.asked), len(self.server.script) - 1)]
        self.server.asked.append({"path": self.path, **self.headers})
        self.close_connection = True
        name, _, value = step.partition(" ")
        getattr(self, f"answer_{name}")(value)

    def head(self, status: int, **headers: str | int) -> None:
        self.send_response(status)
        for key, value in {"Connection": "close", **headers}.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()

    def answer_whole(self, n_sent: str) -> None:
        """The archive, or the rest that was asked for; with a number only so many bytes of it, then the line is cut."""
        content, start = self.server.content, 0
        fits = self.headers.get("If-Range") in (None, self.server.etag)
        if "Range" in self.headers and fits:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        etag = {"ETag": self.server.etag} if self.server.etag else {}
        if start:
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.head(206, Content_Length=len(content) - start, Content_Range=span, **etag)
        else:
            self.head(200, Content_Length=len(content), **etag)
        self.wfile.write(content[start:][: int(n_sent or len(content))])

    def answer_page(self, _: str) -> None:
        self.head(200, Content_Length=len(PAGE), Content_Type="text/html")
        self.wfile.write(PAGE)

    def answer_status(self, value: str) -> None:
        status, _, retry_after = value.partition(" ")
        self.head(int(status), Content_Length=0, **({"Retry_After": retry_after} if retry_after else {}))

    def answer_redirect(self, _: str) -> None:
        self.head(302, Location="/elsewhere", Content_Length=0)

    def answer_silent(self, _: str) -> None:
        self.head(200, Content_Length=len(ARCHIVE))
        self.wfile.write(ARCHIVE[:1000])
        self.wfile.flush()
        self.server.go_on.wait()

    def answer_pieces(self, _: str) -> None:
        self.head(200, Content_Length=len(ARCHIVE))
        for at in range(0, len(ARCHIVE), len(ARCHIVE) // 5):
            self.wfile.write(ARCHIVE[at : at + len(ARCHIVE) // 5])
            self.wfile.flush()

    def answer_held(self, _: str) -> None:
        """The first half, then the rest once the test allows it."""
        self.head(200, Content_Length=len(ARCHIVE))
        self.wfile.write(ARCHIVE[: len(ARCHIVE) // 2])
        self.wfile.flush()
        self.server.go_on.wait()
        self.wfile.write(ARCHIVE[len(ARCHIVE) // 2 :])

    def answer_unmeasured(self, n_sent: str) -> None:
        """No length and no chunks, so a client cannot see that the line was cut."""
        self.head(200)
        self.wfile.write(ARCHIVE[: int(n_sent)])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


def fetch(server: Server, folder: Path, md5: str | None = MD5, **options: object) -> Path:
    return download(
        server.address,
        folder,
        known_hash=md5 and f"md5:{md5}",
        check=check_archive,
        otherwise="set fetch.source",
        **{"wait_s": 0.01, "timeout_s": 20.0, **options},
    )


def test_a_download_has_its_name_only_when_it_is_whole_and_is_not_made_twice(tmp_path: Path, server: Server) -> None:
    path = fetch(server, tmp_path / "new/cache")

    assert path.name == f"{MD5}-sounds.tar.gz"
    assert path.read_bytes() == ARCHIVE
    assert [name for name in os.listdir(path.parent) if not name.endswith(".lock")] == [path.name]
    assert fetch(server, tmp_path / "new/cache") == path
    assert len(server.asked) == 1


def test_a_file_of_the_cache_that_has_changed_is_downloaded_anew(tmp_path: Path, server: Server) -> None:
    fetch(server, tmp_path).write_bytes(b"changed")
    assert fetch(server, tmp_path).read_bytes() == ARCHIVE
    assert len(server.asked) == 2


# What the server does, then the ranges that it is asked for, and what must be said of each retry.
N_KEPT = 2 * module.CHUNK_BYTES
RECOVERED = {
    "in pieces": (["pieces"], [None], []),
    "redirected": (["redirect", "whole"], [None, None], []),
    "503, then well": (
        ["status 503", "whole"],
        [None, None],
        ["status 503 Service Unavailable; next try in 0.01 s, 4"],
    ),
    "three kinds of trouble": (
        ["status 500", "status 502", "status 504", "whole"],
        [None] * 4,
        ["in 0.01 s, 4 left", "in 0.02 s, 3 left", "in 0.04 s, 2 left"],
    ),
    "cut off, goes on": (
        [f"whole {N_KEPT + 1000}", "whole"],
        [None, f"bytes={N_KEPT}-"],
        ["4 left", r"resuming after 0.5 MB"],
    ),
    "cut off twice": (
        [f"whole {module.CHUNK_BYTES + 1000}", f"whole {module.CHUNK_BYTES + 1000}", "whole"],
        [None, f"bytes={module.CHUNK_BYTES}-", f"bytes={N_KEPT}-"],
        ["4 left", "3 left"],
    ),
}


@pytest.mark.parametrize("case", RECOVERED)
def test_passing_trouble_is_got_over(tmp_path: Path, server: Server, capsys: pytest.CaptureFixture, case: str) -> None:
    server.script, ranges, lines = RECOVERED[case]

    assert fetch(server, tmp_path).read_bytes() == ARCHIVE
    assert server.ranges == ranges
    out = capsys.readouterr().out
    for line in lines:
        assert re.search(line, out)


def test_a_silent_server_is_given_up_and_asked_again(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture
) -> None:
    server.script = ["silent", "whole"]
    assert fetch(server, tmp_path, timeout_s=0.1).read_bytes() == ARCHIVE
    assert re.search("timed out.*4 left", capsys.readouterr().out)
    assert server.ranges == [None, None]


@pytest.mark.parametrize(("requested", "pause_s"), [("7", 7.0), ("999", module.MAX_WAIT_S)])
def test_the_server_sets_the_pause_up_to_a_limit(
    tmp_path: Path,
    server: Server,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    requested: str,
    pause_s: float,
) -> None:
    pauses = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    server.script = [f"status 429 {requested}", "whole"]

    assert fetch(server, tmp_path).read_bytes() == ARCHIVE
    assert pauses == [pause_s]
    assert f"status 429 Too Many Requests; next try in {pause_s:g} s, 4 left" in capsys.readouterr().out


FAILED = {
    "gone": (["status 404"], MD5, 1, r"status 404 Not Found"),
    "forbidden": (["status 403"], MD5, 1, r"status 403 Forbidden"),
    "never well": (["status 503"], MD5, 5, r"status 503 Service Unavailable"),
    "always cut off at the start": (["whole 10"], MD5, 5, r"Connection broken: IncompleteRead"),
    "a page instead": (
        ["page"],
        MD5,
        1,
        r"expected md5:\w+, got md5:\w+, discarded: 45 bytes that start with '<!DOCTYPE html>",
    ),
    "a page, and no md5 to tell": (["page"], None, 1, r"expected an archive, got 45 bytes that start with '<!DOCTYPE"),
    "cut where it cannot be seen": ([f"unmeasured {N_KEPT}"], None, 1, r"damaged or cut short"),
}


@pytest.mark.parametrize("case", FAILED)
def test_lasting_trouble_is_one_line_after_few_tries(tmp_path: Path, server: Server, case: str) -> None:
    server.script, md5, n_asked, match = FAILED[case]

    with pytest.raises(
        SourceError, match=rf"cannot be downloaded from {re.escape(server.address)}: .*{match}.*set fetch.source"
    ) as caught:
        fetch(server, tmp_path, md5)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == n_asked
    assert not list(tmp_path.glob("*.tar.gz"))


def test_a_gzip_that_is_broken_near_its_start_is_one_line(tmp_path: Path, server: Server) -> None:
    server.content = gzip.compress(os.urandom(1000))[:80]
    with pytest.raises(SourceError, match=r"cannot be downloaded from .*damaged or cut short") as caught:
        fetch(server, tmp_path, md5=None)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == 1


def test_wrong_bytes_are_thrown_away_at_once(tmp_path: Path, server: Server) -> None:
    server.content = OTHER
    with pytest.raises(SourceError, match=f"expected md5:{MD5}, got md5:{hashlib.md5(OTHER).hexdigest()}, discarded"):
        fetch(server, tmp_path)
    assert len(server.asked) == 1
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def stop_after_cut(server: Server, folder: Path, md5: str | None = MD5) -> None:
    """Begin a download that is given up after two thirds."""
    server.script = [f"whole {N_KEPT + 1000}"]
    with pytest.raises(SourceError, match="what has arrived is kept"):
        fetch(server, folder, md5, n_tries=1)
    assert not list(folder.glob("*.tar.gz"))
    server.script, server.asked = ["whole"], []


@pytest.mark.parametrize(
    ("md5", "etag", "asked"),
    [
        (MD5, '"one"', f"bytes={N_KEPT}-"),
        (MD5, None, f"bytes={N_KEPT}-"),  # the md5 would tell
        (None, '"one"', f"bytes={N_KEPT}-"),  # the server would tell, by If-Range
        (None, None, None),  # nobody would: from the start
        (None, 'W/"one"', None),
    ],
)
def test_a_later_run_goes_on_where_that_is_safe(
    tmp_path: Path, server: Server, md5: str | None, etag: str | None, asked: str | None
) -> None:
    server.etag = etag
    stop_after_cut(server, tmp_path, md5)

    assert fetch(server, tmp_path, md5).read_bytes() == ARCHIVE
    assert server.ranges == [asked]


def test_without_md5_a_file_that_changed_on_the_server_is_fetched_from_the_start(
    tmp_path: Path, server: Server
) -> None:
    stop_after_cut(server, tmp_path, None)
    server.content, server.etag = OTHER, '"two"'

    assert fetch(server, tmp_path, None).read_bytes() == OTHER
    assert server.asked[0]["If-Range"] == '"one"'


def test_halves_that_do_not_fit_are_fetched_from_the_start(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture
) -> None:
    server.content, server.etag = OTHER, None
    stop_after_cut(server, tmp_path)
    server.content = ARCHIVE

    assert fetch(server, tmp_path).read_bytes() == ARCHIVE
    assert server.ranges == [f"bytes={N_KEPT}-", None]
    assert "starting again" in capsys.readouterr().out


def test_a_run_stopped_before_the_check_asks_for_nothing(tmp_path: Path, server: Server) -> None:
    path = fetch(server, tmp_path)
    stop_after_cut(server, tmp_path / "other")
    part = next((tmp_path / "other").glob("*.part"))
    path.rename(part)
    server.asked = []

    assert fetch(server, tmp_path / "other").read_bytes() == ARCHIVE
    assert server.asked == []


def test_a_proxy_is_used(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    address = "http://sounds.example/a.tar"

    path = download(address, tmp_path, known_hash=f"md5:{MD5}", check=check_archive, otherwise="")
    assert path.read_bytes() == ARCHIVE
    assert server.asked[0]["path"] == address


def test_an_invalid_address(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot be downloaded from nonsense: Invalid URL 'nonsense'"):
        download("nonsense", tmp_path, known_hash=None, check=check_archive, otherwise="")


def test_a_file_may_be_known_by_its_sha256(tmp_path: Path, server: Server) -> None:
    sha256 = hashlib.sha256(ARCHIVE).hexdigest()
    options = {"check": check_archive, "otherwise": "set train.weights"}
    path = download(server.address, tmp_path, known_hash=f"sha256:{sha256}", **options)
    assert path.name == f"{sha256}-sounds.tar.gz"
    with pytest.raises(SourceError, match=rf"expected sha256:0+, got sha256:{sha256}, .*, or set train\.weights$"):
        download(server.address, tmp_path, known_hash=f"sha256:{'0' * 64}", **options)


def test_two_downloads_of_one_file_do_not_mix(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script = ["held"]
    waits = threading.Event()
    monkeypatch.setattr(module, "print", lambda text, **_: waits.set() if "waiting" in text else None, raising=False)
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(fetch(server, tmp_path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert waits.wait(30), "neither waits for the other"
    server.go_on.set()
    for thread in threads:
        thread.join()

    assert [path.read_bytes() for path in paths] == [ARCHIVE, ARCHIVE]
    assert len(server.asked) == 1


def test_full_disk_is_found_before(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    with pytest.raises(SourceError, match=r"EAR_CACHE moves it.*: needs 0.00 GB on the disk of"):
        fetch(server, tmp_path)


def test_a_cache_that_cannot_be_written_to(tmp_path: Path, server: Server) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(SourceError, match=r"cache: .*; downloads are kept in .*, set EAR_CACHE to another folder"):
        fetch(server, tmp_path / "cache")


@pytest.mark.parametrize(
    ("text", "least", "most"), [(None, 0, 0), ("7", 7, 7), ("nonsense", 0, 0), (30, 1, 31), (-30, 0, 0)]
)
def test_the_pause_that_a_server_asks_for(text: str | int | None, least: float, most: float) -> None:
    response = requests.Response()
    if isinstance(text, int):  # seconds from now, given as a date
        text = email.utils.formatdate(time.time() + text, usegmt=True)
    if text is not None:
        response.headers["Retry-After"] = text
    assert least <= module._requested_pause(response) <= most
