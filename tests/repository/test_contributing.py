"""CONTRIBUTING.md is followed step by step in a copy of the repository, and what its examples promise comes true."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers.repository import ROOT
from helpers.tones import TONES_HZ
from helpers.workspace import Clone, Workspace, write_tone
from stages.lib.core.files import read_json

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
EXAMPLES = dict(re.findall(r"^## (Add a \w+)\n(.*?)(?=^## )", PAGE, flags=re.DOTALL | re.MULTILINE))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
# Where a block goes is said in the sentence before it, by the text of a line, so that lines may be added above.
NEW_FILE = re.compile(r"a new file `([^`]+)`[^`]*:$")
CHANGE = re.compile(r"In `([^`]+)`, (above|below|in place of) the lines? `([^`]+)`[^:]*:$")


@dataclass(frozen=True)
class Step:
    """Code of an example: a command, a file, or lines to put at `anchor`, whole lines but for white space."""

    language: str
    code: str
    path: str = ""
    place: str = ""
    anchor: str = ""

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the lines of the anchor begin and end in a text."""
        lines = r"\s+".join(map(re.escape, self.anchor.split()))
        return [match.span() for match in re.finditer(rf"^[ \t]*{lines}\n", text, flags=re.MULTILINE)]

    def apply(self, workspace: Workspace) -> None:
        path = workspace.root / self.path
        if self.place == "new":
            assert not path.exists(), f"{self.path} is there already"
            path.write_text(self.code)
            return
        text = path.read_text()
        ((start, end),) = self.spans(text)
        at = {"above": (start, start), "below": (end, end), "in place of": (start, end)}[self.place]
        path.write_text(text[: at[0]] + self.code + text[at[1] :])


def read_steps(section: str) -> list[Step]:
    """The code of an example in the order of the page."""
    steps, end = [], 0
    for match in BLOCK.finditer(section):
        before, end = " ".join(section[end : match.start()].split()), match.end()
        language, code = match.groups()
        if language == "sh":
            steps.append(Step(language, code.strip()))
        elif found := NEW_FILE.search(before):
            steps.append(Step(language, code, found[1], "new"))
        else:
            found = CHANGE.search(before)
            assert found, f"nothing says where this goes:\n{code}"
            steps.append(Step(language, code, *found.groups()))
    return steps


STEPS = {name: read_steps(section) for name, section in EXAMPLES.items()}
COMMANDS = [step.code for steps in STEPS.values() for step in steps if step.language == "sh"]


def test_each_example_changes_code_tests_it_and_runs_it():
    assert list(STEPS) == ["Add a dataset", "Add a feature", "Add a model", "Add a check"]
    for steps in STEPS.values():
        changed = [step.path for step in steps if step.path]
        assert any(path.startswith("stages/") for path in changed)
        assert any(path.startswith("tests/") for path in changed)
        assert [step.code.split()[0] for step in steps if step.language == "sh"] == ["pytest", "dvc"]


def test_the_lines_that_the_page_names_are_there_once():
    anchored = [step for steps in STEPS.values() for step in steps if step.anchor]
    found = {f"{step.path}: {step.anchor}": len(step.spans((ROOT / step.path).read_text())) for step in anchored}
    assert found == dict.fromkeys(found, 1)


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Workspace:
    """A copy of the repository with everything that the page says to write."""
    workspace = Workspace.create(tmp_path_factory.mktemp("contribution"))
    for steps in STEPS.values():
        for step in steps:
            if step.path:
                step.apply(workspace)
    workspace.run("ruff", "format", ".")
    workspace.commit()
    return workspace


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home folder with the dataset of the page: tones, one of them with 8 bits."""
    home = tmp_path_factory.mktemp("home")
    rows = []
    for i, (label, frequency) in enumerate(TONES_HZ.items()):
        for j in range(9):
            write_tone(home / f"street/audio/{label}/{j}.wav", frequency, 0.4 + 0.1 * j, seed=10 * i + j)
            rows.append({"file": f"{label}/{j}.wav", "label": label, "part": j % 3 + 1, "session": f"{label}{j}"})
    y, sr = soundfile.read(home / "street/audio/low/0.wav")
    soundfile.write(home / "street/audio/low/0.wav", y, sr, subtype="PCM_U8")
    pd.DataFrame(rows).to_csv(home / "street/labels.csv", index=False)
    return home


@pytest.mark.slow
def test_the_examples_pass_lint(extended):
    extended.run("ruff", "check", ".")


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("pytest")])
def test_the_tests_that_the_page_names_pass(extended, command):
    output = extended.run("bash", "-euo", "pipefail", "-c", f"python -m {command} -q -p no:cacheprovider")
    assert re.search(r"\d+ passed", output), output


@pytest.mark.slow
def test_the_four_examples_run_through_the_pipeline(extended, home, small_params, tmp_path, monkeypatch):
    workspace = Clone(extended, tmp_path / "clone")
    sections = ("featurize", "split", "segment", "augment", "train", "evaluate")
    workspace.set_params(**{name: small_params[name] for name in sections}, validate={"max_rejected_share": 0.5})
    workspace.commit()
    monkeypatch.setenv("HOME", str(home))
    for command in COMMANDS:
        if command.startswith("dvc"):
            workspace.run("bash", "-euo", "pipefail", "-c", command)
    assert workspace.repro("train") == []

    assert read_json(workspace.root / "data/raw/dataset.json")["name"] == "street"
    findings = pd.read_csv(workspace.root / "metrics/validate/findings.csv")
    assert list(findings.loc[findings["check"] == "coarse", "subject"]) == ["low/0.wav"]
    facts = read_json(workspace.root / "data/features/facts.json")
    assert facts["featurize"]["preemphasis"] == 0.97
    assert facts["classes"] == sorted(TONES_HZ)
    frames = np.load(workspace.root / "data/features/fold_3.npy")
    assert np.isfinite(frames).all()
    assert list((workspace.root / "data/models").glob("fold_3*"))
    assert "separable" in (workspace.root / "dvc.lock").read_text()
    assert 0 <= read_json(workspace.root / "metrics/train.json")["validation_accuracy"] <= 1
