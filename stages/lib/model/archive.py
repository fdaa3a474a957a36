"""The model file: a `.keras` archive with one more member, `urban_ear.json`, the metadata that prediction needs.

Equal weights and metadata give equal bytes, so that DVC sees a change only where there is one: the time of saving, and
numbers that come from addresses in memory, are taken out of what Keras writes.
"""

import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.lib.core.errors import ModelError
from stages.lib.core.files import atomic_write
from stages.lib.model.metadata import ModelMetadata, dump_metadata, parse_metadata

if TYPE_CHECKING:
    import keras

METADATA_MEMBER = "urban_ear.json"
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip archive can name


def save_model(path: Path, model: "keras.Model", metadata: ModelMetadata) -> None:
    """Write the model with its metadata to `path`, which ends in `.keras`."""
    with tempfile.TemporaryDirectory() as folder, atomic_write(path) as tmp_path:
        saved = Path(folder) / "model.keras"
        model.save(saved)
        with zipfile.ZipFile(saved) as source, zipfile.ZipFile(tmp_path, "w") as target:
            members = {name: source.read(name) for name in source.namelist()}
            of_keras = json.loads(members["metadata.json"])
            del of_keras["date_saved"]
            members["metadata.json"] = _dump(of_keras)
            members["config.json"] = _dump(_renumber(json.loads(members["config.json"]), {}))
            members[METADATA_MEMBER] = dump_metadata(metadata).encode()
            for name, content in sorted(members.items()):
                target.writestr(zipfile.ZipInfo(name, EARLIEST), content)


def read_metadata(path: Path) -> ModelMetadata:
    """The metadata of a model file, read without Keras. Raises `ModelError` where it is not one."""
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(METADATA_MEMBER)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise ModelError(f"{path}: not a model of this pipeline ({error}); run 'dvc repro train'") from None
    try:
        return parse_metadata(text)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def load_model(path: Path) -> "keras.Model":
    """The network of a model file, in the safe mode of Keras. Raises `ModelError` where it cannot be built."""
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{path}: Keras cannot load it ({reason}); run 'dvc repro train'") from None


def _dump(content: Any) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _renumber(config: Any, numbers: dict[int, int]) -> Any:
    """Number shared objects in the order of their appearance instead of by their address in memory."""
    if isinstance(config, dict):
        return {
            key: numbers.setdefault(value, len(numbers)) if key == "shared_object_id" else _renumber(value, numbers)
            for key, value in config.items()
        }
    if isinstance(config, list):
        return [_renumber(value, numbers) for value in config]
    return config
