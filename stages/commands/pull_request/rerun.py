"""Run what a report compares, base and branch on one machine: `python -m stages.commands.pull_request.rerun VERB BASE`.

pull  brings what the DVC remote has, for HEAD and for the base, the last commit that BASE shares with HEAD
run   runs the stages that changed; where there are any, also those of the base whose results are in no cache, so that
      a difference of machines is not read as one of results
push  sends the results of both to the remote
check fails where the remote lacks data that dvc.lock names

The base is checked out in a folder of its own (`--folder`), with the configuration and the cache of DVC that this
repository has: a pull request that adds or moves the remote is served by the new one on both sides. `run` writes what
became of each stage to `--log`, for `stages.commands.pull_request.report --rerun`, and where `--results` is given the
lock and metrics of both there, for `stages.commands.pull_request.keep`. Without a DVC remote there is nothing to do for
`pull`, `push` and `check`.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

from stages.commands.dvc import dvc, follow_dvc
from stages.commands.git import git, identity
from stages.commands.lock import RESULTS
from stages.commands.pull_request.collect import read_log, stale_stages
from stages.commands.revisions import find_merge_base
from stages.lib.core.errors import EarError, run
from stages.lib.core.files import write_json

KEPT_REF = "refs/urban-ear/base-results"  # the commit of the base's results as they came out here
WHO = identity("urban-ear", "urban-ear@users.noreply.github.com")


def main(argv: list[str] | None = None) -> None:
    """Do what is asked for."""
    args = parse_args(argv)
    {"pull": pull, "run": rerun, "push": push, "check": check}[args.verb](args)


def pull(args: argparse.Namespace) -> None:
    """Check out the base and fetch what the remote has. What it has not, `run` computes."""
    check_out(find_merge_base(args.base), args.folder)
    if not has_remote():
        print("rerun: no DVC remote is set, so nothing is pulled")
        return
    for folder in (None, args.folder):
        status, _ = follow_dvc("pull", "--run-cache", "--allow-missing", folder=folder)
        if status:
            raise EarError("'dvc pull' failed, see above; what is missing can be computed, if its data can be obtained")


def rerun(args: argparse.Namespace) -> None:
    """Run both, note what ran, and fail where a stage of HEAD failed or did not end in time."""
    base = find_merge_base(args.base)
    end_s = time.monotonic() + 60 * args.minutes
    failed, head = reproduce(None, args.pull, end_s, trust_lock=True)
    found: dict[str, object] = {"head": head, "base": {}, "base_results": None}
    if {"ran", "cached"} & set(head.values()) and not failed:
        check_out(base, args.folder)
        base_failed, found["base"] = reproduce(args.folder, args.pull, end_s, trust_lock=False)
        if not base_failed:
            found["base_results"] = commit_results(args.folder)
    write_json(args.log, found)
    if args.results:
        copy_results(Path(), args.results / "new")
        if found["base_results"]:
            copy_results(args.folder, args.results / "old")
    if "timed out" in head.values():
        raise EarError(f"a stage was stopped after {args.minutes:g} minutes; allow more with --minutes, or run it here")
    if failed:
        raise EarError("a stage failed, see above; correct it and run 'dvc repro'")


def push(args: argparse.Namespace) -> None:
    """Send the results of both pipelines to the remote; outputs with `push: false` in dvc.yaml stay here."""
    if not has_remote():
        print("rerun: no DVC remote is set, so nothing is pushed")
        return
    for folder in [None, args.folder] if args.folder.exists() else [None]:
        if follow_dvc("push", "--run-cache", folder=folder)[0]:
            raise EarError("'dvc push' failed, see above; check the address and the rights of the remote")


def check(args: argparse.Namespace) -> None:
    """See that whoever pulls gets all: a merge of a lock whose data is nowhere would leave others without it.

    Outputs with `push: false` in dvc.yaml are not looked for.
    """
    if not has_remote():
        print("rerun: no DVC remote is set, so nothing is checked")
        return
    missing = json.loads(dvc("data", "status", "--not-in-remote", "--json")).get("not_in_remote", [])
    if missing:
        raise EarError(f"{', '.join(sorted(missing))}: not in the DVC remote; run 'dvc push' where the pipeline ran")


def copy_results(folder: Path, target: Path) -> None:
    """Copy the lock and metrics of a checkout, without what Git ignores."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *RESULTS, folder=folder)
    for name in sorted({name for name in listed.split("\0") if name and (folder / name).is_file()}):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, target / name)


