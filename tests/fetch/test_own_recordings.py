import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import soundfile

from helpers.datasets import list_dataset, put, put_table
from stages.fetch import recordings
from stages.lib.core.errors import SourceError

EACH_FILE = "each file is its own source; where several are parts of one recording, set fetch.source_from"


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
        "nan/.5 Hz hum.wav",
    )
    listing = list_dataset(tmp_path, "folder")

    assert listing.clips["clip"].tolist() == [
        "dog/a.FLAC",
        "dog/b.wav",
        "nan/.5 Hz hum.wav",
        "nan/day 1/é'\".mp3",
        "nan/x.ogg",
    ]
    assert listing.clips["class"].tolist() == ["dog", "dog", "nan", "nan", "nan"]
    assert listing.clips["source"].tolist() == listing.clips["clip"].tolist()
    assert listing.clips["fold"].tolist() == ["1", "2", "1", "1", "2"]
    assert (listing.classes, listing.class_ids, listing.folds) == (["dog", "nan"], None, [1, 2])
    assert listing.sources == "one per file"
    assert listing.notes == [
        "1 hidden or system folder skipped: .git",
        "2 system files skipped: dog/.DS_Store, dog/._a.wav",
        EACH_FILE,
    ]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    put(
        tmp_path,
        "a/1.wav",
        "a/2.wav",
        "b/1.wav",
        "b/2.wav",
        "top.wav",
        "a/notes.txt",
        "b/labels.csv",
        "c/x.txt",
        "LICENSE",
        "@eaDir/a/1.wav",
        "b/.ipynb_checkpoints/2.wav",
    )
    listing = list_dataset(tmp_path, "folder")
    assert listing.clips["clip"].tolist() == ["a/1.wav", "a/2.wav", "b/1.wav", "b/2.wav"]
    assert listing.notes == [
        "2 hidden or system folders skipped: @eaDir, b/.ipynb_checkpoints",
        "1 recording in no class folder, not used: top.wav",
        "1 folder without recordings: c/",
        EACH_FILE,
        "1 table not used: b/labels.csv",
        "3 files not used, not audio by extension: 2 .txt (such as a/notes.txt), 1 without extension (such as LICENSE)",
    ]


@pytest.mark.parametrize("extension", recordings.OTHER_EXTENSIONS)
def test_recordings_that_soundfile_does_not_read_are_clips_too(tmp_path: Path, extension: str) -> None:
    put(tmp_path, f"dog/1{extension.upper()}", f"dog/2{extension}", "cat/1.wav", "cat/2.wav")
    listing = list_dataset(tmp_path, "folder")
    assert sorted(listing.files) == sorted(["cat/1.wav", "cat/2.wav", f"dog/1{extension.upper()}", f"dog/2{extension}"])


SYSTEM_FOLDERS = (
    *(".ipynb_checkpoints", "@eaDir", "$RECYCLE.BIN", "__MACOSX", "lost+found", ".Trash-1000", ".git", "#recycle"),
    *("System Volume Information", "__pycache__", ".hidden"),
)


@pytest.mark.parametrize("name", SYSTEM_FOLDERS)
def test_hidden_and_system_folders_are_no_classes(tmp_path: Path, name: str) -> None:
    put(tmp_path, "dog/1.wav", "dog/2.wav", "cat/1.wav", "cat/2.wav", f"{name}/3.wav", f"cat/{name}/4.wav")
    listing = list_dataset(tmp_path, "folder")
    assert listing.classes == ["cat", "dog"]
    assert len(listing.files) == 4
    skipped = ", ".join(sorted([name, f"cat/{name}"]))
    assert f"2 hidden or system folders skipped: {skipped}" in listing.notes


SPLITS = (
    "train",
    "test",
    "val",
    "valid",
    "validation",
    "eval",
    "dev",
    "Test",
    "training_set",
    "fold1",
    "FOLD 10",
    "split-2",
)


@pytest.mark.parametrize("name", SPLITS)
def test_folders_named_like_splits_stop_with_the_way_out(tmp_path: Path, name: str) -> None:
    put(tmp_path, f"{name}/dog/1.wav", f"{name}/cat/1.wav", "cat/1.wav", "dog/1.wav")
    with pytest.raises(SourceError) as caught:
        list_dataset(tmp_path, "folder")
    assert str(caught.value).startswith(
        f"{tmp_path.name}: folders with the names of splits, not of classes: {name}; write a table with "
        "'python -m stages.commands.clips FOLDER', which has columns for class and fold, or set fetch.source to one of "
        "the folders, or rename them"
    )


def test_a_train_among_other_vehicles_is_a_class(tmp_path: Path) -> None:
    put(tmp_path, "train/1.wav", "train/2.wav", "bus/1.wav", "bus/2.wav", "tram/1.wav", "tram/2.wav")
    assert list_dataset(tmp_path, "folder").classes == ["bus", "train", "tram"]


