"""Who may use the server: names, origins and the token of each request, and the headers of each answer.

A page of another site may send requests to any address that the browser reaches, this server included. It is refused
by its origin, which browsers tell and pages cannot change. A name that was made to lead here (DNS rebinding) is refused
by the name itself, and where the server is reached by more than this machine, a token is asked for.
"""

import secrets
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stages.commands.listen.options import Settings

COOKIE = "urban_ear_token"
COOKIE_S = 365 * 24 * 3600  # as long as browsers keep it at most
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # asked for again each time, so that an update of the program is one of the page
}


class Access:
    """Middleware that refuses what may not use the server, in one line with a status."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Guard `app`."""
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or hand it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._answer(scope)
        if answer is None:
            await self._app(scope, receive, send_with_headers)
        else:
            await answer(scope, receive, send_with_headers)

    def _answer(self, scope: Scope) -> Response | None:
        """What a request gets that is not handed on, None where it is."""
        headers = Headers(scope=scope)
        if problem := self._foreign(headers):
            return JSONResponse({"detail": problem}, 403)
        token = self._settings.token
        if token is None:
            return None
        connection = HTTPConnection(scope)
        in_address = dict(parse_qsl(connection.url.query)).get("token", "")
        is_page = scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")) in ("", "/")
        if is_page and _same(in_address, token):
            # Not kept in the address, where a shared screen or the history of the browser would show it.
            answer = RedirectResponse("./", 303)
            answer.set_cookie(
                COOKIE, token, max_age=COOKIE_S, httponly=True, samesite="strict", secure=self._settings.secure
            )
            return answer
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        given = (in_address, connection.cookies.get(COOKIE, ""), credentials if scheme.lower() == "bearer" else "")
        if any(_same(one, token) for one in given):
            return None
        return JSONResponse(
            {"detail": "needs the token: open the address that the program printed, with ?token= at its end"},
            401,
            {"WWW-Authenticate": "Bearer"},
        )

    def _foreign(self, headers: Headers) -> str | None:
        """Why a request is of another site, None where it is not."""
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if self._settings.hosts is not None and _name(host) not in self._settings.hosts:
            return f"is not {host!r}: open it as 127.0.0.1 or localhost, or start it with --host or --origin"
        if origin is None or origin.lower() in self._settings.origins or urlsplit(origin.lower()).netloc == host:
            return None
        return f"another page ({origin}) may not use this; start it with --origin to allow that"


def _same(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode(), token.encode())


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
