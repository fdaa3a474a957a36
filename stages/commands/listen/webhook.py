"""Events posted to another program as JSON, such as to Home Assistant."""

import asyncio
import sys
from contextlib import suppress
from typing import Any

import requests

TIMEOUT_S = 5.0  # for one try
WAITS_S = (1.0, 5.0)  # seconds before the second and the third try
MAX_WAITING = 100  # events; of more the oldest are given up, since news of hours ago helps nobody
STOP_S = 2.0  # seconds that the end of the program waits for what is on its way


class Webhook:
    """Posts events one after the other, and never makes captions wait."""

    def __init__(self, url: str) -> None:
        """Take the address to post to."""
        self._url = url
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAX_WAITING)
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    def start(self) -> None:
        """Begin to post."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Post what waits, for `STOP_S` at most."""
        if self._task is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._waiting.join(), STOP_S)
            self._task.cancel()

    def put(self, message: dict[str, Any]) -> None:
        """Post `message` soon."""
        if self._waiting.full():
            self._waiting.get_nowait()
            self._waiting.task_done()
        self._waiting.put_nowait(message)

    async def _run(self) -> None:
        while True:
            message = await self._waiting.get()
            problem = await self._post(message)
            if problem and not self._failing:  # once, not for each event
                print(f"error: --webhook {self._url}: {problem}; events are lost until it answers", file=sys.stderr)
            self._failing = problem is not None
            self._waiting.task_done()

    async def _post(self, message: dict[str, Any]) -> str | None:
        """Post with retries; returns why it failed, None where it did not."""
        problem = None
        for wait_s in (0.0, *WAITS_S):
            await asyncio.sleep(wait_s)
            try:
                answer = await asyncio.to_thread(requests.post, self._url, json=message, timeout=TIMEOUT_S)
            except requests.RequestException as error:
                problem = f"does not answer ({type(error).__name__})"
                continue
            if answer.ok:
                return None
            problem = f"answers {answer.status_code}"
            if answer.status_code < 500 and answer.status_code != 429:
                return problem  # it will not like it the second time either
        return problem
