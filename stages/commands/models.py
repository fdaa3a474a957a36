"""Which model of a folder a command uses."""

import importlib.util
from functools import partial
from pathlib import Path

from stages.lib.core.errors import ModelError

MODELS = Path("data/models")  # an out of train in dvc.yaml
EVERYTHING = "all"  # the name that train gives to a model without a test fold


def find_model(wanted: str | None, folder: Path) -> Path:
    """The model file that was asked for: a path, which has a suffix, or what `choose_model` finds in `folder`."""
    if wanted and Path(wanted).suffix:
        return Path(wanted)
    return folder / choose_model(wanted, sorted(path.name for path in folder.glob("*.keras")), folder)


def obtain_model(wanted: str | None, revision: str | None, scratch: Path) -> Path:
    """The file of the model that was asked for, of the workspace or of a revision.

    A revision is a commit, branch, tag or experiment; its model is copied into the folder `scratch`. Raises
    `ModelError` where a file is asked for, which a revision does not have, and where DVC is not installed.
    """
    if revision is None:
        return find_model(wanted, MODELS)
    if wanted and Path(wanted).suffix:
        raise ModelError(f"{wanted}: --rev takes a name for --model, not a file")
    if importlib.util.find_spec("dvc") is None:  # as with requirements-predict.txt
        raise ModelError("--rev needs dvc, which is not installed; pip install dvc")
    from stages.commands.revisions import copy_out  # with DVC, which only this needs

    return copy_out(revision, MODELS, partial(choose_model, wanted, folder=MODELS), scratch)


def choose_model(wanted: str | None, names: list[str], folder: Path) -> str:
    """The file of the model to use: the one asked for, the one on everything, or the only one.

    `names` are the files of `folder`. Raises `ModelError` where there is none such, or several and none on everything.
    """
    models = [name.removesuffix(".keras") for name in names if name.endswith(".keras")]
    if not models:
        raise ModelError(f"{folder}: holds no model; run 'dvc repro train', or 'dvc pull' where it was run before")
    if wanted is not None:
        if wanted not in models:
            raise ModelError(f"{folder}: has no model {wanted!r}; it has {', '.join(models)}")
        return f"{wanted}.keras"
    if EVERYTHING in models:
        return f"{EVERYTHING}.keras"
    if len(models) > 1:
        raise ModelError(
            f"{folder}: holds {', '.join(models)}, each without another part of the data; choose one, such as with "
            f"--model {models[0]}, or train one on everything (split.test_folds=[])"
        )
    return f"{models[0]}.keras"
