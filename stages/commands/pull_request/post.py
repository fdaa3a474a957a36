"""Post a report on its pull request, as one comment that is updated: `python -m stages.commands.pull_request.post`.

This runs where the right to write is, after a workflow that ran the pull request's own code. So it takes from there
nothing but facts (`stages.commands.pull_request.facts`), learns from GitHub which pull request they are of, and
imports nothing but Python itself. The token is read from GITHUB_TOKEN.
"""

import argparse
import os
import re
from collections.abc import Callable
from pathlib import Path

from stages.commands.pull_request.facts import Facts, Picture, load_facts_of
from stages.commands.pull_request.github import GitHub, read_token, repository
from stages.commands.pull_request.markdown import MARKER, quote, render
from stages.lib.core.errors import run

KEPT = "reports/pr-{number}", "reports/pr-{number}-base"  # as stages.commands.pull_request.keep pushes them


def main(argv: list[str] | None = None) -> None:
    """Find the pull request, render the report, create or update the comment."""
    args = parse_args(argv)
    github = GitHub(args.api, args.repository, read_token("write comments"))
    facts = load_facts_of(args.head_sha, args.facts)
    base_branch = facts.base_name.removeprefix("origin/")
    found = find_pull_request(github, args, facts.base, base_branch)
    if found is None:
        print(
            f"no open pull request of {args.head_repository} into {base_branch} has {args.head_sha} as its last "
            "commit; nothing posted"
        )
        return
    number, kept = found
    report = render(facts, picture_url=picture_address(facts, args, kept), page_url=args.run_url)
    done = upsert(github, number, f"<!-- {MARKER} -->\n{report}", args.author)
    print(f"{done} on pull request {number}")


def find_pull_request(
    github: GitHub, args: argparse.Namespace, base: str, base_branch: str
) -> tuple[int, dict[str, str]] | None:
    """The number of the open pull request that a run was of, and the commits of results that were kept of it.

    GitHub does not say it of forks, so it is the one from that branch of that repository which ends in that commit, or
    in the commit of results that the report workflow put on top of it. Of several, into several branches, it is the one
    into `base_branch`, with which the run compared.
    """
    owner = args.head_repository.split("/")[0]
    for pull in github.pages("pulls", state="open", head=f"{owner}:{args.head_branch}"):
        head = pull["head"]
        if (head["repo"] or {}).get("full_name") != args.head_repository or pull["base"]["ref"] != base_branch:
            continue
        kept = find_kept(github, pull["number"], args, base)
        if head["sha"] in (args.head_sha, kept.get("new")):
            return pull["number"], kept
    return None


def find_kept(github: GitHub, number: int, args: argparse.Namespace, base: str) -> dict[str, str]:
    """The commits that the report workflow made of the results of this run, of the "new" and the "old" side.

    Those of an earlier run are not: theirs stand on another commit. Of forks nothing is kept.
    """
    if args.head_repository != args.repository:
        return {}
    kept = {}
    for side, parent, name in zip(("new", "old"), (args.head_sha, base), KEPT, strict=True):
        ref = github.get(f"git/ref/{name.format(number=number)}")
        found = github.get(f"git/commits/{ref['object']['sha']}") if ref else None
        if found and [each["sha"] for each in found["parents"]] == [parent]:
            kept[side] = found["sha"]
    return kept


def picture_address(
    facts: Facts, args: argparse.Namespace, kept: dict[str, str]
) -> Callable[[Picture, str], str | None]:
    """What gives the address of a side of a picture: in the commit that holds it, or in one of kept results."""

    def address(picture: Picture, side: str) -> str | None:
        if side == "old":
            repository, commit = args.repository, facts.base if picture.old_at_base else kept.get("old")
        elif picture.new_at_head:
            repository, commit = args.head_repository, args.head_sha
        else:
            repository, commit = args.repository, kept.get("new")
        return f"{args.server}/{repository}/raw/{commit}/{quote(picture.path)}" if commit else None

    return address


def upsert(github: GitHub, number: int, body: str, author: str) -> str:
    """Create the comment, or update the one that is there; returns which, or that it says so already.

    Only a comment of `author` that begins with the marker is ours: others may quote it.
    """
    for comment in github.pages(f"issues/{number}/comments"):
        if (comment["user"] or {}).get("login") == author and comment["body"].startswith(f"<!-- {MARKER} -->"):
            if comment["body"].replace("\r\n", "\n").strip() == body.strip():
                return "comment unchanged"
            github.patch(f"issues/comments/{comment['id']}", body=body)
            return "comment updated"
    github.post(f"issues/{number}/comments", body=body)
    return "comment created"


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read what the workflow knows of the run."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.commands.pull_request.post", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--facts", type=Path, required=True, help="facts.json, which 'report --out' wrote")
    parser.add_argument("--repository", type=repository, required=True, help="OWNER/NAME that the pull request is for")
    parser.add_argument("--head-repository", type=repository, required=True, help="OWNER/NAME that it comes from")
    parser.add_argument("--head-branch", required=True, help="its branch there")
    parser.add_argument("--head-sha", type=commit, required=True, help="the commit that the run was of")
    parser.add_argument("--run-url", required=True, help="the page of the run, which has the artefact")
    parser.add_argument("--author", default="github-actions[bot]", help="who posts, by login (default: %(default)s)")
    parser.add_argument("--api", default=os.environ.get("GITHUB_API_URL", "https://api.github.com"))
    parser.add_argument("--server", default=os.environ.get("GITHUB_SERVER_URL", "https://github.com"))
    return parser.parse_args(argv)


def commit(text: str) -> str:
    """The hash of a commit; raises `ValueError`."""
    if not re.fullmatch(r"[0-9a-f]{40}", text):
        raise ValueError(text)
    return text


if __name__ == "__main__":
    run(main)
