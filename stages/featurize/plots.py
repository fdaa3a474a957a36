"""Pictures of what featurize does: two tones, one clip of each class, and the choice of the number of bands.

Laid out by fixed margins: matplotlib's automatic layout would take longer than all the features of the sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.lib.audio import load_mono, resample
from stages.lib.features.store import ORIGINAL
from stages.lib.frontend.mel import empty_bands, mel_filters
from stages.lib.frontend.mel_axis import set_hz_ticks
from stages.lib.frontend.spectrogram import FeaturizeParams, Featurizer
from stages.lib.plotting import EMPTY, INK, LEVELS, save_figure, shorten

BANDS = (10, 150, 1000)
TONES_SR = 32_000  # Hz
COLUMNS = 400  # of a wave
RANGE_DB = 80.0  # shown below the loudest
LONGEST_TITLE = 26  # characters of a name left of its clip


@dataclass(frozen=True)
class Example:
    """A clip to be drawn: samples, float32; |FFT| of shape (n_frames, n_bins); features (n_frames, n_features)."""

    title: str
    y: np.ndarray
    magnitudes: np.ndarray
    features: np.ndarray


def draw(plots: Path, index: pd.DataFrame, audio: Path, featurizer: Featurizer, title: str) -> None:
    """Draw two tones, a clip of each class, and the loudest of these in several numbers of bands."""
    params = featurizer.params
    tones = two_tones()
    features = featurizer(resample(tones, TONES_SR, params.sr))
    save_figure(plots / "two_tones.png", plot_two_tones(tones, TONES_SR, features, params))
    chosen, examples = choose_examples(index), []
    for name, clip in zip(chosen["class"], chosen["clip"], strict=True):
        y = load_mono(audio / clip, params.sr)
        magnitudes = featurizer.magnitudes(y)
        examples.append(Example(name, y, magnitudes, featurizer.from_magnitudes(magnitudes)))
    choice = "in the foreground if there is one, of these the longest" if any(index["salience"]) else "the longest"
    heading = f"{title}\nA clip of each class, {choice}; 80 dB from the top"
    save_figure(plots / "classes.png", plot_classes(examples, params, heading))
    save_figure(plots / "bands.png", plot_bands(examples[chosen["level_db"].argmax()], params))


def choose_examples(index: pd.DataFrame) -> pd.DataFrame:
    """One row per class, by name: a clip in the foreground if one is said to be, of these the longest, then by name."""
    order = ["class", "salience", "duration_s", "clip"]
    clips = index[index["variant"] == ORIGINAL].sort_values(order, ascending=[True, True, False, True])
    return clips.drop_duplicates("class", ignore_index=True)


def two_tones() -> np.ndarray:
    """The base case of the study: 512 and 1,024 Hz, 1 s at `TONES_SR`; float32 of shape (TONES_SR,)."""
    t = np.arange(TONES_SR) / TONES_SR
    return (0.5 * np.sin(2 * np.pi * 512 * t) + 0.5 * np.sin(2 * np.pi * 1024 * t)).astype(np.float32)


def plot_two_tones(y: np.ndarray, sr: int, features: np.ndarray, params: FeaturizeParams) -> Figure:
    """Draw a recording of two tones as a wave, as one FFT, and as features.

    `y` is float32 of shape (n_samples,) at `sr` Hz, `features` float32 of shape (n_frames, n_features).
    """
    figure = Figure(figsize=(10, 3.2))
    axes = figure.subplots(1, 3, gridspec_kw={"left": 0.08, "right": 0.9, "bottom": 0.17, "top": 0.8, "wspace": 0.36})
    figure.suptitle("Two tones, of 512 and 1,024 Hz, come out in the same two places all along", fontsize=11)
    shown = y[: round(0.02 * sr)]
    axes[0].plot(np.arange(len(shown)) / sr, shown, color=INK, linewidth=1)
    axes[0].set(title="wave, its first 20 ms", xlabel="time (s)", ylabel="amplitude (1 is full scale)")
    amplitudes = np.abs(np.fft.rfft(y)) * 2 / len(y)
    level_db = 20 * np.log10(np.maximum(amplitudes, 1e-6))
    axes[1].plot(np.fft.rfftfreq(len(y), 1 / sr), level_db, color=INK, linewidth=1)
    axes[1].set(title="FFT of all of it", xlabel="frequency (Hz)", ylabel="level (dB of full scale)", xlim=(0, 2048))
    axes[1].set_xticks([0, 512, 1024, 1536, 2048])
    _draw_features(axes[2], features, params)
    axes[2].set(title=_describe(params), xlabel="time (s)", ylabel=_axis(params))
    _add_scale(figure, axes[2], (0.915, 0.17, 0.015, 0.63))
    return figure


def plot_classes(examples: Sequence[Example], params: FeaturizeParams, title: str) -> Figure:
    """Draw a clip of each class, one per row: wave, spectrogram, features."""
    height = 1.3 + 0.85 * len(examples)
    figure = Figure(figsize=(10, height))
    margins = {"left": 0.2, "right": 0.91, "bottom": 0.5 / height, "top": 1 - 0.8 / height}
    rows = figure.subplots(len(examples), 3, squeeze=False, gridspec_kw=margins | {"wspace": 0.24, "hspace": 0.3})
    figure.suptitle(title, y=1 - 0.1 / height, va="top", fontsize=11)
    for axes, heading in zip(rows[0], ("wave (1 is full scale)", "spectrogram (Hz)", _describe(params)), strict=True):
        axes.set_title(heading, fontsize=9)
    for (wave, spectrogram, features), example in zip(rows, examples, strict=True):
        _draw_envelope(wave, example.y, params.sr)
        middle = sum(wave.get_position().intervaly) / 2
        figure.text(0.01, middle, shorten(example.title, LONGEST_TITLE), va="center", fontsize=9)
        seconds = _seconds(len(example.magnitudes), params)
        spectrogram.imshow(
            _below_loudest(20 * np.log10(np.maximum(example.magnitudes.T, 1e-10))),
            origin="lower", aspect="auto", cmap=LEVELS, vmin=-RANGE_DB, vmax=0, interpolation="none",
            extent=(0, seconds, 0, params.sr / 2),
        )  # fmt: skip
        spectrogram.set_yticks([0, params.sr / 4, params.sr / 2], ["0", f"{params.sr / 4:.0f}", f"{params.sr / 2:.0f}"])
        _draw_features(features, example.features, params, gap=0.2)
        for axes in (wave, spectrogram, features):
            axes.tick_params(labelsize=7)
            axes.tick_params(labelbottom=example is examples[-1] or example.y.size != examples[-1].y.size)
    for axes in rows[-1]:
        axes.set_xlabel("time (s)", fontsize=8)
    low, high = rows[-1, 1].get_position().y0, rows[0, 1].get_position().y1
    _add_scale(figure, rows[0, 1], (0.93, low, 0.012, high - low))
    return figure


def plot_bands(example: Example, params: FeaturizeParams) -> Figure:
    """Draw a clip in 10, 150, 1,000 bands, and in the number of `params` if that is another; empty bands are green."""
    choices = sorted({*BANDS, params.n_mels})
    figure = Figure(figsize=(0.5 + 3.2 * len(choices), 3.6))
    margins = {"left": 0.22 / len(choices), "right": 0.9, "bottom": 0.14, "top": 0.76, "wspace": 0.25}
    for axes, n_mels in zip(figure.subplots(1, len(choices), gridspec_kw=margins), choices, strict=True):
        filters = mel_filters(
            sr=params.sr, n_fft=params.n_fft, n_mels=n_mels, fmin=params.fmin, fmax=params.fmax,
            mel_scale=params.mel_scale, mel_norm=params.mel_norm,
        )  # fmt: skip
        empty = empty_bands(filters)
        image = np.ma.array(_below_loudest(20 * np.log10(np.maximum(filters @ example.magnitudes.T, 1e-10))))
        image[empty] = np.ma.masked
        axes.set_facecolor(EMPTY)
        axes.imshow(
            image, origin="lower", aspect="auto", cmap=LEVELS, vmin=-RANGE_DB, vmax=0, interpolation="none",
            extent=(0, _seconds(len(example.magnitudes), params), 0, n_mels),
        )  # fmt: skip
        _set_hz_ticks(axes, params, n_mels)
        axes.set_title(
            f"{n_mels:,} bands, {len(empty)} empty", fontweight="bold" if n_mels == params.n_mels else "normal"
        )
        axes.set_xlabel("time (s)")
    figure.axes[0].set_ylabel("frequency (Hz)")
    _add_scale(figure, figure.axes[0], (0.915, 0.14, 0.015, 0.62))
    figure.suptitle(
        f"{example.title}, loudest of the clips drawn, in several numbers of bands (chosen: {params.n_mels:,})\n"
        f"green: so narrow that none of the {params.n_fft // 2 + 1} FFT bins falls into them",
        fontsize=10,
    )
    return figure


def _draw_envelope(axes: Axes, y: np.ndarray, sr: int) -> None:
    """Fill between the least and the greatest sample of each of `COLUMNS` spans: the wave as it would look anyway."""
    starts = np.unique(np.linspace(0, len(y), COLUMNS, endpoint=False).astype(int))
    low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    axes.fill_between(starts / sr, low, high, color=INK, linewidth=0.5)
    largest = max(float(np.abs(y).max()), 1e-3)
    axes.set(xlim=(0, len(y) / sr), ylim=(-1.05 * largest, 1.05 * largest))
    axes.set_yticks([-largest, 0, largest], [f"{-largest:.2g}", "0", f"{largest:.2g}"])


def _draw_features(axes: Axes, features: np.ndarray, params: FeaturizeParams, gap: float = 0.1) -> None:
    image, low, high = features.T, None, None
    if params.kind in ("log", "db"):
        to_db = 20 / params.power / np.log(10) if params.kind == "log" else 1.0
        image, low, high = _below_loudest(image * to_db), -RANGE_DB, 0.0
    elif params.kind == "mfcc":
        image = image - image.mean(axis=1, keepdims=True)  # the first is far from all others
    axes.imshow(
        image, origin="lower", aspect="auto", cmap=LEVELS, interpolation="none", vmin=low, vmax=high,
        extent=(0, _seconds(len(features), params), 0, params.n_features),
    )  # fmt: skip
    if params.kind != "mfcc":
        _set_hz_ticks(axes, params, params.n_mels, gap)


def _add_scale(figure: Figure, axes: Axes, place: tuple[float, float, float, float]) -> None:
    """Add what colours mean in the image of `axes`; `place` is left, bottom, width, height in parts of the figure."""
    image = axes.images[0]
    bar = figure.colorbar(image, cax=figure.add_axes(place))
    in_db = image.norm.vmin == -RANGE_DB
    bar.set_label("level (dB below the loudest)" if in_db else "value", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _set_hz_ticks(axes: Axes, params: FeaturizeParams, n_mels: int, gap: float = 0.1) -> None:
    set_hz_ticks(axes, n_mels=n_mels, fmin=params.fmin, fmax=params.fmax, mel_scale=params.mel_scale, gap=gap)


def _below_loudest(level_db: np.ndarray) -> np.ndarray:
    return np.maximum(level_db - level_db.max(), -RANGE_DB)


def _seconds(n_frames: int, params: FeaturizeParams) -> float:
    return ((n_frames - 1) * params.hop_length + params.win_length) / params.sr


def _describe(params: FeaturizeParams) -> str:
    if params.kind == "mfcc":
        return f"{params.n_mfcc} MFCC"
    return f"{params.n_mels} mel bands, " + {"log": "logarithm", "db": "dB", "pcen": "PCEN"}[params.kind]


def _axis(params: FeaturizeParams) -> str:
    return "coefficient" if params.kind == "mfcc" else "frequency (Hz)"
