"""The networks. A new one is a function here and a name in `MODELS`.

Such a function takes scaled log-mel segments, a Keras tensor of shape (batch, n_frames, n_mels, 1), and the number of
classes, and returns their probabilities, (batch, n_classes).
"""

from collections.abc import Callable

import keras
from keras import layers

from stages.lib.errors import ModelError
from stages.lib.scaling import Scaler


def dcase2016(x: keras.KerasTensor, n_classes: int) -> keras.KerasTensor:
    """The 11-convolution network of the winner of DCASE 2016, acoustic scene classification.

    Eghbal-Zadeh, Lehner, Dorfer, Widmer: CP-JKU submissions for DCASE-2016, table 1. An axis shorter than 4 is pooled
    no further, and then the unpadded convolution is padded, so that any segment of 0.5 s or more and any 10 to 512
    bands can be trained on.
    """

    def convolve(x: keras.KerasTensor, filters: int, size: int, **options: object) -> keras.KerasTensor:
        # Batch normalisation has the bias. Its momentum is that of the original's library, Lasagne: at the default of
        # Keras, 0.99, the averages lag behind a short training.
        x = layers.Conv2D(filters, size, use_bias=False, **{"padding": "same", **options})(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

    def pool(x: keras.KerasTensor) -> keras.KerasTensor:
        return layers.MaxPooling2D([2 if axis >= 4 else 1 for axis in x.shape[1:3]])(x)

    x = convolve(x, 32, 5, strides=2)
    x = convolve(x, 32, 3)
    x = layers.Dropout(0.3)(pool(x))
    for _ in range(2):
        x = convolve(x, 64, 3)
    x = layers.Dropout(0.3)(pool(x))
    for _ in range(4):
        x = convolve(x, 128, 3)
    x = layers.Dropout(0.3)(pool(x))
    x = convolve(x, 512, 3, padding="valid" if min(x.shape[1:3]) >= 4 else "same")
    x = layers.Dropout(0.5)(x)
    x = convolve(x, 512, 1)
    x = layers.Dropout(0.5)(x)
    x = convolve(x, n_classes, 1)
    return layers.Softmax()(layers.GlobalAveragePooling2D()(x))


MODELS: dict[str, Callable[[keras.KerasTensor, int], keras.KerasTensor]] = {"dcase2016": dcase2016}


def build_model(name: str, *, n_frames: int, n_classes: int, scaler: Scaler) -> keras.Model:
    """A network with new weights that takes raw log-mel segments, (batch, n_frames, n_mels), and scales them itself.

    Raises `ModelError` for a name that is not in `MODELS`.
    """
    if name not in MODELS:
        raise ModelError(f"train.model is {name!r}, expected one of: {', '.join(MODELS)}")
    segments = keras.Input((n_frames, len(scaler.mean)), name="log_mel")
    scaled = layers.Normalization(mean=scaler.mean, variance=scaler.deviation**2)(segments)
    probabilities = MODELS[name](layers.Reshape((*scaled.shape[1:], 1))(scaled), n_classes)
    return keras.Model(segments, probabilities, name=name)
