import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import soundfile
import yaml

from helpers.repository import ROOT
from stages.fetch import recordings
from stages.fetch.layouts import list_clips
from stages.fetch.listing import CLIP_COLUMNS, Listing
from stages.fetch.sources import FetchParams, Source, read_source
from stages.fetch.tables import read_table
from stages.lib.core.errors import ParamsError, SourceError
from stages.lib.core.params import load_params

URBANSOUND8K_HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class"
ESC50_HEADER = "filename,fold,target,category,esc10,src_file,take"
ROW = "1-3-0-0.wav,1,0.5,4.5,1,1,3,dog_bark"


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"RIFF")


def list_dataset(place: Path, layout: str, esc10: bool = False, n_folds: int = 2, **known: object) -> Listing:
    dataset = layout
    source = Source(name=dataset, title=dataset, synthetic=False, layout=layout, **known)
    return list_clips(place, source, FetchParams(dataset=dataset, source="x", esc10=esc10, n_folds=n_folds))


def urbansound8k(
    folder: Path, *rows: str, header: str = URBANSOUND8K_HEADER, files: tuple[str, ...] = ("fold1/1-3-0-0.wav",)
) -> Path:
    put(folder / "audio", *files)
    (folder / "metadata").mkdir(parents=True)
    (folder / "metadata/UrbanSound8K.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


def esc50(folder: Path, *rows: str, files: tuple[str, ...]) -> Path:
    put(folder / "audio", *files)
    (folder / "meta").mkdir(parents=True)
    (folder / "meta/esc50.csv").write_text("\n".join([ESC50_HEADER, *rows]) + "\n", encoding="utf-8")
    return folder


# ---- the table, as people save it

TABLES: dict[str, tuple[bytes, str | None]] = {
    "plain": (b"path,class\na.wav,dog\n", None),
    "byte-order mark": (b"\xef\xbb\xbfpath,class\na.wav,dog\n", None),
    "CRLF": (b"path,class\r\na.wav,dog\r\n", None),
    "CR": (b"path,class\ra.wav,dog\r", None),
    "semicolons": (b"path;class\na.wav;dog\n", None),
    "tabs": (b"path\tclass\na.wav\tdog\n", None),
    "quotes": (b'"path","class"\n"a.wav","dog"\n', None),
    "extra column, other order": (b"x,class,path\n1,dog,a.wav\n", None),
    "spaces in the head": (b"path , class\na.wav,dog\n", None),
    "blank lines": (b"path,class\n\na.wav,dog\n\n\n", None),
    "no line end": (b"path,class\na.wav,dog", None),
    "separator at the end": (b"path,class,\na.wav,dog,\n", None),
    "missing column": (
        b"path,label\na.wav,dog\n",
        r"t.csv: column class missing; expected path, class, found 'path', 'label'",
    ),
    "no head": (b"a.wav,dog\n", r"t.csv: column path, class missing; .* found 'a.wav', 'dog'; correct the first line"),
    "empty file": (b"", r"t.csv: column path, class missing; .* found an empty file"),
    "empty table": (b"path,class\n", r"t.csv: expected a row for each clip, found none below the first line"),
    "column twice": (b"path,class,class\na.wav,dog,cat\n", r"t.csv: column class occurs more than once; keep one"),
    "too many values": (
        b"path,class\na.wav,dog, big\n",
        r"t.csv line 2: expected 2 values, found 3; put values .* quotes",
    ),
    "open quote": (
        b'path,class\n"a.wav,dog\nb.wav,dog\nc.wav,dog\n',
        r"t.csv line 2: the row that begins here cannot be read \(.*\); check its quotes",
    ),
    "open quote in a later row": (b'path,class\na.wav,dog\n"b.wav,dog\nc.wav,"cat"\n', r"t.csv line 3: the row that"),
    "quote within a value": (b'path,class,x\na.wav,dog,5" pipe\n', None),
    "Latin-1": (b"path,class\n\xe9.wav,dog\n", r"t.csv: not UTF-8 text \(.*\); save it as CSV in UTF-8"),
    "UTF-16": ("path,class\na.wav,dog\n".encode("utf-16"), r"t.csv: not UTF-8 text"),
}


@pytest.mark.parametrize("case", TABLES)
def test_table_is_read_or_refused_in_one_line(tmp_path: Path, case: str) -> None:
    content, error = TABLES[case]
    (tmp_path / "t.csv").write_bytes(content)
    if error is None:
        assert read_table(tmp_path / "t.csv", ["path", "class"])[["path", "class"]].to_numpy().tolist() == [
            ["a.wav", "dog"]
        ]
    else:
        with pytest.raises(SourceError, match=error) as caught:
            read_table(tmp_path / "t.csv", ["path", "class"])
        assert "\n" not in str(caught.value)


def test_table_keeps_text_as_it_is(tmp_path: Path) -> None:
    cells = ["nan", "None", "007", "1e3", " x ", 'q"', "a,b", "two\nlines", "é"]
    pd.DataFrame({"class": cells, "path": "p"}).to_csv(tmp_path / "t.csv", index=False)
    assert read_table(tmp_path / "t.csv", ["path", "class"])["class"].tolist() == cells


def test_short_rows_end_in_blanks(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,class,fold\na.wav\n")
    assert read_table(tmp_path / "t.csv", ["path"]).to_numpy().tolist() == [["a.wav", "", ""]]


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
        r"column class holds a carriage return within a value; remove it",
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
    with pytest.raises(SourceError, match=r"the table has no clip in the subset; set fetch.esc10 to false"):
        list_dataset(tmp_path, "esc50", esc10=True)


# ---- layout folder


def test_class_folders(tmp_path: Path) -> None:
    put(
        tmp_path,
        "dog/b.wav",
        "dog/a.FLAC",
        "nan/day 1/é'\".mp3",
        "nan/x.ogg",
        "dog/.DS_Store",
        "dog/._a.wav",
        ".git/x.wav",
        ".quiet/.5 Hz hum.wav",
    )
    listing = list_dataset(tmp_path, "folder")

    assert listing.clips["clip"].tolist() == [
        ".quiet/.5 Hz hum.wav",
        "dog/a.FLAC",
        "dog/b.wav",
        "nan/day 1/é'\".mp3",
        "nan/x.ogg",
    ]
    assert listing.clips["class"].tolist() == [".quiet", "dog", "dog", "nan", "nan"]
    assert listing.clips["source"].tolist() == listing.clips["clip"].tolist()
    assert listing.clips["fold"].tolist()[1:] == ["1", "2", "1", "2"]
    assert (listing.classes, listing.class_ids, listing.folds) == ([".quiet", "dog", "nan"], None, [1, 2])
    assert listing.notes == ["fewer sources than the 2 folds, so not in each: .quiet (1)"]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    put(
        tmp_path,
        "a/1.wav",
        "a/2.wav",
        "b/1.wav",
        "b/2.wav",
        "top.wav",
        "a/notes.txt",
        "b/song.m4a",
        "labels.csv",
        "c/x.txt",
    )
    assert list_dataset(tmp_path, "folder").notes == [
        "1 left out, in no class folder: top.wav",
        "4 left out, not audio by their extension: a/notes.txt, b/song.m4a, c/x.txt, labels.csv",
        "1 left out, class folders without recordings: c/",
    ]


def test_a_class_with_too_few_sources_for_the_folds_is_said(tmp_path: Path) -> None:
    put(tmp_path, "a/1.wav", "a/2.wav", "a/3.wav", "b/1.wav")
    assert list_dataset(tmp_path, "folder", n_folds=3).notes == [
        "fewer sources than the 3 folds, so not in each: b (1)"
    ]


def test_a_folder_around_the_class_folders_is_seen_through(tmp_path: Path) -> None:
    put(tmp_path, "mine/v1/a/1.wav", "mine/v1/a/2.wav", "mine/v1/b/1.wav", "mine/v1/b/2.wav", "__MACOSX/x")
    put(tmp_path, "LICENSE", "mine/README.md")
    assert list_dataset(tmp_path, "folder").classes == ["a", "b"]


def test_links_and_folders_named_like_recordings_stay_in_the_table(tmp_path: Path) -> None:
    put(tmp_path, "in/a/1.wav", "in/b/1.wav", "far/2.wav")
    (tmp_path / "in/a/2.wav").symlink_to(tmp_path / "far/2.wav")
    (tmp_path / "in/a/3.wav").symlink_to("gone.wav")
    (tmp_path / "in/b/4.wav").mkdir()
    (tmp_path / "in/b/far").symlink_to(tmp_path / "far")
    (tmp_path / "in/b/loop").symlink_to(tmp_path)
    (tmp_path / "in/b/all").symlink_to("../b")
    (tmp_path / "in/c").symlink_to("a")

    listing = list_dataset(tmp_path / "in", "folder")
    assert listing.clips["clip"].tolist() == ["a/1.wav", "a/2.wav", "a/3.wav", "b/1.wav", "b/4.wav"]
    assert listing.notes == ["4 left out, links to folders, which DVC does not follow: b/all, b/far, b/loop, c"]


@pytest.mark.parametrize("name", ["clips.csv", "metadata.csv", "other.csv"])
def test_a_table_of_ones_own(tmp_path: Path, name: str) -> None:
    put(tmp_path, "x/1.wav", "x/2.wav", "y.wav", "unlisted.wav")
    rows = [
        "path,class,fold,source,remark",
        "x/1.wav,dog,3,s,r",
        "./x//2.wav,None,7,,",
        "y.wav,dog,x,s,",
        "gone.wav,dog,3,s,",
        ",dog,3,s,no path",
    ]
    (tmp_path / name).write_text("\n".join(rows))

    listing = list_dataset(tmp_path / name if name == "other.csv" else tmp_path, "folder")
    assert listing.clips[["clip", "class", "fold", "source"]].to_numpy().tolist() == [
        ["x/1.wav", "dog", "3", "s"],
        ["x/2.wav", "None", "7", "x/2.wav"],
        ["y.wav", "dog", "x", "s"],
        ["gone.wav", "dog", "3", "s"],
        ["", "dog", "3", "s"],
    ]
    assert (listing.classes, listing.folds) == (["None", "dog"], [3, 7])
    # Around a CSV that was named itself lies what is nobody's business.
    assert listing.files_without_row == ([] if name == "other.csv" else ["unlisted.wav"])
    assert not {"gone.wav", ""} & set(listing.files)


def test_folds_are_made_where_the_table_has_none(tmp_path: Path) -> None:
    put(tmp_path, *(f"{n}.wav" for n in range(8)))
    rows = [f"{n}.wav,{'ab'[n // 4]},s{n // 2}" for n in range(8)]
    (tmp_path / "clips.csv").write_text("path,class,source\n" + "\n".join(rows))

    listing = list_dataset(tmp_path, "folder")
    assert listing.clips.groupby("source")["fold"].nunique().tolist() == [1, 1, 1, 1]
    assert listing.clips.groupby(["class", "fold"]).size().tolist() == [2, 2, 2, 2]
    assert listing.folds == [1, 2]


def put_table(to: Path, *rows: str, head: str = "path,class,fold") -> None:
    """A table, and the recordings that it names."""
    put(to, *(row.split(",")[0] for row in rows))
    (to / "clips.csv").write_text("\n".join([head, *rows]))


def test_a_single_fold_of_zero_reaches_validate(tmp_path: Path) -> None:
    put_table(tmp_path, "a.wav,a,1", "b.wav,b,0", "c.wav,b,2")
    listing = list_dataset(tmp_path, "folder")
    assert (listing.clips["fold"].tolist(), listing.folds) == (["1", "0", "2"], [1, 2])


FOLDERS_REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda to: None, r"expected CLASS/\*.wav .* or one of clips.csv, metadata.csv, found 0 files$"),
    "no audio": (lambda to: put(to, "a/x.m4a", "a/y.m4a", "z.txt"), r"found 3 files .m4a .txt"),
    "no class folders": (lambda to: put(to, "1.wav", "2.wav"), r"expected CLASS/\*.wav .*, found 2 files .wav"),
    "too few": (
        lambda to: put(to, "a/1.wav", "b/1.wav"),
        r"fetch.n_folds: 2 folds need 2 sources and a class with 2 clips",
    ),
    "one class": (
        lambda to: put(to, "audio/1.wav", "audio/2.wav", "LICENSE"),
        r"found one class \(audio\), expected at least two; a class is a folder right below fetch.source.*; 1 left out",
    ),
    "no class": (lambda to: put_table(to, "a.wav,,1", "b.wav,,2"), r"found no class, expected at least two"),
    "folders behind links": (
        lambda to: (put(to, "a/1.wav", "a/2.wav"), (to / "b").symlink_to("a"), (to / "c").symlink_to("a")),
        r"found one class \(a\), .*; 2 left out, links to folders, which DVC does not follow: b, c",
    ),
    "named folds": (
        lambda to: put_table(to, "a.wav,a,train", "b.wav,b,test", "c.wav,b,"),
        r"clips.csv: column fold: expected whole numbers from 1, found test, train; number the folds from 1, or",
    ),
    "folds from 0": (
        lambda to: put_table(to, *(f"{n}.wav,{'ab'[n % 2]},{n // 2}" for n in range(6))),
        r"clips.csv: column fold: expected whole numbers from 1, found 0, 1, 2;",
    ),
    "no such files": (
        lambda to: (to / "clips.csv").write_text("path,class\na.wav,a\nb.wav,a\nc.wav,b\n"),
        r"3 clips are listed, but none of their recordings was found; the first would be 'a.wav'",
    ),
    "absolute": (
        lambda to: (to / "clips.csv").write_text("path,class\n/etc/passwd,a\nb.wav,a\nc.wav,b\n"),
        r"clip '/etc/passwd': its path leads out of the dataset; write paths relative",
    ),
    "up": (
        lambda to: (to / "clips.csv").write_text("path,class\n../x,a\nb,a\nc,b\n"),
        r"clip '../x': its path leads out",
    ),
}


