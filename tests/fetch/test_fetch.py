import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from helpers.repository import ROOT
from stages.fetch import __main__ as fetch
from stages.fetch import archives, obtain
from stages.fetch.tables import CLIP_COLUMNS
from stages.lib.core.errors import SourceError
from stages.validate import __main__ as validate

CLASSES = ("air_conditioner", "car_horn", "children_playing")


def run_fetch(tmp_path: Path, source: Path, dataset: str, **params: object) -> Path:
    """Run the stage; returns the folder that it wrote."""
    section = {"dataset": dataset, "source": str(source), "esc10": False, "n_folds": 2, "source_from": "file", **params}
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"fetch": section}))
    fetch.main(options(tmp_path))
    return tmp_path / "data/raw"


def options(tmp_path: Path) -> list[str]:
    paths = {
        "params": tmp_path / "params.yaml",
        "sources": ROOT / "data/sources",
        "raw": tmp_path / "data/raw",
    }
    return [text for name, path in paths.items() for text in (f"--{name}", str(path))]


def urbansound8k(folder: Path) -> Path:
    """A small dataset in that layout, with real recordings."""
    rows = []
    for n in range(6):
        fold, class_id = 1 + n % 2, n % 3
        name = f"{n}-{class_id}-0-0.wav"
        path = folder / f"UrbanSound8K/audio/fold{fold}/{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(n).uniform(-1, 1, 800), 8000)
        rows.append([name, n, 0.0, 0.1, 1, fold, class_id, CLASSES[class_id]])
    (folder / "UrbanSound8K/metadata").mkdir()
    header = ["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"]
    pd.DataFrame(rows, columns=header).to_csv(folder / "UrbanSound8K/metadata/UrbanSound8K.csv", index=False)
    return folder


def pack(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder / "UrbanSound8K", "UrbanSound8K")
    return archive


