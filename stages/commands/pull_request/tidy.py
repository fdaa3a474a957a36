"""Delete kept results of pull requests that were closed long ago: `python -m stages.commands.pull_request.tidy`.

Those are the commits in `refs/reports/pr-NUMBER` and `refs/reports/pr-NUMBER-base` that `keep` pushes. They stay for
some weeks after the pull request was closed, since its comment shows their pictures. This runs code of the default
branch with the right to write, and imports nothing but Python itself. The token is read from GITHUB_TOKEN.
"""

import argparse
import os
import re
from datetime import UTC, datetime, timedelta

from stages.commands.git import git
from stages.commands.pull_request.github import GitHub, read_token, repository
from stages.lib.core.errors import run


def main(argv: list[str] | None = None) -> None:
    """List what is kept, ask which pull requests are closed, delete."""
    args = parse_args(argv)
    github = GitHub(args.api, args.repository, read_token("read pull requests"))
    latest = datetime.now(UTC) - timedelta(days=args.days)
    kept = find_kept(args.remote)
    old = [ref for number, refs in kept.items() if was_closed(github, number, latest) for ref in refs]
    if old:
        git("push", "--quiet", args.remote, *(f":{ref}" for ref in old))
    print(f"deleted {len(old)} of {sum(map(len, kept.values()))} refs of kept results")


def find_kept(remote: str) -> dict[int, list[str]]:
    """The refs of kept results in a remote, by number of the pull request."""
    found: dict[int, list[str]] = {}
    for line in git("ls-remote", remote, "refs/reports/*").splitlines():
        ref = line.split("\t")[1]
        if match := re.fullmatch(r"refs/reports/pr-(\d+)(?:-base)?", ref):
            found.setdefault(int(match[1]), []).append(ref)
    return found


def was_closed(github: GitHub, number: int, latest: datetime) -> bool:
    """Whether a pull request was closed at `latest` or earlier, or is none."""
    pull = github.get(f"pulls/{number}")
    if pull is None:
        return True
    return pull["closed_at"] is not None and datetime.fromisoformat(pull["closed_at"]) <= latest


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read where the results are and how long they stay."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.commands.pull_request.tidy", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--repository", type=repository, required=True, help="OWNER/NAME")
    parser.add_argument("--remote", default="origin", help="where the results are (default: %(default)s)")
    parser.add_argument("--days", type=int, default=30, help="after which to delete them (default: %(default)s)")
    parser.add_argument("--api", default=os.environ.get("GITHUB_API_URL", "https://api.github.com"))
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
