from pathlib import Path

import pytest

from helpers.datasets import list_dataset, put
from stages.commands import clips
from stages.lib.core.errors import SourceError


def test_a_table_to_fill_in(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    put(tmp_path, "dog/1.wav", "dog/day 2/ü,2.m4a", "top.flac", "dog/notes.txt", "@eaDir/3.wav", "train/cat/4.wav")
    put(tmp_path, "fold3/5.wav", "Fold_04/cat/6.wav", "val/7.wav")
    clips.main([str(tmp_path)])

    assert (tmp_path / "clips.csv").read_text(encoding="utf-8").splitlines() == [
        "path,class,source,fold",
        "Fold_04/cat/6.wav,cat,,4",
        "dog/1.wav,dog,,",
        '"dog/day 2/ü,2.m4a",dog,,',
        "fold3/5.wav,,,3",
        "top.flac,,,",
        "train/cat/4.wav,cat,,",
        "val/7.wav,,,",
    ]
    out = capsys.readouterr().out
    assert "note: 1 hidden or system folder skipped: @eaDir\n" in out
    assert "clips.csv: 7 recordings, 3 without a class; fill in class, and source and fold where you know them" in out


def test_fetch_reads_the_table(tmp_path: Path) -> None:
    put(tmp_path, "train/dog/1.wav", "train/cat/2.wav", "test/dog/3.wav", "test/cat/4.wav")
    clips.main([str(tmp_path)])
    listing = list_dataset(tmp_path, "folder")
    assert listing.classes == ["cat", "dog"]
    assert sorted(listing.files) == ["test/cat/4.wav", "test/dog/3.wav", "train/cat/2.wav", "train/dog/1.wav"]
    assert listing.folds == [1, 2]


def test_paths_are_relative_to_the_table(tmp_path: Path) -> None:
    put(tmp_path, "recordings/dog/1.wav", "recordings/cat/2.wav")
    clips.main([str(tmp_path / "recordings"), "--output", str(tmp_path / "mine.csv")])
    assert (tmp_path / "mine.csv").read_text().splitlines()[1:] == [
        "recordings/cat/2.wav,cat,,",
        "recordings/dog/1.wav,dog,,",
    ]


REFUSED = {
    "a table is there": (["dog/1.wav", "clips.csv"], "", r"clips.csv: it is there already; move it away, or give"),
    "no folder": ([], "gone", r"gone: no such folder; give the folder that holds the recordings"),
    "no recordings": (["a.txt"], "", r"expected recordings, found 1 file.* none of them audio"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_listed_is_one_line(tmp_path: Path, case: str) -> None:
    names, folder, match = REFUSED[case]
    put(tmp_path, *names)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(SourceError, match=match):
        clips.main([str(tmp_path / folder)])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
