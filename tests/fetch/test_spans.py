"""Rows with a start and an end: which clips they become, and that these have the samples of the recording."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.datasets import list_dataset
from stages.evaluate.event_scores import COLLAR_S
from stages.fetch.listing import Listing
from stages.fetch.spans import BITS, LABEL_COLUMNS, LATE_S, Span, cut_spans
from stages.lib.audio import read_audio
from stages.lib.core.errors import SourceError

SR = 8000


def record(path: Path, duration_s: float = 4.0, subtype: str = "PCM_16", n_channels: int = 1, **options: str) -> None:
    """Noise that fades in, so that no two parts of it are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    n_samples = round(duration_s * SR)
    noise = np.random.default_rng(0).uniform(-1, 1, (n_samples, n_channels))
    soundfile.write(path, noise * np.linspace(0.1, 1, n_samples)[:, None], SR, subtype, **options)


def list_table(folder: Path, *rows: str, head: str = "path,class,start,end,fold") -> Listing:
    (folder / "clips.csv").write_text("\n".join([head, *rows]))
    return list_dataset(folder, "folder")


def test_rows_of_one_recording_become_clips_of_their_own(tmp_path: Path) -> None:
    record(tmp_path / "day 1/a.wav")
    record(tmp_path / "b.wav")
    listing = list_table(
        tmp_path,
        "day 1/a.wav,dog,0.5,1.25,1",
        "day 1/a.wav,cat,1,2.0004,1",  # overlaps
        "day 1/a.wav,cat,0.5,1.25,1",  # at the same time as the dog
        "day 1/a.wav,dog,0.5,1.25,1",  # the first row again
        "b.wav,cat,,,2",
    )
    clips = [
        "day 1/a.wav_0.500-1.250.wav",
        "day 1/a.wav_1.000-2.000.wav",
        "day 1/a.wav_0.500-1.250_2.wav",
        "day 1/a.wav_0.500-1.250.wav",
        "b.wav",
    ]
    assert listing.clips["clip"].tolist() == clips
    assert listing.clips["source"].tolist() == ["day 1/a.wav"] * 4 + ["b.wav"]
    assert listing.clips[["start_s", "end_s"]].to_numpy().tolist()[1:2] == [["1", "2.0004"]]
    assert listing.spans == {
        clips[0]: Span(tmp_path / "day 1/a.wav", 0.5, 1.25),
        clips[1]: Span(tmp_path / "day 1/a.wav", 1.0, 2.0004),
        clips[2]: Span(tmp_path / "day 1/a.wav", 0.5, 1.25),
    }
    assert listing.files == {"b.wav": tmp_path / "b.wav"}
    assert listing.files_without_row == []
    assert "4 rows with a start and an end: 3 clips cut out of 1 recording" in listing.notes


def test_recordings_all_of_whose_rows_have_a_span_keep_their_labels(tmp_path: Path) -> None:
    for name in ("day 1/a.wav", "b.wav", "c.wav", "d.wav", "cafe\u0301.wav"):
        record(tmp_path / name)
    listing = list_table(
        tmp_path,
        "day 1/a.wav,dog,0.5,1.25,1",
        "day 1/a.wav,cat,1,2.0004,1",
        "day 1/a.wav,dog,0.5,1.25,1",  # the first row again
        "b.wav,cat,1,2,2",
        "b.wav,dog,,,2",  # somewhere
        "c.wav,cat,1,2,2",
        "c.wav,dog,2,x,2",
        "d.wav,dog,-1,2,2",
        "d.wav,dog,2,1,2",
        "d.wav,cat,1,2,2",
        "cafe\u0301.wav,cat,0,1,2",
        "caf\u00e9.wav,dog,3,4,2",
        "gone.wav,dog,3,4,2",
    )
    assert listing.labels.to_numpy().tolist() == [
        ["day 1/a.wav", 0.5, 1.25, "dog", "day 1/a.wav_0.500-1.250.wav"],
        ["day 1/a.wav", 1.0, 2.0004, "cat", "day 1/a.wav_1.000-2.000.wav"],
        ["cafe\u0301.wav", 0.0, 1.0, "cat", "cafe\u0301.wav_0.000-1.000.wav"],
        ["cafe\u0301.wav", 3.0, 4.0, "dog", "caf\u00e9.wav_3.000-4.000.wav"],
    ]
    assert listing.labels.columns.tolist() == LABEL_COLUMNS
    assert listing.recordings == {name: tmp_path / name for name in ("day 1/a.wav", "cafe\u0301.wav")}
    assert "2 recordings kept whole besides: evaluate compares events with the labels" in listing.notes
    assert (
        "3 recordings with other rows too, whose times are blank or no span (seconds from 0 on, the end after the "
        "start), so evaluate cannot compare events with the labels; the first clip of each without a span: b.wav, "
        "c.wav_2-x.wav, d.wav_-1-2.wav"
    ) in listing.notes


