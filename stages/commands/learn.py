"""Learn sounds of your own: `python -m stages.commands.learn recordings`, a folder with a folder for each sound.

The pipeline runs as an experiment of DVC beside the workspace, on the recordings and with a recipe (`few`, unless
another is named), up to a model on all of them. What it will recognise is told from cross-validation: each recording is
classified by a network that has learnt without it, and without the others of its source. The workspace and the models
of before stay as they are; `predict --rev` uses the new one by the name of the experiment.
"""

import argparse
import io
import re
import signal
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path

import filelock
import pandas as pd

from stages.commands.dvc import failure, follow_dvc
from stages.commands.git import GitError, git, has_identity
from stages.commands.models import EVERYTHING, MODELS
from stages.commands.recipe import PARAMS, RECIPES, read_recipe, read_values
from stages.commands.revisions import WORKSPACE, read_revision
from stages.lib.core.errors import EarError, ParamsError, SourceError, run

LOCK = Path(".dvc/tmp/learn.lock")
REJECTED = Path("data/clips/rejected.csv")  # an out of validate in dvc.yaml
NAME = r"\w[\w-]*(\.[\w-]+)*"  # of an experiment: what Git takes in a reference and every shell takes as it is
N_FOLDS = 5
FEW = 5  # recordings of a sound, below which cross-validation says next to nothing


def main(argv: list[str] | None = None) -> None:
    """Run the experiment, say what came of it."""
    args = parse_args(argv)
    if not Path(".dvc").is_dir():
        raise EarError(f"{Path.cwd()}: not the root of the repository; run this there")
    if args.name is not None:
        check_name(args.name)
    settings = choose_settings(args)
    if not has_identity():
        raise EarError(
            "Git does not know your name, which DVC needs for an experiment; run 'git config --global user.name \"YOUR "
            "NAME\"' and 'git config --global user.email YOU@EXAMPLE.ORG'"
        )
    name = args.name or f"learn-{datetime.now():%Y%m%d-%H%M%S}"
    options = [part for setting in settings for part in ("--set-param", setting)]
    command = ["exp", "run", "--temp", "--name", name, *options, "train"]
    LOCK.parent.mkdir(exist_ok=True)
    try:
        with filelock.FileLock(LOCK, blocking=False):
            status, said = follow_dvc(*command)
    except filelock.Timeout:
        raise EarError("another 'learn' is running in this repository; wait for it, or stop it") from None
    if status:
        raise explain(said)
    clips, rejected = (read_table(name, path) for path in (MODELS / f"{EVERYTHING}.csv", REJECTED))
    print()
    print("\n".join(describe(clips, rejected)))
    print(f"model: python -m stages.commands.predict --rev {name} FILE")


def check_name(name: str) -> None:
    """Raises `EarError` where an experiment cannot be called `name`, or `--rev` would take that for something else."""
    if not re.fullmatch(NAME, name) or name.endswith(".lock"):
        raise EarError(
            f"{name!r}: no name for an experiment; use letters, digits, hyphens, underscores, and dots between these"
        )
    if name == WORKSPACE or _exists(f"{name}^{{commit}}"):
        raise EarError(f"{name}: '--rev {name}' means something else already; choose another --name")
    head = git("rev-parse", "--verify", "HEAD")
    if _exists(f"refs/exps/{head[:2]}/{head[2:]}/{name}"):
        raise EarError(
            f"{name}: there is an experiment of that name; choose another --name, or remove it with "
            f"'dvc exp remove {name}'"
        )


def _exists(revision: str) -> bool:
    try:
        return bool(git("rev-parse", "--verify", "--quiet", "--end-of-options", revision))
    except GitError:
        return False


def choose_settings(args: argparse.Namespace) -> list[str]:
    """What the experiment sets: the recipe where it differs from the workspace, the recordings, and one model on all.

    Raises `SourceError` where there are no recordings, `ParamsError` for an unknown recipe.
    """
    if not args.recordings.exists():
        raise SourceError(f"{args.recordings}: no such folder; give one with a folder for each sound")
    recipe = RECIPES / f"{args.recipe}.yaml"
    if not recipe.is_file():
        known = ", ".join(sorted(path.stem for path in RECIPES.glob("*.yaml")))
        raise ParamsError(f"{args.recipe}: no such recipe; there are: {known}")
    present = read_values(PARAMS)
    settings = [f"{key}={new.text}" for key, new in read_recipe(recipe)[1].items() if new.value != present[key].value]
    return [
        *settings,
        "fetch.dataset=folder",
        f"fetch.source={args.recordings.resolve()}",
        f"fetch.n_folds={N_FOLDS}",
        "split.test_folds=[]",
        f"train.calibration_folds={N_FOLDS}",
        *args.set,
    ]


def explain(said: str) -> EarError:
    """The error of an experiment that failed and printed `said`: that of the stage, else DVC's."""
    of_stage = [line.removeprefix("error: ") for line in said.splitlines() if line.startswith("error: ")]
    return EarError(of_stage[-1]) if of_stage else failure(["exp", "run"], said)


def read_table(revision: str, path: Path) -> pd.DataFrame:
    """A CSV file of a revision."""
    return pd.read_csv(io.StringIO(read_revision(revision, path)), dtype=str, keep_default_na=False)


def describe(clips: pd.DataFrame, rejected: pd.DataFrame) -> list[str]:
    """What a model will recognise, in sentences.

    `clips` has a row per recording with `class`, `predicted` and `source`, `rejected` one per recording that was left
    out, with `clip` and `reasons`.
    """
    lines = []
    for name, of_class in clips.groupby("class"):
        wrong = Counter(of_class.loc[of_class["predicted"] != name, "predicted"])
        n_right, n = len(of_class) - wrong.total(), len(of_class)
        taken = "; ".join(f"{n_times} taken for {other}" for other, n_times in wrong.most_common())
        line = f"{name}: {n_right} of {n} recordings recognised" + (f"; {taken}" if taken else "")
        n_sources = of_class["source"].nunique()
        if n_sources < FEW:
            line += f" (too few to rely on: {n_sources} that were made independently; record {FEW} or more)"
        lines.append(line)
    n_right = int((clips["predicted"] == clips["class"]).sum())
    lines.append(f"in all: {n_right} of {len(clips)} recordings recognised by networks that have not heard them before")
    lines += [f"left out: {row.clip}: {row.reasons}" for row in rejected.itertuples()]
    return lines


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read which recordings, and how to learn them."""
    parser = argparse.ArgumentParser(prog="python -m stages.commands.learn", description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, help="folder, archive or table, see docs/your-recordings.md")
    parser.add_argument("--recipe", default="few", help="a file of data/recipes/ without its ending; by default few")
    parser.add_argument("--name", help="of the experiment; by default learn- and the time")
    parser.add_argument(
        "-S", "--set-param", dest="set", action="append", default=[], metavar="KEY=VALUE", help="a further parameter"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that DVC is ended too
    run(main)
