"""Test whether two revisions differ significantly, and where: `python -m stages.commands.compare A B`.

A and B are commits, branches, tags, names of DVC experiments, or `workspace`. Read are their predictions, which
evaluate keeps in Git, and their dvc.lock, so nothing is run or pulled. The test is described in
`stages.commands.compare.paired_test`.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from stages.commands.align import align
from stages.commands.compare.paired_test import LEVEL, Comparison, compare, parse_predictions
from stages.commands.lock import (
    LOCK,
    Stages,
    check_evaluated,
    explain_other_machine,
    has_other_outputs,
    is_only_machine,
    read_stages,
)
from stages.commands.revisions import WORKSPACE, read_revision
from stages.lib.core.errors import run
from stages.lib.core.files import write_csv

PREDICTIONS = Path("metrics/evaluate/predictions.csv")  # an out of evaluate in dvc.yaml
N_LISTED = 10  # changed clips each way; --csv has them all


def main(argv: list[str] | None = None) -> None:
    """Read both, compare, print."""
    args = parse_args(argv)
    old, new = (read_stages(revision, LOCK) for revision in (args.a, args.b))
    a, b = (read_predictions(revision, stages) for revision, stages in ((args.a, old), (args.b, new)))
    comparison = compare(a, b)
    if args.csv:
        write_csv(args.csv, comparison.changed)
    if note := describe_machines(old, new):
        print(f"note: {note}\n")
    print(describe(comparison, args.a, args.b))


def read_predictions(revision: str, stages: Stages) -> pd.DataFrame:
    """The predictions of a revision, of whose lock file `stages` are. Raises `EarError` where it has none."""
    apply = "" if revision == WORKSPACE else f"'dvc exp apply {revision}' and "
    check_evaluated(revision, stages, f"run {apply}'dvc repro'")
    return parse_predictions(read_revision(revision, PREDICTIONS), f"{revision}: {PREDICTIONS}")


def describe_machines(old: Stages, new: Stages) -> str:
    """A sentence on the stages that gave other outputs of the same inputs, or "" where there are none."""
    names = [name for name in new if has_other_outputs(old.get(name), new[name])]
    return explain_other_machine(names, is_only_machine(old, new)) if names else ""


def describe(comparison: Comparison, a: str, b: str) -> str:
    """The comparison as text: scores, classes, changed clips."""
    folds = ", ".join(map(str, comparison.folds))
    lines = [
        f"A: {a}",
        f"B: {b}",
        f"{comparison.n_clips} clips of {comparison.n_sources} sources, folds {folds}",
        "difference: B - A, with its 95 % interval; p: how often two equal runs would differ as much (paired",
        f"randomisation test over sources); significant: p < {LEVEL:g}",
        "",
        *align(
            ["score", "A", "B", "difference", "95 % interval", "p", ""],
            [[row["score"], *_differences(row)] for row in comparison.scores.to_dict("records")],
        ),
        "",
        *align(
            ["class (clips)", "A", "B", "difference", "95 % interval", "p", ""],
            [
                [f"{row['class']} ({row['n_clips']})", *_differences(row)]
                for row in comparison.classes.to_dict("records")
            ],
        ),
        "recall of each class; its p is corrected for the number of classes (Holm)",
    ]
    for better, title in (("b", "recognised by B alone"), ("a", "recognised by A alone")):
        clips = comparison.changed[comparison.changed["better"] == better]
        lines += ["", f"{len(clips)} clips {title}" + (":" if len(clips) else "")]
        wrong = clips["predicted_a" if better == "b" else "predicted_b"]
        rows = zip(clips["clip"], clips["truth"], wrong, strict=True)
        lines += [f"  {clip}  {truth}, by the other {predicted}" for clip, truth, predicted in list(rows)[:N_LISTED]]
        if len(clips) > N_LISTED:
            lines.append(f"  and {len(clips) - N_LISTED} more; --csv FILE writes them all")
    return "\n".join(lines)


def verdict(p: float) -> str:
    """Whether a difference with this p-value is significant, in words."""
    return "significant" if p < LEVEL else "not significant"


def _differences(row: dict[str, Any]) -> list[str]:
    """The cells of a row of the tables of a `Comparison`, but for its name."""
    values = [f"{row['a']:.3f}", f"{row['b']:.3f}", f"{row['difference']:+.3f}"]
    return [*values, f"{row['low']:+.3f} to {row['high']:+.3f}", f"{row['p']:.4f}", verdict(row["p"])]


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the two revisions."""
    parser = argparse.ArgumentParser(prog="python -m stages.commands.compare", description=__doc__.splitlines()[0])
    parser.add_argument("a", metavar="A", help="a commit, branch, tag, experiment, or workspace")
    parser.add_argument("b", metavar="B", help="another")
    parser.add_argument("--csv", type=Path, help="write every clip that changed to this file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
