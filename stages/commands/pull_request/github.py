"""The few calls of GitHub's REST API that posting a report needs, with nothing but Python itself."""

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from stages.lib.core.errors import EarError

TIMEOUT_S = 30
WAITS_S = (1, 5)  # before another try, where the server failed and a second call does no harm
PER_PAGE = 100  # the most that the API gives


def read_token(right: str) -> str:
    """The token in GITHUB_TOKEN, which has the `right` in words. Raises `EarError` where there is none."""
    if token := os.environ.get("GITHUB_TOKEN"):
        return token
    raise EarError(f"GITHUB_TOKEN is not set; a token that may {right} is needed")


def repository(text: str) -> str:
    """The name of a repository, OWNER/NAME, as an option; raises `ValueError` where it is none."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", text):
        raise ValueError(text)
    return text


class GitHub:
    """One repository of it; every method raises `EarError` where the server refuses or cannot be reached."""

    def __init__(self, api: str, repository: str, token: str) -> None:
        """`api` is an address such as https://api.github.com, `repository` OWNER/NAME; `token` gives the rights."""
        address = urllib.parse.urlsplit(api)
        if address.scheme != "https" and address.hostname not in ("127.0.0.1", "localhost"):
            raise EarError(f"{api}: expected https, since a token is sent there; correct --api")
        self.root = f"{api.rstrip('/')}/repos/{repository}"
        self.token = token

    def get(self, path: str, **query: str) -> Any | None:
        """What is at a path below the repository, or None where there is nothing."""
        return self._call("GET", path + (f"?{urllib.parse.urlencode(query)}" if query else ""))

    def pages(self, path: str, **query: str) -> Iterator[Any]:
        """Every item of a list that comes in pages."""
        for page in range(1, 1000):
            items = self.get(path, **query, per_page=str(PER_PAGE), page=str(page)) or []
            yield from items
            if len(items) < PER_PAGE:
                return

    def post(self, path: str, **content: str) -> Any:
        """Create something."""
        return self._call("POST", path, content)

    def patch(self, path: str, **content: str) -> Any:
        """Change something."""
        return self._call("PATCH", path, content)

    def _call(self, method: str, path: str, content: dict[str, str] | None = None) -> Any | None:
        request = urllib.request.Request(
            f"{self.root}/{path}",
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
                "Content-Type": "application/json",
                "User-Agent": "urban-ear",
            },
        )
        for wait_s in (*WAITS_S, None):
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                    return json.load(response)
            except urllib.error.HTTPError as error:
                if error.code == 404 and method == "GET":
                    return None
                again, reason = error.code >= 500, f"{error.code} {error.reason}"
                error.close()
            except (OSError, ValueError, http.client.HTTPException) as error:
                again, reason = True, str(error)
            if wait_s is None or not again or method == "POST":  # a comment must not be made twice
                break
            time.sleep(wait_s)
        where = urllib.parse.urlsplit(request.full_url).path
        raise EarError(f"{method} {where}: {reason}; see the permissions of the token, and GitHub's status")
