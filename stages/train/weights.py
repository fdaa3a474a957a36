"""Pretrained weights: what a file of `data/weights/` says about them, where they come from, how they are read.

They are taken from where such a file says, compared with its hash, and read once; what was read is kept with
the downloads in the user's cache folder.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pydantic
from pydantic import Field

from stages.lib.core.errors import DataError, ModelError, ParamsError
from stages.lib.core.files import atomic_write, cache_folder, read_yaml
from stages.lib.core.validation import describe_errors
from stages.lib.download import describe_content, download, hash_like
from stages.train.litert import read_litert

NONE = Path("data/weights/none.yaml")  # for messages
RECIPE = "python -m stages.commands.recipe"  # for messages; lists the recipes
FORMAT = 1  # of the files kept in the cache; to be raised where they are read differently

Layers = list[list[np.ndarray]]  # of each layer its arrays, kernel and bias, as `keras.Layer.set_weights` takes them


@pydantic.dataclasses.dataclass(frozen=True, config=pydantic.ConfigDict(extra="forbid", strict=True))
class Weights:
    """What a file of `data/weights/` says about pretrained weights.

    `model` is the network that they are for, `address` an address or a path, `front_end` the keys of `featurize` that
    it was trained with, `first_layer` the number of the first layer of the file that the network has.
    """

    title: Annotated[str, Field(min_length=1)]
    model: str
    address: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    licence: str
    citation: str
    size_bytes: int | None = None
    first_layer: Annotated[int, Field(ge=0)] = 0
    front_end: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pretrained:
    """Pretrained weights: what is known of them, and the arrays of the layers of the network, from its first on."""

    about: Weights
    layers: Layers


def read_weights_file(path: Path) -> Weights | None:
    """Read a file of `data/weights/`; None where it says that there are no pretrained weights (its title is null).

    Raises `ParamsError` that names each key that is wrong.
    """
    tree = read_yaml(path, error=ParamsError, advice="set train.weights to a file of data/weights/")
    if not isinstance(tree, dict):
        raise ParamsError(f"{path}: expected keys such as title and address, found {str(tree)[:40]!r}")
    if tree == {"title": None}:
        return None
    try:
        return Weights(**{str(key): value for key, value in tree.items()})
    except pydantic.ValidationError as error:
        problems = describe_errors(error, see="data/weights/yamnet.yaml")
        raise ParamsError(f"{path}: {problems}") from None


def load_pretrained(path: Path, model: str, *, needed: bool, featurize: dict[str, Any]) -> Pretrained | None:
    """The pretrained weights that the file `path` of `data/weights/` names, or None where it says that there are none.

    Before anything is downloaded or read they are compared with what they are for: the network `model`, and features
    computed with the parameters `featurize`, lengths in samples. `needed` says that the network is of no use without.
    Raises `ParamsError` where they do not fit, and what `load_layers` raises.
    """
    weights = read_weights_file(path)
    check_weights(weights, path, model, needed=needed, featurize=featurize)
    return None if weights is None else Pretrained(weights, load_layers(weights, path)[weights.first_layer :])


def check_weights(weights: Weights | None, path: Path, model: str, *, needed: bool, featurize: dict[str, Any]) -> None:
    """Raise `ParamsError` unless `weights`, those of the file `path`, fit; see `load_pretrained`."""
    if weights is None:
        if needed:
            raise ParamsError(
                f"train.model {model} begins with pretrained weights, and {path} has none; set train.weights to a file "
                f"of data/weights/ that is for it, or take a recipe ('{RECIPE}')"
            )
        return
    if weights.model != model:
        raise ParamsError(
            f"train.weights: {path} is for train.model {weights.model}, found {model}; set train.model to "
            f"{weights.model}, or train.weights to {NONE}"
        )
    if unknown := sorted(set(weights.front_end) - set(featurize)):
        raise ParamsError(f"train.weights: {path}: front_end names {', '.join(unknown)}, no key of featurize")
    wrong = [
        f"featurize.{key} to {_as_yaml(value)} (is {_as_yaml(featurize[key])})"
        for key, value in weights.front_end.items()
        if featurize[key] != value
    ]
    if wrong:
        raise ParamsError(
            f"train.weights: {path} needs features of another kind; set {', '.join(wrong)}, or take a recipe "
            f"('{RECIPE}')"
        )


def load_layers(weights: Weights, path: Path) -> Layers:
    """The arrays of each layer of pretrained weights, from the cache folder, or read for the first time.

    `path` is that of the file of `data/weights/`, for messages. Raises `SourceError` where the weights cannot be
    downloaded, `DataError` where a file is not the one of the hash, and `ModelError` where it cannot be read.
    """
    kept = cache_folder() / f"{weights.sha256}-layers-{FORMAT}.npz"
    if kept.is_file():
        return read_layers(kept)
    source = _obtain(weights, path)
    if source.suffix not in READERS:
        raise ModelError(f"{path}: address: expected a file that ends in {' or '.join(READERS)}, found {source.name}")
    layers = READERS[source.suffix](source)
    write_layers(kept, layers)
    return layers


def read_layers(path: Path) -> Layers:
    """Read what `write_layers` wrote. Raises `DataError` where it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            layers: Layers = [[] for _ in range(int(arrays["n_layers"]))]
            for name in sorted(set(arrays) - {"n_layers"}):
                layers[int(name.partition("_")[0])].append(arrays[name])
            return layers
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as weights ({error}); delete it and run again") from None


def write_layers(path: Path, layers: Layers) -> None:
    """Write the arrays of layers as `.npz`: `n_layers`, and `<layer>_<array>` with three digits each."""
    named: dict[str, Any] = {f"{i:03}_{j:03}": array for i, layer in enumerate(layers) for j, array in enumerate(layer)}
    with atomic_write(path) as tmp_path, tmp_path.open("wb") as file:
        np.savez(file, n_layers=len(layers), **named)


READERS: dict[str, Callable[[Path], Layers]] = {".tflite": read_litert, ".npz": read_layers}


def _obtain(weights: Weights, path: Path) -> Path:
    """The file of the weights, its hash compared."""
    known_hash = f"sha256:{weights.sha256}"
    if weights.address.startswith(("http://", "https://")):
        return download(
            weights.address,
            cache_folder(),
            known_hash=known_hash,
            check=lambda _: None,
            otherwise=f"get the file by other means and set address in {path} to its path",
            size_bytes=weights.size_bytes,
        )
    source = Path(weights.address).expanduser()
    if not source.is_file():
        raise DataError(
            f"{path}: address {weights.address}: no such file; set it to an address or the path of the weights (with "
            "dvc exp run --temp or --queue an absolute one)"
        )
    if (found := hash_like(source, known_hash)) != known_hash:
        raise DataError(
            f"{path}: {source}: expected {known_hash}, found {found}: {describe_content(source)}; get the file again"
        )
    return source


def _as_yaml(value: Any) -> str:
    return "null" if value is None else str(value)