@pytest.mark.parametrize("case", FOLDERS_REFUSED)
def test_what_is_no_folder_of_recordings_is_refused(tmp_path: Path, case: str) -> None:
    make, match = FOLDERS_REFUSED[case]
    make(tmp_path)
    with pytest.raises(SourceError, match=match) as caught:
        list_dataset(tmp_path, "folder")
    assert "\n" not in str(caught.value)


def test_the_order_of_the_disk_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, *(f"{name}/{n}.wav" for name in "cab" for n in range(4)))
    before = list_dataset(tmp_path, "folder").clips
    walk = os.walk

    def backwards(*args: object, **options: object) -> object:
        for folder, subfolders, files in walk(*args, **options):
            subfolders.sort(reverse=True)
            yield folder, subfolders, sorted(files, reverse=True)

    monkeypatch.setattr(recordings.os, "walk", backwards)
    pd.testing.assert_frame_equal(before, list_dataset(tmp_path, "folder").clips)


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a/1.wav", "b/1.wav")
    scandir = os.scandir

    def closed(path: object) -> object:
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(SourceError, match=r"/b: cannot be listed \(Permission denied\); make it readable"):
        list_dataset(tmp_path, "folder")


def test_every_format_that_soundfile_reads_has_an_extension() -> None:
    without = {"RAW", "MAT4", "MAT5", "WAVEX"}  # see EXTENSIONS; WAVEX files are named .wav
    assert set(soundfile.available_formats()) - without <= set(recordings.EXTENSIONS)
    assert not without & set(recordings.EXTENSIONS)


