"""The front end as a layer of Keras, so that an exported file takes samples: frames, DFT, mel bands, logarithm, MFCC.

It computes what `stages.lib.frontend.spectrogram.Featurizer` does, by matrix products, which every converter and every
runtime knows. PCEN is not among it, see `stages.commands.export.converters`.
"""

import keras
import numpy as np
from keras import ops

from stages.lib.frontend.spectrogram import Featurizer, cepstrum_matrix


class FrontEnd(keras.layers.Layer):
    """From samples, float32 of shape (batch, n_samples), to features, (batch, n_frames, n_features)."""

    def __init__(self, featurizer: Featurizer, n_frames: int) -> None:
        """Take the front end, and the frames of a segment."""
        super().__init__(dtype="float32")
        p = self._params = featurizer.params
        self._n_frames = n_frames
        self._window, self._filters = featurizer.window, np.ascontiguousarray(featurizer.filters.T)
        self._cepstrum = None if p.n_mfcc is None else cepstrum_matrix(p.n_mels, p.n_mfcc, p.lifter).T.copy()

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the features."""
        return (input_shape[0], self._n_frames, self._params.n_features)

    def call(self, samples: keras.KerasTensor) -> keras.KerasTensor:
        """The features."""
        p = self._params
        real, imaginary = dft(self._frames(samples) * self._window, p.n_fft)
        power = ops.square(real) + ops.square(imaginary)
        mel = ops.matmul(power if p.power == 2 else ops.sqrt(power), self._filters)
        features = ops.log(mel + np.float32(p.log_offset))
        if p.compression == "db":
            features = features * np.float32(20 / p.power / np.log(10))
        return features if self._cepstrum is None else ops.matmul(features, self._cepstrum)

    def _frames(self, samples: keras.KerasTensor) -> keras.KerasTensor:
        """The windows' samples, (batch, n_frames, win_length): gathered in pieces as long as windows and hops allow."""
        p = self._params
        size = int(np.gcd(p.win_length, p.hop_length))
        starts = np.arange(self._n_frames)[:, np.newaxis] * (p.hop_length // size)
        index = (starts + np.arange(p.win_length // size)).astype(np.int32)
        pieces = ops.reshape(samples, (-1, samples.shape[1] // size, size))
        return ops.reshape(ops.take(pieces, index, axis=1), (-1, self._n_frames, p.win_length))


def dft(frames: keras.KerasTensor, n_fft: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Real and imaginary part of the bins 0 to n_fft / 2 of real frames, (..., n), filled up with zeros to `n_fft`.

    In two steps (Cooley, Tukey 1965): the sample n2 + N2 n1 and the bin k1 + N1 k2 have the factor
    w1^(n1 k1) w^(n2 k1) w2^(n2 k2), where w, w1 and w2 are the roots of unity of order n_fft = N1 N2, N1 and N2. That
    needs a sixth of the multiplications of one matrix where n_fft is 1168, a hundredth of its numbers in the file,
    and leaves less to round.
    """
    n1 = max(n for n in range(1, int(np.sqrt(n_fft)) + 1) if n_fft % n == 0)
    n2, n_bins = n_fft // n1, n_fft // 2 + 1
    n_columns = -(-n_bins // n1)  # the other values of k2 are bins of negative frequency
    shape = (-1, frames.shape[1])
    x = ops.pad(frames, [(0, 0), (0, 0), (0, n_fft - frames.shape[2])])
    x = ops.reshape(x, (*shape, n1, n2))

    first, factor, second = roots(n1, n1, n1), roots(n_fft, n1, n2), roots(n2, n2, n_columns)
    re, im = ops.matmul(first.real, x), ops.matmul(first.imag, x)  # [k1, n2]
    re, im = re * factor.real - im * factor.imag, re * factor.imag + im * factor.real
    both = ops.concatenate([re, im], axis=-1)
    re = ops.matmul(both, np.concatenate([second.real, -second.imag]))  # [k1, k2]
    im = ops.matmul(both, np.concatenate([second.imag, second.real]))
    re, im = (ops.reshape(ops.swapaxes(part, -1, -2), (*shape, n1 * n_columns))[..., :n_bins] for part in (re, im))
    return re, im


def roots(order: int, n_rows: int, n_columns: int) -> np.ndarray:
    """Powers of a root of unity, exp(-2 pi i row column / order), complex64 of shape (n_rows, n_columns)."""
    exponents = np.outer(np.arange(n_rows), np.arange(n_columns)) % order
    return np.exp(-2j * np.pi * exponents / order).astype(np.complex64)


class Concatenate(keras.layers.Layer):
    """Two batches as one."""

    def call(self, batches: list[keras.KerasTensor]) -> keras.KerasTensor:
        """The first batch, then the second."""
        return ops.concatenate(batches, axis=0)

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """The shape of both together."""
        return (None, *input_shape[0][1:])


class Temperature(keras.layers.Layer):
    """What `stages.lib.model.calibration.apply_temperature` does."""

    def __init__(self, temperature: float, name: str) -> None:
        """Take what logarithms of probabilities are divided by."""
        super().__init__(dtype="float32", name=name)
        self._temperature = temperature

    def call(self, probabilities: keras.KerasTensor) -> keras.KerasTensor:
        """Probabilities after temperature, of the same shape."""
        return ops.softmax(ops.log(ops.maximum(probabilities, 1e-12)) / self._temperature, axis=-1)