@pytest.mark.parametrize(
    "names",
    [
        ("train/1.wav", "train/2.wav", "bus/1.wav"),  # and a folder of something else
        ("train/1.wav", "train/2.wav", "bus/1.wav", "tram/1.wav", "test/1.wav"),
        ("train/1.wav", "train/a/2.wav", "bus/1.wav", "tram/1.wav"),
    ],
)
def test_a_train_that_may_be_a_split_stops(tmp_path: Path, names: tuple[str, ...]) -> None:
    put(tmp_path, *names)
    with pytest.raises(SourceError, match=r"folders with the names of splits, not of classes: .*train; write a table"):
        list_dataset(tmp_path, "folder")


def test_a_class_of_a_table_may_have_the_name_of_a_split(tmp_path: Path) -> None:
    put_table(tmp_path, "1.wav,train,1", "2.wav,bus,2")
    assert list_dataset(tmp_path, "folder").classes == ["bus", "train"]


@pytest.mark.parametrize("name", ["annotations.csv", "labels.tsv", "Mappe1.XLSX"])
def test_an_unknown_table_next_to_the_folders_stops_with_the_way_out(tmp_path: Path, name: str) -> None:
    put(tmp_path, "day1/1.wav", "day1/2.wav", "day2/1.wav", "day2/2.wav", name)
    match = (
        rf"{name} next to the folders, .* save it as clips.csv .*; if the folders are the classes, move it elsewhere"
    )
    with pytest.raises(SourceError, match=match):
        list_dataset(tmp_path, "folder")


def test_an_unknown_table_next_to_a_known_one_is_named(tmp_path: Path) -> None:
    put_table(tmp_path, "1.wav,dog,1", "2.wav,cat,2")
    put(tmp_path, "annotations.csv")
    assert list_dataset(tmp_path, "folder").notes == [EACH_FILE, "1 table not used: annotations.csv"]


def test_a_class_with_too_few_sources_for_the_folds_is_said(tmp_path: Path) -> None:
    put(tmp_path, "a/1.wav", "a/2.wav", "a/3.wav", "b/1.wav")
    assert list_dataset(tmp_path, "folder", n_folds=3).notes == [
        EACH_FILE,
        "fewer sources than the 3 folds, so not in each: b (1)",
    ]


def test_a_folder_around_the_class_folders_is_seen_through(tmp_path: Path) -> None:
    put(tmp_path, "mine/v1/a/1.wav", "mine/v1/a/2.wav", "mine/v1/b/1.wav", "mine/v1/b/2.wav", "__MACOSX/x")
    put(tmp_path, "LICENSE", "mine/README.md")
    assert list_dataset(tmp_path, "folder").classes == ["a", "b"]


def test_a_folder_around_a_table_beside_its_recordings_is_seen_through(tmp_path: Path) -> None:
    put(tmp_path, "mine/1.wav", "mine/2.wav", "LICENSE")
    (tmp_path / "mine/clips.csv").write_text("path,class,fold\n1.wav,dog,1\n2.wav,cat,2\n")
    assert list_dataset(tmp_path, "folder").clips["clip"].tolist() == ["1.wav", "2.wav"]


def test_links_and_folders_named_like_recordings_stay_in_the_table(tmp_path: Path) -> None:
    put(tmp_path, "in/a/1.wav", "in/b/1.wav", "far/2.wav")
    (tmp_path / "in/a/2.wav").symlink_to(tmp_path / "far/2.wav")
    (tmp_path / "in/a/3.wav").symlink_to("gone.wav")
    (tmp_path / "in/b/4.wav").mkdir()
    (tmp_path / "in/b/.5.wav").mkdir()
    (tmp_path / "in/b/far").symlink_to(tmp_path / "far")
    (tmp_path / "in/b/loop").symlink_to(tmp_path)
    (tmp_path / "in/b/all").symlink_to("../b")
    (tmp_path / "in/c").symlink_to("a")

    listing = list_dataset(tmp_path / "in", "folder")
    assert listing.clips["clip"].tolist() == ["a/1.wav", "a/2.wav", "a/3.wav", "b/1.wav", "b/4.wav"]
    assert listing.notes == [
        "4 links to folders skipped, which DVC does not follow: b/all, b/far, b/loop, c",
        "1 hidden or system folder skipped: b/.5.wav",
        EACH_FILE,
    ]


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
    assert listing.unused_columns == ["remark"]
    assert listing.sources == "given by the table, else one per file"
    assert listing.notes == [f"{name}: 1 column not used: remark", f"1 row without a source: {EACH_FILE}"]


