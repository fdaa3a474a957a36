"""Recordings: one is sent as the body of a request, its events come back."""

import asyncio
import base64
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from stages.commands.listen.service import Service
from stages.commands.predict.columns import Columns
from stages.commands.predict.formats import as_dict
from stages.lib.audio import open_audio
from stages.lib.core.errors import AudioError, ModelError
from stages.lib.inference.detect import StreamDetector
from stages.lib.inference.events import Event, by_start
from stages.lib.inference.runtime import Model

MAX_CHANNELS = 32  # a block of a thousand would take a gigabyte of memory
SLOW_UPLOAD_S = 30.0  # seconds for which nothing may come
FAINT = 0.05  # share of the values of a spectrogram that are drawn as nothing


class EventAnswer(BaseModel):
    """One sound, as `predict --json` prints it."""

    model_config = ConfigDict(populate_by_name=True)

    file: str
    start_s: float
    end_s: float
    label: str = Field(alias="class")
    confidence: float
    unsure: bool


class SpectrogramAnswer(BaseModel):
    """Features as the model takes them, to draw: one byte for each column and band, columns in the order of time."""

    n_columns: int
    n_bands: int
    column_s: float
    values: str  # base64


class RecordingAnswer(BaseModel):
    """The events of a recording, and why only a part of it could be read, null where all could."""

    file: str
    duration_s: float
    problem: str | None
    events: list[EventAnswer]
    spectrogram: SpectrogramAnswer | None


def make_router(service: Service) -> APIRouter:
    """The route of recordings."""
    router = APIRouter()

    @router.post("/api/events")
    async def events(
        request: Request,
        file: Annotated[str, Query(max_length=255, description="a name for it in the answer")] = "recording",
        spectrogram: Annotated[bool, Query(description="whether to send a picture of it too")] = False,
    ) -> RecordingAnswer:
        """Detect the events of the recording that is the body of the request, in any format that predict reads."""
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise HTTPException(415, "send the recording as the body itself: curl --data-binary @FILE")
        with service.upload(), tempfile.TemporaryDirectory(prefix="urban-ear-") as folder:
            model = service.require_model()
            path = Path(folder) / "recording"  # of its name from outside nothing is used
            await receive(request, path, service.settings.max_upload_bytes)
            try:
                return await service.in_upload_thread(
                    detect_upload, path, model, file, service.settings.max_length_s, spectrogram
                )
            except AudioError as error:
                raise HTTPException(422, f"{file}: {error}") from None
            except ModelError as error:
                raise HTTPException(500, str(error)) from None

    return router


async def receive(request: Request, path: Path, max_bytes: int) -> None:
    """Write the body of a request to `path`. Raises `HTTPException` where it is empty, too large or too slow."""
    too_large = HTTPException(413, f"the recording has more than {max_bytes:,} bytes, which is the limit")
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > max_bytes:
        raise too_large
    n_bytes, chunks = 0, aiter(request.stream())
    with path.open("wb") as out:
        while True:
            try:
                chunk = await asyncio.wait_for(anext(chunks), SLOW_UPLOAD_S)
            except StopAsyncIteration:
                break
            except TimeoutError:
                raise HTTPException(408, f"nothing came for {SLOW_UPLOAD_S:g} s") from None
            except ClientDisconnect:
                raise HTTPException(400, "the connection broke off") from None
            n_bytes += len(chunk)
            if n_bytes > max_bytes:
                raise too_large
            out.write(chunk)
    if not n_bytes:
        raise HTTPException(400, "the request has no body; send the recording: curl --data-binary @FILE")


def detect_upload(path: Path, model: Model, name: str, max_length_s: float, with_spectrogram: bool) -> RecordingAnswer:
    """The answer for the recording in `path`. Raises `AudioError`, `ModelError`, and `HTTPException` 413."""
    too_long = HTTPException(413, f"{name}: is longer than {max_length_s:g} s, which is the limit")
    features, events, problem = Columns(), [], None
    try:
        with open_audio(path) as recording:
            if recording.n_channels > MAX_CHANNELS:
                raise AudioError(f"has {recording.n_channels} channels, expected at most {MAX_CHANNELS}")
            detector = StreamDetector(model, recording.sr, on_frames=features.add if with_spectrogram else None)
            try:
                for block in recording.blocks():
                    events += detector.push(block)
                    if detector.duration_s > max_length_s:
                        raise too_long
            except AudioError as error:
                if not detector.duration_s:
                    raise
                problem = str(error)
            events += detector.finish()
            problem = problem or recording.problem()
    except AudioError as error:
        raise AudioError(str(error).removeprefix(f"{path.name}: ")) from None
    if problem:
        problem = f"{problem.removeprefix(f'{path.name}: ')}; the events are those of what could be read"
    return RecordingAnswer(
        file=name,
        duration_s=round(detector.duration_s, 3),
        problem=problem,
        events=[event_answer(name, event) for event in sorted(events, key=by_start)],
        spectrogram=spectrogram_answer(features, model.metadata.featurize.frame_s) if with_spectrogram else None,
    )


def event_answer(name: str, event: Event) -> EventAnswer:
    """An event of the recording `name`."""
    return EventAnswer.model_validate({"file": name, **as_dict(event)})


def spectrogram_answer(features: Columns, frame_s: float) -> SpectrogramAnswer:
    """Features as bytes, from the faintest that is drawn to the greatest."""
    values = features.values
    low, high = float(np.quantile(values, FAINT)), float(values.max())
    scaled = np.clip((values - low) / (high - low or 1.0), 0, 1)
    return SpectrogramAnswer(
        n_columns=values.shape[0],
        n_bands=values.shape[1],
        column_s=features.rows_per_part * frame_s,
        values=base64.b64encode(np.round(255 * scaled).astype(np.uint8).tobytes()).decode(),
    )
