"""CONTRIBUTING.md is followed step by step in a copy of the repository, and what its examples promise comes true."""

import re
import textwrap
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers.repository import ROOT
from helpers.tones import TONES_HZ
from helpers.workspace import Workspace, write_tone
from stages.lib.core.files import read_json

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", flags=re.DOTALL | re.MULTILINE)
RECIPES = dict(re.findall(r"^## (Add a \w+)\n(.*?)(?=^## )", PAGE, flags=re.DOTALL | re.MULTILINE))


def blocks(*languages: str) -> list[str]:
    """The code of the four recipes, in the order of the page."""
    found = [match for section in RECIPES.values() for match in BLOCK.finditer(section)]
    return [textwrap.dedent(match[3]) for match in found if match[2] in languages]


def test_each_recipe_changes_code_and_tests_it_and_runs_it():
    assert list(RECIPES) == ["Add a dataset", "Add a feature", "Add a model", "Add a check"]
    for section in RECIPES.values():
        kinds = Counter(match[2] for match in BLOCK.finditer(section))
        assert kinds["diff"] >= 2
        assert kinds["sh"] == 2


@pytest.fixture(scope="module")
def patched(tmp_path_factory) -> Workspace:
    """A copy of the repository with everything that the page says to write."""
    workspace = Workspace.create(tmp_path_factory.mktemp("contribution"))
    for block in blocks("yaml"):
        name = re.match(r"# (\S+)\n", block)[1]
        (workspace.root / name).write_text(block)
    for block in blocks("diff"):
        (workspace.root / "change.patch").write_text(block)
        workspace.run("git", "apply", "--recount", "--unidiff-zero", "change.patch")
    (workspace.root / "change.patch").unlink()
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
def test_the_examples_are_code_that_passes_lint(patched):
    patched.run("ruff", "check", ".")
    patched.run("ruff", "format", "--check", ".")


@pytest.mark.slow
@pytest.mark.parametrize("command", [block.strip() for block in blocks("sh") if block.startswith("pytest")])
def test_the_tests_that_the_page_names_pass(patched, command):
    output = patched.run("bash", "-euo", "pipefail", "-c", f"python -m {command} -q -p no:cacheprovider")
    assert re.search(r"\d+ passed", output), output


@pytest.mark.slow
def test_the_four_examples_run_through_the_pipeline(patched, home, small_params, monkeypatch):
    sections = ("featurize", "split", "segment", "augment", "train", "evaluate")
    patched.set_params(**{name: small_params[name] for name in sections}, validate={"max_rejected_share": 0.5})
    patched.commit()
    monkeypatch.setenv("HOME", str(home))
    for command in blocks("sh"):
        if command.startswith("dvc"):
            patched.run("bash", "-euo", "pipefail", "-c", command)
    assert patched.repro("train") == []

    assert read_json(patched.root / "data/raw/dataset.json")["name"] == "street"
    findings = pd.read_csv(patched.root / "metrics/validate/findings.csv")
    assert list(findings.loc[findings["check"] == "coarse", "subject"]) == ["low/0.wav"]
    facts = read_json(patched.root / "data/features/facts.json")
    assert facts["featurize"]["preemphasis"] == 0.97
    assert facts["classes"] == sorted(TONES_HZ)
    frames = np.load(patched.root / "data/features/fold_3.npy")
    assert np.isfinite(frames).all()
    assert list((patched.root / "data/models").glob("fold_3*"))
    assert "separable" in (patched.root / "dvc.lock").read_text()
    assert 0 <= read_json(patched.root / "metrics/train/validation.json")["validation_accuracy"] <= 1
