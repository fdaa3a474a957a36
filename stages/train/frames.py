"""The head for frames: which classes sound in each short step of a segment, beside the head for the whole segment.

It takes feature maps of the finished network, the last one before its pooling and finer ones before that, mean and
maximum over the bands, brought to steps of `STEP_S` by linear interpolation, and from the input the level of broad
bands in each step, since the maps are too coarse to tell where a sound begins. Two convolutions over time follow. Each
step gets the sigmoid of every class, since several may sound at once, and of "something", any of them.

It is trained on soundscapes of the training clips, in which it is known what sounds when, over noise of many kinds. The
network itself stays as it is, so that its outputs are computed once.

After Çakır, Parascandolo, Heittola, Huttunen, Virtanen: Convolutional recurrent neural networks for polyphonic sound
event detection, IEEE/ACM TASLP 25(6), 2017, with convolutions in the place of the recurrent layers.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import pandas as pd
from keras import layers

from stages.lib.core.progress import progress
from stages.lib.frontend.spectrogram import FeaturizeParams, Featurizer
from stages.lib.model.metadata import ModelMetadata
from stages.lib.soundscapes.backgrounds import coloured, shaped, steady, wandering
from stages.lib.soundscapes.compose import Placed, build_soundscapes
from stages.train.recipe import EventParams

STEP_S = 0.16
N_BROAD = 8  # broad bands whose level is taken
FILTERS = 96
WIDTH = 7  # steps
SNR_DB = (3.0, 25.0)
SOUNDSCAPE_S = 20.0
WANDER_DB = (2.0, 4.0)
BATCH = 64
LEARNING_RATE = 0.002


def split_at_maps(model: keras.Model, n_steps: int) -> tuple[list[keras.KerasTensor], keras.KerasTensor]:
    """The feature maps of a network, (batch, time, bands, channels), and the probabilities that follow from them.

    The last map of each length in time, from the coarsest to the first that has `n_steps` or more. All belong to the
    graph of `model.input`. A network within the network is taken apart, or it would be computed twice.
    """
    for i, layer in reversed(list(enumerate(model.layers))):
        if isinstance(layer, keras.Model):
            inner = [j for j, part in enumerate(layer.layers) if len(part.output.shape) == 4]
            if inner:
                maps = _of_each_length(layer.layers[: inner[-1] + 1], n_steps)
                body = keras.Model(layer.input, maps, name=layer.name)
                found = body(model.layers[i - 1].output)
                x = found[0]
                for part in [*layer.layers[inner[-1] + 1 :], *model.layers[i + 1 :]]:
                    x = part(x)
                return found, x
        elif len(layer.output.shape) == 4:
            return _of_each_length(model.layers[: i + 1], n_steps), model.output
    raise ValueError(f"{model.name} has no feature map")


def _of_each_length(chain: Sequence[layers.Layer], n_steps: int) -> list[keras.KerasTensor]:
    maps: list[keras.KerasTensor] = []
    for layer in reversed(chain):
        longest = maps[-1].shape[1] if maps else 0
        if longest < n_steps and len(layer.output.shape) == 4 and layer.output.shape[1] > longest:
            maps.append(layer.output)
    return maps


def build_step_features(
    map_shapes: list[tuple[int, int, int]], segment_shape: tuple[int, int], step: int
) -> keras.Model:
    """From feature maps and the segment that they are of to what the head takes for each `step` frames,
    (batch, n_steps, n).
    """
    maps, segments = [keras.Input(shape) for shape in map_shapes], keras.Input(segment_shape)
    n_frames, n_features = segment_shape
    n_steps = n_frames // step
    of_maps = []
    for feature_map in maps:
        time, bands, channels = feature_map.shape[1:]
        over_bands = [
            layers.Reshape((time, channels))(pool((1, bands))(feature_map))
            for pool in (layers.AveragePooling2D, layers.MaxPooling2D)
        ]
        interpolate = layers.Dense(n_steps, use_bias=False, trainable=False, name=f"interpolate_{time}")
        of_maps.append(layers.Permute((2, 1))(interpolate(layers.Permute((2, 1))(layers.Concatenate()(over_bands)))))
        interpolate.set_weights([interpolation(time, n_steps)])

    size = (step, -(-n_features // N_BROAD))
    image = layers.Reshape((n_frames, n_features, 1))(segments)
    levels = layers.Concatenate(axis=2)([pool(size)(image) for pool in (layers.AveragePooling2D, layers.MaxPooling2D)])
    levels = layers.Reshape((n_steps, levels.shape[2]))(levels)
    mean = layers.Reshape((1, levels.shape[2]))(layers.GlobalAveragePooling1D()(levels))
    least = layers.Rescaling(-1.0)(layers.GlobalMaxPooling1D()(layers.Rescaling(-1.0)(levels)))
    over_least = layers.Subtract()([levels, layers.Reshape((1, levels.shape[2]))(least)])
    features = layers.Concatenate()([*of_maps, levels, layers.Subtract()([levels, mean]), over_least])
    return keras.Model([*maps, segments], features, name="step_features")


def interpolation(n_from: int, n_to: int) -> np.ndarray:
    """The matrix, float32 (n_from, n_to), that brings values of `n_from` equal spans to the middles of `n_to` spans."""
    at = (np.arange(n_to) + 0.5) * n_from / n_to - 0.5
    return np.stack([np.interp(at, np.arange(n_from), row) for row in np.eye(n_from)]).astype(np.float32)


def build_head(n_steps: int, n_inputs: int, n_classes: int) -> keras.Model:
    """The head, from the features of steps, (batch, n_steps, n_inputs), to (batch, n_steps, n_classes + 1)."""
    x = inputs = keras.Input((n_steps, n_inputs))
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.Dropout(0.3)(layers.Conv1D(FILTERS, 1, activation="relu")(x))
    x = layers.Dropout(0.3)(layers.Conv1D(FILTERS, WIDTH, padding="same", activation="relu")(x))
    return keras.Model(inputs, layers.Conv1D(n_classes + 1, 1, activation="sigmoid")(x), name="frame_head")


def add_frame_head(
    model: keras.Model,
    metadata: ModelMetadata,
    clips: pd.DataFrame,
    load: Callable[[str], np.ndarray],
    params: EventParams,
    seed: int,
) -> tuple[keras.Model, int]:
    """Train a head for frames on soundscapes of `clips`, the rows of a features index that `model` was trained on.

    `load(clip)` gives the samples of a clip at the model's rate, float32 of shape (n_samples,). Returns a network with
    two outputs, the probabilities of `model` and those of steps, (batch, n_steps, n_classes + 1), of which the last is
    that of "something"; and the frames of a step.
    """
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(seed)
    n_frames = model.input.shape[1]
    step = min(max(1, round(STEP_S / metadata.featurize.frame_s)), n_frames)
    maps, probabilities = split_at_maps(model, n_frames // step)
    shapes = [feature_map.shape[1:] for feature_map in maps]
    features = build_step_features(shapes, model.input.shape[1:], step)([*maps, model.input])
    extract = keras.Model(model.input, features)
    n_steps, n_inputs = features.shape[1:]
    head = build_head(n_steps, n_inputs, len(metadata.classes))

    cut = cut_soundscapes(metadata, clips, load, n_frames, step, params.n_soundscapes, seed)
    n = params.n_soundscapes
    bar = progress(cut, total=n, desc=f"soundscapes to train on, {metadata.name}", unit="soundscapes")
    parts = [(extract.predict_on_batch(segments), targets) for segments, targets in bar]
    inputs, targets = (np.concatenate(arrays).astype(np.float32) for arrays in zip(*parts, strict=True))
    n_batches = params.epochs * -(-len(inputs) // BATCH)
    head.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, n_batches), weight_decay=0.01),
        loss="binary_crossentropy",
    )
    with progress(total=params.epochs, desc=f"head for frames, {metadata.name}", unit="epochs") as shown:
        count = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: shown.update())
        head.fit(inputs, targets, batch_size=BATCH, epochs=params.epochs, verbose=0, callbacks=[count])
    return keras.Model(model.input, [probabilities, head(features)], name=model.name), step


def cut_soundscapes(
    metadata: ModelMetadata,
    clips: pd.DataFrame,
    load: Callable[[str], np.ndarray],
    n_frames: int,
    step: int,
    n: int,
    seed: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each of `n` soundscapes segments, (n_segments, n_frames, n_features), and targets of their steps.

    Targets are (n_segments, n_frames // step, n_classes + 1): the share of a step that a class takes, last that of any.
    Segments begin at drawn frames, two for each length of one, so that edges of sounds stand anywhere in them.
    """
    p = metadata.featurize
    featurizer = Featurizer(FeaturizeParams(**p.model_dump()))
    backgrounds = [
        steady(p.sr),
        *(wandering(p.sr, std_db) for std_db in WANDER_DB),
        coloured(p.sr),
        *[shaped(p.sr, clips["clip"].tolist(), load)] * 2,
    ]
    duration_s = max(SOUNDSCAPE_S, 2 * n_frames * p.frame_s)
    each = [
        build_soundscapes(clips, load, background, sr=p.sr, n=n, duration_s=duration_s, snr_db=SNR_DB, seed=(seed, i))
        for i, background in enumerate(backgrounds)
    ]
    rng = np.random.default_rng((seed, len(backgrounds)))
    for soundscape in itertools.islice(itertools.chain.from_iterable(zip(*each, strict=True)), n):
        frames = featurizer(soundscape.y)
        n_segments = max(1, round(2 * len(frames) / n_frames))
        starts = rng.integers(0, max(1, len(frames) - n_frames + 1), n_segments)
        active = active_frames(soundscape.placed, metadata.classes, len(frames), p.frame_s)
        segments = np.stack([frames[start : start + n_frames] for start in starts])
        of_steps = [
            active[start : start + n_frames // step * step].reshape(-1, step, active.shape[1]).mean(axis=1)
            for start in starts
        ]
        yield segments, np.stack(of_steps)


def active_frames(placed: Sequence[Placed], classes: list[str], n_frames: int, frame_s: float) -> np.ndarray:
    """Which class is active in each frame, and whether any is; float32 of shape (n_frames, n_classes + 1), 0 or 1."""
    at_s = (np.arange(n_frames) + 0.5) * frame_s
    active = np.zeros((n_frames, len(classes) + 1), np.float32)
    for clip in placed:
        is_there = (at_s >= clip.start_s) & (at_s < clip.end_s)
        active[is_there, classes.index(clip.label)] = active[is_there, -1] = 1
    return active