@pytest.mark.parametrize(
    ("source_from", "sources"),
    [
        ("file", ["cat/day1/7-1.wav", "cat/day1/7-2.wav", "cat/x.wav", "dog/7-3.wav", "dog/day1/8-1.wav"]),
        ("folder", ["day1", "day1", "cat/x.wav", "dog/7-3.wav", "day1"]),
        (r"^(\d+)-", ["7", "7", "cat/x.wav", "7", "8"]),
        (r"(?:^|-)(\d*)\.wav", ["1", "2", "cat/x.wav", "3", "1"]),  # an empty group is no source
    ],
)
def test_the_source_comes_from_the_file_its_folder_or_its_name(
    tmp_path: Path, source_from: str, sources: list[str]
) -> None:
    put(tmp_path, "cat/day1/7-1.wav", "cat/day1/7-2.wav", "cat/x.wav", "dog/7-3.wav", "dog/day1/8-1.wav")
    listing = list_dataset(tmp_path, "folder", source_from=source_from)
    assert listing.clips["source"].tolist() == sources
    assert listing.clips.groupby("source")["fold"].nunique().max() == 1
    if source_from != "file":
        n_alone = sum("/" in source for source in sources)
        assert f"{n_alone} recording" in listing.notes[1]


def test_sources_of_a_table_may_come_from_its_folders(tmp_path: Path) -> None:
    put_table(
        tmp_path, "a/1.wav,dog,,s", "a/2.wav,cat,,", "b/c/3.wav,dog,,", "b/c/4.wav,cat,,", head="path,class,fold,source"
    )
    listing = list_dataset(tmp_path, "folder", source_from="folder")
    assert listing.clips["source"].tolist() == ["s", "a", "b/c", "b/c"]
    assert listing.sources == "given by the table, else one per folder"
    assert listing.notes == ["3 rows without a source: the source of a file is its folder"]


@pytest.mark.parametrize("source_from", ["folder", "^x([0-9])"])
def test_a_way_to_sources_that_finds_none_is_an_error(tmp_path: Path, source_from: str) -> None:
    put(tmp_path, "a/1.wav", "a/2.wav", "b/1.wav", "b/2.wav")
    with pytest.raises(
        SourceError, match=r"fetch.source_from: .* gives no source for any of 4 recordings, such as 'a/1"
    ):
        list_dataset(tmp_path, "folder", source_from=source_from)


def test_a_table_by_the_names_of_others_keeps_folds_and_sources(tmp_path: Path) -> None:
    put_table(tmp_path, "a.wav,7,dog,1.0", "b.wav,8,cat,2.0", head="filename,fsID,label,Fold")
    listing = list_dataset(tmp_path, "folder")
    assert listing.clips[["source", "fold"]].to_numpy().tolist() == [["7", "1"], ["8", "2"]]
    assert (listing.sources, listing.unused_columns) == ("given by the table", [])


def test_paths_of_windows_and_with_blanks_find_their_files(tmp_path: Path) -> None:
    put(tmp_path, "dog/1.wav", "dog/ 2.wav ", "cat/3.wav", "cat/odd\\4.wav")
    rows = ["dog\\1.wav,dog,1", "dog/ 2.wav ,dog,2", " cat\\3.wav,cat,1", "cat/odd\\4.wav,cat,2"]
    (tmp_path / "clips.csv").write_text("\n".join(["path,class,fold", *rows]))
    for place in (tmp_path, tmp_path / "clips.csv"):
        listing = list_dataset(place, "folder")
        assert sorted(listing.files) == ["cat/3.wav", "cat/odd\\4.wav", "dog/ 2.wav ", "dog/1.wav"]
        assert "1 path with blanks around them, stripped" in listing.notes
        assert "2 paths with backslashes, read as those of Windows" in listing.notes


CLASSES_REFUSED = {
    "case": (
        ["Dog", "dog", "cat"],
        r"differ only in case, blanks, hyphens, underscores or invisible characters: 'Dog' and 'dog'; write",
    ),
    "invisible": (["dog", "dog\u200b", "cat"], r"'dog' and 'dog\\u200b'"),
    "turned round": (
        ["\u202egod", "cat"],
        r"class '\\u202egod': its name holds a character that turns the text .*round",
    ),
    "blanks": (["car horn", "car_horn", "cat"], r"'car horn' and 'car_horn'"),
    "hyphen": (["car-horn", "carhorn", "cat"], r"'car-horn' and 'carhorn'"),
    "width": (["\uff44og", "dog"], r"'dog' and '\uff44og'"),
    "bell": (["dog\a", "cat"], r"class 'dog\\x07': its name holds a control character, which breaks lists; rename it"),
    "line separator": (["dog\u2028", "cat\u2028x"], r"class 'cat\\u2028x': its name holds a control character"),
    "unsure": (
        ["Unsure", "cat"],
        r"class 'Unsure': a reserved name, which predict gives to .* such as to other",
    ),
    "unknown": (["unknown", "cat"], r"class 'unknown': a reserved name"),
    "splits": (
        ["train", "test"],
        r"every class of the table is the name of a split, not of a sound: test, train",
    ),
}


