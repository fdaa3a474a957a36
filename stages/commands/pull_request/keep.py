"""Push the results that a report was made of: `python -m stages.commands.pull_request.keep`.

`refs/reports/pr-NUMBER` gets the lock and metrics that came out, as a commit on top of the one that was run, so that
the comment can show their pictures and anyone can take them: `git fetch origin refs/reports/pr-NUMBER`, then `git
cherry-pick FETCH_HEAD`. `refs/reports/pr-NUMBER-base` gets those of the base where it was run too. With `--branch` the
commit also goes to the branch of the pull request.

This runs with the right to write. It takes nothing but `dvc.lock` and `metrics/` of the results, puts them on top of
commits that it fetches itself, checks nothing out, and imports nothing but Python itself.
"""

import argparse
import tempfile
from pathlib import Path

from stages.commands.git import GitError, git, identity
from stages.commands.lock import RESULTS
from stages.commands.pull_request.facts import load_facts_of
from stages.lib.core.errors import EarError, run

WHO = identity("github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com")


def main(argv: list[str] | None = None) -> None:
    """Commit and push what is new of both sides."""
    args = parse_args(argv)
    facts = load_facts_of(args.head_sha, args.facts)
    for side, parent, suffix in (("new", facts.head, ""), ("old", facts.base, "-base")):
        commit = commit_on(parent, args.results / side, args.remote)
        if commit is None:
            continue
        git("push", "--quiet", "--force", args.remote, f"{commit}:refs/reports/pr-{args.number}{suffix}")
        print(f"kept {commit} on {parent} as refs/reports/pr-{args.number}{suffix}")
        if side == "new" and args.branch:
            push_to_branch(commit, args)


def commit_on(parent: str, folder: Path, remote: str) -> str | None:
    """A commit with the results in `folder` on top of `parent`; None where there are none, or `parent` has the same."""
    if not (folder / "dvc.lock").is_file():
        return None
    git("fetch", "--quiet", "--no-tags", "--depth=1", remote, parent)
    with tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": f"{scratch}/index", "GIT_WORK_TREE": str(folder.resolve())}
        git("read-tree", parent, environment=index)
        present = [name for name in RESULTS if (folder / name).exists()]
        git("add", "--all", "--force", "--", *present, environment=index)
        tree = git("write-tree", environment=index)
    if tree == git("rev-parse", f"{parent}^{{tree}}"):
        return None
    # At the time of its parent: the same results make the same commit, however often a run is repeated.
    date = git("show", "--no-patch", "--format=%cI", parent)
    signature = WHO | {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    message = "Refresh dvc.lock and metrics, as the report ran them"
    return git("commit-tree", tree, "-p", parent, "-m", message, environment=signature)


def push_to_branch(commit: str, args: argparse.Namespace) -> None:
    """Put the commit on the branch, if that still ends where it was run."""
    try:
        git("push", "--quiet", args.remote, f"{commit}:refs/heads/{args.branch}")
    except GitError as error:
        raise EarError(
            f"{args.branch}: the results of {args.head_sha} cannot be pushed there ({error.reason}); they are in "
            f"refs/reports/pr-{args.number}"
        ) from None
    print(f"committed to {args.branch}")


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read where the results are and where they go."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.commands.pull_request.keep", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--results", type=Path, required=True, help="the folder that 'rerun run --results' wrote")
    parser.add_argument("--facts", type=Path, required=True, help="facts.json, which 'report --out' wrote")
    parser.add_argument("--head-sha", required=True, help="the commit that was run")
    parser.add_argument("--number", type=int, required=True, help="of the pull request")
    parser.add_argument("--remote", default="origin", help="where to push (default: %(default)s)")
    parser.add_argument("--branch", help="the branch to commit to as well")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
