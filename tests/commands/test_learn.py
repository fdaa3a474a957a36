"""Sounds of one's own: what is said of a model, what is refused, and the page that shows it command by command."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import pandas as pd
import pytest
import yaml

from helpers.random_weights import use_random_yamnet
from helpers.repository import GIT_IDENTITY, ROOT
from helpers.workspace import Clone, write_tone
from stages.commands import learn
from stages.commands.git import git
from stages.commands.recipe import read_recipe
from stages.commands.revisions import read_revision
from stages.lib.core.errors import EarError, ParamsError, SourceError

PAGE = (ROOT / "docs/your-sounds.md").read_text()
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)).splitlines()


def clips(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["class", "predicted", "source"])


NOTHING_REJECTED = pd.DataFrame(columns=["clip", "reasons"])


def test_what_is_recognised_is_said_class_by_class():
    table = clips(
        *(("doorbell", "doorbell", f"d{i}") for i in range(9)),
        ("doorbell", "kettle", "d9"),
        *(("kettle", "kettle", f"k{i}") for i in range(5)),
    )
    assert learn.describe(table, NOTHING_REJECTED) == [
        "doorbell: 9 of 10 recordings recognised; 1 taken for kettle",
        "kettle: 5 of 5 recordings recognised",
        "in all: 14 of 15 recordings recognised by networks that have not heard them before",
    ]


def test_takes_of_one_occasion_are_not_counted_as_independent():
    table = clips(*(("room", "room", "monday") for _ in range(20)), *(("kettle", "room", f"k{i}") for i in range(5)))
    lines = learn.describe(table, NOTHING_REJECTED)
    assert lines[0] == "kettle: 0 of 5 recordings recognised; 5 taken for room"
    assert lines[1].endswith("(too few to rely on: 1 that were made independently; record 5 or more)")


def test_recordings_that_were_left_out_are_named_with_the_reason():
    rejected = pd.DataFrame({"clip": ["kettle/4.m4a"], "reasons": ["silent"]})
    assert learn.describe(clips(("a", "a", "1")), rejected)[-1] == "left out: kettle/4.m4a: silent"


def test_the_experiment_differs_from_the_workspace_by_the_recipe_and_the_recordings(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    settings = learn.choose_settings(learn.parse_args([str(tmp_path), "-S", "train.seed=2"]))
    chosen = dict(setting.split("=", 1) for setting in settings)
    recipe = {key: value.text for key, value in read_recipe(ROOT / "data/recipes/few.yaml")[1].items()}
    assert chosen["fetch.source"] == str(tmp_path)
    assert chosen["train.seed"] == "2"
    for key in ("train.model", "train.freeze", "featurize.sr", "augment.mix"):
        assert chosen[key] == recipe[key]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["absent"], SourceError, r"^absent: no such folder; give one with a folder for each sound$"),
        ([".", "--recipe", "fewest"], ParamsError, r"^fewest: no such recipe; there are: default, few, "),
    ],
)
def test_what_cannot_be_learnt_is_refused_before_any_work(arguments, error, message, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(learn, "follow_dvc", lambda *_: pytest.fail("DVC was started"))
    with pytest.raises(error, match=message):
        learn.main(arguments)


def test_it_must_be_run_in_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EarError, match=r"not the root of the repository"):
        learn.main(["."])


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """What learn needs of a workspace before it starts DVC."""
    for name, value in GIT_IDENTITY.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".dvc").mkdir()
    for name in ("params.yaml", "data/recipes/few.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("variables", "config", "is_known"),
    [
        ({}, "", False),
        ({}, "[user]\nname = A\n", False),
        ({}, "[user]\nname = A\nemail = a@a.org\n", True),
        (GIT_IDENTITY, "", True),
        ({"EMAIL": "a@a.org"}, "[user]\nname = A\n", False),  # Git takes it, DVC does not
    ],
)
def test_that_git_does_not_know_its_user_is_said_before_dvc_is_started(bare, monkeypatch, variables, config, is_known):
    monkeypatch.chdir(bare)
    for name in (*GIT_IDENTITY, "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    (bare / "gitconfig").write_text(config)
    for name, value in ({"GIT_CONFIG_GLOBAL": str(bare / "gitconfig"), "GIT_CONFIG_NOSYSTEM": "1"} | variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(learn, "follow_dvc", lambda *_: (1, "ERROR: was started\n"))
    line = "was started" if is_known else "'git config --global user.name .* and 'git config --global user.email"
    with pytest.raises(EarError, match=line):
        learn.main(["."])


@pytest.fixture
def with_experiment(bare, monkeypatch):
    """A repository with an experiment `my-sounds` that started from HEAD, and a branch `topic`."""
    monkeypatch.chdir(bare)
    monkeypatch.setattr(learn, "follow_dvc", lambda *_: (1, "ERROR: was started\n"))
    git("init", "--quiet", "--initial-branch", "main")
    git("commit", "--quiet", "--allow-empty", "--message", "first")
    git("branch", "topic")
    head = git("rev-parse", "HEAD")
    git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/my-sounds", head)


@pytest.mark.parametrize("name", ["my sounds", "a/b", "a:b", "", ".a", "a..b", "a.", "a.lock", "-a", "a~1"])
def test_a_name_that_cannot_be_is_refused_with_those_that_can(with_experiment, name):
    with pytest.raises(EarError, match=rf"^'{re.escape(name)}': no name for an experiment; use letters, digits, hyph"):
        learn.main([".", f"--name={name}"])


def test_a_name_that_is_taken_is_refused_before_any_work(with_experiment):
    line = (
        "^my-sounds: there is an experiment of that name; choose another --name, or remove it with 'dvc exp remove "
        "my-sounds'$"
    )
    with pytest.raises(EarError, match=line):
        learn.main([".", "--name", "my-sounds"])
    for name in ("topic", "HEAD", "workspace"):
        with pytest.raises(EarError, match=f"^{name}: '--rev {name}' means something else already"):
            learn.main([".", "--name", name])
    for name in ("my-sounds-2", "türklingel_2.1"):
        with pytest.raises(EarError, match="was started"):
            learn.main([".", "--name", name])
    git("commit", "--quiet", "--allow-empty", "--message", "second")  # DVC keeps the names of each commit apart
    with pytest.raises(EarError, match="was started"):
        learn.main([".", "--name", "my-sounds"])


def test_two_do_not_learn_at_once(bare, monkeypatch):
    monkeypatch.chdir(bare)
    learn.LOCK.parent.mkdir()
    with filelock.FileLock(learn.LOCK), pytest.raises(EarError, match=r"another 'learn' is running"):
        learn.main(["."])


def test_dvc_ends_with_the_command(bare):
    """It is in a session of its own, which a signal to learn does not reach."""
    (bare / "dvc").write_text(f"#!{sys.executable}\nimport os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    (bare / "dvc").chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.commands.learn", "."], cwd=bare, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{bare}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert process.stdout.readline().startswith("dvc exp run ")
    of_dvc = int(process.stdout.readline())
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(of_dvc, 0)


def test_of_a_failure_the_line_of_the_stage_is_shown():
    said = "Running stage 'fetch':\nerror: recordings: holds no recording\nERROR: failed to reproduce 'fetch'\n"
    assert str(learn.explain(said)) == "recordings: holds no recording"
    assert str(learn.explain("ERROR: unknown\n")) == "'dvc exp run' failed: unknown; correct that first"


@pytest.fixture(scope="module")
def followed(finished, tmp_path_factory) -> tuple[Clone, dict[str, str]]:
    """A workspace in which the page was followed on tones, with random weights, and what each command printed."""
    folder = tmp_path_factory.mktemp("learn")
    workspace = Clone(finished, folder / "workspace")
    use_random_yamnet(workspace, folder)
    for i, (name, frequency) in enumerate({"doorbell": 700, "kettle": 2500}.items()):
        for j in range(6):
            write_tone(workspace.root / f"recordings/{name}/{j}.wav", frequency, 1.0 + 0.1 * j, seed=10 * i + j)
    shutil.copy(workspace.root / "params.yaml", folder)
    return workspace, {command: workspace.run("bash", "-c", f"set -eu; {command}") for command in COMMANDS}


@pytest.mark.slow
def test_the_page_is_followed_command_by_command(followed):
    workspace, said = followed
    of_learn = next(text for command, text in said.items() if ".learn " in command)
    assert "doorbell: 6 of 6 recordings recognised\n" in of_learn
    assert "in all: 12 of 12 recordings recognised by networks that have not heard them before\n" in of_learn
    assert "model: python -m stages.commands.predict --rev my-sounds FILE\n" in of_learn
    assert "doorbell" in next(text for command, text in said.items() if ".predict " in command)
    assert "kettle" in next(text for command, text in said.items() if "my-sounds.onnx" in command)
    assert not workspace.run("git", "status", "--porcelain", "--untracked-files=no")  # the workspace is as it was


@pytest.mark.slow
def test_plain_dvc_gives_the_same_model_byte_for_byte(followed, monkeypatch):
    """The command that learn prints, run again in all stages and under another name."""
    workspace, said = followed
    text = next(text for command, text in said.items() if ".learn " in command)
    command = next(line for line in text.splitlines() if line.startswith("dvc exp run "))
    again = command.replace("--name my-sounds ", "--name again --force ")
    assert "--name again --force" in again
    workspace.run("bash", "-c", again)

    monkeypatch.chdir(workspace.root)

    def hash_of(name):
        stage = yaml.safe_load(read_revision(name, Path("dvc.lock")))["stages"]["train"]
        return next(out["md5"] for out in stage["outs"] if out["path"] == "data/models")

    assert hash_of("again") == hash_of("my-sounds")