# ---- what is known about a dataset

SOURCES = ROOT / "data/sources"


@pytest.mark.parametrize("path", sorted(SOURCES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_sources_of_the_repository_are_valid(path: Path) -> None:
    source = read_source(path)
    assert source.name == path.stem
    assert source.licence or source.name == "folder"
    assert source.address or source.render or source.name == "folder"


def test_every_dataset_has_its_source() -> None:
    names = FetchParams.__dataclass_fields__["dataset"].type.__args__
    assert sorted(names) == sorted(path.stem for path in SOURCES.glob("*.yaml"))


GOOD = {"name": "n", "title": "t", "synthetic": False, "layout": "folder"}
BAD_SOURCES = {
    "missing": ({key: GOOD[key] for key in ("name", "title", "layout")}, r"s.yaml: synthetic is missing"),
    "unknown": ({**GOOD, "adress": "x"}, r"s.yaml: adress is not a known key; see the files in data/sources/"),
    "wrong type": (
        {**GOOD, "limits": {"max_bytes": "1 GB", "max_files": 1}},
        r"s.yaml: limits.max_bytes: expected a whole number, found '1 GB'",
    ),
    "md5": ({**GOOD, "md5": "abc"}, r"s.yaml: md5: expected to match pattern .*, found 'abc'"),
    "layout": (
        {**GOOD, "layout": "other"},
        r"s.yaml: layout: expected 'urbansound8k', .* or 'folder', found 'other'",
    ),
    "a list": (["name"], r"s.yaml: expected keys such as name and layout, found"),
}


@pytest.mark.parametrize("case", BAD_SOURCES)
def test_wrong_source_is_an_error(tmp_path: Path, case: str) -> None:
    tree, match = BAD_SOURCES[case]
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(SourceError, match=match):
        read_source(tmp_path / "s.yaml")


def test_source_that_is_no_yaml_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("a: [")
    with pytest.raises(SourceError, match=r"s.yaml line 1: not valid YAML"):
        read_source(tmp_path / "s.yaml")
    with pytest.raises(SourceError, match=r"gone.yaml: No such file or directory; set fetch.source"):
        read_source(tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        (
            {"dataset": "urbansound"},
            r"fetch.dataset: expected 'sample', .* or 'folder', found 'urbans",
        ),
        ({"source": None}, r"fetch.source: expected a string, found None"),
        ({"source": ""}, r"fetch.source: .*at least 1 character"),
        ({"n_folds": 1}, r"fetch.n_folds: expected a value greater than or equal to 2, found 1"),
        ({"esc10": True}, r"fetch.esc10: true is for fetch.dataset esc50, found folder; set it to false"),
    ],
)
def test_wrong_params_are_an_error(tmp_path: Path, changed: dict[str, object], match: str) -> None:
    values = {"dataset": "folder", "source": "x", "esc10": False, "n_folds": 5, **changed}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"fetch": values}))
    with pytest.raises(ParamsError, match=match):
        load_params(tmp_path / "params.yaml", FetchParams)
