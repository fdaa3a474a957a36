"""Whether an ONNX file computes what the network does, on synthetic sounds of many kinds and levels."""

from typing import TYPE_CHECKING

import numpy as np

from stages.commands.export.converters import OUTPUTS, as_list, copy_in_float32
from stages.lib.core.errors import ModelError
from stages.lib.frontend.spectrogram import Featurizer
from stages.lib.inference.runtime import FEATURES, SAMPLES
from stages.lib.model.calibration import apply_temperature
from stages.lib.model.metadata import ModelMetadata

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-4  # of a probability; rounding in float32 leaves some 1e-6
LEVELS_DB = (-70.0, -50.0, -30.0, -10.0)  # of peaks re full scale


def check_agreement(content: bytes, model: "keras.Model", metadata: ModelMetadata, featurizer: Featurizer) -> None:
    """Raise `ModelError` where the ONNX file `content` gives other probabilities than `model` in full precision.

    Each input that the file has is tried by itself.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    shapes = {end.name: end.shape[1:] for end in (*session.get_inputs(), *session.get_overridable_initializers())}

    p, n_frames = featurizer.params, model.input_shape[1]
    network = copy_in_float32(model)
    samples = make_sounds(p.win_length + (n_frames - 1) * p.hop_length, p.sr)
    segments = {SAMPLES: samples, FEATURES: np.stack([featurizer(y) for y in samples])}
    probabilities, *frames = map(np.asarray, as_list(network(segments[FEATURES])))
    expected = [apply_temperature(probabilities, metadata.temperature), *frames]
    for name in shapes:
        nothing = {other: np.zeros((0, *shape), np.float32) for other, shape in shapes.items() if other != name}
        found = session.run(list(OUTPUTS[: len(expected)]), {name: segments[name], **nothing})
        difference = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
        if not difference <= TOLERANCE:  # nor if it is not a number
            raise ModelError(
                f"the ONNX file differs from the network by {difference:.1g} in a probability where it takes {name}, "
                f"expected at most {TOLERANCE:g}, so it was not kept; report it with the versions of onnx, onnxruntime "
                "and tf2onnx"
            )


def make_sounds(n_samples: int, sr: int) -> np.ndarray:
    """Silence, and noise, a tone, a sweep, clicks and a buzz at several levels; float32 (n, n_samples).

    All but silence lie over the noise of a converter of 16 bits, as what is recorded does: a band that holds nothing
    would hold what rounding leaves, which no two transforms have in common.
    """
    rng, t = np.random.default_rng(0), np.arange(n_samples) / sr
    duration_s = n_samples / sr
    noise = rng.standard_normal(n_samples)
    buzz = sum(np.sin(2 * np.pi * 180 * k * t) / k for k in range(1, 12)) * np.exp(-3 * (t % 0.7))
    kinds = [
        noise,
        np.cumsum(noise - noise.mean()),  # falls by 6 dB per octave, as traffic does
        # Tones over what sounds around them: pure ones would test how transforms round, in the bands beside them.
        np.sin(2 * np.pi * 1000 * t) + 0.01 * noise,
        np.sin(2 * np.pi * 0.2 * sr * t**2 / duration_s) + 0.01 * noise,  # up to 0.4 times the rate
        (rng.random(n_samples) < 3 / sr).astype(float),
        np.where(t % 0.5 < 0.1, noise, 0),
        buzz,
    ]
    sounds = [kind / max(1e-12, np.abs(kind).max()) * 10 ** (db / 20) for kind in kinds for db in LEVELS_DB]
    converter = rng.triangular(-1, 0, 1, n_samples) / 2**15
    return np.stack([np.zeros(n_samples), *(sound + converter for sound in sounds)]).astype(np.float32)
