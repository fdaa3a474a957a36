"""What each element of a recipe is worth: one changed at a time, with `dvc exp run`, compared on validation folds.

    python -m benchmarks.ablation default --page docs/training.md -S fetch.dataset=esc50 -S fetch.esc10=true ...

The experiments end with the train stage, so nothing is evaluated on a test fold; what is compared is
`metrics/train.json`. Each is an experiment of DVC named after its setting and seed. Those that are there are
not run again, so a run that was interrupted goes on with the same command.

Once the choice is made, `--test` fills the column of the test folds, for `TESTED` alone: experiments to the end of the
pipeline, which take their models from DVC's run cache.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import dvc.api
import pandas as pd

from stages.commands.recipe import RECIPES, read_recipe
from stages.lib.core.progress import progress

RECIPE = "recipe"  # the setting that the others are compared with
# By recipe of data/recipes/, what differs from it and from -S.
SETTINGS = {
    "default": {
        RECIPE: [],
        "no mixing": ["augment.mix=none"],
        "uniform mixing ratio": ["augment.mix_alpha=1.0"],
        "mixup instead of between-class": ["augment.mix=mixup"],
        "no random filter": ["augment.filter_db=0.0"],
        "no gain": ["augment.gain_db=0.0"],
        "segments on the grid": ["augment.crop=grid"],
        "constant learning rate": ["train.schedule=constant"],
        "masks, 8 frames and 16 bands": ["augment.mask_frames=8", "augment.mask_bands=16"],
        "stretched and pitched variants": ["featurize.stretch=[0.81,1.23]", "featurize.pitch=[-2.0,2.0]"],
        "running mean of weights": ["train.average=0.99"],
        "dcase2016": ["train.model=dcase2016"],
    },
    "pretrained": {
        RECIPE: [],
        "frozen body, nothing augmented": [
            "train.freeze=body", "train.pretrained_rate=1.0", "train.learning_rate=0.003", "augment.crop=grid",
            "augment.mix=none", "augment.gain_db=0.0", "augment.filter_db=0.0",
        ],
        "body at a tenth of the learning rate": ["train.pretrained_rate=0.1", "train.learning_rate=0.005"],
        "no mixing": ["augment.mix=none"],
        "no random filter": ["augment.filter_db=0.0"],
        "no gain": ["augment.gain_db=0.0"],
        "segments of 1 s": ["segment.duration_s=1.0", "segment.overlap_s=0.5"],
        "segments of 2 s": ["segment.duration_s=2.0", "segment.overlap_s=1.0"],
        "learning rate 0.0005": ["train.learning_rate=0.0005"],
        "learning rate 0.001": ["train.learning_rate=0.001"],
    },
    "recordings": {
        RECIPE: [],
        "no variants": ["featurize.stretch=[]", "featurize.pitch=[]"],
        "no variants, 50 epochs of segments of 2 s": [
            "featurize.stretch=[]", "featurize.pitch=[]", "segment.duration_s=2.0", "segment.overlap_s=1.0",
            "train.epochs=50",
        ],
    },
}  # fmt: skip
# By recipe, what was chosen and what it is to be better than; the test folds choose nothing.
TESTED = {"default": (RECIPE, "dcase2016"), "pretrained": (RECIPE,), "recordings": (RECIPE,)}
BEGIN, END = "<!-- table {}: begin -->", "<!-- table {}: end -->"  # by recipe; what lies between is made by this script
METRICS = {"train": "metrics/train.json", "evaluate": "metrics/evaluate.json"}  # of the stage that is run


def main() -> None:
    """Run what is missing, one after another, write the page."""
    args = parse_args()
    settings, (_, recipe) = SETTINGS[args.recipe], read_recipe(RECIPES / f"{args.recipe}.yaml")
    if unknown := set(args.settings or []) - set(settings):
        sys.exit(f"ablation: no setting {', '.join(sorted(unknown))}; {args.recipe} has: {'; '.join(settings)}")
    runs = {
        (name, seed, stage): f"ablation-{args.recipe}-{stage}-{name.replace(' ', '-').replace(',', '')}-{seed}"
        for seed in args.seeds
        for name in dict.fromkeys([RECIPE, *(args.settings or settings)])  # without it nothing can be compared
        for stage in (["train", "evaluate"] if args.test and name in TESTED[args.recipe] else ["train"])
    }
    listed = run_dvc("exp", "list", "--names-only").split()
    for (name, seed, stage), run in progress(runs.items(), total=len(runs), desc="ablation", unit="experiments"):
        if run not in listed:
            values = {key: value.text for key, value in recipe.items()}  # of one key the last counts
            values |= dict(change.split("=", 1) for change in [*args.set, *settings[name], f"train.seed={seed}"])
            options = [part for key, value in values.items() for part in ("-S", f"{key}={value}")]
            # --temp: in a copy, as the queue does it, whose worker processes do not always outlive a busy machine
            subprocess.run(["dvc", "exp", "run", "--temp", "--name", run, *options, stage], check=False)

    missing = set(runs.values()) - set(run_dvc("exp", "list", "--names-only").split())
    if missing:
        sys.exit(f"ablation: no result of {', '.join(sorted(missing))}; see above, then run this again")
    table = summarise(
        pd.DataFrame(
            {"setting": name, "stage": stage, **dvc.api.metrics_show(METRICS[stage], rev=run)}
            for (name, _, stage), run in runs.items()
        )
    )
    print(table)
    if args.page:
        text = args.page.read_text(encoding="utf-8")
        begin, end = (mark.format(args.recipe) for mark in (BEGIN, END))
        head, _, rest = text.partition(begin)
        args.page.write_text(f"{head}{begin}\n{table}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def summarise(scores: pd.DataFrame) -> str:
    """A Markdown table, a row a setting: means over seeds, and how far they are from the recipe."""
    validated, tested = (scores[scores["stage"] == stage].groupby("setting", sort=False) for stage in METRICS)
    metrics = ["validation_accuracy", "validation_log_loss"]
    base = validated.get_group(RECIPE)[metrics].mean()
    lines = [
        "| setting | accuracy | against the recipe | log loss | against the recipe | seeds | accuracy, test folds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rows in validated:
        change = rows[metrics].mean() - base
        lines.append(
            f"| {name} | {describe(rows['validation_accuracy'])} | {100 * change['validation_accuracy']:+.1f} points | "
            f"{rows['validation_log_loss'].mean():.3f} | {change['validation_log_loss']:+.3f} | {len(rows)} | "
            f"{describe(tested.get_group(name)['accuracy']) if name in tested.groups else ''} |"
        )
    return "\n".join(lines)


def describe(shares: pd.Series) -> str:
    """The mean, least and greatest share."""
    return f"{shares.mean():.1%} ({shares.min():.1%} to {shares.max():.1%})"


def run_dvc(*arguments: str) -> str:
    """The output of a `dvc` command."""
    return subprocess.run(["dvc", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def parse_args() -> argparse.Namespace:
    """Read what to run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__.splitlines()[0])
    parser.add_argument("recipe", choices=SETTINGS, help="a recipe of data/recipes/")
    parser.add_argument("--settings", nargs="+", metavar="SETTING", help="names of settings; by default all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--test", action="store_true", help="also evaluate on the test folds what was chosen")
    parser.add_argument("--page", type=Path, help="page whose table is to be replaced")
    parser.add_argument("-S", dest="set", action="append", default=[], metavar="KEY=VALUE", help="for all experiments")
    return parser.parse_args()


if __name__ == "__main__":
    main()
