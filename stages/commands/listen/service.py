"""What all routes share: the model, threads to work in, and how many may work at once."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from fastapi import HTTPException

from stages.commands.listen.options import Settings
from stages.commands.listen.webhook import Webhook
from stages.lib.core.errors import EarError
from stages.lib.core.parallel import n_workers
from stages.lib.inference.runtime import Model

P = ParamSpec("P")
R = TypeVar("R")

MAX_UPLOADS = 4  # recordings at once, received ones and those in work: each may need memory and disk
RETRY_S = 5.0  # seconds from one try to open the model to the next
OPENING = "the model is being opened, which may take half a minute"


class Service:
    """The model, its threads, and what is in use."""

    def __init__(
        self, open_model: Callable[[], Model], settings: Settings, give_up: Callable[[EarError], None] | None = None
    ) -> None:
        """Prepare; `open_model` is called in a thread, so that the page is there at once.

        Where that fails `give_up` is called with the reason; without `give_up`, it is printed, and there may be a model
        later.
        """
        self.settings = settings
        self._give_up = give_up
        self.webhook = None if settings.webhook is None else Webhook(settings.webhook)
        self._open = open_model
        self._opening: asyncio.Future[None] | None = None
        self._model: Model | None = None
        self._previous: Model | None = None
        self._problem, self._tried = OPENING, 0.0
        # Streams have threads of their own: their captions do not wait for a recording of an hour.
        self._live = ThreadPoolExecutor(n_workers(), "live")
        self._uploads = ThreadPoolExecutor(1, "upload")
        self.n_streams = self.n_uploads = 0

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Open the model and post events for the block of a `with`."""
        self._start_opening()
        if self.webhook is not None:
            self.webhook.start()
        try:
            yield
        finally:
            if self.webhook is not None:
                await self.webhook.stop()
            for pool in (self._live, self._uploads):
                pool.shutdown(wait=False, cancel_futures=True)

    def require_model(self) -> Model:
        """The model. Raises `HTTPException` 503 while there is none, and tries again where it could not be opened."""
        if self._model is None:
            if self._opening is not None and self._opening.done() and time.monotonic() - self._tried > RETRY_S:
                self._start_opening()
            raise HTTPException(503, self._problem, {"Retry-After": "5"})
        return self._model

    def use(self, model: Model) -> None:
        """Let what begins from now on use `model`; the one before is kept."""
        self._model, self._previous = model, self._model

    def use_previous(self) -> None:
        """Change places of the model and the one before. Raises `HTTPException` 409 where there is none."""
        if self._previous is None:
            raise HTTPException(409, "there is no model before this one")
        self.use(self._previous)

    def model_names(self) -> tuple[str | None, str | None]:
        """The name of the model and of the one before, None where there is none."""
        model, previous = (None if one is None else one.path.stem for one in (self._model, self._previous))
        return model, previous

    def _start_opening(self) -> None:
        self._opening = asyncio.ensure_future(self._open_model())

    async def _open_model(self) -> None:
        try:
            model = await asyncio.to_thread(self._open)
            if self._model is None:
                self._model = model
            else:  # another was learnt meanwhile
                self._previous = model
        except EarError as error:
            if self._give_up is not None:
                self._give_up(error)
            elif str(error) != self._problem:  # once, not at each try
                print(f"error: {error}", file=sys.stderr, flush=True)
            self._problem = str(error)
        except Exception as error:  # a bug: without this line the page would wait for ever
            self._problem = f"the model cannot be opened ({type(error).__name__}); the terminal says more"
            raise
        finally:
            self._tried = time.monotonic()

    async def in_live_thread(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `function` in a thread for streams."""
        return await asyncio.get_running_loop().run_in_executor(self._live, partial(function, *args, **kwargs))

    async def in_upload_thread(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `function` in the thread for recordings, one after the other."""
        return await asyncio.get_running_loop().run_in_executor(self._uploads, partial(function, *args, **kwargs))

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream for the block of a `with`. Raises `HTTPException` 503 where there are too many."""
        if self.n_streams >= self.settings.max_streams:
            raise HTTPException(503, f"{self.n_streams} streams are open, which is the limit; try again later")
        self.n_streams += 1
        try:
            yield
        finally:
            self.n_streams -= 1

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Count a recording for the block of a `with`. Raises `HTTPException` 503 where there are too many."""
        if self.n_uploads >= MAX_UPLOADS:
            raise HTTPException(
                503, f"{self.n_uploads} recordings are in work, which is the limit; try again", {"Retry-After": "5"}
            )
        self.n_uploads += 1
        try:
            yield
        finally:
            self.n_uploads -= 1
