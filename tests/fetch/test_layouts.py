import os
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.datasets import list_dataset, put
from stages.fetch.tables import CLIP_COLUMNS
from stages.lib.core.errors import SourceError

URBANSOUND8K_HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class"
ESC50_HEADER = "filename,fold,target,category,esc10,src_file,take"
ROW = "1-3-0-0.wav,1,0.5,4.5,1,1,3,dog_bark"


def urbansound8k(
    folder: Path, *rows: str, header: str = URBANSOUND8K_HEADER, files: tuple[str, ...] = ("fold1/1-3-0-0.wav",)
) -> Path:
    put(folder / "audio", *files)
    (folder / "metadata").mkdir(parents=True)
    (folder / "metadata/UrbanSound8K.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


def esc50(folder: Path, *rows: str, files: tuple[str, ...], header: str = ESC50_HEADER) -> Path:
    put(folder / "audio", *files)
    (folder / "meta").mkdir(parents=True)
    (folder / "meta/esc50.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


# ---- layout urbansound8k


def test_urbansound8k(tmp_path: Path) -> None:
    rows = [ROW, "2-0-0-0.wav,2,0,1,2,10,0,air_conditioner"]
    urbansound8k(tmp_path / "UrbanSound8K", *rows, files=("fold1/1-3-0-0.wav", "fold10/2-0-0-0.wav"))

    for place in (tmp_path, tmp_path / "UrbanSound8K"):
        listing = list_dataset(place, "urbansound8k")
        assert list(listing.clips.columns) == CLIP_COLUMNS
        assert listing.clips.to_numpy().tolist() == [
            ["fold1/1-3-0-0.wav", "dog_bark", "3", "1", "1", "1", "0.5", "4.5"],
            ["fold10/2-0-0-0.wav", "air_conditioner", "0", "10", "2", "2", "0", "1"],
        ]
        assert listing.files == {clip: tmp_path / "UrbanSound8K/audio" / clip for clip in listing.clips["clip"]}
        assert (listing.classes, listing.class_ids, listing.folds) == (["air_conditioner", "dog_bark"], [0, 3], [1, 10])


def test_what_the_source_declares_counts_more_than_what_is_found(tmp_path: Path) -> None:
    listing = list_dataset(urbansound8k(tmp_path, ROW), "urbansound8k", classes=["b", "a"], folds=[1, 2, 3])
    assert (listing.classes, listing.class_ids, listing.folds) == (["b", "a"], [0, 1], [1, 2, 3])


@pytest.mark.parametrize(
    "row",
    [
        "1-3-0-0.wav,1,0.5,4.5,1,11,3,dog_bark",
        "1-3-0-0.wav,1,0.5,4.5,1,x,3,dog_bark",
        "1-3-0-0.wav,1,0.5,4.5,1,0,3,dog_bark",
        "1-3-0-0.wav,1,4.5,0.5,1,1,3,dog_bark",
        "1-3-0-0.wav,1,-1,-2,1,1,3,dog_bark",
        "1-3-0-0.wav,1,0.5,4.5,1,1,3,unknown",
        "1-3-0-0.wav,1,0.5,4.5,1,1,7,dog_bark",
        ROW,  # a second time
        "gone.wav,1,0.5,4.5,1,1,3,dog_bark",
        ",,,,,,,x",
        f"{'n' * 300}.wav,1,0.5,4.5,1,1,3,dog_bark",
    ],
)
def test_wrong_values_reach_validate(tmp_path: Path, row: str) -> None:
    listing = list_dataset(urbansound8k(tmp_path, ROW, row), "urbansound8k")
    cells = row.split(",")
    assert (
        listing.clips.iloc[1][["source", "start_s", "end_s", "salience", "fold", "class_id", "class"]].tolist()
        == cells[1:]
    )
    assert listing.clips.iloc[1]["clip"] == f"fold{cells[5]}/{cells[0]}"
    assert list(listing.files) == ["fold1/1-3-0-0.wav"]


def test_files_without_row_are_kept_and_named(tmp_path: Path) -> None:
    files = ("fold1/1-3-0-0.wav", "fold1/more.wav", "fold2/x/more.flac", "fold1/notes.txt", "fold1/._1-3-0-0.wav")
    listing = list_dataset(urbansound8k(tmp_path, ROW, files=files), "urbansound8k")

    assert listing.files_without_row == ["fold1/more.wav", "fold2/x/more.flac"]
    assert set(listing.files) == {"fold1/1-3-0-0.wav", "fold1/more.wav", "fold2/x/more.flac"}


def test_accents_match_whichever_way_they_are_written(tmp_path: Path) -> None:
    row = "caf\u00e9.wav,1,0.5,4.5,1,1,3,dog_bark"
    listing = list_dataset(urbansound8k(tmp_path, row, files=("fold1/cafe\u0301.wav",)), "urbansound8k")
    assert listing.files == {"fold1/caf\u00e9.wav": tmp_path / "audio/fold1/cafe\u0301.wav"}
    assert listing.files_without_row == []


def test_a_linked_folder_of_audio_is_refused(tmp_path: Path) -> None:
    urbansound8k(tmp_path / "in", ROW)
    (tmp_path / "in/audio").rename(tmp_path / "far")
    (tmp_path / "in/audio").symlink_to(tmp_path / "far")
    with pytest.raises(SourceError, match=r"in/audio: a link to a folder, in which DVC would miss changes; put"):
        list_dataset(tmp_path / "in", "urbansound8k")


def test_a_slip_in_one_row_declares_no_class(tmp_path: Path) -> None:
    rows = [f"{n}.wav,1,0,1,1,1,{n % 2},{'ab'[n % 2]}" for n in range(6)]
    slips = ["6.wav,1,0,1,1,1,0,aa", "7.wav,1,0,1,1,1,9,b", "8.wav,1,0,1,1,1,-1,c", "9.wav,1,0,1,1,1,x,a"]
    listing = list_dataset(urbansound8k(tmp_path, *rows, *slips, files=("fold1/0.wav",)), "urbansound8k")
    assert (listing.classes, listing.class_ids) == (["a", "b"], [0, 1])


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "another layout": (
        lambda to: put(to, "dog/a.wav", "cat/a.wav"),
        r"expected audio/ and metadata/UrbanSound8K.csv, here or in one folder below, found cat, dog; .* to folder",
    ),
    "nothing": (lambda to: to.mkdir(exist_ok=True), r"here or in one folder below, found nothing"),
    "column": (
        lambda to: urbansound8k(to, "a.wav,1", header="slice_file_name,fold"),
        r"column class, classID, fsID, salience, start, end missing; .*, found 'slice_file_name', 'fold'; correct",
    ),
    "no recording of any row": (
        lambda to: urbansound8k(to, ROW, files=("fold2/1-3-0-0.wav",)),
        r"1 clips are listed, but none of their recordings was found; the first would be 'fold1/1-3-0-0.wav'",
    ),
    "a row that leads out": (
        lambda to: urbansound8k(to, ROW, "../../../x.wav,1,0,1,1,1,3,dog_bark"),
        r"clip 'fold1/../../../x.wav': its path leads out of the dataset",
    ),
    "a name with a line end": (
        lambda to: urbansound8k(to, ROW, files=("fold1/1-3-0-0.wav", "fold1/a\rb.wav")),
        r"clip 'fold1/a\\rb.wav': its name holds a carriage return, .*; rename the file",
    ),
    "a class with a line end": (
        lambda to: urbansound8k(to, ROW.replace("dog_bark", '"dog\rbark"')),
        r"class 'dog\\rbark': its name holds a control character, which breaks lists; rename it",
    ),
    "a name that is not UTF-8": (
        lambda to: urbansound8k(to, ROW, files=("fold1/1-3-0-0.wav", os.fsdecode(b"fold1/\xe9.wav"))),
        r"clip 'fold1/\\udce9.wav': its name holds bytes that are not UTF-8",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_urbansound8k_is_refused(tmp_path: Path, case: str) -> None:
    make, match = REFUSED[case]
    make(tmp_path)
    with pytest.raises(SourceError, match=match) as caught:
        list_dataset(tmp_path, "urbansound8k")
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


def test_a_layout_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    match = r"other: layout: expected one of .*urbansound8k, .*folder, found 'other'; correct the file in data/sources"
    with pytest.raises(SourceError, match=match):
        list_dataset(tmp_path, "other")


def test_what_is_not_used_of_a_dataset_is_said(tmp_path: Path) -> None:
    rows = ["1-9-A-0.ogg,1,0,dog,True,9,A,loud", "2-8-B-10.ogg,2,10,rain,True,8,B,"]
    esc50(tmp_path, *rows, files=("1-9-A-0.ogg", "2-8-B-10.ogg", "2-8-B-10.txt"), header=f"{ESC50_HEADER},remark")
    put(tmp_path, "README.md", "meta/esc50-human.xlsx", ".git/HEAD")
    listing = list_dataset(tmp_path, "esc50")
    assert listing.unused_columns == ["remark"]  # esc10 and take are known
    assert listing.sources == "given by the table"
    assert listing.notes == [
        "esc50.csv: 1 column not used: remark",
        "1 hidden or system folder skipped: .git",
        "1 table not used: meta/esc50-human.xlsx",
        "2 files not used, not audio by extension: 1 .md (such as README.md), 1 .txt (such as 2-8-B-10.txt)",
    ]


def test_a_hundred_thousand_rows(tmp_path: Path) -> None:
    rows = [f"{n}.wav,{n},0,1,1,{1 + n % 10},3,dog_bark" for n in range(100_000)]
    listing = list_dataset(urbansound8k(tmp_path, *rows, files=("fold1/0.wav",)), "urbansound8k")
    assert len(listing.clips) == 100_000


# ---- layout esc50


def esc_rows(tmp_path: Path) -> Path:
    rows = ["1-9-A-0.ogg,1,0,dog,True,9,A", "2-8-B-10.ogg,2,10,rain,True,8,B", "5-7-A-5.ogg,5,5,cat,False,7,A"]
    return esc50(tmp_path / "ESC-50-master", *rows, files=("1-9-A-0.ogg", "2-8-B-10.ogg", "5-7-A-5.ogg", "more.ogg"))


@pytest.mark.parametrize(
    ("esc10", "classes", "ids"), [(False, ["dog", "cat", "rain"], [0, 5, 10]), (True, ["dog", "rain"], [0, 10])]
)
def test_esc50_and_its_subset(tmp_path: Path, esc10: bool, classes: list[str], ids: list[int]) -> None:
    esc_rows(tmp_path)
    for place in (tmp_path, tmp_path / "ESC-50-master"):
        listing = list_dataset(place, "esc50", esc10, folds=[1, 2, 3, 4, 5])
        assert (listing.classes, listing.class_ids, listing.folds) == (classes, ids, [1, 2, 3, 4, 5])
        assert listing.clips.iloc[0].tolist() == ["1-9-A-0.ogg", "dog", "0", "1", "9", "", "", ""]
        assert set(listing.clips["clip"]) | {"more.ogg"} == set(listing.files)
        assert listing.files_without_row == ["more.ogg"]


def test_a_blank_name_reaches_validate(tmp_path: Path) -> None:
    rows = ["1-9-A-0.ogg,1,0,dog,True,9,A", ",2,10,rain,True,8,B"]
    listing = list_dataset(esc50(tmp_path, *rows, files=("1-9-A-0.ogg",)), "esc50")
    assert listing.clips["clip"].tolist() == ["1-9-A-0.ogg", ""]
    assert list(listing.files) == ["1-9-A-0.ogg"]


def test_esc10_of_a_table_without_it_is_an_error(tmp_path: Path) -> None:
    esc50(tmp_path, "5-7-A-5.ogg,5,5,cat,False,7,A", files=("5-7-A-5.ogg",))
    with pytest.raises(SourceError, match=r"esc50.csv: no clip of the ESC-10 subset; set fetch.esc10 to false"):
        list_dataset(tmp_path, "esc50", esc10=True)