def content(folder: Path) -> dict[str, str]:
    """A digest of each file below."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_local_folder_and_its_archive_give_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = urbansound8k(tmp_path / "in")
    before = content(source)
    of_folder = content(run_fetch(tmp_path / "1", source, "urbansound8k"))
    out = capsys.readouterr().out
    raw = run_fetch(tmp_path / "2", pack(source, tmp_path / "any.tgz"), "urbansound8k")

    assert content(raw) == of_folder
    assert content(source) == before
    assert sorted(os.listdir(raw)) == ["LICENCE.txt", "audio", "clips.csv", "dataset.json"]
    assert os.listdir(raw.parent) == ["raw"]

    clips = pd.read_csv(raw / "clips.csv", dtype=str)
    assert list(clips.columns) == CLIP_COLUMNS
    assert clips.iloc[1].tolist() == ["fold2/1-1-0-0.wav", "car_horn", "1", "2", "1", "1", "0.0", "0.1"]
    assert all((raw / "audio" / clip).is_file() for clip in clips["clip"])

    known = json.loads((raw / "dataset.json").read_text())
    assert known["classes"][:3] == list(CLASSES)
    assert known["folds"] == list(range(1, 11))
    assert (known["name"], known["synthetic"], known["n_files_without_row"]) == ("urbansound8k", False, 0)
    for text in ("CC BY-NC", "Salamon"):
        assert text in (raw / "LICENCE.txt").read_text()
        assert text in out
        assert text in known["licence"] + known["citation"]
    assert "fetched urbansound8k: 6 clips of 3 classes and 6 sources in folds 1, 2; 0 without a file, 0 files" in out


@pytest.mark.parametrize(("name", "separator"), [("mine.csv", ","), ("mine.tsv", "\t")])
def test_a_table_may_be_the_source(tmp_path: Path, name: str, separator: str) -> None:
    for n in range(4):
        soundfile.write(tmp_path / f"{n}.wav", np.random.default_rng(n).uniform(-1, 1, 8000), 8000)
    rows = ["path,class,start,end", "0.wav,dog,,", "1.wav,cat,0.25,0.5", "2.wav,dog,,", "3.wav,cat,,"]
    (tmp_path / name).write_text("\n".join(rows).replace(",", separator))
    raw = run_fetch(tmp_path / "run", tmp_path / name, "folder")
    files = sorted(path.name for path in (raw / "audio").iterdir())
    assert files == ["0.wav", "1.wav_0.250-0.500.wav", "2.wav", "3.wav"]
    assert pd.read_csv(raw / "clips.csv")["clip"].tolist() == files


def strongly_labelled(folder: Path) -> Path:
    """Recordings with parts; of b.wav one label is of no part, and c.wav is a clip."""
    folder.mkdir()
    for n, name in enumerate("abc"):
        soundfile.write(folder / f"{name}.wav", np.random.default_rng(n).uniform(-1, 1, 16000), 8000)
    rows = ["a.wav,dog,0.25,0.5,1", "a.wav,cat,1,1.5,1", "b.wav,dog,1,1.5,2", "b.wav,cat,,,2", "c.wav,cat,,,2"]
    (folder / "clips.csv").write_text("\n".join(["path,class,start,end,fold", *rows]))
    return folder


def test_recordings_with_strong_labels_are_kept_whole(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = strongly_labelled(tmp_path / "in")
    before = content(source)
    raw = run_fetch(tmp_path / "1", source, "folder")
    assert content(source) == before
    assert sorted(os.listdir(raw)) == ["audio", "clips.csv", "dataset.json", "recordings", "recordings.csv"]
    assert content(raw / "recordings") == {"a.wav": before["a.wav"]}
    assert (raw / "recordings/a.wav").stat().st_nlink == 1
    assert (raw / "recordings.csv").read_text().splitlines() == [
        "recording,start_s,end_s,class,clip",
        "a.wav,0.25,0.5,dog,a.wav_0.250-0.500.wav",
        "a.wav,1.0,1.5,cat,a.wav_1.000-1.500.wav",
    ]
    out = capsys.readouterr().out
    assert "note: 1 recording kept whole besides: evaluate compares events with the labels\n" in out
    assert "note: 1 recording with other rows too, whose times are blank or no span (" in out

    archive = tmp_path / "in.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, ".")
    assert content(run_fetch(tmp_path / "2", archive, "folder")) == content(raw)

    assert run_validate(tmp_path / "1", raw).empty  # the recordings are no files without a row


def test_labels_that_end_long_after_their_recording_are_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = strongly_labelled(tmp_path / "in")
    with (source / "clips.csv").open("a") as table:
        table.write("\nc.wav,dog,0.5,400,2")
    raw = run_fetch(tmp_path, source, "folder")
    assert "note: 1 clip cut short, since the recording ends more than 0.5 s before the" in capsys.readouterr().out
    findings = run_validate(tmp_path, raw)
    assert findings["check"].tolist() == ["wrong_duration"]  # no more than a warning


def run_validate(tmp_path: Path, raw: Path) -> pd.DataFrame:
    """Run the stage, whatever share is rejected; returns the findings."""
    paths = {name: tmp_path / name for name in ("accepted", "rejected", "metrics", "plots", "docs")}
    params = yaml.safe_load((ROOT / "params.yaml").read_text())["validate"]
    params |= {"max_rejected_share": 1.0, "max_rejected_share_per_class": 1.0}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"validate": params}))
    arguments = [text for name, path in paths.items() for text in (f"--{name}", str(path))]
    validate.main(["--params", str(tmp_path / "params.yaml"), "--raw", str(raw), *arguments])
    return pd.read_csv(tmp_path / "plots/findings.csv")


def test_files_are_copies_that_may_be_written_and_deleted(tmp_path: Path) -> None:
    source = urbansound8k(tmp_path / "in")
    for path in source.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    raw = run_fetch(tmp_path, source, "urbansound8k")

    for path in raw.rglob("*"):
        assert path.stat().st_mode & 0o200
        assert path.is_dir() or path.stat().st_nlink == 1


def test_own_recordings_with_problems_keep_their_rows(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("a b/é'\"\n.wav", "a b/2.wav", "c/1.wav", "c/2.wav", "c/notes.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name)
    (tmp_path / "in/c/broken.wav").symlink_to("gone.wav")
    (tmp_path / "in/c/folder.wav").mkdir()
    (tmp_path / "in/c/pipe.wav").symlink_to("/dev/zero")
    raw = run_fetch(tmp_path, tmp_path / "in", "folder")
    out = capsys.readouterr().out

    clips = pd.read_csv(raw / "clips.csv", dtype=str)["clip"].tolist()
    assert clips == ["a b/2.wav", "a b/é'\"\n.wav", "c/1.wav", "c/2.wav", "c/broken.wav", "c/folder.wav", "c/pipe.wav"]
    assert (raw / "audio/a b/é'\"\n.wav").read_text() == "a b/é'\"\n.wav"
    assert not (raw / "LICENCE.txt").exists()
    assert "note: 1 file not used, not audio by extension: 1 .txt (such as c/notes.txt)" in out
    assert "note: 3 could not be copied or cut, so validate will reject them: c/broken.wav (a broken link" in out
    assert "c/folder.wav (a folder)" in out
    assert "7 clips of 2 classes and 7 sources in folds 1, 2; 3 without a file, 0 files without a row" in out


def test_unreadable_file_is_reported_and_its_row_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = urbansound8k(tmp_path / "in")
    copyfile = obtain.shutil.copyfile

    def closed(path: Path, target: Path) -> None:
        if path.name == "0-0-0-0.wav":
            raise PermissionError(13, "Permission denied")
        copyfile(path, target)

    monkeypatch.setattr(obtain.shutil, "copyfile", closed)
    raw = run_fetch(tmp_path, source, "urbansound8k")
    assert len(pd.read_csv(raw / "clips.csv")) == 6
    assert (
        "1 could not be copied or cut, so validate will reject them: fold1/0-0-0-0.wav (Permission denied)"
        in capsys.readouterr().out
    )


def test_files_without_row_are_copied_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = urbansound8k(tmp_path / "in")
    (source / "UrbanSound8K/audio/fold1/more.wav").write_bytes(b"RIFF")
    raw = run_fetch(tmp_path, source, "urbansound8k")

    assert (raw / "audio/fold1/more.wav").is_file()
    assert json.loads((raw / "dataset.json").read_text())["n_files_without_row"] == 1
    assert "note: 1 recording without a row: fold1/more.wav" in capsys.readouterr().out


def test_the_sample_says_that_it_is_synthetic(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = []

    def render(target: Path, values: object) -> None:
        settings.append(values)
        urbansound8k(target)

    monkeypatch.setattr(obtain, "render_sample", render)
    raw = run_fetch(tmp_path, ROOT / "data/sources/sample.yaml", "sample")

    assert settings == [yaml.safe_load((ROOT / "data/sources/sample.yaml").read_text())["render"]]
    dataset = json.loads((raw / "dataset.json").read_text())
    assert dataset["synthetic"] is True
    assert dataset["title"].endswith("(synthetic)")
    assert "fetched synthetic sample: 6 clips" in capsys.readouterr().out
    assert "ynthetic" in (raw / "LICENCE.txt").read_text()


def test_a_source_with_an_address_is_downloaded_to_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = pack(urbansound8k(tmp_path / "in"), tmp_path / "any.tgz")
    calls = []

    def download(*arguments: object, **options: object) -> Path:
        calls.append((arguments, options))
        return archive

    monkeypatch.setattr(obtain, "download", download)
    monkeypatch.setenv("EAR_CACHE", str(tmp_path / "cache"))
    raw = run_fetch(tmp_path, ROOT / "data/sources/urbansound8k.yaml", "urbansound8k")

    known = yaml.safe_load((ROOT / "data/sources/urbansound8k.yaml").read_text())
    [(arguments, options)] = calls
    assert arguments == (known["address"], tmp_path / "cache")
    assert options["known_hash"] == f"md5:{known['md5']}"
    assert options["size_bytes"] == known["size_bytes"]
    assert len(content(raw / "audio")) == 6
    assert archive.is_file()


def test_a_limit_of_the_source_is_kept(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    known = yaml.safe_load((ROOT / "data/sources/urbansound8k.yaml").read_text())
    (sources / "urbansound8k.yaml").write_text(yaml.safe_dump({**known, "limits": {"max_bytes": 999, "max_files": 99}}))
    archive = pack(urbansound8k(tmp_path / "in"), tmp_path / "a.tgz")
    source = obtain.choose_source(archive, sources, tmp_path / "raw", "urbansound8k")

    with (
        pytest.raises(SourceError, match=r"a.tgz: refused at member .*expected at most 99 members and 999 bytes"),
        obtain.obtain(archive, source, tmp_path / "unpacked"),
    ):
        pass


YAML = ROOT / "data/sources"
WRONG = {
    "dataset set, source not": (YAML / "sample.yaml", "urbansound8k", r"describes sample, but fetch.dataset is urbans"),
    "source set, dataset not": (
        YAML / "esc50.yaml",
        "sample",
        r"describes esc50, but fetch.dataset is sample; set fetch.dataset to esc50, or",
    ),
    "no such dataset": (
        "in",
        "urbansound",
        r"fetch.dataset: expected one of esc50, folder, sample, urbansound8k, found 'urbansound'; correct it",
    ),
    "folder without a folder": (
        YAML / "folder.yaml",
        "folder",
        r"has no address; set fetch.source to your folder, archive or CSV",
    ),
    "a folder for the sample": (
        "in",
        "sample",
        r"fetch.dataset is sample, which is rendered; set fetch.dataset to urbansound8k",
    ),
    "not there": (
        "gone",
        "urbansound8k",
        r"gone: no such file or folder; set it to .*urbansound8k.yaml \(downloads it\) or an arch",
    ),
    "a folder with the name of a source": ("folder.yaml", "folder", r"folder.yaml: Is a directory; set fetch.source"),
    "cut near its start": ("cut.tgz", "urbansound8k", r"cut.tgz: damaged or cut short .*; fetch or copy the archive"),
    "no such source": (
        "gone.yaml",
        "urbansound8k",
        r"gone.yaml: No such file or directory; set fetch.source to a file of data/sources/",
    ),
    "no archive": (
        "text.tar.gz",
        "urbansound8k",
        r"text.tar.gz: expected a tar, a zip or a folder, found another kind of file",
    ),
    "a CSV for another layout": ("table.csv", "esc50", r"table.csv: expected a tar, a zip or a folder"),
    "another layout": (
        "in",
        "esc50",
        r"in: expected audio/ and meta/esc50.csv, here or in one folder below, found UrbanSound8K",
    ),
    "the output": ("data/raw", "urbansound8k", r"data/raw contains .*data/raw or lies in it, which fetch replaces"),
    "around the output": ("data", "urbansound8k", r"data contains .*data/raw or lies in it"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_source_is_one_line_that_says_what_to_set(tmp_path: Path, case: str) -> None:
    path, dataset, match = WRONG[case]
    urbansound8k(tmp_path / "in")
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "cut.tgz").write_bytes(pack(tmp_path / "in", tmp_path / "whole.tgz").read_bytes()[:80])
    for name in ("text.tar.gz", "table.csv"):
        (tmp_path / name).write_text("path,class\n")

    with pytest.raises(SourceError, match=match) as caught:
        run_fetch(tmp_path, tmp_path / path, dataset)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path / "data") == ["raw"]


@pytest.mark.parametrize("absolute", [False, True])
def test_a_relative_path_that_is_missing_may_be_one_of_another_folder(tmp_path: Path, absolute: bool) -> None:
    path = tmp_path / "gone" if absolute else Path("gone")
    with pytest.raises(SourceError, match=r"gone: no such file or folder") as caught:
        run_fetch(tmp_path, path, "folder")
    assert ("with dvc exp run --temp or --queue give an absolute path" in str(caught.value)) is not absolute


def test_any_name_of_a_source_will_do(tmp_path: Path) -> None:
    raw = run_fetch(tmp_path, urbansound8k(tmp_path / "in 'it' \"$HOME\" `x` ${y}; #"), "urbansound8k")
    assert len(content(raw / "audio")) == 6


def test_full_disk_is_found_before_copying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = urbansound8k(tmp_path / "in")
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    with pytest.raises(SourceError, match=r"copying the recordings: needs 0.00 GB on the disk of"):
        run_fetch(tmp_path, source, "urbansound8k")
    assert os.listdir(tmp_path / "data") == []


def test_a_failed_run_leaves_the_last_result(tmp_path: Path) -> None:
    archive = pack(urbansound8k(tmp_path / "in"), tmp_path / "a.tgz")
    raw = run_fetch(tmp_path, archive, "urbansound8k")
    before = content(raw)
    archive.write_bytes(archive.read_bytes()[:-100])

    with pytest.raises(SourceError, match=r"a.tgz: damaged or cut short"):
        run_fetch(tmp_path, archive, "urbansound8k")
    assert content(raw) == before
    assert os.listdir(raw.parent) == ["raw"]


def test_what_a_killed_run_left_behind_does_not_matter(tmp_path: Path) -> None:
    archive = pack(urbansound8k(tmp_path / "in"), tmp_path / "a.tgz")
    half = tmp_path / "data/.raw.part/unpacked/a.tgz/UrbanSound8K/audio/fold1"
    half.mkdir(parents=True)
    (half / "half.wav").write_bytes(b"RIFF")

    raw = run_fetch(tmp_path, archive, "urbansound8k")
    assert len(content(raw / "audio")) == 6
    assert os.listdir(raw.parent) == ["raw"]


# Fetch, killed at the first thing that it does after a file of its own came to be. Seen from another process a file is
# there too shortly to be met for certain.
KILLED = """
import os, runpy, signal, sys
begun = sys.argv.pop(1)
def kill(event, arguments):
    if os.path.exists(begun):
        signal.raise_signal(signal.SIGKILL)
