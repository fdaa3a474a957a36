"""requirements-predict.txt: with the packages of that lock alone, predict runs an exported model."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib

import soundfile

from helpers.predict_program import read_lines
from helpers.repository import ROOT
from helpers.tone_model import scene
from stages.commands.export import __main__ as export
from stages.lib.inference.detect import detect
from stages.lib.inference.runtime import open_model

MODEL = ROOT / "tests/data/tones_0.1.keras"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
PROGRAM = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"not in the lock: {{name}}", name=name)

sys.meta_path.insert(0, Blocked())
from stages.commands.predict.__main__ import main
main(sys.argv[1:])
"""


def pins(name):
    """Names and versions of a lock, several where they depend on the Python."""
    return set(PIN.findall((ROOT / name).read_text()))


def test_predict_imports_what_is_in_the_lock_and_nothing_else(tmp_path):
    export.main([f"--model={MODEL}", f"--out={tmp_path / 'tones.onnx'}"])
    soundfile.write(tmp_path / "street.flac", scene(44100, duration_s=130.0), 44100)  # long enough for a bar
    locked = {name for name, _ in pins("requirements-predict.txt")}
    blocked = {
        module
        for module, names in importlib.metadata.packages_distributions().items()
        if not any(re.sub(r"[-_.]+", "-", name).lower() in locked for name in names)
    }
    assert blocked >= {"scipy", "pandas", "keras", "tensorflow", "filelock", "ruamel"}
    assert not blocked & {"numpy", "onnxruntime", "soundfile"}
    command = [sys.executable, "-c", PROGRAM.format(blocked=blocked), str(tmp_path / "street.flac")]
    command += ["--json", "--labels", str(tmp_path), "--model", str(tmp_path / "tones.onnx")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "elapsed" in done.stderr
    expected = detect(tmp_path / "street.flac", open_model(MODEL))
    assert expected
    assert [event["class"] for event in read_lines(done.stdout)] == [event.label for event in expected]


def test_its_lock_is_made_of_its_group_and_has_the_versions_of_the_other():
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["predict"]
    assert {re.split("[>=<]", line)[0] for line in group} <= {name for name, _ in pins("requirements-predict.txt")}
    assert pins("requirements-predict.txt") <= pins("requirements.txt")
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(group) <= {*dependencies["dependencies"], *dependencies["optional-dependencies"]["dev"]}


def test_its_lock_is_hashed_and_made_as_contributing_says():
    text = (ROOT / "requirements-predict.txt").read_text()
    assert text.count("--hash=sha256:") >= 2 * len(pins("requirements-predict.txt"))
    made_by = re.search(r"^#    (uv pip compile .*)$", text, re.MULTILINE)[1]
    assert made_by in re.sub(r" \\\n +", " ", (ROOT / "CONTRIBUTING.md").read_text())