@pytest.mark.parametrize("case", CLASSES_REFUSED)
def test_names_that_cannot_be_classes_are_refused(tmp_path: Path, case: str) -> None:
    names, match = CLASSES_REFUSED[case]
    put_table(tmp_path, *(f"{n}.wav,{name},{1 + n}" for n, name in enumerate(names)))
    with pytest.raises(SourceError, match=match):
        list_dataset(tmp_path, "folder")


def test_class_folders_are_checked_as_those_of_a_table(tmp_path: Path) -> None:
    put(tmp_path, "Dog/1.wav", "dog/1.wav")
    with pytest.raises(SourceError, match="'Dog' and 'dog'; write each in one way"):
        list_dataset(tmp_path, "folder")


def test_class_folders_that_differ_in_blanks_or_in_the_form_of_accents_are_one(tmp_path: Path) -> None:
    put(tmp_path, "caf\u00e9/1.wav", "cafe\u0301/2.wav", "dog/1.wav", "dog /2.wav")
    listing = list_dataset(tmp_path, "folder")
    assert listing.classes == ["caf\u00e9", "dog"]
    assert len(listing.files) == 4
    note = "2 class folders read without blanks around the name, accents composed: cafe\u0301, dog "
    assert listing.notes == [note, EACH_FILE]


def test_folds_are_made_where_the_table_has_none(tmp_path: Path) -> None:
    put(tmp_path, *(f"{n}.wav" for n in range(8)))
    rows = [f"{n}.wav,{'ab'[n // 4]},s{n // 2}" for n in range(8)]
    (tmp_path / "clips.csv").write_text("path,class,source\n" + "\n".join(rows))

    listing = list_dataset(tmp_path, "folder")
    assert listing.clips.groupby("source")["fold"].nunique().tolist() == [1, 1, 1, 1]
    assert listing.clips.groupby(["class", "fold"]).size().tolist() == [2, 2, 2, 2]
    assert listing.folds == [1, 2]


def test_a_single_fold_of_zero_reaches_validate(tmp_path: Path) -> None:
    put_table(tmp_path, "a.wav,a,1", "b.wav,b,0", "c.wav,b,2")
    listing = list_dataset(tmp_path, "folder")
    assert (listing.clips["fold"].tolist(), listing.folds) == (["1", "0", "2"], [1, 2])


FOLDERS_REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda to: None, r"expected CLASS/\*.wav .* or one of clips.csv, metadata.csv, found 0 files$"),
    "no audio": (lambda to: put(to, "a/x.mid", "a/y.mid", "z.txt"), r"found 3 files .mid .txt"),
    "no class folders": (lambda to: put(to, "1.wav", "2.wav"), r"expected CLASS/\*.wav .*, found 2 files .wav"),
    "too few": (
        lambda to: put(to, "a/1.wav", "b/1.wav"),
        r"fetch.n_folds: 2 folds need 2 sources and a class with 2 clips",
    ),
    "one class": (
        lambda to: put(to, "audio/1.wav", "audio/2.wav", "LICENSE"),
        r"found one class \(audio\), expected at least two; a class is a folder right below fetch.source, or a name in",
    ),
    "no class": (lambda to: put_table(to, "a.wav,,1", "b.wav,,2"), r"found no class, expected at least two"),
    "folders behind links": (
        lambda to: (put(to, "a/1.wav", "a/2.wav"), (to / "b").symlink_to("a"), (to / "c").symlink_to("a")),
        r"found one class \(a\), .*; 2 links to folders skipped, which DVC does not follow: b, c",
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
    "a drive of Windows": (
        lambda to: (to / "clips.csv").write_text("path,class\nC:\\a.wav,a\nb.wav,a\nc.wav,b\n"),
        r"clip 'C:/a.wav': its path leads out of the dataset; write paths relative",
    ),
    "UrbanSound8K's audio": (
        lambda to: put(to, "fold1/1.wav", "fold2/2.wav"),
        r"splits, not of classes: fold1, fold2; .* is the audio of UrbanSound8K, set fetch.dataset to urbansound8k",
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
    without = {"RAW", "MAT4", "MAT5", "WAVEX"}  # see SOUNDFILE_EXTENSIONS; WAVEX files are named .wav
    assert set(soundfile.available_formats()) - without <= set(recordings.SOUNDFILE_EXTENSIONS)
    assert not without & set(recordings.SOUNDFILE_EXTENSIONS)
