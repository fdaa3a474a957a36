"""docs/experiments.md is followed command by command, and what it says about the results is so."""

import re
import shutil

import pytest
import yaml

from helpers.repository import ROOT
from helpers.workspace import Clone, Workspace

PAGE = (ROOT / "docs/experiments.md").read_text()
COMMANDS = [
    command
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    for command in block.replace("\\\n", "").splitlines()
]


def test_the_page_has_no_other_code():
    assert len(re.findall("^```", PAGE, flags=re.MULTILINE)) == 2 * len(re.findall("^```sh$", PAGE, flags=re.MULTILINE))
    assert len(COMMANDS) > 15


@pytest.fixture(scope="module")
def followed(finished, tmp_path_factory) -> tuple[Workspace, dict[str, str]]:
    """A workspace in which the page was followed, and what each command printed."""
    folder = tmp_path_factory.mktemp("experiments")
    workspace = Clone(finished, folder / "workspace")
    workspace.run("git", "clone", "--quiet", "--bare", str(workspace.root), str(folder / "origin.git"))
    workspace.run("git", "remote", "set-url", "origin", str(folder / "origin.git"))
    workspace.run("git", "branch", "--move", "--force", "main")
    shutil.copytree(finished.root / ".dvc/cache", workspace.root / ".dvc/cache")
    workspace.run("dvc", "remote", "add", "--default", "storage", str(folder / "storage"))
    workspace.commit()
    workspace.run("git", "push", "--quiet", "origin", "main")
    workspace.run("dvc", "checkout")
    return workspace, {command: workspace.run("bash", "-euo", "pipefail", "-c", command) for command in COMMANDS}


@pytest.mark.slow
def test_the_way_back_undoes_other_test_folds_too(finished, tmp_path):
    """A file that an experiment adds below an output that Git keeps would be removed by neither Git nor DVC."""
    workspace = Clone(finished, tmp_path / "workspace")
    shutil.copytree(finished.root / ".dvc/cache", workspace.root / ".dvc/cache")
    workspace.run("dvc", "checkout")
    workspace.run("dvc", "exp", "run", "--set-param", "split.test_folds=[1,2]", "train")
    assert "fold_1" in (workspace.root / "metrics/train/loss.csv").read_text()
    start = COMMANDS.index("git restore .")
    for command in COMMANDS[start : COMMANDS.index("dvc checkout", start) + 1]:
        workspace.run("bash", "-euo", "pipefail", "-c", command)
    assert workspace.run("git", "status", "--porcelain") == ""
    assert workspace.repro() == []


def printed(followed, start: str) -> str:
    """What the one command that starts so printed."""
    (found,) = [output for command, output in followed[1].items() if command.startswith(start)]
    return found


@pytest.mark.slow
def test_a_changed_parameter_and_its_scores_are_shown(followed):
    output = printed(followed, "dvc exp run --name")
    assert re.findall(r"Running stage '(\w+)'", output) == ["train"]
    assert re.search(r"train\.learning_rate +0\.002 +0\.001", printed(followed, "dvc params diff"))
    assert "validation_log_loss" in printed(followed, "dvc metrics diff")


@pytest.mark.slow
def test_the_grid_is_run_and_shown_by_validation_score_alone(followed):
    assert len(re.findall("grid-[1-4] .*Queued", printed(followed, "dvc queue status"))) == 4
    output = printed(followed, "dvc exp run --run-all")
    of_each = re.split("Reproducing experiment 'grid-([1-4])'", output)
    trained = [name for name, text in zip(of_each[1::2], of_each[2::2], strict=True) if "Running stage 'train'" in text]
    assert sorted(trained) == ["2", "4"]  # the third is the commit, the first the experiment before
    assert "Running stage 'evaluate'" not in output
    table = printed(followed, "dvc exp show --no-pager --sort-by")
    rows = re.findall(r"\[([\w-]+)\] +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)", table)
    assert sorted(row[0] for row in rows) == ["grid-1", "grid-2", "grid-3", "grid-4", "slow"]
    head = next(line for line in table.splitlines() if "Experiment" in line)
    assert head.split() == [
        "Experiment",
        "validation_accuracy",
        "validation_log_loss",
        "augment.mix_alpha",
        "train.learning_rate",
    ]
    losses = [float(row[2]) for row in rows]
    assert losses == sorted(losses)


@pytest.mark.slow
def test_the_difference_is_tested(followed):
    assert re.search(r"^accuracy +\d", printed(followed, "python -m stages.commands.compare"), re.MULTILINE)
    assert (followed[0].root / "dvc_plots/index.html").is_file()


@pytest.mark.slow
def test_the_table_of_results_fits_into_160_columns(followed):
    lines = printed(followed, "dvc exp show --no-pager --only-changed").splitlines()
    head = next(line for line in lines if "Experiment" in line)
    assert head.split()[0] == "Experiment"
    assert {"log_loss", "train.learning_rate"} <= set(head.split())  # scores that are 1 for all tones are not shown
    assert not {"State", "Executor", "Created"} & set(head.split())
    assert max(map(len, lines)) <= 160


@pytest.mark.slow
def test_the_pull_request_has_parameters_metrics_and_data(followed, finished, tmp_path):
    workspace = followed[0]
    assert re.findall(r"Running stage '(\w+)'", printed(followed, "dvc repro")) == ["evaluate"]
    assert workspace.run("git", "status", "--porcelain") == ""
    origin = workspace.run("git", "remote", "get-url", "origin").strip()
    reviewer = tmp_path / "reviewer"
    workspace.run("git", "clone", "--quiet", "--branch", "mix-evenly", origin, str(reviewer))
    workspace.run("dvc", "pull", cwd=reviewer)
    assert "up to date" in workspace.run("dvc", "repro", cwd=reviewer)
    params = yaml.safe_load((reviewer / "params.yaml").read_text())
    assert (params["train"]["learning_rate"], params["augment"]["mix_alpha"]) == (0.002, 1.0)
    assert "grid-3" in workspace.run("dvc", "exp", "list", "origin", "--all-commits", cwd=reviewer)


@pytest.mark.slow
def test_nothing_is_left_of_the_experiments(followed):
    assert not re.search("grid|slow", followed[0].run("dvc", "exp", "list", "--all-commits"))
    assert "grid" not in followed[0].run("dvc", "queue", "status")
