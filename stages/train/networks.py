"""The networks. A new one is a function here and a name in `MODELS`.

Such a function takes log-mel segments, a Keras tensor of shape (batch, n_frames, n_mels, 1), and the number of classes,
and returns what the softmax turns into probabilities, (batch, n_classes). What of a network has pretrained weights is a
model of its own within it, named `BODY`, which turns segments into the numbers that its head classifies.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
from keras import layers

from stages.lib.core.errors import ModelError
from stages.lib.split.scaler import Scaler

DELTA_WIDTH = 9  # frames, as in librosa
INCEPTION_MIN = 75  # frames and bands that its unpadded convolutions need
BODY = "body"  # the name of the part of a network that has pretrained weights
YAMNET_BLOCKS = [  # filters, and stride of the depthwise convolution before them
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1),
]  # fmt: skip


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


def dcase2016_deltas(x: keras.KerasTensor, n_classes: int) -> keras.KerasTensor:
    """`dcase2016` on log-mel, its delta and the delta of that, as the study of 2018 had it."""
    return dcase2016(add_deltas(x), n_classes)


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
    AAAI 2017. `weights` is None or "imagenet". Raises `ModelError` where those cannot be obtained.
    """

    x = add_deltas(x)
    missing = [max(0, INCEPTION_MIN - axis) for axis in x.shape[1:3]]
    x = layers.ZeroPadding2D([(n // 2, n - n // 2) for n in missing])(x)
    try:
        network = keras.applications.InceptionResNetV2(
            include_top=False, weights=weights, input_shape=x.shape[1:], pooling="avg"
        )
    except Exception as error:
        if not isinstance(error.__context__, OSError):
            raise  # Keras raises a bare Exception in the place of a download's OSError, and nothing more exact to catch
        raise ModelError(
            f"train.model: the ImageNet weights of Inception-ResNet-v2 cannot be obtained ({error})"
        ) from error
    return layers.Dense(n_classes)(layers.Dropout(0.2)(network(x)))


def yamnet(x: keras.KerasTensor, n_classes: int) -> keras.KerasTensor:
    """YAMNet: MobileNet v1 on log-mel as it is, batch normalisation folded into the weights, with a new head.

    Plakal, Ellis: YAMNet, tensorflow/models, research/audioset/yamnet; Howard and others: MobileNets: efficient
    convolutional neural networks for mobile vision applications, 2017, table 1. Activations end at 6, as in the file
    that is published for LiteRT; the code published with it has no such limit. Convolutions of one by one are dense
    layers here: the same numbers, but TensorFlow's gradient of such a convolution takes twice as long on a processor.
    """

    def activate(x: keras.KerasTensor) -> keras.KerasTensor:
        return layers.ReLU(max_value=6)(x)

    segments = keras.Input(x.shape[1:])
    y = activate(layers.Conv2D(32, 3, strides=2, padding="same")(segments))
    for filters, stride in YAMNET_BLOCKS:
        y = activate(layers.DepthwiseConv2D(3, strides=stride, padding="same")(y))
        y = activate(layers.Dense(filters)(y))
    body = keras.Model(segments, layers.GlobalAveragePooling2D()(y), name=BODY)
    return layers.Dense(n_classes)(layers.Dropout(0.3)(body(x)))


def add_deltas(x: keras.KerasTensor) -> keras.KerasTensor:
    """Log-mel, its delta and the delta of that as three channels."""

    def delta(x: keras.KerasTensor) -> keras.KerasTensor:
        """The slope of the line through the `DELTA_WIDTH` frames around each frame, beyond the ends taken as 0."""
        offsets = np.arange(DELTA_WIDTH) - DELTA_WIDTH // 2
        slope = layers.Conv2D(1, (DELTA_WIDTH, 1), padding="same", use_bias=False, trainable=False)
        slopes = slope(x)
        slope.set_weights([(offsets / (offsets**2).sum()).reshape(DELTA_WIDTH, 1, 1, 1)])
        return slopes

    first = delta(x)
    return layers.Concatenate()([x, first, delta(first)])


def pool(x: keras.KerasTensor) -> keras.KerasTensor:
    """Halve both axes by the maximum, but none that is shorter than 4."""
    return layers.MaxPooling2D([2 if axis >= 4 else 1 for axis in x.shape[1:3]])(x)


@dataclass(frozen=True)
class Network:
    """An entry of the table: the function `scores` (see above), and the input that it needs.

    `scaled`: segments less the mean of each band, over its standard deviation, else log-mel as it is; `pretrained`: it
    is of no use without the pretrained weights of its body.
    """

    scores: Callable[[keras.KerasTensor, int], keras.KerasTensor]
    scaled: bool = True
    pretrained: bool = False


MODELS = {
    "dcase2016": Network(dcase2016),
    "dcase2016_deltas": Network(dcase2016_deltas),
    "cp_resnet": Network(cp_resnet),
    "inception_resnet_v2": Network(partial(inception_resnet_v2, weights=None)),
    "inception_resnet_v2_imagenet": Network(partial(inception_resnet_v2, weights="imagenet")),
    "yamnet": Network(yamnet, scaled=False, pretrained=True),
}


def find_network(name: str) -> Network:
    """The entry of the table. Raises `ModelError` for a name that is not in it."""
    if name not in MODELS:
        raise ModelError(f"train.model is {name!r}, expected one of: {', '.join(MODELS)}")
    return MODELS[name]


def build_model(
    name: str, *, n_frames: int, n_classes: int, scaler: Scaler, pretrained: list[list[np.ndarray]] | None = None
) -> keras.Model:
    """A network that takes raw log-mel segments, (batch, n_frames, n_mels), and scales them itself where it needs that.

    Its weights are new, but for those of its body, where `pretrained` has the arrays of each of the body's layers (it
    may have more layers, such as a head). Raises `ModelError` for a name that is not in `MODELS`, and for arrays that
    do not fit.
    """
    network = find_network(name)
    segments = x = keras.Input((n_frames, len(scaler.mean)), name="log_mel")
    if network.scaled:
        x = layers.Normalization(mean=scaler.mean, variance=scaler.std**2)(x)
    scores = network.scores(layers.Reshape((*x.shape[1:], 1))(x), n_classes)
    probabilities = layers.Softmax(dtype="float32")(scores)  # in full precision, whatever the rest computes with
    model = keras.Model(segments, probabilities, name=name)
    if pretrained is not None:
        set_pretrained(model.get_layer(BODY), pretrained)
    return model


def set_pretrained(body: keras.Model, pretrained: list[list[np.ndarray]]) -> None:
    """Put arrays into the layers of `body` that have weights, in their order. Raises `ModelError` where they differ.

    Kernels of one by one also go into dense layers.
    """
    own = [layer for layer in body.layers if layer.weights]
    if len(pretrained) < len(own):
        raise ModelError(f"train.weights: has {len(pretrained)} layers with weights, {len(own)} are needed")
    for i, (layer, arrays) in enumerate(zip(own, pretrained, strict=False)):
        if isinstance(layer, layers.Dense):
            arrays = [array[0, 0] if array.shape[:2] == (1, 1) and array.ndim == 4 else array for array in arrays]
        expected, found = ([tuple(array.shape) for array in group] for group in (layer.weights, arrays))
        if found != expected:
            raise ModelError(
                f"train.weights: layer {i} has arrays of shape {found}, {layer.name} of the network has {expected}; "
                "are they of this network, and is first_layer right?"
            )
        layer.set_weights(arrays)


def pretrained_variables(model: keras.Model) -> list[keras.Variable]:
    """The trainable variables of the body of a network; none in a part of a network that has no body."""
    return [v for layer in model.layers if layer.name == BODY for v in layer.trainable_variables]
