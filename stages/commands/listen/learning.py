"""Learning the sounds of the page: the learn command as a process of its own, and the model that comes of it.

One is learnt at a time. The model of before goes on listening until there is another, and stays at hand after that.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from stages.commands.dvc import end_session
from stages.commands.listen.service import Service
from stages.lib.core.errors import EarError
from stages.lib.inference.runtime import Model

COMMAND = (sys.executable, "-m", "stages.commands.learn")
GRACE_S = 15.0  # that the command has to end itself: more than it gives DVC
NICENESS = 10  # captions go first
TAIL_BYTES = 8192  # of the log, to look for its last lines
N_LINES = 20  # of the log that are told of a failure


class LearningAnswer(BaseModel):
    """What became of the last request to learn, and the models there are."""

    state: Literal["idle", "running", "done", "failed", "cancelled"]
    name: str | None  # of the experiment
    elapsed_s: float
    progress: str  # the newest line of the log
    result: list[str]  # what the model recognises, in sentences
    log: list[str]  # the last lines, of a failure
    model: str | None  # the model that listens
    previous: str | None  # the one before


class Learning:
    """The learn command on a folder of recordings."""

    def __init__(
        self, service: Service, folder: Path, open_revision: Callable[[str], Model], command: Sequence[str]
    ) -> None:
        """Learn `folder` by `command`; `open_revision` opens the model of an experiment and is called in a thread."""
        self._service, self._folder, self._open, self._command = service, folder, open_revision, command
        self._state: Literal["idle", "running", "done", "failed", "cancelled"] = "idle"
        self._name: str | None = None
        self._began = self._ended = 0.0
        self._result: list[str] = []
        self._problem: str | None = None
        self._log: Path
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Keep the log for the block of a `with`; a process that still runs ends with it."""
        with tempfile.TemporaryDirectory(prefix="urban-ear-") as folder:
            self._log = Path(folder) / "learning.log"
            try:
                yield
            finally:
                await self._end()

    def start(self) -> None:
        """Begin to learn. Raises `HTTPException` 409 where that is going on, and 503 where it cannot be started."""
        if self._state == "running":
            raise HTTPException(409, "sounds are being learnt already; wait for that, or cancel it")
        name = f"taught-{datetime.now():%Y%m%d-%H%M%S}"
        try:
            with self._log.open("wb") as log:
                process = subprocess.Popen(
                    [*self._command, str(self._folder.resolve()), "--name", name],
                    env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise HTTPException(503, f"learning cannot be started ({error.strerror})") from None
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        self._state, self._name, self._result, self._problem = "running", name, [], None
        self._began = time.monotonic()
        self._task = asyncio.ensure_future(self._follow(process, name))

    async def cancel(self) -> None:
        """End the process and what it started. Raises `HTTPException` 409 where there is none."""
        if self._state != "running":
            raise HTTPException(409, "nothing is being learnt")
        await self._end()

    def answer(self) -> LearningAnswer:
        """How it goes."""
        until = time.monotonic() if self._state == "running" else self._ended
        lines = [] if self._state == "idle" else self._last_lines()
        model, previous = self._service.model_names()
        return LearningAnswer(
            state=self._state,
            name=self._name,
            elapsed_s=round(until - self._began, 1),
            progress=lines[-1] if lines and self._state == "running" else "",
            result=self._result,
            log=[*lines, *([self._problem] if self._problem else [])] if self._state == "failed" else [],
            model=model,
            previous=previous,
        )

    async def _follow(self, process: subprocess.Popen[bytes], name: str) -> None:
        state: Literal["done", "failed", "cancelled"] = "failed"
        try:
            try:
                status = await asyncio.to_thread(process.wait)
            finally:
                await asyncio.to_thread(end_session, process, GRACE_S)  # with what it may have left
            if status < 0:
                self._problem = f"the process was ended by signal {-status}"
            elif status == 0:
                self._result = read_result(self._log)
                model = await asyncio.to_thread(self._open, name)
                # In every experiment the file is called `all`: the name of the experiment tells them apart.
                self._service.use(replace(model, path=Path(name)))
                state = "done"
        except asyncio.CancelledError:
            state = "cancelled"
        except EarError as error:
            self._problem = f"error: {error}"
        except Exception as error:  # a bug: without this line the page would wait for ever
            self._problem = f"the model cannot be opened ({type(error).__name__}); the terminal says more"
            raise
        finally:
            self._state, self._ended = state, time.monotonic()

    async def _end(self) -> None:
        if self._task is not None and not self._task.done():
            if not self._task.cancelling():  # a second time would keep it from waiting for the end of the process
                self._task.cancel()
            await asyncio.wait({self._task})

    def _last_lines(self) -> list[str]:
        """The last lines of the log, without blank ones; of a bar that moves, what it shows."""
        with self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = log.read().decode(errors="replace")
        return [line for line in map(str.strip, text.splitlines()) if line][-N_LINES:]


def read_result(log: Path) -> list[str]:
    """What the learn command says in the end: the sentences after its last blank line.

    The very last line names the command that uses the model, which the page does itself.
    """
    lines = log.read_text(encoding="utf-8", errors="replace").rstrip().split("\n\n")[-1].splitlines()
    return [line for line in lines if not line.startswith("model: ")]


def make_router(service: Service, learning: Learning) -> APIRouter:
    """The routes of learning, and of the choice between the model that it gave and the one before."""
    router = APIRouter()

    @router.get("/api/learning")
    async def state() -> LearningAnswer:
        """How it goes, and what came of it."""
        return learning.answer()

    @router.post("/api/learning", status_code=202)
    async def start() -> LearningAnswer:
        """Learn the recordings. Streams that begin once it is done use the new model."""
        learning.start()
        return learning.answer()

    @router.delete("/api/learning")
    async def cancel() -> LearningAnswer:
        """Stop learning."""
        await learning.cancel()
        return learning.answer()

    @router.post("/api/model/previous")
    async def previous() -> LearningAnswer:
        """Use the model before; asked again, the other one again."""
        service.use_previous()
        return learning.answer()

    return router
