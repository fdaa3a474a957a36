"""A network of one convolution, for tests of what is around training: it learns tones, in a third of the time."""

from stages.lib.model.backend import start_backend

TINY = "tiny"


def register_tiny_network() -> None:
    """Put it into the table of networks of this process, as `train.model: tiny`."""
    start_backend("tensorflow")
    from keras import layers

    from stages.train import networks

    def tiny(x, n_classes):
        x = layers.BatchNormalization(momentum=0.9)(layers.Conv2D(4, 3, strides=2, use_bias=False)(x))
        x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(layers.ReLU()(x)))
        return layers.Dense(n_classes)(x)

    networks.MODELS[TINY] = networks.Network(tiny)
