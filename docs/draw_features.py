"""Draw the pictures of docs/features.md that need no recording: python -m docs.draw_features"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from stages.lib.frontend.mel import hz_to_mel, mel_edges, mel_filters
from stages.lib.plotting import ACCENT, INK, save_figure

DOCS = Path(__file__).parent
SR, N_FFT, N_MELS, FMAX = 22050, 1168, 150, 8000.0  # the defaults of params.yaml


def main() -> None:
    """Draw all."""
    save_figure(DOCS / "sampling.png", plot_sampling())
    save_figure(DOCS / "windows.png", plot_windows())
    save_figure(DOCS / "mel.png", plot_mel())


def plot_sampling() -> Figure:
    """A tone above half the rate gives the same samples as one below it."""
    sr, tone, alias = 12_000, 9_000, 3_000
    t, at = np.arange(0, 1e-3, 1e-6), np.arange(0, 1e-3, 1 / sr)
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(1000 * t, np.cos(2 * np.pi * tone * t), color=INK, linewidth=1, label=f"{tone:,} Hz, what was played")
    axes.plot(1000 * t, np.cos(2 * np.pi * alias * t), color=ACCENT, linewidth=1, label=f"{alias:,} Hz, what is heard")
    axes.plot(1000 * at, np.cos(2 * np.pi * tone * at), "o", color="black", markersize=5, label="samples of both")
    axes.set(xlabel="time (ms)", ylabel="amplitude", title="Sampled at 12 kHz, 9 kHz cannot be told from 3 kHz")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def plot_windows() -> Figure:
    """What a window does to the spectrum of a tone between two bins."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    n = np.arange(N_FFT)
    frequency = 53.5 * SR / N_FFT  # half way between two bins, the worst case
    for name, window, color in (("none", np.ones(N_FFT), ACCENT), ("Hamming", np.hamming(N_FFT + 1)[:-1], INK)):
        left.plot(
            1000 * n / SR, window * np.sin(2 * np.pi * frequency * n / SR), color=color, linewidth=0.7, label=name
        )
        magnitudes = np.abs(np.fft.rfft(window * np.sin(2 * np.pi * frequency * n / SR)))
        bins = np.fft.rfftfreq(N_FFT, 1 / SR)
        right.plot(bins, 20 * np.log10(magnitudes / magnitudes.max()), ".-", color=color, linewidth=0.7, markersize=3)
    left.set(xlabel="time (ms)", ylabel="amplitude", title="one frame of a tone of 1,010 Hz")
    right.set(xlabel="frequency (Hz)", ylabel="level (dB)", title="its spectrum", xlim=(500, 1500), ylim=(-70, 3))
    left.legend(loc="lower left", title="window", framealpha=1)
    return figure


def plot_mel() -> Figure:
    """The scale, and every tenth filter."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    hz = np.linspace(0, FMAX, 500)
    left.plot(hz, hz_to_mel(hz, "slaney") / hz_to_mel(FMAX, "slaney") * 100, color=INK)
    left.set(xlabel="frequency (Hz)", ylabel="share of the bands (%)", title="half of the bands lie below 1.7 kHz")
    filters = mel_filters(sr=SR, n_fft=N_FFT, n_mels=N_MELS, fmin=0.0, fmax=FMAX, mel_scale="slaney", mel_norm="slaney")
    edges = mel_edges(N_MELS, 0.0, FMAX, "slaney")
    for band in range(0, N_MELS, 10):
        at = np.flatnonzero(filters[band])
        shown = np.r_[edges[band], at * SR / N_FFT, edges[band + 2]]
        right.plot(shown, np.r_[0, filters[band, at], 0], ".-", color=INK, linewidth=0.7, markersize=2)
    right.set(xlabel="frequency (Hz)", ylabel="weight", title="every tenth filter, at the FFT bins")
    return figure


if __name__ == "__main__":
    main()
