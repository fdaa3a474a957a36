"""Live streams over a WebSocket: samples come, captions and events go."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np
from fastapi import APIRouter, HTTPException, WebSocket, WebSocketDisconnect
from starlette.status import (
    WS_1000_NORMAL_CLOSURE,
    WS_1007_INVALID_FRAME_PAYLOAD_DATA,
    WS_1008_POLICY_VIOLATION,
    WS_1011_INTERNAL_ERROR,
    WS_1013_TRY_AGAIN_LATER,
)

from stages.commands.listen.service import Service
from stages.commands.listen.sessions import LiveSession
from stages.commands.predict.pcm import ENCODINGS
from stages.lib.core.errors import AudioError, EarError, ModelError
from stages.lib.inference.buffers import SR_HZ

MAX_MESSAGE = 1 << 20  # bytes of a message, five seconds of a microphone
SILENT_CLIENT_S = 30.0  # seconds without a message after which a stream ends: a microphone sends some in each
SLOW_CLIENT_S = 10.0  # seconds for which a client may take no message: what it lacks is kept in memory
MAX_REASON = 120  # bytes that the frame that closes a WebSocket has room for
END = "end"  # the text that ends a stream


def make_router(service: Service) -> APIRouter:
    """The route of live streams."""
    router = APIRouter()

    @router.websocket("/api/live")
    async def live(socket: WebSocket) -> None:
        """Caption a stream of raw samples of one channel, `sr` in Hz, `format` as ffmpeg names it."""
        await socket.accept()
        try:
            sr, encoding = read_query(socket)
            with service.stream():
                session = LiveSession(service.require_model(), sr, encoding)
                await Connection(service, socket, session).run()
        except HTTPException as error:  # too many streams, or no model
            await close(socket, WS_1013_TRY_AGAIN_LATER, error.detail)
        except AudioError as error:
            await close(socket, WS_1007_INVALID_FRAME_PAYLOAD_DATA, str(error))
        except ModelError as error:
            await close(socket, WS_1011_INTERNAL_ERROR, str(error))
        except TimeoutError:
            await close(socket, WS_1008_POLICY_VIOLATION, f"no samples came for {SILENT_CLIENT_S:g} s")
        except WebSocketDisconnect:
            pass
        else:
            await close(socket, WS_1000_NORMAL_CLOSURE, "")

    return router


def read_query(socket: WebSocket) -> tuple[int, str]:
    """Rate in Hz and encoding. Raises `AudioError`."""
    sr, encoding = socket.query_params.get("sr", "44100"), socket.query_params.get("format", "f32le")
    if not (sr.isascii() and sr.isdecimal() and SR_HZ[0] <= int(sr[:9]) <= SR_HZ[1]):
        raise AudioError(f"sr: expected {SR_HZ[0]} to {SR_HZ[1]} Hz, found {sr[:20]!r}")
    if encoding not in ENCODINGS:
        raise AudioError(f"format: expected {', '.join(ENCODINGS)}, found {encoding[:20]!r}")
    return int(sr), encoding


async def close(socket: WebSocket, code: int, reason: str) -> None:
    """Close a connection, which may be broken, with a line that says why."""
    with suppress(RuntimeError, TimeoutError, WebSocketDisconnect):
        await asyncio.wait_for(socket.close(code, reason.encode()[:MAX_REASON].decode(errors="ignore")), SLOW_CLIENT_S)


class Connection:
    """One client.

    A message is taken when the one before it is worked off, so that a client that sends faster than it is worked on, or
    takes no messages, is slowed down by its own connection and fills no memory here.
    """

    def __init__(self, service: Service, socket: WebSocket, session: LiveSession) -> None:
        """Take an accepted socket."""
        self._service, self._socket, self._session = service, socket, session

    async def run(self) -> None:
        """Answer until the stream ends. Raises `AudioError`, `ModelError`, `TimeoutError`, `WebSocketDisconnect`."""
        try:
            while (data := await self._receive()) is not None:
                await self._work(self._session.decode(data))
            await self._work(self._session.decode_rest())
            await self._send(await self._service.in_live_thread(self._session.finish))
        except (WebSocketDisconnect, TimeoutError):
            with suppress(EarError):  # nobody is there to be told
                self._post(await self._service.in_live_thread(self._session.finish))
            raise

    async def _receive(self) -> bytes | None:
        """The next bytes, None at the end of the stream."""
        message = await asyncio.wait_for(self._socket.receive(), SILENT_CLIENT_S)
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        if message.get("bytes") is not None:
            return message["bytes"]
        if message.get("text") == END:
            return None
        raise AudioError(f"expected samples as binary messages, or the text {END!r}")

    async def _work(self, blocks: Iterator[np.ndarray]) -> None:
        for block in blocks:
            await self._send(await self._service.in_live_thread(self._session.push, block))

    async def _send(self, messages: list[dict[str, Any]]) -> None:
        self._post(messages)
        for message in messages:
            try:
                await asyncio.wait_for(self._socket.send_json(message), SLOW_CLIENT_S)
            except TimeoutError:
                raise WebSocketDisconnect(1006, "takes no messages") from None

    def _post(self, messages: list[dict[str, Any]]) -> None:
        if self._service.webhook is None:
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        for message in messages:
            if message["type"] != "caption":
                self._service.webhook.put({**message, "time": time})
