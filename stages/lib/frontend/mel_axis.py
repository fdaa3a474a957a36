"""Frequencies on an axis of mel bands."""

from typing import Any

import numpy as np

from stages.lib.frontend.mel import band_at

TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000, 16000)


def set_hz_ticks(
    axes: Any, *, n_mels: int, fmin: float, fmax: float, mel_scale: str, gap: float = 0.1, fontsize: float | None = None
) -> None:
    """Mark octaves in Hz on the y axis of `axes`, matplotlib's, in which band b is drawn from b to b + 1.

    So the peak of a band is at b + 0.5. Marks are at least `gap` apart, as a fraction of the axis, the highest first.
    """
    ticks: dict[float, int] = {}
    for hz in reversed(TICKS_HZ):
        if fmin < hz <= fmax:
            # Half a band beyond the picture are the outer corners of the outer bands: they are marked at its edge.
            at = float(np.clip(band_at(hz, n_mels=n_mels, fmin=fmin, fmax=fmax, mel_scale=mel_scale) + 0.5, 0, n_mels))
            if not ticks or min(ticks) - at >= gap * n_mels:
                ticks[at] = hz
    axes.set_yticks(list(ticks), [f"{hz:,}" for hz in ticks.values()], fontsize=fontsize)