def check_out(commit: str, folder: Path) -> None:
    """A clone of this repository at a commit, with the cache and configuration of DVC that this one has.

    It is kept where it is one already. The configuration is not that of the commit, or a pull request that adds a
    remote would have none on this side, and one that moves it would push to the old place.
    """
    if folder.exists():
        if git("rev-parse", "HEAD", folder=folder) != commit:
            raise EarError(f"{folder}: exists, and is not a clone at {commit}; remove it or name another --folder")
        return
    git("clone", "--quiet", "--shared", "--no-checkout", ".", str(folder))
    git("checkout", "--quiet", "--detach", commit, folder=folder)
    for name in (".dvc/config", ".dvc/config.local"):
        (folder / name).parent.mkdir(exist_ok=True)
        if Path(name).is_file():
            shutil.copy2(name, folder / name)
    cache = (Path.cwd() / dvc("cache", "dir")).resolve()
    dvc("cache", "dir", "--local", str(cache), folder=folder)


def reproduce(folder: Path | None, pull: bool, end_s: float, *, trust_lock: bool) -> tuple[bool, dict[str, str]]:
    """Run what changed, or is in no cache; returns whether a stage failed, and what became of each.

    With `trust_lock` nothing runs where the lock says that nothing changed, even if its data is missing. What runs
    at `end_s`, of `time.monotonic`, is ended.
    """
    if trust_lock:
        status, output = follow_dvc("repro", "--allow-missing", "--dry", folder=folder)
        if not status and not stale_stages(output):
            return False, read_log(output)
    follow_dvc("checkout", "--allow-missing", "--quiet", folder=folder)
    # What other runs of the same stages gave is known only now, by the state of the inputs: --pull brings it.
    options = ["--pull"] if pull and has_remote() else []
    status, output = follow_dvc("repro", *options, folder=folder, limit_s=max(end_s - time.monotonic(), 1))
    found = read_log(output)
    if status is None and (running := [name for name, what in found.items() if what in ("ran", "failed")]):
        found[running[-1]] = "timed out"
    return status != 0, found


def commit_results(folder: Path) -> str | None:
    """The commit of the results as they came out in a clone, on top of its own; None where they are its own."""
    if not git("status", "--porcelain", "--", *RESULTS, folder=folder):
        return None
    git("add", "--all", "--", *RESULTS, folder=folder)
    message = "Results of the base, run for a report"
    git("commit", "--quiet", "--no-verify", "--message", message, folder=folder, environment=WHO)
    git("fetch", "--quiet", "--no-tags", str(folder.resolve()), f"+HEAD:{KEPT_REF}")
    return git("rev-parse", KEPT_REF)


def has_remote() -> bool:
    """Whether DVC has a remote to pull from when none is named."""
    return any(line.startswith("core.remote=") for line in dvc("config", "--list").splitlines())


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read what to do."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.commands.pull_request.rerun", description=__doc__.splitlines()[0]
    )
    parser.add_argument("verb", choices=["pull", "run", "push", "check"])
    parser.add_argument("base", metavar="BASE", help="the branch to merge into, such as origin/main")
    parser.add_argument("--folder", type=Path, default=Path("rerun/base"), help="where the base is checked out")
    parser.add_argument("--pull", action="store_true", help="with run: take results of other runs from the remote")
    parser.add_argument("--results", type=Path, metavar="DIR", help="copy the lock and metrics of both there")
    parser.add_argument("--minutes", type=float, default=120, help="with run: the time limit (default: %(default)s)")
    parser.add_argument("--log", type=Path, default=Path("rerun/log.json"), help="what became of each stage")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