sys.addaudithook(kill)
runpy.run_module("stages.fetch", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("begun", ["unpacked/a.tgz/UrbanSound8K/audio/fold2", "audio/fold2", "clips.csv"])
def test_killed_in_each_step_and_rerun_gives_the_same(tmp_path: Path, begun: str) -> None:
    """Killed while unpacking, while moving recordings, and while writing the result."""
    archive = pack(urbansound8k(tmp_path / "in"), tmp_path / "a.tgz")
    expected = content(run_fetch(tmp_path, archive, "urbansound8k"))
    raw, part = tmp_path / "data/raw", tmp_path / "data/.raw.part"
    killed = [sys.executable, "-c", KILLED, str(part / begun), *options(tmp_path)]
    assert subprocess.run(killed, cwd=ROOT, capture_output=True).returncode == -signal.SIGKILL
    assert (part / begun).exists()
    assert content(raw) == expected  # the result of the run before
    assert content(run_fetch(tmp_path, archive, "urbansound8k")) == expected
    assert os.listdir(raw.parent) == ["raw"]


@pytest.mark.slow
def test_every_recording_of_an_untidy_folder_is_accepted_or_rejected(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    rng = np.random.default_rng(0)
    names = [f"{name}/{day}/{n}.wav" for name in ("Dog bark", "caf\u00e9", "cafe\u0301") for day in "12" for n in "34"]
    for name in [*names, "@eaDir/5.wav", "Dog bark/.ipynb_checkpoints/6.wav"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, rng.uniform(-1, 1, 16000), 16000)
    broken = ["Dog bark/phone.m4a", "Dog bark/cut.flac", "caf\u00e9/empty.wav", "caf\u00e9/Film.MOV"]
    for name in broken:
        (folder / name).write_bytes(b"" if "empty" in name else b"no audio")
    (folder / "Dog bark/notes.txt").write_text("not a recording")
    raw = run_fetch(tmp_path, folder, "folder", source_from="folder")

    run_validate(tmp_path, raw)
    accepted, rejected = (pd.read_csv(tmp_path / name)["clip"].tolist() for name in ("accepted", "rejected"))
    assert sorted(accepted) == sorted(names)
    assert sorted(rejected) == sorted(broken)


@pytest.mark.skipif("EAR_REAL_DATA" not in os.environ, reason="EAR_REAL_DATA names no folder of real recordings")
@pytest.mark.parametrize(
    ("name", "dataset", "esc10", "n_clips"),
    [
        ("UrbanSound8K-mini.tar.gz", "urbansound8k", False, 615),
        ("ESC-10", "esc50", False, 400),
        ("ESC-10", "esc50", True, 400),
    ],
)
def test_real_recordings(tmp_path: Path, name: str, dataset: str, esc10: bool, n_clips: int) -> None:
    raw = run_fetch(tmp_path, Path(os.environ["EAR_REAL_DATA"]) / name, dataset, esc10=esc10)
    assert len(content(raw / "audio")) == len(pd.read_csv(raw / "clips.csv")) == n_clips
