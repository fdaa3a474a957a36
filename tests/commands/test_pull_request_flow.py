"""What the workflows run, run here: a repository with two branches, a bare remote, a stand-in of GitHub's API.

The scripts are the `run:` lines of the workflows themselves. The pipeline is a small one, whose results depend on the
machine, so that a difference of machines would show.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from helpers.facts import row_of
from helpers.github_stand_in import StandIn
from helpers.repository import GIT_IDENTITY, ROOT

pytestmark = pytest.mark.slow

WORKFLOWS = ROOT / ".github/workflows"
METRICS = ["evaluate.json", "evaluate/confusion.png", "evaluate/predictions.csv"]
DVC_YAML = """\
stages:
  features:
    cmd: python make.py features
    deps: [make.py]
    params: [featurize]
    outs: [data]
  evaluate:
    cmd: python make.py evaluate
    deps: [make.py, data]
    params: [evaluate]
    outs:
      - metrics/evaluate: {cache: false}
    metrics:
      - metrics/evaluate.json: {cache: false}
plots:
  - metrics/evaluate/confusion.png
"""
MAKE_PY = """\
import json, os, sys
from pathlib import Path
import matplotlib.pyplot as plt
import yaml

params = yaml.safe_load(open("params.yaml"))
if sys.argv[1] == "features":
    Path("data").mkdir()
    Path("data/features").write_text(f"{params['featurize']['n_mels']} {os.environ['MACHINE']}")
else:
    if params["evaluate"]["broken"]:
        sys.exit("broken")
    n_mels, machine = Path("data/features").read_text().split()
    right = [i < int(n_mels) or i % 10 < int(machine) for i in range(60)]
    Path("metrics/evaluate").mkdir(parents=True)
    Path("metrics/evaluate.json").write_text(json.dumps({"accuracy": sum(right) / 60, "n_clips": 60}))
    classes = ["gun|shot", "dog`bark"]
    rows = ["clip,fold,source,truth,predicted," + ",".join(f"p_{name}" for name in classes)]
    for i, ok in enumerate(right):
        truth, other = classes[i % 2], classes[1 - i % 2]
        p = [0.9, 0.1] if (i % 2 == 0) == ok else [0.1, 0.9]
        rows.append(f"c{i:02},1,s{i},{truth},{truth if ok else other},{p[0]},{p[1]}")
    Path("metrics/evaluate/predictions.csv").write_text("\\n".join(rows) + "\\n")
    plt.imsave("metrics/evaluate/confusion.png", [[sum(right), 0], [0, 60 - sum(right)]])
