import pandas as pd
import pytest

from stages.lib.errors import EarError, run
from stages.lib.files import read_json, whole_file, whole_folder, write_csv, write_json


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.txt"

    def killed():
        with whole_file(path) as beside:
            beside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert list(path.parent.iterdir()) == []
    with whole_file(path) as beside:
        beside.write_text("whole")
        assert not path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder"
    with whole_folder(path) as beside:
        (beside / "old").touch()

    def killed():
        with whole_folder(path) as beside:
            (beside / "new").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert [p.name for p in path.iterdir()] == ["old"]
    with whole_folder(path) as beside:
        (beside / "new").touch()
    assert [p.name for p in path.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_run_left_beside_is_not_taken_over(tmp_path):
    (tmp_path / ".folder.part").mkdir()
    (tmp_path / ".folder.part" / "half").touch()
    with whole_folder(tmp_path / "folder"):
        pass
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_second_process_does_not_write_the_same_folder(tmp_path):
    path = tmp_path / "folder"
    with whole_folder(path) as beside:
        (beside / "first").touch()
        with pytest.raises(EarError, match="folder: another process is writing it"), whole_folder(path):
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
