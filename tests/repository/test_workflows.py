"""The workflows of GitHub, which cannot run here: their rules, and that they call what there is."""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess

import pytest
import yaml

from helpers.repository import ROOT

FOLDER = ROOT / ".github/workflows"
WORKFLOWS = {path.name: yaml.load(path.read_text(), Loader=yaml.BaseLoader) for path in sorted(FOLDER.glob("*.yml"))}
JOBS = {(name, job): body for name, workflow in WORKFLOWS.items() for job, body in workflow["jobs"].items()}
STEPS = [(name, job, step) for (name, job), body in JOBS.items() for step in body["steps"]]
FORKS = "github.event.pull_request.head.repo.full_name == github.repository"
RUNNER_SETS = {"RUNNER_TEMP", "GITHUB_PATH", "GITHUB_STEP_SUMMARY", "GITHUB_REPOSITORY", "PWD", "EAR_DVC_CACHE"}


def test_there_are_three():
    assert list(WORKFLOWS) == ["ci.yml", "report-post.yml", "report.yml"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nothing_is_permitted_that_a_job_does_not_ask_for(name):
    assert WORKFLOWS[name]["permissions"] == {}
    assert WORKFLOWS[name]["defaults"]["run"]["shell"] == "bash"  # with pipefail, which the default lacks


RIGHTS = {
    ("ci.yml", "tests"): {"contents": "read"},
    ("ci.yml", "pipeline"): {"contents": "read"},
    ("report.yml", "report"): {"contents": "read"},
    ("report.yml", "keep"): {"contents": "write"},
    ("report-post.yml", "post"): {"actions": "read", "contents": "read", "pull-requests": "write"},
}


def test_each_job_has_the_least_rights_a_limit_of_time_and_no_rival():
    assert {key: body["permissions"] for key, body in JOBS.items()} == RIGHTS
    for (name, _), body in JOBS.items():
        assert body["timeout-minutes"]
        assert "concurrency" in body or "concurrency" in WORKFLOWS[name]


def test_actions_are_pinned_by_commit_and_the_same_everywhere():
    pins = {}
    text = "".join(path.read_text() for path in FOLDER.glob("*.yml"))
    for line in re.findall(r"uses: (.*)", text):
        action, commit, version = re.fullmatch(r"([\w/-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", line).groups()
        pins.setdefault(action, set()).add((commit, version))
    used = ["cache", "checkout", "download-artifact", "setup-python", "upload-artifact"]
    assert sorted(pins) == [f"actions/{name}" for name in used]
    assert all(len(commits) == 1 for commits in pins.values())


def test_nothing_of_an_event_is_put_into_a_script():
    for _, _, step in STEPS:
        assert "${{" not in step.get("run", "")


def test_no_checkout_leaves_a_token_behind():
    for _, _, step in STEPS:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"


def test_what_runs_code_of_others_can_write_nothing():
    """The code of the pull request is checked out in jobs that may only read; those that may write run the base's."""
    assert all("pull_request_target" not in workflow["on"] for workflow in WORKFLOWS.values())
    assert list(WORKFLOWS["report-post.yml"]["on"]) == ["workflow_run"]
    for (name, _), body in JOBS.items():
        if "write" not in body["permissions"].values():
            continue
        (checkout,) = (step for step in body["steps"] if step.get("uses", "").startswith("actions/checkout@"))
        assert checkout["with"].get("ref", "") in ("", "${{ github.event.pull_request.base.sha }}")
        assert (name == "report-post.yml") == ("ref" not in checkout["with"])
        for step in body["steps"]:  # nothing is installed, cached or run but our own two commands
            if "run" in step:
                assert re.match(r"python3 -m stages\.commands\.(keep_results|post_report) ", step["run"])
            assert not step.get("uses", "").startswith(("actions/cache@", "actions/setup-python@"))


def test_forks_get_no_secret_no_rights_and_no_runner_of_ours():
    for (name, _), body in JOBS.items():
        for step in body["steps"]:
            secret = [value for value in step.get("env", {}).values() if "secrets." in value]
            assert FORKS in step.get("if", "") or all(
                value.startswith(f"${{{{ {FORKS} && secrets.") for value in secret
            )
            assert json.dumps(step).count("secrets.") == len(secret)  # and nowhere else
        assert "secrets." not in json.dumps({key: value for key, value in body.items() if key != "steps"})
        if name == "report.yml" and "write" in body["permissions"].values():
            assert body["if"] == FORKS
        if body["runs-on"] != "ubuntu-24.04":
            assert body["runs-on"].startswith(f"${{{{ {FORKS} && (")
            assert body["runs-on"].endswith("&& vars.EAR_GPU_RUNNER || 'ubuntu-24.04' }}")


def commands():
    """Each call of one of our modules in the workflows, with its options."""
    for name, _, step in STEPS:
        for call in re.findall(r"python3? -m (stages\.commands\..*)", " ".join(step.get("run", "").split("\n"))):
            for part in re.split(r" (?:cat|dvc|grep) ", call)[:1]:
                yield pytest.param(part, id=f"{name}: {part[:45]}")


@pytest.mark.parametrize("call", list(commands()))
def test_our_commands_are_called_with_options_that_they_know(call):
    values = {"$HEAD_SHA": "a" * 40, "$NUMBER": "7", "$PULL": "--pull"}
    module, *options = shlex.split(re.sub(r"\$\w+", lambda match: values.get(match[0], "a/b"), call))
    importlib.import_module(module).parse_args(options)


def test_variables_in_scripts_are_set():
    for name, job, step in STEPS:
        used = set(re.findall(r"\$\{?([A-Z_]+)", step.get("run", "")))
        given = set(step.get("env", {})) | set(JOBS[name, job].get("env", {}))
        assert used - given <= RUNNER_SETS


def test_the_second_workflow_follows_the_first():
    assert WORKFLOWS["report-post.yml"]["on"]["workflow_run"]["workflows"] == [WORKFLOWS["report.yml"]["name"]]


def test_python_versions_are_those_that_the_project_says():
    assert JOBS["ci.yml", "tests"]["strategy"]["matrix"]["python"] == ["3.11", "3.13"]


@pytest.mark.skipif(not shutil.which("zizmor"), reason="zizmor is not installed; it is in the extra dev")
def test_zizmor_finds_nothing():
    command = ["zizmor", "--offline", "--persona", "pedantic", "--no-progress", str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "No findings to report" in done.stdout + done.stderr


EVENTS = {
    "own branch": ("pull_request", {"pull_request": {"head": {"repo": {"full_name": "team/ear"}}}}, 0),
    "push": ("push", {}, 0),
    "fork": ("pull_request", {"pull_request": {"head": {"repo": {"full_name": "stranger/ear"}}}}, 1),
    "deleted fork": ("pull_request", {"pull_request": {"head": {"repo": None}}}, 1),
    "another event": ("pull_request_target", {"pull_request": {"head": {"repo": {"full_name": "team/ear"}}}}, 1),
    "workflow_run": ("workflow_run", {}, 1),
}


@pytest.mark.parametrize("event", EVENTS)
def test_the_runner_refuses_forks(event, tmp_path):
    """GitHub runs the script before each job, with `bash -e`, and fails the job where it fails."""
    name, payload, status = EVENTS[event]
    (tmp_path / "event.json").write_text(json.dumps(payload))
    settings = {"GITHUB_EVENT_NAME": name, "GITHUB_REPOSITORY": "team/ear"}
    settings["GITHUB_EVENT_PATH"] = str(tmp_path / "event.json")
    command = ["bash", "-e", str(ROOT / ".github/runner/refuse-forks.sh")]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert ("refused" in done.stderr) == bool(status)
