"""Say what a branch changes, as Markdown: `python -m stages.commands.pull_request.report BASE`.

Compared are the last commit that BASE shares with HEAD and the workspace, so what BASE got since is not taken for a
change. Prints the Markdown that the report workflow posts on pull requests; needs no network and runs no stage.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from stages.commands.compare.paired_test import Comparison, compare, parse_predictions
from stages.commands.dvc import dvc, failure, follow_dvc
from stages.commands.pull_request.collect import (
    class_changes,
    metric_changes,
    param_changes,
    read_json_output,
    stage_changes,
    stale_stages,
)
from stages.commands.pull_request.markdown import Facts, Picture, render, write_facts
from stages.commands.revisions import WORKSPACE, find_commit, find_merge_base, list_files, read_blob, read_revision
from stages.lib.core.errors import EarError, run
from stages.lib.core.files import atomic_directory, atomic_write, read_json

METRICS = Path("metrics")  # in Git, as dvc.yaml has it
SCORES, PREDICTIONS = METRICS / "evaluate.json", METRICS / "evaluate/predictions.csv"
LOCK, PIPELINE, LIBRARIES = Path("dvc.lock"), Path("dvc.yaml"), Path("requirements.txt")


def main(argv: list[str] | None = None) -> None:
    """Gather the facts, write them and the pictures where that is asked for, and the Markdown."""
    args = parse_args(argv)
    base = find_merge_base(args.base)
    ran = read_json(args.rerun) if args.rerun else {}
    results = ran.get("base_results") or base
    facts, blobs = gather(args.base, base, results, ran)
    if not args.out:
        print(render(facts, picture_url=lambda picture, side: None), end="")
        return
    with atomic_directory(args.out) as folder:
        for (side, path), content_hash in blobs.items():
            with atomic_write(folder / "pictures" / side / path) as beside:
                beside.write_bytes(Path(path).read_bytes() if side == "new" else read_blob(content_hash))
        (folder / "facts.json").write_text(write_facts(facts), encoding="utf-8", newline="\n")
        text = render(facts, picture_url=lambda picture, side: f"pictures/{side}/{picture.path}")
        (folder / "report.md").write_text(text, encoding="utf-8", newline="\n")
    if args.plots:
        dvc("plots", "diff", results, "--out", str(args.out / "plots"))
    print(f"report: {args.out / 'report.md'}, with the pictures and facts.json beside it", file=sys.stderr)


def gather(base_name: str, base: str, results: str, ran: dict[str, Any]) -> tuple[Facts, dict[tuple[str, str], str]]:
    """The facts, and the hash of each picture to show by side ("old" or "new") and path."""
    comparison, not_compared = compare_predictions(results)
    metrics, n_unchanged = metric_changes(dvc_diff("metrics", results, "--all"), comparison, SCORES.as_posix())
    locks = [read_stages(revision, LOCK) for revision in (results, WORKSPACE)]
    names = list(read_stages(WORKSPACE, PIPELINE)) or list(locks[1])
    names += [name for name in locks[0] if name not in names]
    pictures, blobs = changed_pictures(base, results)
    gained = "" if comparison is None else comparison.changed["better"]
    facts = Facts(
        base=base,
        base_name=base_name,
        head=find_commit("HEAD"),
        uncommitted=bool(differing("HEAD")),
        libraries=read_or_none(base, LIBRARIES) != read_or_none(WORKSPACE, LIBRARIES),
        stale=[] if ran else find_stale(),
        params=param_changes(dvc_diff("params", base)),
        stages=stage_changes(names, *locks, ran.get("head", {}), ran.get("base", {})),
        metrics=metrics,
        n_unchanged=n_unchanged,
        not_compared=not_compared,
        n_clips=comparison.n_clips if comparison else 0,
        n_sources=comparison.n_sources if comparison else 0,
        n_gained=int((gained == "b").sum()) if comparison else 0,
        n_lost=int((gained == "a").sum()) if comparison else 0,
        classes=class_changes(comparison) if comparison else [],
        pictures=pictures,
    )
    return facts, blobs


def compare_predictions(results: str) -> tuple[Comparison | None, str]:
    """The comparison of the predictions at a revision with those of the workspace, or the reason that there is none."""
    sides = {"the base": results, "the workspace": WORKSPACE}
    try:
        texts = {side: read_revision(revision, PREDICTIONS) for side, revision in sides.items()}
        if len(set(texts.values())) == 1:
            return None, ""
        return compare(*(parse_predictions(text, f"{side}: {PREDICTIONS}") for side, text in texts.items())), ""
    except EarError as error:
        return None, str(error)


def dvc_diff(kind: str, revision: str, *options: str) -> dict[str, Any]:
    """What `dvc params diff` or `dvc metrics diff` finds between a revision and the workspace."""
    command = [kind, "diff", *options, "--json", revision]
    return read_json_output(dvc(*command), f"dvc {' '.join(command)}")


def find_stale() -> list[str]:
    """The stages that `dvc repro` would come to first, as far as it can tell without data."""
    command = ["repro", "--allow-missing", "--dry"]
    status, output = follow_dvc(*command, show=False)
    stages = stale_stages(output)
    if status and not stages:  # it fails over a stage too, which the output names
        raise failure(command, output)
    return stages


def read_stages(revision: str, path: Path) -> dict[str, Any]:
    """The stages of dvc.yaml or dvc.lock at a revision; none where there is no such file."""
    return (yaml.safe_load(read_or_none(revision, path) or "") or {}).get("stages", {})


def read_or_none(revision: str, path: Path) -> str | None:
    """The text of a file at a revision, or None where it has none."""
    try:
        return read_revision(revision, path)
    except EarError:
        return None


def differing(revision: str) -> list[str]:
    """The results whose content in the workspace is not that of a revision."""
    old, new = ({**list_files(at, METRICS), **list_files(at, LOCK)} for at in (revision, WORKSPACE))
    return sorted(path for path in {**old, **new} if old.get(path) != new.get(path))


def changed_pictures(base: str, results: str) -> tuple[list[Picture], dict[tuple[str, str], str]]:
    """The pictures that differ, and the hashes of both sides."""
    at_base, old, head, new = (
        {path: content for path, content in list_files(at, METRICS).items() if path.endswith(".png")}
        for at in (base, results, "HEAD", WORKSPACE)
    )
    paths = sorted(path for path in {**old, **new} if old.get(path) != new.get(path))
    pictures = [
        Picture(path, path in old, path in new, at_base.get(path) == old.get(path), head.get(path) == new.get(path))
        for path in paths
    ]
    sides = {"old": old, "new": new}
    return pictures, {(side, path): of[path] for side, of in sides.items() for path in paths if path in of}


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the base and where to write."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.commands.pull_request.report", description=__doc__.splitlines()[0]
    )
    parser.add_argument("base", metavar="BASE", help="the branch to merge into, such as origin/main")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write report.md there, with pictures and facts.json")
    parser.add_argument("--plots", action="store_true", help="with --out: also 'dvc plots diff', as a page")
    parser.add_argument(
        "--rerun", type=Path, metavar="FILE", help="what 'stages.commands.pull_request.rerun run' wrote"
    )
    args = parser.parse_args(argv)
    if args.plots and not args.out:
        parser.error("--plots needs --out")
    return args


if __name__ == "__main__":
    run(main)
