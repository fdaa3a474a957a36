"""The workflows of GitHub, which cannot run here: their rules, and that they call what there is."""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib

import pytest
import yaml

from helpers.repository import ROOT

FOLDER = ROOT / ".github/workflows"
WORKFLOWS = {path.name: yaml.load(path.read_text(), Loader=yaml.BaseLoader) for path in sorted(FOLDER.glob("*.yml"))}
JOBS = {(name, job): body for name, workflow in WORKFLOWS.items() for job, body in workflow["jobs"].items()}
STEPS = [(name, job, step) for (name, job), body in JOBS.items() for step in body["steps"]]
OF_THIS_REPOSITORY = "github.event.pull_request.head.repo.full_name == github.repository"
NOT_DEPENDABOT = "github.event.pull_request.user.login != 'dependabot[bot]'"
RUNNER_SETS = {"RUNNER_TEMP", "GITHUB_PATH", "GITHUB_STEP_SUMMARY", "GITHUB_REPOSITORY", "PWD", "EAR_DVC_CACHE"}


@pytest.mark.skipif(not shutil.which("zizmor"), reason="zizmor is not installed; it is in the extra dev")
def test_zizmor_finds_nothing():
    """Pinned actions, no text of an event in a script, no token left behind, rights of jobs alone, and more."""
    command = ["zizmor", "--offline", "--persona", "pedantic", "--no-progress", str(FOLDER.parent)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "No findings to report" in done.stdout + done.stderr


def test_each_job_has_a_limit_of_time_and_a_shell_that_fails_in_pipes():
    for (name, _), body in JOBS.items():
        assert body["timeout-minutes"]
        assert WORKFLOWS[name]["defaults"]["run"]["shell"] == "bash"  # with pipefail, which the default lacks


def test_few_jobs_write_and_none_runs_code_of_a_pull_request():
    """Code of a pull request is checked out in jobs that may only read; those that may write run the base's."""
    assert all("pull_request_target" not in workflow["on"] for workflow in WORKFLOWS.values())
    writing = {key: body for key, body in JOBS.items() if "write" in body["permissions"].values()}
    assert {(*key, *rights(body)) for key, body in writing.items()} == {
        ("report.yml", "keep", "contents"),
        ("report-post.yml", "post", "pull-requests"),
        ("weekly.yml", "tidy", "contents"),
    }
    # These run code of the default branch.
    assert list(WORKFLOWS["report-post.yml"]["on"]) == ["workflow_run"]
    assert list(WORKFLOWS["weekly.yml"]["on"]) == ["schedule", "workflow_dispatch"]
    assert is_kept_from_others(JOBS["report.yml", "keep"]["if"])
    for (name, _), body in writing.items():
        (checkout,) = (step for step in body["steps"] if step.get("uses", "").startswith("actions/checkout@"))
        ref = checkout["with"].get("ref")
        assert ref == ("${{ github.event.pull_request.base.sha }}" if name == "report.yml" else None)
        for step in body["steps"]:  # nothing is installed or taken from a cache, and one command of ours is run
            assert "run" not in step or step["run"].startswith("python3 -m stages.commands.pull_request.")
            assert not step.get("uses", "").startswith(("actions/cache@", "actions/setup-python@"))


def rights(body: dict) -> list[str]:
    """What a job may write."""
    return [right for right, level in body["permissions"].items() if level == "write"]


def is_kept_from_others(condition: str) -> bool:
    """Whether a condition of a job or step keeps out forks and Dependabot, neither of which have secrets."""
    return OF_THIS_REPOSITORY in condition and NOT_DEPENDABOT in condition and "!(" not in condition


def test_forks_and_dependabot_get_no_secret_and_no_runner_of_ours():
    for (name, job), body in JOBS.items():
        for step in body["steps"]:
            secret = [value for value in step.get("env", {}).values() if "secrets." in value]
            assert is_kept_from_others(step.get("if", "")) or all(map(is_kept_from_others, secret)), (name, job)
            assert json.dumps(step).count("secrets.") == len(secret)  # and nowhere else
        assert "secrets." not in json.dumps({key: value for key, value in body.items() if key != "steps"})
        assert body["runs-on"] == "ubuntu-24.04" or (
            is_kept_from_others(body["runs-on"])
            and body["runs-on"].endswith("&& vars.EAR_GPU_RUNNER || 'ubuntu-24.04' }}")
        )


def commands():
    """Each call of one of our modules in the workflows, with its options."""
    for name, _, step in STEPS:
        for call in re.findall(r"python3? -m (stages\.commands\..*)", " ".join(step.get("run", "").split("\n"))):
            part = re.split(r" (?:cat|dvc|grep) ", call)[0]
            yield pytest.param(part, id=f"{name}: {part[:60]}")


@pytest.mark.parametrize("call", list(commands()))
def test_our_commands_are_called_with_options_that_they_know(call):
    values = {"$HEAD_SHA": "a" * 40, "$NUMBER": "7", "$PULL": "--pull", "$SOUNDS": "--sounds", "$MINUTES": "30"}
    module, *options = shlex.split(re.sub(r"\$\w+", lambda match: values.get(match[0], "a/b"), call))
    importlib.import_module(module).parse_args(options)


def test_variables_in_scripts_are_set():
    for name, job, step in STEPS:
        used = set(re.findall(r"\$\{?([A-Z_]+)", step.get("run", "")))
        given = set(step.get("env", {})) | set(JOBS[name, job].get("env", {}))
        assert used - given <= RUNNER_SETS


def test_the_second_workflow_follows_the_first():
    assert WORKFLOWS["report-post.yml"]["on"]["workflow_run"]["workflows"] == [WORKFLOWS["report.yml"]["name"]]


def test_what_skips_the_report_has_another_name_than_what_runs_it():
    """GitHub counts a skipped job as a success, so under the same name it would stand for a run that failed."""
    body = JOBS["report.yml", "report"]
    condition = " ".join(body["if"].removeprefix("!").split())
    assert " ".join(body["name"].split()) == f"${{{{ {condition} && 'nothing to run' || 'run and compare' }}}}"


def test_a_run_that_takes_too_long_is_ended_before_its_job():
    run = next(step for step in JOBS["report.yml", "report"]["steps"] if "rerun run" in step.get("run", ""))
    assert '--minutes "$MINUTES"' in run["run"]
    assert run["env"]["MINUTES"] == "${{ vars.EAR_REPORT_MINUTES || '120' }}"


def test_every_python_that_the_project_allows_is_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    low, high = (int(minor) for minor in re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups())
    tested = JOBS["ci.yml", "tests"]["strategy"]["matrix"]["python"]
    assert tested == [f"3.{minor}" for minor in range(low, high)]


def test_uv_is_installed_at_one_version_by_hash():
    lines = [line for path in FOLDER.glob("*.yml") for line in path.read_text().splitlines() if "pip install" in line]
    by_pip = {line.split(": ", 1)[-1].strip().removeprefix("- run: ") for line in lines if "uv pip" not in line}
    assert by_pip == {"pip install --require-hashes -r .ci/uv.txt"}


def test_checks_that_a_merge_queue_waits_for_run_in_it():
    assert "merge_group" in WORKFLOWS["ci.yml"]["on"]


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
