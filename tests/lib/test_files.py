import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from helpers.repository import ROOT
from stages.lib.core.errors import DataError, EarError, run
from stages.lib.core.files import atomic_directory, atomic_write, cache_folder, read_json, write_csv, write_json


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.txt"

    def killed():
        with atomic_write(path) as new_path:
            new_path.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert list(path.parent.iterdir()) == []
    with atomic_write(path) as new_path:
        new_path.write_text("whole")
        assert not path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder"
    with atomic_directory(path) as new_path:
        (new_path / "old").touch()

    def killed():
        with atomic_directory(path) as new_path:
            (new_path / "new").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert [p.name for p in path.iterdir()] == ["old"]
    with atomic_directory(path) as new_path:
        (new_path / "new").touch()
    assert [p.name for p in path.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_run_left_behind_is_not_taken_over(tmp_path):
    (tmp_path / ".folder.part").mkdir()
    (tmp_path / ".folder.part" / "half").touch()
    with atomic_directory(tmp_path / "folder"):
        pass
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_second_process_does_not_write_the_same_folder(tmp_path):
    path = tmp_path / "folder"
    with atomic_directory(path) as new_path:
        (new_path / "first").touch()
        with pytest.raises(EarError, match="folder: another process is writing it"), atomic_directory(path):
            pass
    assert [p.name for p in path.iterdir()] == ["first"]


def test_json_is_sorted_and_ends_with_a_newline(tmp_path):
    write_json(tmp_path / "x.json", {"b": 1, "a": "é"})
    assert (tmp_path / "x.json").read_bytes() == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()
    assert read_json(tmp_path / "x.json") == {"a": "é", "b": 1}


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_csv_has_no_index_and_unix_line_ends(tmp_path):
    write_csv(tmp_path / "x.csv", pd.DataFrame({"a": [1], "b": ["x,y"]}))
    assert (tmp_path / "x.csv").read_bytes() == b'a,b\n1,"x,y"\n'


def test_run_turns_our_errors_into_a_line_and_exit_status_1(capsys):
    def main():
        raise EarError("clip x: too short")

    with pytest.raises(SystemExit) as exit_:
        run(main)
    assert exit_.value.code == 1
    assert capsys.readouterr().err == "error: clip x: too short\n"


def test_run_leaves_bugs_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)


def test_run_ends_quietly_when_the_reader_has_gone():
    script = "from stages.lib.core.errors import run; run(lambda: [print('line') for _ in range(100_000)])"
    writer = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert writer.stdout.readline() == b"line\n"
    writer.stdout.close()
    assert writer.stderr.read() == b""
    writer.stderr.close()
    assert writer.wait() == 1


@pytest.mark.parametrize("content", [None, "{", "\xff"])
def test_json_that_cannot_be_read_is_one_line(tmp_path, content):
    path = tmp_path / "facts.json"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=r"facts\.json: cannot be read \(.*\); run 'dvc repro'$"):
        read_json(path)


def test_the_cache_is_where_the_environment_says_or_where_the_system_has_it(monkeypatch, tmp_path):
    monkeypatch.setenv("EAR_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("EAR_CACHE", "~/ear")
    assert cache_folder() == Path.home() / "ear"
    monkeypatch.delenv("EAR_CACHE")
    assert cache_folder().name == "urban-ear"
