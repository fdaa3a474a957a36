"""Downloads that resume where they were cut off, and get their name only once they are complete and checked.

pooch requests and streams: proxies, time-outs and a body that ends early are its part. `pooch.retrieve` discards what
it has when a connection breaks, and retries errors that will not pass; with 6 GB over a home connection that matters.
So this module keeps what has arrived, asks the server for the rest, and decides what is worth a retry.
"""

import email.utils
import hashlib
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import filelock
import pooch
import requests

from stages.lib.core.errors import SourceError, one_line
from stages.lib.core.files import check_space, read_json, write_json
from stages.lib.core.progress import progress

N_TRIES = 5
WAIT_S = 1.0  # before the first retry; doubled for each further one, unless the server says how long
MAX_WAIT_S = 60.0  # even where the server asks for more
TIMEOUT_S = 30.0  # without a byte
CHUNK_BYTES = 1 << 18  # the most that is lost of a connection that breaks
TEMPORARY_STATUSES = (408, 425, 429, 500, 502, 503, 504)


class _Refused(Exception):
    """What arrived is not the file, and a retry would not change that."""


def download(
    address: str,
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
    """Download the file at `address` into `folder`; returns its path.

    It is compared with `known_hash`, such as "md5:9aa6..." or "sha256:10c9...", or without one passed to `check`, which
    raises `SourceError` where it is not what it should be. A file that is already there is not downloaded again; what
    an earlier call left unfinished is resumed. `size_bytes` serves the progress bar where the server does not tell.
    `n_tries` are made, `wait_s` seconds apart at first and doubling; `timeout_s` is how long the server may be silent.
    Raises `SourceError` where the file cannot be downloaded, with the reason and what to do `otherwise`.
    """
    key = known_hash.partition(":")[2] if known_hash else hashlib.sha256(address.encode()).hexdigest()[:32]
    path = folder / f"{key}-{Path(unquote(urlsplit(address).path)).name or 'download'}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            if path.is_file() and known_hash in (None, known_hash and hash_like(path, known_hash)):
                print(f"{path.name}: already in {folder}")
                return path
            part = _Part(path, known_hash, check, size_bytes)
            try:
                _complete(part, address, n_tries, wait_s, timeout_s)
            except (_Refused, requests.RequestException) as error:
                raise SourceError(
                    f"{path.name}: cannot be downloaded from {address}: {_reason(error)}; run again later (what has "
                    f"arrived is kept), or {otherwise}"
                ) from None
            os.replace(part.path, path)
            part.remove()
            return path
    except OSError as error:
        raise SourceError(
            f"{error.filename or folder}: {error.strerror or error}; downloads are kept in {folder}, set EAR_CACHE to "
            "another folder"
        ) from None


def hash_like(path: Path, known_hash: str) -> str:
    """The hash of a file by the algorithm of `known_hash`, in the same notation."""
    algorithm = known_hash.partition(":")[0]
    return f"{algorithm}:{pooch.file_hash(path, alg=algorithm)}"


def _locked(path: Path) -> AbstractContextManager[object]:
    """A lock on `path` between processes: two experiments in a queue may want the same file."""
    lock = filelock.FileLock(path.with_name(f"{path.name}.lock"))
    try:
        return lock.acquire(timeout=0)
    except filelock.Timeout:
        print(f"{path.name}: waiting for another process that downloads it", flush=True)
        return lock.acquire()


def _complete(part: "_Part", address: str, n_tries: int, wait_s: float, timeout_s: float) -> None:
    """Complete `part` from `address`; raises `_Refused`, or what requests raises at the last try."""
    for n_left in range(n_tries - 1, -1, -1):
        resumed = part.n_bytes(address)
        try:
            part.stream(address, timeout_s)
            part.check()
            return
        except requests.RequestException as error:
            if n_left == 0 or not _is_temporary(error):
                raise
            pause_s = min(_requested_pause(error.response) or wait_s * 2 ** (n_tries - 1 - n_left), MAX_WAIT_S)
            print(f"{address}: {_reason(error)}; next try in {pause_s:g} s, {n_left} left", flush=True)
            time.sleep(pause_s)
        except _Refused as error:
            part.remove()
            if not resumed or n_left == 0:
                raise
            # The two halves do not match, since the file has changed on the server: once more from the start.
            print(f"{address}: {error}; starting again", flush=True)


class _Part:
    """What has arrived of a download so far, as a file that pooch writes to, and a note next to it on its origin."""

    def __init__(
        self, path: Path, known_hash: str | None, check: Callable[[Path], None], size_bytes: int | None
    ) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self._about_path = path.with_name(f"{path.name}.part.json")
        self._name, self._known_hash, self._check, self._size_bytes = path.name, known_hash, check, size_bytes

    def n_bytes(self, address: str) -> int:
        """How many bytes of the file at `address` are here: 0 where it is not certain that the rest would match."""
        if not self.path.is_file() or not self._about_path.is_file():
            return 0
        about, n_here = read_json(self._about_path), self.path.stat().st_size
        # With a hash a mismatch is found at the end. Without one the server has to vouch for it, by If-Range.
        matches = self._known_hash or (about["address"] == address and about["validator"])
        return n_here if matches and about["n_bytes"] and n_here <= about["n_bytes"] else 0

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

    def _begin(self, response: requests.Response, address: str, n_here: int, about: dict[str, Any]) -> None:
        """Look at the head of an answer before its body is read."""
        length = response.headers.get("Content-Length", "")
        n_to_come = int(length) if length.isdecimal() else None
        if response.status_code == 206:
            span = response.headers.get("Content-Range", "")
            if span != f"bytes {n_here}-{about['n_bytes'] - 1}/{about['n_bytes']}":
                raise _Refused(f"asked for the bytes from {n_here} of {about['n_bytes']}, got {span!r}")
            print(f"{self._name}: resuming after {n_here / 1e6:,.1f} MB", flush=True)
            self._bar.n = self._bar.initial = n_here
            self._bar.total = about["n_bytes"]
        elif response.status_code == 200:
            validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
            weak = validator is None or validator.startswith("W/")
            # Emptied before the note is written: the note on a new part must not describe an old one.
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
        """Called by pooch after each chunk, so that what has arrived is kept if the process is killed."""
        self._file.flush()

    def check(self) -> None:
        """Raise `_Refused` unless the file is what it should be."""
        if self._known_hash is None:
            try:
                self._check(self.path)
            except SourceError as error:
                raise _Refused(str(error)) from None
        elif (found := hash_like(self.path, self._known_hash)) != self._known_hash:
            raise _Refused(f"expected {self._known_hash}, got {found}, discarded: {describe_content(self.path)}")

    def remove(self) -> None:
        """Remove the part and the note on it."""
        self._about_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def describe_content(path: Path) -> str:
    """How large a file is and how it starts, which often shows what arrived in place of the right one."""
    with path.open("rb") as file:
        start = file.read(60).decode(errors="replace")
    return f"{path.stat().st_size:,} bytes that start with {start!r}"


def _is_temporary(error: requests.RequestException) -> bool:
    if isinstance(error, requests.exceptions.SSLError | ValueError):  # ValueError: not a valid address
        return False
    return error.response is None or error.response.status_code in TEMPORARY_STATUSES


def _requested_pause(response: requests.Response | None) -> float:
    """The seconds that the header Retry-After asks for, as a number or a date; 0 without one."""
    text = "" if response is None else response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    with suppress(TypeError, ValueError):  # not a date, or one without a time zone
        return max(0.0, (email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    return 0.0


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError):
        return f"status {error.response.status_code} {error.response.reason}".strip()
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return one_line(error)[:300]
