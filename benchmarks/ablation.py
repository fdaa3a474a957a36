"""What each element of the recipe is worth: one changed at a time, with `dvc exp run`, judged on validation folds.

    python -m benchmarks.ablation --page docs/training.md -S fetch.dataset=esc50 -S fetch.esc10=true ...

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

from stages.lib.core.progress import progress

SETTINGS = {  # what differs from params.yaml and -S; the first is what the others are compared with
    "recipe": [],
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
}
TESTED = ("recipe", "dcase2016")  # what was chosen and what it is to be better than; the test folds choose nothing
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"  # what lies between is made by this script
METRICS = {"train": "metrics/train.json", "evaluate": "metrics/evaluate.json"}  # of the stage that is run


def main() -> None:
    """Run what is missing, one after another, write the page."""
    args = parse_args()
    runs = {
        (name, seed, stage): f"ablation-{stage}-{name.replace(' ', '-').replace(',', '')}-{seed}"
        for seed in args.seeds
        for name in dict.fromkeys([next(iter(SETTINGS)), *args.settings])  # without the recipe nothing can be compared
        for stage in (["train", "evaluate"] if args.test and name in TESTED else ["train"])
    }
    listed = run_dvc("exp", "list", "--names-only").split()
    for (name, seed, stage), run in progress(runs.items(), total=len(runs), desc="ablation", unit="experiments"):
        if run not in listed:
            changes = [*args.set, *SETTINGS[name], f"train.seed={seed}"]
            options = [part for change in changes for part in ("-S", change)]
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
        head, _, rest = text.partition(BEGIN)
        args.page.write_text(f"{head}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def summarise(scores: pd.DataFrame) -> str:
    """A Markdown table, a row a setting: means over seeds, and how far they are from the recipe."""
    validated, tested = (scores[scores["stage"] == stage].groupby("setting", sort=False) for stage in METRICS)
    metrics = ["validation_accuracy", "validation_log_loss"]
    base = validated.get_group(next(iter(SETTINGS)))[metrics].mean()
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
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), metavar="SETTING")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--test", action="store_true", help=f"also evaluate {' and '.join(TESTED)} on the test folds")
    parser.add_argument("--page", type=Path, help="page whose table is to be replaced")
    parser.add_argument("-S", dest="set", action="append", default=[], metavar="KEY=VALUE", help="for all experiments")
    return parser.parse_args()


if __name__ == "__main__":
    main()
