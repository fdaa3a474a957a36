"""The networks. A new one is a function here and a name in `MODELS`.

Such a function takes scaled log-mel segments, a Keras tensor of shape (batch, n_frames, n_mels, 1), and the number of
classes, and returns what the softmax turns into probabilities, (batch, n_classes).
"""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np
from keras import layers

from stages.lib.core.errors import ModelError
from stages.lib.split.scaler import Scaler

DELTA_WIDTH = 9  # frames, as in librosa
INCEPTION_MIN = 75  # frames and bands that its unpadded convolutions need


def dcase2016(x: keras.KerasTensor, n_classes: int) -> keras.KerasTensor:
    """The 11-convolution network of the winner of DCASE 2016, acoustic scene classification.

    Eghbal-Zadeh, Lehner, Dorfer, Widmer: CP-JKU submissions for DCASE-2016, table 1. An axis that is too short
    is pooled no further, and then the unpadded convolution is padded, so that any segment of 0.5 s or more and any 10
    to 512 bands can be trained on.
    """

    def convolve(x: keras.KerasTensor, filters: int, size: int, **options: object) -> keras.KerasTensor:
        # Batch normalisation has the bias. Its momentum is that of the original's library, Lasagne: at the default of
        # Keras, 0.99, the averages lag behind a short training.
        x = layers.Conv2D(filters, size, use_bias=False, **{"padding": "same", **options})(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

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
    return layers.GlobalAveragePooling2D()(x)


def cp_resnet(x: keras.KerasTensor, n_classes: int) -> keras.KerasTensor:
    """A small residual network with a limited receptive field: a third of the multiply-adds of `dcase2016`.

    After Koutini, Eghbal-Zadeh, Dorfer, Widmer: The receptive field as a regularizer in deep convolutional neural
    networks for acoustic scene classification, EUSIPCO 2019; pooled sooner and with fewer layers. An output sees 99
    frames and bands of the input.
    """

    def convolve(x: keras.KerasTensor, filters: int, size: int, **options: object) -> keras.KerasTensor:
        x = layers.Conv2D(filters, size, padding="same", use_bias=False, **options)(x)
        return layers.BatchNormalization(momentum=0.9)(x)

    def residual(x: keras.KerasTensor, filters: int, size: int) -> keras.KerasTensor:
        y = convolve(layers.ReLU()(convolve(x, filters, 3)), filters, size)
        return layers.ReLU()(layers.Add()([convolve(x, filters, 1), y]))

    x = pool(layers.ReLU()(convolve(x, 24, 5, strides=2)))
    x = pool(residual(x, 48, 3))
    x = pool(residual(x, 96, 3))
    x = residual(x, 192, 1)
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x))
    return layers.Dense(n_classes)(x)


def inception_resnet_v2(x: keras.KerasTensor, n_classes: int, *, weights: str | None) -> keras.KerasTensor:
    """Inception-ResNet-v2 on log-mel, its delta and the delta of that as three channels.

    Szegedy, Ioffe, Vanhoucke, Alemi: Inception-v4, Inception-ResNet and the impact of residual connections on learning,
    AAAI 2017. `weights` is None or "imagenet". Raises `ModelError` where those cannot be had.
    """

    def delta(x: keras.KerasTensor) -> keras.KerasTensor:
        """The slope of the line through the `DELTA_WIDTH` frames around each frame, beyond the ends taken as 0."""
        offsets = np.arange(DELTA_WIDTH) - DELTA_WIDTH // 2
        slope = layers.Conv2D(1, (DELTA_WIDTH, 1), padding="same", use_bias=False, trainable=False)
        slopes = slope(x)
        slope.set_weights([(offsets / (offsets**2).sum()).reshape(DELTA_WIDTH, 1, 1, 1)])
        return slopes

    first = delta(x)
    x = layers.Concatenate()([x, first, delta(first)])
    missing = [max(0, INCEPTION_MIN - axis) for axis in x.shape[1:3]]
    x = layers.ZeroPadding2D([(n // 2, n - n // 2) for n in missing])(x)
    try:
        network = keras.applications.InceptionResNetV2(
            include_top=False, weights=weights, input_shape=x.shape[1:], pooling="avg"
        )
    except Exception as error:
        if not isinstance(error.__context__, OSError):
            raise  # Keras raises a bare Exception in the place of a download's OSError, and nothing more exact to catch
        raise ModelError(f"train.model: the ImageNet weights of Inception-ResNet-v2 cannot be had ({error})") from error
    return layers.Dense(n_classes)(layers.Dropout(0.2)(network(x)))


def pool(x: keras.KerasTensor) -> keras.KerasTensor:
    """Halve both axes by the maximum, but none that is shorter than 4."""
    return layers.MaxPooling2D([2 if axis >= 4 else 1 for axis in x.shape[1:3]])(x)


MODELS: dict[str, Callable[[keras.KerasTensor, int], keras.KerasTensor]] = {
    "dcase2016": dcase2016,
    "cp_resnet": cp_resnet,
    "inception_resnet_v2": partial(inception_resnet_v2, weights=None),
    "inception_resnet_v2_imagenet": partial(inception_resnet_v2, weights="imagenet"),
}


def build_model(name: str, *, n_frames: int, n_classes: int, scaler: Scaler) -> keras.Model:
    """A network with new weights that takes raw log-mel segments, (batch, n_frames, n_mels), and scales them itself.

    Raises `ModelError` for a name that is not in `MODELS`.
    """
    if name not in MODELS:
        raise ModelError(f"train.model is {name!r}, expected one of: {', '.join(MODELS)}")
    segments = keras.Input((n_frames, len(scaler.mean)), name="log_mel")
    scaled = layers.Normalization(mean=scaler.mean, variance=scaler.deviation**2)(segments)
    scores = MODELS[name](layers.Reshape((*scaled.shape[1:], 1))(scaled), n_classes)
    probabilities = layers.Softmax(dtype="float32")(scores)  # in full precision, whatever the rest computes with
    return keras.Model(segments, probabilities, name=name)