def test_clips_that_are_cut_out_share_their_recording_as_source(tmp_path: Path) -> None:
    """So there is nothing to warn of, as where each file counts as a source of its own."""
    for name in ("a.wav", "b.wav", "c.wav"):
        record(tmp_path / name)
    rows = ["a.wav,dog,0,1,1", "a.wav,cat,1,2,1", "b.wav,cat,2,3,2", "b.wav,dog,3,x,2", "gone.wav,cat,0,1,2"]
    listing = list_table(tmp_path, *rows)
    assert listing.clips["source"].tolist() == ["a.wav", "a.wav", "b.wav", "b.wav", "gone.wav"]
    assert listing.sources == "the recording that each was cut from"
    assert listing.notes[0] == "the source of a clip is the recording that it was cut from"

    listing = list_table(tmp_path, *rows, "c.wav,cat,,,1")  # which may be a part of another recording
    assert listing.sources == "one per file"
    assert listing.notes[0].startswith("each file is its own source; where several are parts of one recording,")


def test_files_that_are_clips_already_are_not_kept_twice(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        record(tmp_path / name)
    listing = list_table(tmp_path, "a.wav,dog,58.0,62.0,1", "b.wav,cat,,,2")
    assert listing.labels.empty
    assert listing.recordings == {}
    assert not any("kept whole" in note or "other rows" in note for note in listing.notes)


def test_a_file_that_was_cut_already_stays_as_it_is(tmp_path: Path) -> None:
    """As in UrbanSound8K, whose times are those in a recording that nobody has."""
    for name in ("a.wav", "b.wav"):
        record(tmp_path / name)
    listing = list_table(tmp_path, "a.wav,dog,58.0,62.01,1", "b.wav,cat,0,4,2")
    assert sorted(listing.files) == ["a.wav", "b.wav"]
    assert listing.spans == {}
    assert listing.clips["start_s"].tolist() == ["58.0", "0"]
    assert "2 files as long as the span of the only row: taken as cut already" in listing.notes


def test_a_row_as_long_as_the_file_is_cut_where_the_file_has_others(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    listing = list_table(tmp_path, "a.wav,dog,0,4,1", "a.wav,cat,1,2,2")
    assert list(listing.spans) == ["a.wav_0.000-4.000.wav", "a.wav_1.000-2.000.wav"]
    assert listing.files == {}


def test_a_file_that_is_a_little_longer_than_its_span_was_cut_already(tmp_path: Path) -> None:
    record(tmp_path / "a.wav", 4.05)
    record(tmp_path / "b.wav", 4.06)
    listing = list_table(tmp_path, "a.wav,dog,0,4,1", "b.wav,cat,0,4,2")
    assert list(listing.files) == ["a.wav"]
    assert list(listing.spans) == ["b.wav_0.000-4.000.wav"]


def test_spans_find_files_whose_accents_are_written_otherwise(tmp_path: Path) -> None:
    record(tmp_path / "cafe\u0301.wav")
    listing = list_table(tmp_path, "caf\u00e9.wav,dog,0,1,1", "caf\u00e9.wav,cat,1,2,2")
    assert [span.path for span in listing.spans.values()] == [tmp_path / "cafe\u0301.wav"] * 2
    assert listing.files_without_row == []


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    listing = list_table(tmp_path, "a.wav,dog,0,1,1", "pipe.wav,cat,0,1,2")
    assert (list(listing.files), list(listing.spans)) == (["pipe.wav"], ["a.wav_0.000-1.000.wav"])


def test_rows_without_a_usable_span_are_left_to_validate(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    rows = ["a.wav,dog,2,1,1", "a.wav,cat,x,3,2", "a.wav,cat,1,,2", "a.wav,cat,-1,3,2", "gone.wav,cat,1,2,2"]
    listing = list_table(tmp_path, "a.wav,dog,1,2,1", *rows)
    assert list(listing.spans) == ["a.wav_1.000-2.000.wav"]
    assert listing.files == {}
    assert listing.clips["clip"].tolist()[1:] == [
        "a.wav_2-1.wav",
        "a.wav_x-3.wav",
        "a.wav_1-.wav",
        "a.wav_-1-3.wav",
        "gone.wav",
    ]


def test_times_that_are_none_are_refused(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    message = "starts and ends such as '00:01.5'; expected seconds from the start of the recording, such as 62.5"
    with pytest.raises(SourceError, match=message):
        list_table(tmp_path, "a.wav,dog,00:01.5,00:02,1", "a.wav,cat,00:02,00:03,2")


@pytest.mark.parametrize(("head", "found", "missing"), [("start", "start", "end"), ("offset", "end", "start")])
def test_starts_or_ends_alone_are_refused(tmp_path: Path, head: str, found: str, missing: str) -> None:
    record(tmp_path / "a.wav")
    match = f"the table has a column {found} and no {missing}: give both, .* or rename the column {found}"
    with pytest.raises(SourceError, match=match):
        list_table(tmp_path, "a.wav,dog,1,1", "a.wav,cat,2,2", head=f"path,class,{head},fold")


KINDS = [
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")),
    *(("AIFF", "PCM_S8"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")),
]


@pytest.mark.parametrize(("container", "subtype"), KINDS)
def test_cut_clips_have_the_samples_of_the_recording(tmp_path: Path, container: str, subtype: str) -> None:
    path = tmp_path / "recording"
    record(path, subtype=subtype, n_channels=2, format=container)
    spans = {"x/1.wav": Span(path, 0.0, 0.1), "2.wav": Span(path, 1.23456, 2.5), "3.wav": Span(path, 2.0, 4.0)}
    assert cut_spans(spans, tmp_path / "audio") == ([], [])

    whole, _ = read_audio(path)
    for clip, span in spans.items():
        y, sr = soundfile.read(tmp_path / "audio" / clip, dtype="float32")
        np.testing.assert_array_equal(y, whole[round(span.start_s * SR) : round(span.end_s * SR)])
        assert sr == SR
        bits = BITS.get(subtype)
        assert soundfile.info(tmp_path / "audio" / clip).subtype == (f"PCM_{bits}" if bits else "FLOAT")


def test_spans_cross_the_blocks_in_which_a_recording_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.lib.audio.BLOCK", 1000)
    record(tmp_path / "a.wav")
    spans = {"1.wav": Span(tmp_path / "a.wav", 0.1, 0.9), "2.wav": Span(tmp_path / "a.wav", 0.125, 0.25)}
    assert cut_spans(spans, tmp_path / "audio") == ([], [])
    whole, _ = soundfile.read(tmp_path / "a.wav")
    np.testing.assert_array_equal(soundfile.read(tmp_path / "audio/1.wav")[0], whole[800:7200])
    np.testing.assert_array_equal(soundfile.read(tmp_path / "audio/2.wav")[0], whole[1000:2000])


def test_what_cannot_be_cut_is_named_with_the_reason(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    (tmp_path / "b.m4a").write_bytes(b"no recording")
    spans = {
        "late.wav": Span(tmp_path / "a.wav", 4.0, 5.0),
        "over.wav": Span(tmp_path / "a.wav", 3.0, 5.0),
        "other.wav": Span(tmp_path / "b.m4a", 1.0, 2.0),
    }
    (late, other), notes = cut_spans(spans, tmp_path / "audio")
    assert notes == [
        "1 clip cut short, since the recording ends more than 0.5 s before the label does; check whose labels these "
        "are: over.wav (the recording ends at 4.000 s)"
    ]
    assert late == "late.wav (it starts after the end of the recording)"
    assert other.startswith("other.wav (b.m4a: cannot be read as audio")
    assert [path.name for path in (tmp_path / "audio").iterdir()] == ["over.wav"]
    assert soundfile.info(tmp_path / "audio/over.wav").duration == 1.0  # validate compares it with the span


def test_an_end_that_was_rounded_up_is_no_mistake(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    assert cut_spans({"1.wav": Span(tmp_path / "a.wav", 3.0, 4.5)}, tmp_path / "audio") == ([], [])
    assert LATE_S == COLLAR_S  # of evaluate, which refuses later ones: what it leaves out, fetch has named


def test_a_full_disk_is_found_before_cutting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "a.wav")
    free = 2 * SR * 2 - 1  # two seconds of 16 bits, but for a byte
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": free})())
    spans = {"1.wav": Span(tmp_path / "a.wav", 0.0, 1.0), "2.wav": Span(tmp_path / "a.wav", 3.0, 9.0)}
    with pytest.raises(SourceError, match=r"cutting the recordings: needs 0.00 GB on the disk of"):
        cut_spans(spans, tmp_path / "audio")
    assert list((tmp_path / "audio").iterdir()) == []


def test_a_recording_of_a_phone_is_cut_too(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV, which reads what phones write, is not installed")
    with av.open(str(tmp_path / "a.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=SR, layout="mono")
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4 * SR) / SR, dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(tone[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate = SR
        container.mux([*stream.encode(frame), *stream.encode(None)])
    listing = list_table(tmp_path, "a.m4a,dog,1,2.5,1", "a.m4a,cat,2,3,2")
    assert cut_spans(listing.spans, tmp_path / "audio") == ([], [])

    whole, _ = read_audio(tmp_path / "a.m4a")
    y, sr = soundfile.read(tmp_path / "audio/a.m4a_1.000-2.500.wav", dtype="float32", always_2d=True)
    np.testing.assert_array_equal(y, whole[SR : round(2.5 * SR)])
    assert (sr, soundfile.info(tmp_path / "audio/a.m4a_2.000-3.000.wav").subtype) == (SR, "FLOAT")


def test_the_same_bytes_whenever_it_is_cut(tmp_path: Path) -> None:
    record(tmp_path / "a.wav", subtype="FLOAT")
    cut_spans({"x.wav": Span(tmp_path / "a.wav", 1.0, 2.0)}, tmp_path / "audio")
    content = (tmp_path / "audio/x.wav").read_bytes()
    at = content.index(b"PEAK") + 12
    assert content[at : at + 4] == bytes(4)  # where libsndfile writes the time


def test_times_with_decimal_commas(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    (tmp_path / "clips.csv").write_text("sep=;\npath;class;start;end;fold\na.wav;dog;0,5;1;1\na.wav;cat;1;2,5;2\n")
    spans = list_dataset(tmp_path, "folder").spans.values()
    assert [(span.start_s, span.end_s) for span in spans] == [(0.5, 1.0), (1.0, 2.5)]
