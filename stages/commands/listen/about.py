"""What the server is and whether it works."""

from fastapi import APIRouter
from pydantic import BaseModel

from stages.commands.listen.service import Service
from stages.lib.inference.events import settings_of
from stages.lib.inference.streaming import STEP_S


class ModelAnswer(BaseModel):
    """The model that listens."""

    name: str
    dataset: str
    synthetic: bool
    licence: str | None
    classes: list[str]
    thresholds: dict[str, float]  # by class, the probability from which on it is told
    segment_s: float
    step_s: float
    calibrated: bool


class HealthAnswer(BaseModel):
    """That the server works; without a model it answers 503."""

    status: str
    streams: int
    uploads: int


def make_router(service: Service) -> APIRouter:
    """The routes about the server."""
    router = APIRouter()

    @router.get("/api/model")
    async def model() -> ModelAnswer:
        """Which sounds the model knows, and from which probability on it tells them."""
        found = service.require_model()
        metadata, least = found.metadata, settings_of(found.metadata).min_confidence
        thresholds = (metadata.thresholds if metadata.frames is None else None) or {}
        featurize = metadata.featurize
        segment_s = ((found.length - 1) * featurize.hop_length + featurize.win_length) / featurize.sr
        return ModelAnswer(
            name=found.path.stem,
            dataset=metadata.dataset.title,
            synthetic=metadata.dataset.synthetic,
            licence=metadata.dataset.licence,
            classes=metadata.classes,
            thresholds={name: round(max(least, thresholds.get(name, least)), 4) for name in metadata.classes},
            segment_s=round(segment_s, 3),
            step_s=min(STEP_S, round(segment_s / 2, 3)),
            calibrated=metadata.calibration is not None,
        )

    @router.get("/healthz")
    async def healthz() -> HealthAnswer:
        """Whether sounds can be recognised now, as a supervisor asks."""
        service.require_model()
        return HealthAnswer(status="ok", streams=service.n_streams, uploads=service.n_uploads)

    return router
