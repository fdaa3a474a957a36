"""Takes: recordings of sounds to learn, made on the page and kept in a folder for each sound.

The folder is one that `fetch.dataset=folder` and the learn command read. Only takes that were made here are listed,
played and deleted; what else the folder holds is left as it is.
"""

import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel

from stages.commands.listen.recordings import MAX_CHANNELS, receive
from stages.commands.listen.service import Service
from stages.fetch.classes import check_classes, is_split
from stages.fetch.own_recordings import TABLES
from stages.lib.audio import open_audio
from stages.lib.core.errors import AudioError, SourceError
from stages.lib.core.files import atomic_write

CLASS = re.compile(r"\w[\w -]{0,58}\w|\w")
FILE = re.compile(r"take-\d{8}-\d{6}-\d{3}\.wav")
MAX_S = 120.0  # of a take: a minute of the room as it is, and some more


class TakeAnswer(BaseModel):
    """A take."""

    file: str
    duration_s: float


class SoundAnswer(BaseModel):
    """A sound and its takes, in the order in which they were made."""

    name: str
    takes: list[TakeAnswer]
    n_others: int  # recordings in its folder that were not made here


class Takes:
    """The takes in a folder."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which is made with the first take."""
        self._folder = folder

    def list(self) -> list[SoundAnswer]:
        """All sounds that have recordings, by name."""
        answers = []
        for folder in sorted(path for path in self._folder.glob("*") if path.is_dir() and CLASS.fullmatch(path.name)):
            files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
            takes = [path for path in files if FILE.fullmatch(path.name)]
            if files:
                listed = [
                    TakeAnswer(file=path.name, duration_s=round(soundfile.info(path).duration, 3)) for path in takes
                ]
                answers.append(SoundAnswer(name=folder.name, takes=listed, n_others=len(files) - len(takes)))
        return answers

    def add(self, name: str, samples: np.ndarray, sr: int) -> TakeAnswer:
        """Keep a take of the sound `name`: float32 of shape (n_samples,) at `sr` Hz. Raises `SourceError`."""
        if not CLASS.fullmatch(name) or is_split(name):
            raise SourceError(
                f"{name!r}: name it by letters, digits, blanks and hyphens, and not as a part of a dataset"
            )
        check_classes({name, *(path.name for path in self._folder.glob("*") if path.is_dir())})
        for table in TABLES:
            if (self._folder / table).is_file():
                raise SourceError(f"{table}: the folder of recordings has a table, which a take would be missing from")
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"take-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"[:-3]
        path = path.with_name(f"{path.name}.wav")
        with atomic_write(path) as temporary:
            soundfile.write(temporary, samples, sr, format="WAV", subtype="PCM_24")
        return TakeAnswer(file=path.name, duration_s=round(len(samples) / sr, 3))

    def find(self, name: str, file: str) -> Path:
        """The file of a take. Raises `SourceError` where there is none such."""
        path = self._folder / name / file
        if not (CLASS.fullmatch(name) and FILE.fullmatch(file) and path.is_file()):
            raise SourceError("no such take")
        return path

    def remove(self, name: str, file: str) -> None:
        """Delete a take, and the folder of its sound with the last one. Raises `SourceError` where there is none."""
        path = self.find(name, file)
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()


def make_router(service: Service, folder: Path) -> APIRouter:
    """The routes of takes, which are kept in `folder`."""
    router, takes = APIRouter(), Takes(folder)

    @router.get("/api/takes")
    def list_takes() -> list[SoundAnswer]:
        """The sounds that have recordings."""
        return takes.list()

    @router.post("/api/takes", status_code=201)
    async def add(request: Request, name: Annotated[str, Query(description="of the sound")]) -> TakeAnswer:
        """Keep the recording that is the body of the request, in any format that predict reads, as a take."""
        with service.upload(), tempfile.TemporaryDirectory(prefix="urban-ear-") as scratch:
            path = Path(scratch) / "take"
            await receive(request, path, service.settings.max_upload_bytes)
            try:
                return await service.in_upload_thread(lambda: takes.add(name, *read_take(path)))
            except (AudioError, SourceError) as error:
                raise HTTPException(422, str(error).removeprefix(f"{path.name}: ")) from None

    @router.get("/api/takes/{name}/{file}")
    def play(name: str, file: str) -> FileResponse:
        """A take, to be played."""
        try:
            return FileResponse(takes.find(name, file), media_type="audio/wav")
        except SourceError as error:
            raise HTTPException(404, str(error)) from None

    @router.delete("/api/takes/{name}/{file}", status_code=204)
    def remove(name: str, file: str) -> None:
        """Delete a take."""
        try:
            takes.remove(name, file)
        except SourceError as error:
            raise HTTPException(404, str(error)) from None

    return router


def read_take(path: Path) -> tuple[np.ndarray, int]:
    """The samples of a recording, float32 of shape (n_samples,), the mean of its channels, and their rate in Hz.

    Raises `AudioError`, also for one that is longer than `MAX_S`, and for one of which a take would hide what validate
    finds wrong with it: a part that is missing, or channels that cancel each other.
    """
    blocks, n_samples = [], 0
    with open_audio(path) as recording:
        if recording.n_channels > MAX_CHANNELS:
            raise AudioError(f"has {recording.n_channels} channels, expected at most {MAX_CHANNELS}")
        for block in recording.blocks():
            blocks.append(block.mean(axis=1))
            n_samples += len(block)
            if n_samples > MAX_S * recording.sr:
                raise AudioError(f"is longer than {MAX_S:g} s, which is the limit of a take")
        if problem := recording.problem():
            raise AudioError(problem)
        if not blocks:
            raise AudioError("holds no samples")
        samples = np.concatenate(blocks)
        if not np.isfinite(samples).all():
            raise AudioError("some samples are NaN or infinite")
        return samples, recording.sr
