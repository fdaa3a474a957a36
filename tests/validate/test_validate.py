"""The stage on files: each bad input ends as accepted, as rejected with a named reason, or as an error of one line."""

import json
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from helpers.odd_recordings import BROKEN, DURATION_S, TWICE, WHOLE
from helpers.repository import ROOT
from stages.lib.core.errors import DataError
from stages.validate import probe as probing
from stages.validate.__main__ import main
from stages.validate.checks import CHECKS
from stages.validate.columns import ACCEPTED_COLUMNS, CLIP_COLUMNS

SR = 8000
CLASSES = ["bark", "siren"]


def noise(n_samples: int = 4000, n_channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n_samples, n_channels))


def sound(container: str = "WAV", coding: str = "PCM_16", sr: int = SR, n_channels: int = 1) -> Callable[[Path], None]:
    """Writes noise that no other call writes."""
    seed = zlib.crc32(f"{container} {coding} {sr} {n_channels}".encode())
    return lambda path: soundfile.write(path, noise(sr // 2, n_channels, seed), sr, coding, format=container)


def samples(values: np.ndarray, coding: str = "PCM_16") -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, values, SR, coding, format="WAV")


def edited(edit: Callable[[bytes], bytes], seed: int) -> Callable[[Path], None]:
    """Writes a WAV file of 8044 bytes and edits it."""

    def write(path: Path) -> None:
        soundfile.write(path, noise(seed=seed), SR, format="WAV")
        path.write_bytes(edit(path.read_bytes()))

    return write


def claiming(n_bytes: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:40] + n_bytes.to_bytes(4, "little") + content[44:]


def unreadable(path: Path) -> None:
    soundfile.write(path, noise(seed=8), SR, format="WAV")
    path.chmod(0)


# What is found under a name -> the check that rejects it, or None.
AUDIO: dict[str, tuple[Callable[[Path], object], str | None]] = {
    "text.wav": (lambda path: path.write_text("no sound"), "undecodable"),
    "no bytes.wav": (Path.touch, "undecodable"),
    "header only.wav": (edited(lambda content: content[:44], 1), "empty; truncated"),
    "header that says so.wav": (samples(np.zeros((0, 1))), "empty"),
    "truncated.wav": (edited(lambda content: content[:5000], 2), "truncated"),
    "claims twice as much.wav": (edited(claiming(16000), 3), "truncated"),
    "claims what a pipe does.wav": (edited(claiming(0xFFFFFFFF), 4), None),
    "rf64.wav": (sound("RF64"), None),
    "8 bit.wav": (sound(coding="PCM_U8"), None),
    "24 bit.wav": (sound(coding="PCM_24"), None),
    "32 bit.wav": (sound(coding="PCM_32"), None),
    "float.wav": (sound(coding="FLOAT"), None),
    "double.wav": (sound(coding="DOUBLE"), None),
    "u-law.wav": (sound(coding="ULAW"), None),
    "a-law.wav": (sound(coding="ALAW"), None),
    "ima.wav": (sound(coding="IMA_ADPCM"), None),
    "ms.wav": (sound(coding="MS_ADPCM"), None),
    "extensible.wav": (sound("WAVEX", "PCM_24"), None),
    "sound.flac": (sound("FLAC"), None),
    "sound.ogg": (sound("OGG", "VORBIS"), None),
    "sound.mp3": (sound("MP3", "MPEG_LAYER_III"), None),
    "sound.aiff": (sound("AIFF"), None),
    **{f"{n} channels.wav": (sound(n_channels=n), None) for n in range(1, 9)},
    "9 channels.wav": (sound(n_channels=9), "many_channels"),
    **{f"{sr} hz.wav": (sound(sr=sr), None) for sr in (11025, 16000, 22050, 44100, 48000, 96000, 192000)},
    "4000 hz.wav": (sound(sr=4000), "low_sample_rate"),
    "one sample.wav": (samples(np.array([0.5])), "too_short"),
    "as short as the shortest real one.wav": (samples(noise(436, seed=5)), None),
    "six seconds.wav": (samples(noise(6 * SR, seed=6)), "too_long"),
    "nan.wav": (samples(np.full(4000, np.nan), "FLOAT"), "not_finite"),
    "one infinity.wav": (samples(np.append(noise(4000, seed=7), np.inf), "FLOAT"), "not_finite"),
    "all zero.wav": (samples(np.zeros(4000)), "silent"),
    "dc.wav": (samples(np.full(4000, 0.25)), "constant"),
    "full scale square.wav": (samples(np.tile([1.0, -1.0], 2000)), None),
    "folder.wav": (Path.mkdir, "no_file"),
    "broken link.wav": (lambda path: path.symlink_to("gone.wav"), "no_file"),
    "missing.wav": (lambda path: None, "no_file"),
    "unreadable.wav": (unreadable, "no_file"),
    "new\nline.wav": (sound(coding="PCM_S8", container="AIFF"), "bad_path"),
    "it's “é”.wav": (sound(n_channels=1, sr=12000), None),
}


class Workspace:
    """A folder with data/raw and params, and the stage on it."""

    def __init__(self, root: Path):
        self.root, self.raw, self.audio = root, root / "raw", root / "raw" / "audio"
        self.audio.mkdir(parents=True)
        self.params = yaml.safe_load((ROOT / "params.yaml").read_text())["validate"]
        self.dataset = {"title": "Barks", "classes": CLASSES, "class_ids": [0, 1], "folds": [1, 2]}
        self.rows: list[dict[str, str]] = []

    def add(self, clip: str, write: Callable[[Path], object], **values: str) -> None:
        n = len(self.rows)
        write(self.audio / clip)
        defaults = {"clip": clip, "class": CLASSES[n % 2], "class_id": str(n % 2), "fold": str(n // 2 % 2 + 1)}
        empty = {"salience": "", "start_s": "", "end_s": ""}
        self.rows.append({**defaults, "source": f"source {n}", **empty, **values})

    def run(self) -> None:
        (self.root / "params.yaml").write_text(yaml.safe_dump({"validate": self.params}))
        (self.raw / "dataset.json").write_text(json.dumps(self.dataset))
        if self.rows:
            pd.DataFrame(self.rows).to_csv(self.raw / "clips.csv", index=False)
        options = {
            "params": "params.yaml",
            "raw": "raw",
            "accepted": "clips/accepted.csv",
            "rejected": "clips/rejected.csv",
            "metrics": "metrics/validate.json",
            "plots": "metrics/validate",
            "docs": "docs",
        }
        main([part for name, path in options.items() for part in (f"--{name}", str(self.root / path))])

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.root / name, dtype=str, keep_default_na=False)

    def outs(self) -> dict[str, bytes]:
        files = [path for folder in ("clips", "metrics") for path in (self.root / folder).rglob("*") if path.is_file()]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in files}


def sound_workspace(root: Path) -> Workspace:
    """Eight sound clips, two of each class in each fold."""
    workspace = Workspace(root)
    for n in range(8):
        workspace.add(f"{n}.wav", samples(noise(seed=n)))
    return workspace


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """All of AUDIO, checked in one process so that a file may be made unreadable to root too."""
    workspace = Workspace(tmp_path_factory.mktemp("bad"))
    for clip, (write, _) in AUDIO.items():
        workspace.add(clip, write)
    sound(sr=32000)(workspace.audio / "file without row.wav")
    workspace.params.update(max_duration_s=5.0, max_rejected_share=1.0, max_rejected_share_per_class=1.0)
    access = os.access
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EAR_WORKERS", "1")
        patch.setattr(probing.os, "access", lambda path, mode: "unreadable" not in str(path) and access(path, mode))
        workspace.run()
    return workspace


@pytest.mark.parametrize("clip", AUDIO)
def test_bad_audio(bad: Workspace, clip: str):
    expected = AUDIO[clip][1]
    rejected = bad.table("clips/rejected.csv").set_index("clip")["reasons"]
    found = "; ".join(reason.split(":")[0] for reason in rejected[clip].split("; ")) if clip in rejected else None
    assert found == expected


def test_no_clip_vanishes(bad: Workspace):
    accepted, rejected = bad.table("clips/accepted.csv"), bad.table("clips/rejected.csv")
    assert sorted([*accepted["clip"], *rejected["clip"]]) == sorted(AUDIO)
    for table in (accepted, rejected):  # in the order of clips.csv
        assert list(table["clip"]) == [clip for clip in AUDIO if clip in set(table["clip"])]
    assert list(accepted.columns) == ACCEPTED_COLUMNS
    assert list(rejected.columns) == [*ACCEPTED_COLUMNS, "reasons"]
    metrics = json.loads((bad.root / "metrics/validate.json").read_text())
    assert (metrics["n_fetched"], metrics["n_accepted"]) == (len(AUDIO), len(accepted))


def test_every_recording_as_people_have_them_is_accounted_for(tmp_path: Path):
    """M4A, MP3 without a tag, cut, lying and inverted files: each is accepted, or rejected by the check that should."""
    workspace = Workspace(tmp_path)
    for clip, make in (WHOLE | TWICE).items():
        workspace.add(clip, make, **{"class": "bark", "class_id": "0", "fold": "1"})
    for clip, (make, _) in BROKEN.items():
        workspace.add(clip, make, **{"class": "siren", "class_id": "1", "fold": "1"})
    workspace.params.update(max_duration_s=15.0, max_rejected_share=1.0, max_rejected_share_per_class=1.0)
    workspace.run()
    accepted, rejected = workspace.table("clips/accepted.csv"), workspace.table("clips/rejected.csv")
    offered = [row["clip"] for row in workspace.rows]
    assert sorted([*accepted["clip"], *rejected["clip"]]) == sorted(offered)
    assert set(accepted["clip"]) == set(WHOLE | TWICE)
    found = dict(zip(rejected["clip"], rejected["reasons"].str.split(":").str[0], strict=True))
    assert found == {clip: check for clip, (_, check) in BROKEN.items()}
    durations = dict(zip(accepted["clip"], accepted["duration_s"].astype(float), strict=True))
    assert durations == {
        clip: pytest.approx(2 * DURATION_S if clip in TWICE else DURATION_S, abs=0.2) for clip in WHOLE | TWICE
    }


def test_warnings_are_listed(bad: Workspace):
    findings = bad.table("metrics/validate/findings.csv")
    warned = findings[findings["severity"] == "warn"]
    assert set(zip(warned["check"], warned["subject"], strict=True)) == {
        ("clipped", "full scale square.wav"),
        ("unlisted_file", "file without row.wav"),
    }


def test_nothing_that_is_tracked_names_this_machine(bad: Workspace):
    assert not [name for name, content in bad.outs().items() if str(bad.root).encode() in content]


def test_docs_need_no_network(bad: Workspace):
    pages = {
        path.relative_to(bad.root / "docs").as_posix(): path.read_text() for path in (bad.root / "docs").rglob("*.html")
    }
    index = pages["index.html"]
    links = re.findall('href="([^"]*)"', index)
    assert links
    assert all((bad.root / "docs" / link).is_file() for link in links)
    for check in CHECKS:
        assert f"<td>{check.name}</td>" in index
    for name, page in pages.items():
        assert not re.search(r"<script|<link|<img|url\(|@import|__none__|Data asset: None", page), name
    metrics = json.loads((bad.root / "metrics/validate.json").read_text())
    assert f"<p>{metrics['n_accepted']} of {metrics['n_fetched']} clips accepted (0.0 h), " in index
    assert "<p>warning: 1 clipped, such as &#x27;full scale square.wav&#x27;" in index
    assert "truncated.wav" in next(page for name, page in pages.items() if name.startswith("validations/clips/"))


def test_pictures(bad: Workspace):
    for name in ("durations.png", "classes_by_fold.png"):
        assert (bad.root / "metrics/validate" / name).read_bytes().startswith(b"\x89PNG")


def test_sound_clips_twice_and_with_other_limits(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    workspace = sound_workspace(tmp_path)
    workspace.rows[3]["fold"] = "3"
    workspace.params.update(max_rejected_share=0.5, max_rejected_share_per_class=0.5)
    workspace.run()
    before = workspace.outs()
    assert set(before) == {
        "clips/accepted.csv",
        "clips/rejected.csv",
        "metrics/validate.json",
        "metrics/validate/classes_by_fold.png",
        "metrics/validate/durations.png",
        "metrics/validate/findings.csv",
    }
    assert capsys.readouterr().out == (
        f"validate: 7 of 8 clips accepted (0.0 h), 1 rejected: 1 bad_fold; see {tmp_path / 'clips/rejected.csv'}\n"
    )
    workspace.params.update(min_duration_s=0.01, silence_dbfs=-70.0, max_clipped_share=0.5)
    workspace.run()
    assert workspace.outs() == before


def test_stop_leaves_the_findings_and_no_accepted_clips(tmp_path: Path):
    workspace = sound_workspace(tmp_path)
    workspace.run()
    assert (tmp_path / "clips/accepted.csv").exists()
    workspace.rows[3]["fold"] = "3"
    workspace.rows[5]["class"] = "Siren"
    workspace.params["severity"]["bad_fold"] = "stop"
    with pytest.raises(
        DataError, match=r"raw: stopped by 1 bad_fold, 1 rejected_share, 1 .*'3.wav' \(bad_fold: '3'\)"
    ) as caught:
        workspace.run()
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "metrics/validate/findings.csv") in str(caught.value)
    assert not (tmp_path / "clips/accepted.csv").exists()
    assert list(workspace.table("clips/rejected.csv")["clip"]) == ["3.wav", "5.wav"]
    assert set(workspace.table("metrics/validate/findings.csv")["check"]) >= {"bad_fold", "unknown_class"}


def test_no_clip_at_all(tmp_path: Path):
    workspace = Workspace(tmp_path)
    (workspace.raw / "clips.csv").write_text(",".join(CLIP_COLUMNS) + "\n")
    with pytest.raises(DataError, match=r"clips\.csv: expected one row per clip, found none"):
        workspace.run()


def test_nothing_but_bad_clips(tmp_path: Path):
    """No audio folder either; the pictures have nothing to show."""
    workspace = Workspace(tmp_path)
    workspace.add("a.wav", lambda path: None)
    workspace.audio.rmdir()
    workspace.params.update(max_rejected_share=1.0, max_rejected_share_per_class=1.0)
    match = r"none of 1 clips can be used: 1 no_file, such as 'a.wav' \(no such file\); correct the data"
    with pytest.raises(DataError, match=match):
        workspace.run()


def test_many_classes_and_a_class_that_looks_like_nothing(tmp_path: Path):
    workspace = Workspace(tmp_path)
    names = ["None", "nan", *(f"a class with a long name {n}" for n in range(48))]
    workspace.dataset.update(classes=names, folds=list(range(1, 11)))
    workspace.add("one.wav", samples(noise(seed=1)), **{"class": "None", "class_id": "0", "fold": "10"})
    workspace.add("two.wav", samples(noise(seed=2)), **{"class": "nan", "class_id": "1", "fold": "9", "source": ""})
    workspace.run()
    accepted = workspace.table("clips/accepted.csv")
    assert list(accepted["class"]) == ["None", "nan"]
    assert list(accepted["source"]) == ["source 0", "two.wav"]
    assert list(accepted["fold"]) == ["10", "9"]


@pytest.mark.skipif("EAR_REAL_DATA" not in os.environ, reason="EAR_REAL_DATA is not set: no real recordings here")
def test_real_recordings_are_accepted(tmp_path: Path):
    source = Path(os.environ["EAR_REAL_DATA"]) / "ESC-10"
    meta = pd.read_csv(source / "meta/esc50.csv", dtype=str)
    workspace = Workspace(tmp_path)
    workspace.audio.rmdir()
    workspace.audio.symlink_to(source / "audio")
    classes = meta.drop_duplicates("target").sort_values("target", key=lambda ids: ids.astype(int))["category"]
    workspace.dataset.update(classes=list(classes), folds=[1, 2, 3, 4, 5])
    for row in meta.to_dict("records"):
        labels = {"class": row["category"], "class_id": row["target"], "fold": row["fold"], "source": row["src_file"]}
        workspace.add(row["filename"], lambda path: None, **labels)
    workspace.run()
    assert len(workspace.table("clips/accepted.csv")) == 400
    assert workspace.table("metrics/validate/findings.csv").empty
