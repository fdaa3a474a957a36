"""Data goes to a remote and comes back: a folder, and an S3 server; and docs/remotes.md says how, which holds."""

import re
import shutil
import subprocess
import sys

import pytest

from helpers.repository import ROOT
from helpers.workspace import Clone, CloneWithData

PAGE = (ROOT / "docs/remotes.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
DATA = ["data/raw", "data/clips", "data/features", "data/scaler", "data/models", "data/segments"]


@pytest.fixture
def s3(monkeypatch):
    """The address of an S3 server with an empty bucket `store`."""
    import boto3
    from moto.server import ThreadedMotoServer

    for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket="store")
    yield address
    server.stop()


def content(workspace) -> dict[str, bytes]:
    """All files of data that Git does not hold."""
    files = (path for name in DATA for path in sorted((workspace.root / name).rglob("*")))
    kept = [path for path in files if path.is_file() and path.name != ".gitignore"]
    return {path.relative_to(workspace.root).as_posix(): path.read_bytes() for path in kept}


def wipe(workspace) -> None:
    """Take away all that a disk that broke would take: data and cache."""
    shutil.rmtree(workspace.root / ".dvc/cache", ignore_errors=True)
    for name in content(workspace):
        (workspace.root / name).unlink()


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["folder", "s3"])
def test_what_one_pushes_another_pulls_and_has_nothing_to_run(finished, tmp_path, storage, request):
    first = CloneWithData(finished, tmp_path / "first")
    made = content(first)
    assert made == content(finished)
    if storage == "folder":
        first.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    else:
        first.run("dvc", "remote", "add", "--default", "storage", "s3://store/urban-ear")
        first.run("dvc", "remote", "modify", "storage", "endpointurl", request.getfixturevalue("s3"))
    first.commit()
    assert "files pushed" in first.run("dvc", "push")
    assert first.run("dvc", "data", "status", "--not-in-remote").strip() == "No changes."

    wipe(first)
    assert not content(first)
    assert "fetched" in first.run("dvc", "pull")
    assert content(first) == made
    assert first.repro() == []

    second = Clone(first, tmp_path / "second")
    second.run("dvc", "pull")
    assert content(second) == made
    assert second.repro() == []
    assert second.run("git", "status", "--porcelain") == ""

    if storage == "s3":
        return  # the way back is the same
    second.set_params(validate={"min_duration_s": 0.35})
    assert second.repro("validate") == ["validate"]
    assert "not in remote" in second.run("dvc", "data", "status", "--not-in-remote").lower()
    second.commit()
    second.run("dvc", "push")
    second.run("git", "push", "--quiet", "origin", "HEAD:refs/heads/longer-clips")
    first.run("git", "merge", "--quiet", "longer-clips")
    first.run("dvc", "pull")
    assert content(first) == content(second)
    assert first.repro("validate") == []


@pytest.mark.slow
def test_a_clone_that_shares_the_cache_needs_no_remote(finished, tmp_path):
    clone = Clone(finished, tmp_path / "clone")
    cache = tmp_path / "cache"
    shutil.copytree(finished.root / ".dvc/cache", cache)
    shared = next(block for block in BLOCKS if "cache.dir" in block).replace("/srv/urban-ear/cache", str(cache))
    clone.run("bash", "-euo", "pipefail", "-c", shared)
    clone.run("dvc", "checkout")
    assert content(clone) == content(finished)
    assert clone.repro() == []
    assert clone.run("git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_a_clone_without_the_source_runs_what_else_has_changed(finished, tmp_path):
    clone = CloneWithData(finished, tmp_path / "clone")
    clone.own_source(tmp_path / "recordings")
    shutil.rmtree(clone.source)
    assert "failed to reproduce 'fetch'" in clone.run("dvc", "repro", check=False)
    assert not (clone.root / "data/raw").exists()  # DVC deletes outs before it looks for deps
    clone.run("dvc", "checkout")
    assert clone.repro("--allow-missing") == []
    clone.set_params(evaluate={"seed": 2})
    assert clone.repro("--allow-missing", "--dry") == ["evaluate"]


SETTINGS = [block for block in BLOCKS if "dvc remote add" in block]
S3_ELSEWHERE = next(block for block in BLOCKS if "endpointurl" in block)
RUN_EACH_LINE = """
import sys
from dvc.cli import main
sys.exit(max(main(line.split()[1:]) for line in sys.stdin))
"""


@pytest.mark.parametrize("block", SETTINGS, ids=lambda block: re.search(r"storage (\S+)", block)[1])
def test_settings_of_the_page_are_ones_that_dvc_takes(block, tmp_path):
    """DVC checks names and values of settings by the kind of storage without reaching it; secrets stay out of Git."""
    shutil.copytree(ROOT / ".dvc", tmp_path / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    commands = block + (S3_ELSEWHERE if "s3://" in block else "")
    run = [sys.executable, "-c", RUN_EACH_LINE]
    done = subprocess.run(run, input=commands, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    in_git = (tmp_path / ".dvc/config").read_text()
    assert not re.search("key|token|secret|password|credential|user", in_git), in_git
    status = subprocess.run(["git", "status", "--porcelain", "-uall"], cwd=tmp_path, capture_output=True, text=True)
    assert ".dvc/config\n" in status.stdout
    assert "config.local" not in status.stdout


def test_the_page_has_settings_for_each_storage():
    for address in ("/srv/", "s3://", "ssh://", "gs://", "azure://"):
        assert sum(f"storage {address}" in block for block in SETTINGS) == 1
