"""Downloads that go on where they were cut off, and get their name only once they are whole and right.

pooch requests and streams: proxies, time-outs and a body that ends early are its part. `pooch.retrieve` around it
throws away what it has when a connection breaks, and retries what cannot get better; with 6 GB over a house line that
matters. So this module keeps what has come, asks the server for the rest, and decides what is worth a retry.
"""

import email.utils
import hashlib
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import filelock
import pooch
import requests

from stages.lib.core.errors import SourceError
from stages.lib.core.files import check_space, read_json, write_json
from stages.lib.core.progress import progress

N_TRIES = 5  # at each address
WAIT_S = 1.0  # before the first retry; doubled for each further one, unless the server says how long
MAX_WAIT_S = 60.0  # even where the server asks for more
TIMEOUT_S = 30.0  # without a byte
CHUNK_BYTES = 1 << 18  # what is lost at most of a connection that breaks
PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that may be gone at the next try


class _Refused(Exception):
    """What came is not the file, and would not be at the next try."""


def cache_folder() -> Path:
    """Where downloads are kept: `EAR_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("EAR_CACHE") or pooch.os_cache("urban-ear")).expanduser()


def download(
    addresses: list[str],
    folder: Path,
    *,
    known_hash: str | None,
    check: Callable[[Path], None],
    otherwise: str,
    size_bytes: int | None = None,
    n_tries: int = N_TRIES,
    wait_s: float = WAIT_S,
    timeout_s: float = TIMEOUT_S,
) -> Path:
    """The file that can be had at each of `addresses` (the first that works is used), as a file in `folder`.

    It is compared with `known_hash`, such as "md5:9aa6..." or "sha256:10c9...", or without one given to `check`, which
    raises `SourceError` where it is not what it should be. What is there already is not downloaded again; what an
    earlier call began is gone on with. `size_bytes` serves the progress bar of a server that does not tell. `n_tries`
    are made at each address, `wait_s` seconds apart and then ever more; `timeout_s` is how long a server may be silent.
    Raises `SourceError` with the fault of each address, which ends with what to do `otherwise`.
    """
    key = known_hash.partition(":")[2] if known_hash else hashlib.sha256(addresses[0].encode()).hexdigest()[:32]
    path = folder / f"{key}-{Path(unquote(urlsplit(addresses[0]).path)).name or 'download'}"
    faults = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            if path.is_file() and known_hash in (None, hash_like(path, known_hash)):
                print(f"{path.name}: in {folder} already")
                return path
            part = _Part(path, known_hash, check, size_bytes)
            for address in addresses:
                try:
                    _bring(address, part, n_tries, wait_s, timeout_s)
                except (_Refused, requests.RequestException) as error:
                    faults.append(f"{address}: {_reason(error)}")
                    print(f"download failed: {faults[-1]}", flush=True)
                    continue
                os.replace(part.path, path)
                part.forget()
                return path
    except OSError as error:
        raise SourceError(
            f"{error.filename or folder}: {error.strerror or error}; downloads are kept in {folder}, set EAR_CACHE to "
            "another folder"
        ) from None
    raise SourceError(
        f"{path.name}: cannot be downloaded: {'; '.join(faults)}; run again later (what has come is kept), or "
        f"{otherwise}"
    )


def hash_like(path: Path, known_hash: str) -> str:
    """The hash of a file by the algorithm of `known_hash`, and written as that is."""
    algorithm = known_hash.partition(":")[0]
    return f"{algorithm}:{pooch.file_hash(path, alg=algorithm)}"


def _alone(path: Path) -> AbstractContextManager[object]:
    """A lock on `path` between processes: two experiments in a queue may want the same archive."""
    lock = filelock.FileLock(path.with_name(f"{path.name}.lock"))
    try:
        return lock.acquire(timeout=0)
    except filelock.Timeout:
        print(f"{path.name}: waiting for another process that downloads it", flush=True)
        return lock.acquire()


def _bring(address: str, part: "_Part", n_tries: int, wait_s: float, timeout_s: float) -> None:
    """Complete `part` from `address`; raises `_Refused` or what requests raises at the last try."""
    for n_left in range(n_tries - 1, -1, -1):
        begun = part.n_bytes(address)
        try:
            part.stream(address, timeout_s)
            part.check()
            return
        except requests.RequestException as error:
            if n_left == 0 or not _may_pass(error):
                raise
            pause_s = min(_asked_pause(error.response) or wait_s * 2 ** (n_tries - 1 - n_left), MAX_WAIT_S)
            print(f"{address}: {_reason(error)}; next try in {pause_s:g} s, {n_left} left", flush=True)
            time.sleep(pause_s)
        except _Refused as error:
            part.forget()
            if not begun or n_left == 0:
                raise
            # Two halves that do not fit each other, since the file has changed on the server: once more from the start.
            print(f"{address}: {error}; starting again", flush=True)


class _Part:
    """What has come of a download so far, as a file that pooch writes to; beside it a note on where it is from."""

    def __init__(
        self, path: Path, known_hash: str | None, check: Callable[[Path], None], size_bytes: int | None
    ) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self._about_path = path.with_name(f"{path.name}.part.json")
        self._name, self._known_hash, self._check, self._size_bytes = path.name, known_hash, check, size_bytes

    def n_bytes(self, address: str) -> int:
        """How many bytes of the file at `address` are here: 0 where it is not sure that the rest would fit to them."""
        if not self.path.is_file() or not self._about_path.is_file():
            return 0
        about, n_here = read_json(self._about_path), self.path.stat().st_size
        # With a hash a wrong fit is found out at the end. Without one the server has to vouch for it, by If-Range.
        fits = self._known_hash or (about["address"] == address and about["validator"])
        return n_here if fits and about["n_bytes"] and n_here <= about["n_bytes"] else 0

    def stream(self, address: str, timeout_s: float) -> None:
        """Let pooch append what is missing."""
        n_here = self.n_bytes(address)
        about = read_json(self._about_path) if n_here else {}
        if n_here and n_here == about["n_bytes"]:  # a run was stopped between the last byte and the check
            return
        headers = {"Accept-Encoding": "identity"}
        if n_here:
            headers["Range"] = f"bytes={n_here}-"
            if about["validator"] and about["address"] == address:
                headers["If-Range"] = about["validator"]
        hooks = {"response": lambda response, **_: self._begin(response, address, n_here, about)}
        self._bar = progress((), total=self._size_bytes or 0, desc=self._name, unit="B")
        self._bar.unit_scale = True
        fetch = pooch.HTTPDownloader(chunk_size=CHUNK_BYTES, timeout=timeout_s, headers=headers, hooks=hooks)
        with self.path.open("ab") as self._file, self._bar:
            fetch(address, self, None)

    def _begin(self, response: requests.Response, address: str, n_here: int, about: dict) -> None:
        """Look at the head of an answer before its body is read."""
        length = response.headers.get("Content-Length", "")
        n_to_come = int(length) if length.isdecimal() else None
        if response.status_code == 206:
            span = response.headers.get("Content-Range", "")
            if span != f"bytes {n_here}-{about['n_bytes'] - 1}/{about['n_bytes']}":
                raise _Refused(f"asked for the bytes from {n_here} of {about['n_bytes']}, got {span!r}")
            print(f"{self._name}: going on after {n_here / 1e6:,.1f} MB", flush=True)
            self._bar.n = self._bar.initial = n_here
            self._bar.total = about["n_bytes"]
        elif response.status_code == 200:
            validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
            weak = validator is None or validator.startswith("W/")
            # Before the bytes themselves: the note on an old part must not stand beside a new one.
            self.path.open("wb").close()
            write_json(
                self._about_path,
                {"address": address, "n_bytes": n_to_come, "validator": None if weak else validator},
            )
            self._bar.total = n_to_come or self._size_bytes
        elif response.status_code == 416:
            raise _Refused(f"the file has changed on the server, which has no bytes from {n_here} on")
        else:
            return  # a redirection, or an error that pooch raises
        check_space(self.path.parent, n_to_come or self._size_bytes or 0, f"{self._name} (EAR_CACHE moves it)")

    def write(self, chunk: bytes) -> None:
        """Take a chunk from pooch."""
        self._file.write(chunk)
        self._bar.update(len(chunk))

    def flush(self) -> None:
        """Called by pooch after each chunk, so that what has come is kept if the process is killed."""
        self._file.flush()

    def check(self) -> None:
        """Raise `_Refused` unless the file is what it should be."""
        if self._known_hash is None:
            try:
                self._check(self.path)
            except SourceError as error:
                raise _Refused(str(error)) from None
        elif (found := hash_like(self.path, self._known_hash)) != self._known_hash:
            raise _Refused(f"expected {self._known_hash}, got {found}, thrown away: {describe_content(self.path)}")

    def forget(self) -> None:
        """Remove the part and the note on it."""
        self._about_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def describe_content(path: Path) -> str:
    """How large a file is and how it starts, which often tells what came in the place of the right one."""
    with path.open("rb") as file:
        start = file.read(60).decode(errors="replace")
    return f"{path.stat().st_size:,} bytes that start with {start!r}"


def _may_pass(error: requests.RequestException) -> bool:
    if isinstance(error, requests.exceptions.SSLError | ValueError):  # ValueError: an address that is none
        return False
    return error.response is None or error.response.status_code in PASSING


def _asked_pause(response: requests.Response | None) -> float:
    """The seconds that the header Retry-After asks for, as a number or a date; 0 without one."""
    text = "" if response is None else response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    with suppress(TypeError, ValueError):  # no date, or one without a time zone
        return max(0.0, (email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    return 0.0


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError):
        return f"status {error.response.status_code} {error.response.reason}".strip()
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return " ".join(str(error).split())[:300]
