"""Data goes to a remote and comes back: a folder, and an S3 server; and docs/remotes.md says how, which holds."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from helpers.repository import GIT_IDENTITY, ROOT
from helpers.workspace import Clone, CloneWithData

PAGE = (ROOT / "docs/remotes.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
PUSH_FALSE = re.search(r"^```yaml\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)[1]
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

    models = tmp_path / "models"
    first.run("git", "tag", "--annotate", "--message", "a release", "sound-classifier@v0.1.0")
    second.run("dvc", "artifacts", "get", str(first.root), "sound-classifier", "--out", str(models))
    assert {f"data/models/{path.name}": path.read_bytes() for path in models.iterdir()} == {
        name: content for name, content in made.items() if name.startswith("data/models/")
    }

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
def test_recordings_that_may_not_be_passed_on_stay_where_they_are(finished, tmp_path):
    first = Clone(finished, tmp_path / "first")
    shutil.copytree(finished.root / ".dvc/cache", first.root / ".dvc/cache")
    first.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    first.edit("dvc.yaml", "    outs:\n      - data/raw\n", PUSH_FALSE)
    first.commit()
    first.run("dvc", "checkout")
    assert first.repro() == []
    first.run("python", "-m", "stages.commands.pull_request.rerun", "push", "HEAD")
    first.run("python", "-m", "stages.commands.pull_request.rerun", "check", "HEAD")
    pushed = {path.read_bytes() for path in (tmp_path / "storage").rglob("*") if path.is_file()}
    recordings = {path.read_bytes() for path in (first.root / "data/raw").rglob("*.wav")}
    assert recordings
    assert not pushed & recordings

    second = Clone(first, tmp_path / "second")
    pull, repro = next(block for block in BLOCKS if "--allow-missing" in block and "pull" in block).splitlines()
    second.run(*pull.split())
    assert not (second.root / "data/raw").exists()
    assert (second.root / "data/models").is_dir()
    assert "up to date" in second.run(*repro.split())


@pytest.mark.parametrize("autocrlf", ["true", "input", "false"])
def test_a_clone_has_the_bytes_that_were_committed_whatever_the_ends_of_lines(autocrlf, tmp_path):
    """DVC hashes bytes, so converted line ends would make every stage stale."""
    names = [".gitattributes", "params.yaml", "dvc.yaml", "stages/scale/__main__.py", "data/sources/sample.yaml"]
    git = ["git", "-c", f"core.autocrlf={autocrlf}"]
    for name in names:
        (tmp_path / "first" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "first" / name)
    (tmp_path / "first/table.csv").write_bytes(b"a,b\r\n1,2\r\n")  # of a user's own
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "x"]):
        settings = os.environ | GIT_IDENTITY
        subprocess.run([*git, *arguments], cwd=tmp_path / "first", env=settings, check=True, capture_output=True)
    subprocess.run([*git, "clone", "--quiet", "first", "second"], cwd=tmp_path, check=True)
    for name in [*names, "table.csv"]:
        assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


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
