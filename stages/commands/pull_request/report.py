"""Say what a branch changes, as Markdown: `python -m stages.commands.pull_request.report BASE`.

Compared are the last commit that BASE shares with HEAD and the workspace, so what BASE got since is not taken for a
change. Prints the Markdown that the report workflow posts on pull requests; needs no network and runs no stage.
"""

import argparse
import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any

from stages.commands.compare.paired_test import Comparison, compare, parse_predictions
from stages.commands.dvc import dvc, failure, follow_dvc, outputs_not_to_push
from stages.commands.lock import LOCK, PIPELINE, check_evaluated, is_only_machine, read_stages
from stages.commands.pull_request.collect import (
    class_changes,
    clip_changes,
    metric_changes,
    param_changes,
    read_json_output,
    stage_changes,
    stale_stages,
)
from stages.commands.pull_request.facts import ClipChange, Facts, Picture, write_facts
from stages.commands.pull_request.markdown import quote, render
from stages.commands.revisions import WORKSPACE, find_commit, find_merge_base, list_files, read_blob, read_revision
from stages.lib.core.errors import EarError, run
from stages.lib.core.files import atomic_directory, atomic_write, read_json

METRICS = Path("metrics")  # in Git, as dvc.yaml has it
SCORES, PREDICTIONS = METRICS / "evaluate.json", METRICS / "evaluate/predictions.csv"
LIBRARIES = Path("requirements.txt")
RAW = Path("data/raw")  # an out of fetch in dvc.yaml
N_CLIPS = 20  # changed clips named each way
MAX_SOUNDS_BYTES = 20_000_000


def main(argv: list[str] | None = None) -> None:
    """Gather the facts, write them and the pictures where that is asked for, and the Markdown."""
    args = parse_args(argv)
    base = find_merge_base(args.base)
    ran = read_json(args.rerun) if args.rerun else {}
    results = ran.get("base_results") or base
    facts, blobs = gather(args.base, base, results, ran)
    if args.sounds:
        facts = dataclasses.replace(facts, clips=find_sounds(facts.clips))
    if not args.out:
        print(render(facts, picture_url=lambda picture, side: None), end="")
        return
    with atomic_directory(args.out) as folder:
        for (side, path), content_hash in blobs.items():
            with atomic_write(folder / "pictures" / side / path) as tmp_path:
                tmp_path.write_bytes(Path(path).read_bytes() if side == "new" else read_blob(content_hash))
        for clip in facts.clips:
            if clip.has_sound:
                with atomic_write(folder / "sounds" / clip.clip) as tmp_path:
                    shutil.copyfile(RAW / "audio" / clip.clip, tmp_path)
        (folder / "facts.json").write_text(write_facts(facts), encoding="utf-8", newline="\n")
        text = render(
            facts,
            picture_url=lambda picture, side: quote(f"pictures/{side}/{picture.path}"),
            sound_url=lambda clip: quote(f"sounds/{clip}"),
        )
        (folder / "report.md").write_text(text, encoding="utf-8", newline="\n")
    if args.plots:
        dvc("plots", "diff", results, "--out", str(args.out / "plots"))
    print(f"report: {args.out / 'report.md'}, with the pictures and facts.json in the same folder", file=sys.stderr)


def gather(base_name: str, base: str, results: str, ran: dict[str, Any]) -> tuple[Facts, dict[tuple[str, str], str]]:
    """The facts, and the hash of each picture to show by side ("old" or "new") and path."""
    comparison, not_compared = compare_predictions(results)
    metrics, n_unchanged = metric_changes(dvc_diff("metrics", results, "--all"), comparison, SCORES.as_posix())
    old, new = (read_stages(revision, LOCK) for revision in (results, WORKSPACE))
    names = list(read_stages(WORKSPACE, PIPELINE)) or list(new)
    names += [name for name in old if name not in names]
    stages = stage_changes(names, old, new, ran.get("head", {}), ran.get("base", {}))
    pictures, blobs = changed_pictures(base, results)
    better = comparison.changed["better"].tolist() if comparison else []
    facts = Facts(
        base=base,
        base_name=base_name,
        head=find_commit("HEAD"),
        uncommitted=bool(differing("HEAD")),
        libraries=read_or_none(base, LIBRARIES) != read_or_none(WORKSPACE, LIBRARIES),
        only_machine=is_only_machine(old, new),
        stale=[] if ran else find_stale(),
        params=param_changes(dvc_diff("params", base)),
        stages=stages,
        metrics=metrics,
        n_unchanged=n_unchanged,
        not_compared=not_compared,
        n_clips=comparison.n_clips if comparison else 0,
        n_sources=comparison.n_sources if comparison else 0,
        folds=comparison.folds if comparison else [],
        n_gained=better.count("b"),
        n_lost=better.count("a"),
        clips=clip_changes(comparison, N_CLIPS) if comparison else [],
        classes=class_changes(comparison) if comparison else [],
        pictures=pictures,
    )
    return facts, blobs


def compare_predictions(results: str) -> tuple[Comparison | None, str]:
    """The comparison of the predictions at a revision with those of the workspace, or the reason that there is none."""
    sides = {"the base": results, "the workspace": WORKSPACE}
    try:
        for side, revision in sides.items():
            check_evaluated(side, read_stages(revision, LOCK), "run 'dvc repro' there")
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


def find_sounds(clips: list[ClipChange]) -> list[ClipChange]:
    """The clips, with `has_sound` where the recording is there, as long as they are `MAX_SOUNDS_BYTES` together.

    Recordings that DVC must not push may not be passed on, so there are none of them.
    """
    if RAW.as_posix() in outputs_not_to_push():
        print(f"report: no recordings, since {PIPELINE} says push: false of {RAW}", file=sys.stderr)
        return clips
    left, found = MAX_SOUNDS_BYTES, []
    for clip in clips:
        path = RAW / "audio" / clip.clip
        size = path.stat().st_size if path.is_file() else left + 1
        found.append(dataclasses.replace(clip, has_sound=size <= left))
        left -= size if size <= left else 0
    return found


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
    parser.add_argument(
        "--sounds", action="store_true", help="with --out: also the recordings of clips that changed sides"
    )
    args = parser.parse_args(argv)
    if (args.plots or args.sounds) and not args.out:
        parser.error("--plots and --sounds need --out")
    return args


if __name__ == "__main__":
    run(main)
