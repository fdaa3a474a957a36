"""The clips of one source of `sample`: its sound is rendered, mixed with the background and written to files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import soundfile
import soxr

from stages.fetch.synthetic.scenes import Place, mix
from stages.fetch.synthetic.signals import SR, amplitude
from stages.fetch.synthetic.sounds import SOUNDS
from stages.fetch.wav import clear_peak_time

SAMPLE_RATES = {16000: 0.15, 22050: 0.30, 24000: 0.05, 32000: 0.12, 44100: 0.26, 48000: 0.10, 96000: 0.02}
SUBTYPES = {"PCM_16": 0.72, "PCM_24": 0.14, "FLOAT": 0.06, "PCM_U8": 0.05, "PCM_32": 0.03}
STEREO_SHARE = 0.4
LEVEL_DB = (-42.0, -16.0)  # RMS level of a clip, dB of full scale
PEAK = 0.97
PRECISION_BITS = (
    20  # 24-bit, 32-bit and float files are rounded to this, so that rounding differences between processors vanish
)


@dataclass(frozen=True)
class Slice:
    """One clip of the plan: where it lies in its recording (seconds), and whether its sound is in the foreground."""

    occurrence: int
    number: int
    start_s: float
    duration_s: float
    salience: int
    snr_db: float


@dataclass(frozen=True)
class Source:
    """One recording of the plan, with the seed of all its random numbers."""

    class_name: str
    fold: int
    fs_id: int
    seed: tuple[int, ...]
    slices: tuple[Slice, ...]
    equaliser_db: float

    @property
    def class_id(self) -> int:
        """The number of the class in UrbanSound8K."""
        return list(SOUNDS).index(self.class_name)

    def file_name(self, part: Slice) -> str:
        """The name of a clip, <fsID>-<classID>-<occurrenceID>-<sliceID>.wav."""
        return f"{self.fs_id}-{self.class_id}-{part.occurrence}-{part.number}.wav"


@dataclass(frozen=True)
class Recorder:
    """The file format of a source, and where the sound is panned between its channels."""

    sr: int
    subtype: str
    container: str
    n_channels: int
    pan_db: float
    delay: int
    level_db: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One recorder and the gain it is set to."""
        subtype = _pick(rng, SUBTYPES)
        # Quantisation to eight bits masks what is 40 dB down, so there the gain is set high.
        low_db, high_db = LEVEL_DB if subtype != "PCM_U8" else (-24.0, LEVEL_DB[1])
        return cls(
            sr=_pick(rng, SAMPLE_RATES),
            subtype=subtype,
            container="WAVEX" if subtype != "PCM_U8" and rng.random() < 0.2 else "WAV",
            n_channels=2 if rng.random() < STEREO_SHARE else 1,
            pan_db=rng.uniform(-6, 6),
            delay=int(rng.integers(-8, 9)),
            level_db=rng.uniform(low_db, high_db),
        )


def render_parts(source: Source) -> list[tuple[np.ndarray, np.ndarray]]:
    """Sound and background of each clip of a source, float32 of shape (n_samples,) at `SR` Hz, scaled to be added."""
    rng = np.random.default_rng([*source.seed, 1])
    sound = SOUNDS[source.class_name].draw(rng)
    place = Place.draw(rng, source.equaliser_db)
    parts = []
    for number, part in enumerate(source.slices):
        clip_rng = np.random.default_rng([*source.seed, 2, number])
        y = sound.render(round(part.duration_s * SR), clip_rng)
        parts.append(mix(*place.record(y, clip_rng), part.snr_db))
    return parts


def write_source(task: tuple[Path, Source]) -> list[tuple[str, int, float, float, int, int, int, str]]:
    """Write the clips of one source; returns their rows of the metadata."""
    folder, source = task
    rng = np.random.default_rng([*source.seed, 3])
    recorder = Recorder.draw(rng)
    rows = []
    for part, (sound, background) in zip(source.slices, render_parts(source), strict=True):
        name = source.file_name(part)
        path = folder / "audio" / f"fold{source.fold}" / name
        frames = _frames(sound, background, recorder, rng)
        soundfile.write(path, frames, recorder.sr, subtype=recorder.subtype, format=recorder.container)
        if recorder.subtype == "FLOAT":
            clear_peak_time(path)
        end_s = round(part.start_s + part.duration_s, 3)
        fields = (part.start_s, end_s, part.salience, source.fold, source.class_id, source.class_name)
        rows.append((name, source.fs_id, *fields))
    return rows


def _frames(sound: np.ndarray, background: np.ndarray, recorder: Recorder, rng: np.random.Generator) -> np.ndarray:
    """The clip at the rate of the file, (n_samples, n_channels): int16 for PCM_16, else float32."""
    channels = [sound + background]
    if recorder.n_channels == 2:
        # The sound reaches the two microphones at different times and levels; the background comes from all around.
        far = np.roll(sound, recorder.delay) * np.float32(amplitude(recorder.pan_db))
        channels.append(far + np.roll(background, len(background) // 2))
    y = np.stack(channels, axis=1)
    if recorder.sr != SR:
        y = soxr.resample(y, SR, recorder.sr, quality="HQ")
    level_db = recorder.level_db + rng.uniform(-2, 2)
    gain = amplitude(level_db) / np.sqrt(np.mean(np.square(y, dtype=np.float64)))
    gain = min(gain, PEAK / np.max(np.abs(y)))
    if recorder.subtype == "PCM_16":  # libsndfile writes integers six times as fast as floats
        return np.round(y * (gain * 2.0**15)).astype(np.int16)
    scale = 2.0 ** (PRECISION_BITS - 1)
    return (np.round(y * (gain * scale)) / scale).astype(np.float32)


def _pick(rng: np.random.Generator, shares: Mapping[Any, float]) -> Any:
    """A key of `shares`, as often as its share says."""
    return list(shares)[rng.choice(len(shares), p=list(shares.values()))]
