"""The application: routes by subject, the page, and one line for each error."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from stages.commands.listen import about, learning, live, recordings, takes
from stages.commands.listen.access import Access
from stages.commands.listen.options import Settings
from stages.commands.listen.service import Service
from stages.lib.core.errors import EarError, one_line
from stages.lib.inference.runtime import Model

STATIC = Path(__file__).parent / "static"


def make_app(
    open_model: Callable[[], Model],
    settings: Settings,
    open_revision: Callable[[str], Model],
    learn: Sequence[str] = learning.COMMAND,
    give_up: Callable[[EarError], None] | None = None,
) -> FastAPI:
    """The application; `open_model` is called once it runs, in a thread, and `give_up` with the reason where it fails.

    With `settings.recordings` the command `learn` learns these, and `open_revision` opens the model of its experiment.
    """
    service = Service(open_model, settings, give_up)
    learner = (
        None if settings.recordings is None else learning.Learning(service, settings.recordings, open_revision, learn)
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            await running.enter_async_context(service.run())
            if learner is not None:
                await running.enter_async_context(learner.run())
            yield

    # Its pages of documentation would load code from another site.
    app = FastAPI(title="urban-ear", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json", lifespan=lifespan)
    for part in (about, recordings, live):
        app.include_router(part.make_router(service))
    if settings.recordings is not None and learner is not None:
        app.include_router(takes.make_router(service, settings.recordings))
        app.include_router(learning.make_router(service, learner))

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_middleware(Access, settings=settings)

    @app.exception_handler(RequestValidationError)
    async def refuse(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return JSONResponse({"detail": one_line(f"{where}: {first['msg']}")}, 422)

    return app
