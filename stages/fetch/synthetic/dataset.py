"""The dataset `sample`: synthetic city sounds in the layout of UrbanSound8K, without a download.

A plan gives each class and fold its sources and each source its clips. A source is one instance of its class
(`sounds`) at one place (`scenes`) with one recorder (`clips`); its clips share those, as slices
of one recording do, and its fold. Each source has a generator seeded by the plan, so that the result does not
depend on the number of workers or on their order.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pydantic
from pydantic import Field

from stages.fetch.synthetic.clips import Slice, Source, write_source
from stages.fetch.synthetic.sounds import SOUNDS
from stages.lib.core.errors import SourceError
from stages.lib.core.files import atomic_directory, write_csv
from stages.lib.core.parallel import parallel_map
from stages.lib.core.params import section
from stages.lib.core.progress import progress
from stages.lib.core.validation import describe_errors

FOLDS = tuple(range(1, 11))
COLUMNS = ["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"]
MAX_CLIP_S = 4.0

# Of the clips of a class. In UrbanSound8K the length reveals the class (4 % of the clips of one class have the full
# length, 96 % of another), here only a little.
FULL_LENGTH_SHARE = {"gun_shot": 0.3, "car_horn": 0.45, "dog_bark": 0.6}
FULL_LENGTH_SHARE_ELSE = 0.82
SHORT_CLIP_S = (0.6, 3.8)

Share = Annotated[float, Field(ge=0, le=1)]
Decibels = Annotated[list[float], Field(min_length=2, max_length=2)]


@section("render")
class SampleSettings:
    """The section `render` of data/sources/sample.yaml, where each key is explained."""

    seed: Annotated[int, Field(ge=0)]
    sources: Annotated[int, Field(ge=1)]
    clips: dict[str, Annotated[int, Field(ge=1)]]
    background_share: Share
    foreground_snr_db: Decibels
    background_snr_db: Decibels
    equaliser_db: Annotated[float, Field(ge=0)]

    def __post_init__(self) -> None:
        """Check what concerns several keys."""
        if list(self.clips) != list(SOUNDS):
            raise ValueError(f"render.clips: expected the classes {', '.join(SOUNDS)}, found {', '.join(self.clips)}")
        for key in ("foreground_snr_db", "background_snr_db"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"render.{key}: expected the lower value first, found {getattr(self, key)}")


def sample_settings(values: Mapping[str, Any]) -> SampleSettings:
    """The settings in the section `render` of the source file; raises `SourceError` that names each wrong key."""
    if not isinstance(values, Mapping):
        raise SourceError(f"render: expected settings with keys, found {values!r}; see data/sources/sample.yaml")
    try:
        return SampleSettings(**{str(key): value for key, value in values.items()})
    except pydantic.ValidationError as error:
        problems = describe_errors(error, within="render", see="data/sources/sample.yaml")
        raise SourceError(f"{problems}; correct the section render of the source file of sample") from None


def plan(settings: SampleSettings) -> list[Source]:
    """Every source with its clips, in the order of folds and classes."""
    n_sources = {name: min(settings.sources, max(1, n_clips // 2)) for name, n_clips in settings.clips.items()}
    rng = np.random.default_rng([settings.seed, 0])
    fs_ids = iter(rng.choice(np.arange(100000, 250000), len(FOLDS) * sum(n_sources.values()), replace=False))
    sources = []
    for fold in FOLDS:
        for class_id, (name, n_clips) in enumerate(settings.clips.items()):
            for number in range(n_sources[name]):
                share = n_clips // n_sources[name] + (number < n_clips % n_sources[name])
                seed = (settings.seed, 1, fold, class_id, number)
                slices = _plan_slices(name, share, settings, np.random.default_rng([*seed, 0]))
                sources.append(Source(name, fold, int(next(fs_ids)), seed, slices, settings.equaliser_db))
    return sources


def _plan_slices(name: str, n_clips: int, settings: SampleSettings, rng: np.random.Generator) -> tuple[Slice, ...]:
    """The clips of one source: full ones follow each other in one occurrence of the sound, a short one is its own."""
    slices = []
    occurrence, number, start_s = 0, 0, round(rng.uniform(0, 30), 3)
    for _ in range(n_clips):
        full = rng.random() < FULL_LENGTH_SHARE.get(name, FULL_LENGTH_SHARE_ELSE)
        if not full and number:
            occurrence, number, start_s = occurrence + 1, 0, round(start_s + rng.uniform(1, 20), 3)
        duration_s = MAX_CLIP_S if full else round(rng.uniform(*SHORT_CLIP_S), 3)
        in_background = rng.random() < settings.background_share
        low_db, high_db = settings.background_snr_db if in_background else settings.foreground_snr_db
        snr_db = rng.uniform(low_db, high_db)
        slices.append(Slice(occurrence, number, start_s, duration_s, 2 if in_background else 1, snr_db))
        start_s, number = round(start_s + duration_s, 3), number + 1
        if not full:
            occurrence, number, start_s = occurrence + 1, 0, round(start_s + rng.uniform(1, 20), 3)
    return tuple(slices)


def render_sample(target: Path, settings: SampleSettings | Mapping[str, Any]) -> None:
    """Render the whole dataset into `target`/UrbanSound8K, in the layout of that dataset: audio/foldN and metadata.

    `settings` is the section `render` of the source file. Raises `SourceError` that names a missing, unknown or wrong
    key.
    """
    if not isinstance(settings, SampleSettings):
        settings = sample_settings(settings)
    sources = plan(settings)
    with atomic_directory(target / "UrbanSound8K") as folder:
        for fold in FOLDS:
            (folder / "audio" / f"fold{fold}").mkdir(parents=True)
        done = parallel_map(write_source, [(folder, source) for source in sources])
        bar = progress(done, total=len(sources), desc="render sample (synthetic)", unit="sources")
        rows = [row for rows in bar for row in rows]
        table = pd.DataFrame(rows, columns=COLUMNS).sort_values(["fsID", "slice_file_name"])
        write_csv(folder / "metadata" / "UrbanSound8K.csv", table)