"""


class Team:
    """A bare remote, a DVC remote, the stand-in of GitHub, and who works with them."""

    def __init__(self, folder: Path):
        self.folder, self.site = folder, StandIn()
        self.runs, self.cache = 0, str(folder / "lasting-cache")
        self.git("init", "--quiet", "--bare", "--initial-branch=main", "origin.git", cwd=folder)
        self.origin = folder / "origin.git"
        (folder / "dvc-remote").mkdir()
        self.author = folder / "author"
        self.git("clone", "--quiet", str(self.origin), str(self.author), cwd=folder)
        names = self.git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "stages", cwd=ROOT).split("\0")
        for name in filter(None, names):
            if (ROOT / name).is_file():
                (self.author / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.author / name)
        for name, text in {"dvc.yaml": DVC_YAML, "make.py": MAKE_PY, "requirements.txt": "numpy\n"}.items():
            (self.author / name).write_text(text)
        self.set_params(n_mels=40)
        self.sh("dvc init --quiet && dvc config core.autostage false", cwd=self.author)
        self.sh(f"dvc remote add --default store {folder / 'dvc-remote'} && dvc repro --quiet", machine=1)
        self.commit("base")

    def set_params(self, n_mels, broken=False):
        params = {"featurize": {"n_mels": n_mels}, "evaluate": {"broken": broken}}
        (self.author / "params.yaml").write_text(yaml.safe_dump(params))

    def commit(self, message):
        self.sh(f"git add --all && git commit --quiet --allow-empty -m '{message}' && git push --quiet origin HEAD")
        return self.git("rev-parse", "HEAD", cwd=self.author)

    def git(self, *arguments, cwd=None):
        return self.call(["git", *arguments], cwd=cwd or self.origin)

    def sh(self, script, cwd=None, machine=1, check=True, **settings):
        """Run a script as GitHub's runner does."""
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        return self.call(command, cwd=cwd or self.author, check=check, MACHINE=str(machine), **settings)

    def call(self, command, cwd, check=True, **settings):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GITHUB_")}
        environment |= GIT_IDENTITY | {"PATH": path, "DVC_NO_ANALYTICS": "1"} | settings
        done = subprocess.run(
            command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert not check or done.returncode == 0, done.stdout
        return done.stdout.strip() if check else (done.returncode, done.stdout)

    def run_workflows(self, sha, machine=2, branch="", lasting_cache=None):
        """What happens on a push to the pull request 7; returns the conclusion, what was said, and the comment."""
        self.runs += 1
        folder = self.folder / f"run-{self.runs}"
        self.git("clone", "--quiet", str(self.origin), str(folder / "checkout"), cwd=self.folder)
        (folder / "temp").mkdir()
        self.git("checkout", "--quiet", "--detach", sha, cwd=folder / "checkout")
        settings = {
            "BASE": "origin/main",
            "RUNNER_TEMP": str(folder / "temp"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
            "EAR_DVC_CACHE": lasting_cache or "",
            "PULL": "--pull",
            "MINUTES": "30",
            "SOUNDS": "",
        }
        failed, said = False, ""
        for step in steps("report.yml", "report")[1:]:  # but the installation
            if failed and "cancelled" not in step.get("if", ""):
                continue
            status, output = self.sh(step["run"], cwd=folder / "checkout", machine=machine, check=False, **settings)
            failed, said = failed or (status and "continue-on-error" not in step), said + output
        if not failed:
            artefacts = folder / "artefacts"
            shutil.copytree(folder / "temp/report", artefacts / "report")
            if (folder / "temp/results").exists():
                shutil.copytree(folder / "temp/results", artefacts / "results")
            self.git("clone", "--quiet", "--depth=1", f"file://{self.origin}", str(folder / "trusted"), cwd=self.folder)
            self.job(
                "report.yml", "keep", folder / "trusted",
                RUNNER_TEMP=str(folder / "temp2"), HEAD_SHA=sha, NUMBER="7", BRANCH=branch, REMOTE=f"file://{self.origin}",
                temp=artefacts,
            )  # fmt: skip
        self.mirror_refs()
        posted = self.job(
            "report-post.yml", "post", self.author,
            RUNNER_TEMP=str(folder / "temp"), GITHUB_TOKEN="secret", GITHUB_API_URL=self.site.address,
            GITHUB_REPOSITORY="team/ear", HEAD_REPOSITORY="team/ear", HEAD_BRANCH="topic", HEAD_SHA=sha,
            RUN_URL="https://github.com/team/ear/actions/runs/1",
        )  # fmt: skip
        comment = self.site.comments[0]["body"] if self.site.comments else ""
        return ("failure" if failed else "success"), said, posted, comment

    def job(self, workflow, job, folder, temp=None, **settings):
        if temp:
            Path(settings["RUNNER_TEMP"]).mkdir()
            temp.rename(Path(settings["RUNNER_TEMP"]) / "artefacts")
        (step,) = steps(workflow, job)
        return self.sh(step["run"], cwd=folder, **settings)

    def mirror_refs(self):
        """GitHub's API knows what was pushed."""
        for line in self.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/reports").splitlines():
            ref, sha = line.split()
            self.site.keep(ref.removeprefix("refs/"), sha, self.git("rev-parse", f"{sha}^"))
        head = self.git("rev-parse", "refs/heads/topic")
        self.site.pulls.clear()
        self.site.open_pull(7, head)


def steps(workflow, job):
    return [step for step in yaml.safe_load((WORKFLOWS / workflow).read_text())["jobs"][job]["steps"] if "run" in step]


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    made = Team(tmp_path_factory.mktemp("team"))
    made.base = made.git("rev-parse", "refs/heads/main")
    made.git("checkout", "--quiet", "-b", "topic", cwd=made.author)
    made.set_params(n_mels=20)
    made.first = made.commit("fewer bands")
    made.git("checkout", "--quiet", "main", cwd=made.author)
    (made.author / "later.txt").write_text("the base moved on")
    made.commit("later")
    made.git("checkout", "--quiet", "topic", cwd=made.author)
    yield made
    made.site.server.shutdown()
    made.site.server.server_close()


def test_the_first_run_measures_both_and_creates_the_comment(team):
    conclusion, said, posted, comment = team.run_workflows(team.first)
    assert conclusion == "success", said
    assert posted == "comment created on pull request 7"
    assert row_of(comment, "featurize.n_mels") == ["featurize.n_mels", "40", "20"]
    # Machine 2 recognises other clips than machine 1 did, on which the base was committed: both are of machine 2.
    assert row_of(comment, "accuracy")[1:4] == ["0.733", "0.467", "-0.267"]
    assert row_of(comment, "accuracy")[-1].startswith("▼ worse (p ")
    assert f"and `{team.base[:9]}` (base), the last commit shared with `origin/main`, run here too" in comment
    assert row_of(comment, "features")[1:] == ["ran", "ran", "featurize.n_mels"]
    assert row_of(comment, "evaluate")[1:] == ["ran", "ran", "data"]
    assert row_of(comment, "gun|shot")[1] == "30"
    assert row_of(comment, "dog`bark")[1] == "30"


def test_results_are_kept_on_top_of_the_commits_and_shown_from_there(team):
    for ref, parent in (("pr-7", team.first), ("pr-7-base", team.base)):
        commit = team.git("rev-parse", f"refs/reports/{ref}")
        assert team.git("rev-parse", f"{commit}^") == parent
        changed = team.git("diff", "--name-only", parent, commit).splitlines()
        assert changed == ["dvc.lock", *(f"metrics/{name}" for name in METRICS)]
        address = f"https://github.com/team/ear/raw/{commit}/metrics/evaluate/confusion.png"
        assert f"({address})" in team.site.comments[0]["body"]
    assert team.git("rev-parse", "refs/heads/topic") == team.first


def test_the_artefact_has_the_report_with_both_pictures_and_the_page_of_plots(team):
    folder = team.folder / "run-1/temp2/artefacts/report"
    assert "![old](pictures/old/metrics/evaluate/confusion.png)" in (folder / "report.md").read_text()
    for side in ("old", "new"):
        assert (folder / f"pictures/{side}/metrics/evaluate/confusion.png").read_bytes().startswith(b"\x89PNG")
    assert "confusion.png" in (folder / "plots/index.html").read_text()
    assert (team.folder / "run-1/summary.md").read_text() == (folder / "report.md").read_text()


def test_a_second_run_of_the_same_comes_from_the_remote_and_changes_what_it_says(team):
    conclusion, said, posted, comment = team.run_workflows(team.first, machine=2)
    assert conclusion == "success", said
    assert posted == "comment updated on pull request 7"
    assert row_of(comment, "features")[1:3] == ["from the cache", "ran"]  # what the base's lock names is nowhere
    assert row_of(comment, "accuracy")[1:4] == ["0.733", "0.467", "-0.267"]  # still those of machine 2, both


def test_a_failed_stage_is_reported_and_fails_the_run(team):
    team.set_params(n_mels=20, broken=True)
    conclusion, said, posted, comment = team.run_workflows(team.commit("broken"))
    assert conclusion == "failure"
    assert "error: a stage failed, see above" in said
    assert posted == "comment updated on pull request 7"
    assert "## Stage `evaluate` failed" in comment
    assert row_of(comment, "evaluate")[1] == "failed"


def test_results_are_committed_when_the_label_asks_for_it(team):
    team.set_params(n_mels=30)
    sha = team.commit("more bands")
    conclusion, said, posted, comment = team.run_workflows(sha, branch="topic", lasting_cache=team.cache)
    assert conclusion == "success", said
    assert posted.startswith("comment ")
    head = team.git("rev-parse", "refs/heads/topic")
    assert team.git("rev-parse", f"{head}^") == sha
    assert f"raw/{head}/metrics" in comment
    clone = team.folder / "fresh"
    team.git("clone", "--quiet", "--branch=topic", str(team.origin), str(clone), cwd=team.folder)
    assert "up to date" in team.sh("dvc repro --allow-missing --dry", cwd=clone)
    team.sh("python -m stages.commands.pull_request.rerun check HEAD", cwd=clone)
    team.git("pull", "--quiet", "origin", "topic", cwd=team.author)


def test_a_lasting_cache_on_the_runner_needs_no_remote(team):
    """The same run again, which makes the same commit: the pull request is found though its branch has moved to it."""
    shutil.rmtree(team.folder / "dvc-remote")
    (team.folder / "dvc-remote").mkdir()
    head = team.git("rev-parse", "refs/heads/topic")
    sha = team.git("rev-parse", f"{head}^")
    conclusion, said, posted, comment = team.run_workflows(sha, branch="topic", lasting_cache=team.cache)
    assert conclusion == "success", said
    assert posted == "comment updated on pull request 7"
    assert row_of(comment, "features")[1] == "from the cache"
    assert team.git("rev-parse", "refs/heads/topic") == head


def test_a_branch_that_moved_on_is_not_overwritten(team):
    (team.author / "note.txt").write_text("later work")
    before = team.commit("later work")
    results = sorted(team.folder.glob("run-*/temp2/artefacts"))[-1]
    sha = team.git("rev-parse", f"{before}^^")
    clone = team.folder / "trusted"
    team.git("clone", "--quiet", "--depth=1", f"file://{team.origin}", str(clone), cwd=team.folder)
    status, said = team.sh(
        f"python -m stages.commands.pull_request.keep --results {results}/results --facts {results}/report/facts.json "
        f"--head-sha {sha} --number 7 --branch topic",
        cwd=clone,
        check=False,
    )
    assert status == 1
    assert re.search(
        rf"error: topic: the results of {sha} cannot be pushed there \(\[rejected\].*\); they are in refs/reports", said
    )
    assert team.git("rev-parse", "refs/heads/topic") == before
