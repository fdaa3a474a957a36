"""The soundscapes that `evaluate` makes of the clips of a fold, for benchmarks that look at them one by one."""

from collections.abc import Iterator
from pathlib import Path

from stages.evaluate.scores import EvaluateParams
from stages.lib.audio import load_mono
from stages.lib.features.store import Features
from stages.lib.soundscapes.backgrounds import Background
from stages.lib.soundscapes.compose import Soundscape, build_soundscapes


def compose(
    features: Features, raw: Path, fold: int, background: Background, params: EvaluateParams, sr: int
) -> Iterator[Soundscape]:
    """Yield them at `sr` Hz, `params.n_soundscapes` over one background; `raw` is the output of fetch."""
    yield from build_soundscapes(
        features.clips([fold]),
        lambda clip: load_mono(raw / "audio" / clip, sr),
        background,
        sr=sr,
        n=params.n_soundscapes,
        duration_s=params.soundscape_s,
        snr_db=(params.soundscape_snr_db[0], params.soundscape_snr_db[1]),
        seed=(params.seed, fold),
    )
