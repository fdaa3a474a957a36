"""The model file: a `.keras` archive with one more member, `urban_ear.json`, that holds all else prediction needs.

The facts are: `name`, `train` and `augment` (the recipe), `classes` (names in the order of the outputs), `featurize`
(parameters, lengths in samples), `kind` (what a frame holds), `segment`, `floor`, `longest` and `scaler_mean` (which
give the segmenter), `split` (`train`, `validation`, `test` folds), `dataset`, and `calibration` (`temperature`,
`thresholds` by class and the validation `fold` they are fitted on, or null without one). They can be read without
Keras.

Equal weights and facts give equal bytes, so that DVC sees a change only where there is one: the time of saving, and
numbers that come from addresses in memory, are taken out of what Keras writes.
"""

import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.lib.core.errors import ModelError
from stages.lib.core.files import atomic_write

if TYPE_CHECKING:
    import keras

FACTS = "urban_ear.json"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip archive can name


def save_model(path: Path, model: "keras.Model", facts: dict[str, Any]) -> None:
    """Write the model with its facts to `path`, which ends in `.keras`."""
    with tempfile.TemporaryDirectory() as folder, atomic_write(path) as beside:
        saved = Path(folder) / "model.keras"
        model.save(saved)
        with zipfile.ZipFile(saved) as source, zipfile.ZipFile(beside, "w") as target:
            members = {name: source.read(name) for name in source.namelist()}
            metadata = json.loads(members["metadata.json"])
            del metadata["date_saved"]
            members["metadata.json"] = _dump(metadata)
            members["config.json"] = _dump(_renumber(json.loads(members["config.json"]), {}))
            members[FACTS] = _dump(facts)
            for name, content in sorted(members.items()):
                target.writestr(zipfile.ZipInfo(name, LONG_AGO), content)


def read_facts(path: Path) -> dict[str, Any]:
    """The facts of a model file. Raises `ModelError` where it is not one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(FACTS))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ModelError(f"{path}: not a model of this pipeline ({error}); run 'dvc repro train'") from None


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
