"""What the checks find in tables, and what verdicts they come to."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from helpers.repository import ROOT
from stages.lib.core.errors import DataError, ParamsError
from stages.lib.core.params import load_params
from stages.validate.checks import CHECKS, FINDING_COLUMNS, SEVERITIES, Check, ValidateParams
from stages.validate.columns import ACCEPTED_COLUMNS, CLIP_COLUMNS, Dataset, path_problem, read_clips, read_dataset
from stages.validate.expectations import Expectations
from stages.validate.probe import Probe
from stages.validate.verdicts import Verdict, closing_lines, reason_to_stop, run_checks, summary

PARAMS = replace(
    load_params(ROOT / "params.yaml", ValidateParams),
    max_rejected_share=1.0,
    max_rejected_share_per_class=1.0,
    known_shared_sources=["known"],
)
DATASET = Dataset(title="two classes", classes=["bark", "nan"], class_ids=[0, 1], folds=[1, 2])
GOOD = Probe(
    sample_rate_hz=22050,
    n_channels=1,
    n_samples=88200,
    subtype="WAV PCM_16",
    peak=0.5,
    rms=0.1,
    swing=0.5,
    clipped_fraction=0.0,
    n_not_finite=0,
    digest="",
)


def row(clip: str, **values: str) -> dict[str, str]:
    """A row of clips.csv without a problem, but for `values`."""
    name = values.get("class", "bark")
    class_id = {"bark": "0", "nan": "1"}.get(name, "")
    defaults = {"clip": clip, "class": name, "class_id": class_id, "fold": "1", "source": clip or "s", "salience": "1"}
    return {**defaults, "start_s": "1.5", "end_s": "5.5", **values}


class Some(Expectations):
    """Great Expectations for the named tables alone, since each takes a tenth of a second."""

    def __init__(self, names: str, params: ValidateParams):
        super().__init__(params, DATASET)
        self.names = names.split()

    def run(self, name: str, table: pd.DataFrame, checks: Sequence[Check]) -> pd.DataFrame:
        if name in self.names:
            return super().run(name, table, checks)
        return pd.DataFrame(columns=FINDING_COLUMNS, index=pd.Index([], dtype=int), dtype=str)


def verdict_on(
    rows: list[dict[str, str]],
    probes: dict[str, Probe] | None = None,
    params: ValidateParams = PARAMS,
    files: list[str] | None = None,
    only: str = "clips relations columns files folds shares",
    dataset: Dataset = DATASET,
) -> Verdict:
    """The verdict on `rows`; clips without a probe of their own are sound and unlike each other."""
    clips = pd.DataFrame(rows, dtype=str)
    found = [(probes or {}).get(clip, replace(GOOD, digest=f"{at}")) for at, clip in enumerate(clips["clip"])]
    table = pd.DataFrame([vars(probe) for probe in found])
    listed = list(clips["clip"]) if files is None else files
    return run_checks(clips, table, listed, dataset, params, Some(only, params))


def reasons(verdict: Verdict) -> dict[str, str]:
    return dict(zip(verdict.rejected["clip"], verdict.rejected["reasons"], strict=True))


def warned(verdict: Verdict) -> list[tuple[str, str]]:
    found = verdict.findings[(verdict.findings["severity"] == "warn") & (verdict.findings["check"] != "few_clips")]
    return [(check, subject) for check, subject in zip(found["check"], found["subject"], strict=True)]


CLIP_PROBLEMS = {
    "blank path": ({"clip": ""}, "bad_path: blank"),
    "path out": ({"clip": "../a.wav"}, "bad_path: '../a.wav' is not a plain path below the audio folder"),
    "unknown class": ({"class": "Bark"}, "unknown_class: 'Bark'"),
    "blank class": ({"class": ""}, "unknown_class: ''"),
    "id of another class": ({"class_id": "1"}, "wrong_class_id: bark with id '1', declared '0'"),
    "id of no class": ({"class_id": "7"}, "wrong_class_id: bark with id '7', declared '0'"),
    "fold 0": ({"fold": "0"}, "bad_fold: '0'"),
    "fold 11": ({"fold": "11"}, "bad_fold: '11'"),
    "fold x": ({"fold": "x"}, "bad_fold: 'x'"),
    "fold -1": ({"fold": "-1"}, "bad_fold: '-1'"),
    "fold 1.5": ({"fold": "1.5"}, "bad_fold: '1.5'"),
    "fold beyond all integers": ({"fold": "9" * 30}, f"bad_fold: '{'9' * 30}'"),
    "blank fold": ({"fold": ""}, "bad_fold: ''"),
    "negative start": ({"start_s": "-2.5"}, "bad_span: start -2.5 is negative"),
    "end before start": ({"end_s": "1.0"}, "bad_span: end 1.0 is not after start 1.5"),
    "end at start": ({"end_s": "1.50"}, "bad_span: end 1.50 is not after start 1.5"),
    "start in words": ({"start_s": "one"}, "bad_span: start 'one' is not a number"),
    "end without end": ({"end_s": "inf"}, "bad_span: end 'inf' is not a number"),
    "salience 3": ({"salience": "3"}, "bad_salience: '3'"),
}
ROW_KEPT = {
    "fold with a zero before": {"fold": "01"},
    "nothing known": {"class_id": "", "salience": "", "start_s": "", "end_s": ""},
    "start alone": {"end_s": ""},
    "start at zero": {"start_s": "0", "end_s": "4"},
    "class that pandas takes for nothing": {"class": "nan"},
    "space, accent, quote, emoji of several characters": {"clip": "a b/é'\"\u00a0👩‍🚒.wav"},
}


def test_problems_of_rows():
    rows = [row(f"good{n}.wav", **{"class": "bark" if n % 2 else "nan"}) for n in range(6)]
    rows += [row(**{"clip": f"{name}.wav", **values}) for name, (values, _) in CLIP_PROBLEMS.items()]
    rows += [row(**{"clip": f"{name}.wav", **values}) for name, values in ROW_KEPT.items()]
    verdict = verdict_on(rows)
    expected = {values.get("clip", f"{name}.wav"): reason for name, (values, reason) in CLIP_PROBLEMS.items()}
    assert reasons(verdict) == expected
    assert len(verdict.accepted) + len(verdict.rejected) == len(rows)
    assert warned(verdict) == []


PROBES = {
    "missing": (Probe(file_error="no such file"), "no_file: no such file"),
    "text": (Probe(decode_error="cannot be read as audio"), "undecodable: cannot be read as audio"),
    "empty": (replace(GOOD, n_samples=0, peak=None, rms=None, swing=None, clipped_fraction=None), "empty: no samples"),
    "cut": (replace(GOOD, missing="the last page is incomplete"), "truncated: the last page is incomplete"),
    "sample": (replace(GOOD, n_samples=1, swing=0.0), "too_short: 0.0000 s"),
    "click": (replace(GOOD, n_samples=1102), "too_short: 0.0500 s"),  # 0.04998
    "hour": (replace(GOOD, n_samples=22050 * 3600), "too_long: 3600.0 s"),
    "slow": (replace(GOOD, n_samples=31996, sample_rate_hz=7999), "low_sample_rate: 7999 Hz"),
    "array": (replace(GOOD, n_channels=9), "many_channels: 9 channels"),
    "nan": (replace(GOOD, n_not_finite=2, peak=0.0, swing=0.0), "not_finite: 2 samples are NaN or infinite"),
    "zero": (replace(GOOD, peak=0.0, rms=0.0, swing=0.0), "silent: every sample is zero"),
    "faint": (replace(GOOD, peak=9e-5, rms=5e-5, swing=9e-5), "silent: -80.9 dBFS"),
    "faint on an offset": (replace(GOOD, peak=0.3, rms=0.3, swing=9e-5), "silent: -80.9 dBFS"),
    "offset": (
        replace(GOOD, peak=0.3, rms=0.3, swing=0.0),
        "constant: no sample differs from the first, magnitude 0.3000",
    ),
    "shortest of UrbanSound8K": (replace(GOOD, n_samples=1202), None),
    "quiet": (replace(GOOD, peak=1.1e-4, swing=1.1e-4), None),
    "eight channels": (replace(GOOD, n_channels=8), None),
    "telephone": (replace(GOOD, n_samples=32000, sample_rate_hz=8000), None),
    "square": (replace(GOOD, peak=1.0, swing=1.0, clipped_fraction=1.0), None),
}


def test_problems_of_audio():
    rows = [row(name, end_s="") for name in PROBES]
    verdict = verdict_on(rows, {name: replace(probe, digest=name) for name, (probe, _) in PROBES.items()})
    assert reasons(verdict) == {name: reason for name, (_, reason) in PROBES.items() if reason}
    assert list(verdict.accepted["clip"]) == [name for name, (_, reason) in PROBES.items() if not reason]
    assert warned(verdict) == [("clipped", "square")]


def test_every_reason_of_a_clip_is_reported():
    probe = replace(GOOD, n_samples=100, n_channels=9, missing="the last page is incomplete", digest="x")
    verdict = verdict_on([row("a.wav", fold="x", salience="9", end_s=""), row("b.wav")], {"a.wav": probe})
    assert reasons(verdict)["a.wav"] == (
        "bad_fold: 'x'; bad_salience: '9'; truncated: the last page is incomplete; too_short: 0.0045 s; "
        "many_channels: 9 channels"
    )
    assert verdict.first_reasons.to_dict("records") == [{"check": "bad_fold", "subject": "a.wav", "detail": "'x'"}]


def test_length_against_metadata():
    rows = [row("same.wav"), row("near.wav", end_s="5.54"), row("far.wav", end_s="5.6"), row("unknown.wav", end_s="")]
    verdict = verdict_on(rows, only="clips")
    assert warned(verdict) == [("wrong_duration", "far.wav")]
    assert "4.0000 s, 4.1000 s in the metadata" in set(verdict.findings["detail"])


def test_repeated_rows():
    rows = [row("a.wav"), row("b.wav"), row("a.wav"), row("b.wav", fold="2"), row("c.wav"), row("a.wav")]
    verdict = verdict_on(rows, only="clips")
    assert list(verdict.accepted["clip"]) == ["a.wav", "c.wav"]
    assert list(verdict.rejected["reasons"]) == [
        "repeated_row: in 2 rows with different labels, first in row 2",
        "repeated_row: already in row 1",
        "repeated_row: in 2 rows with different labels, first in row 2",
        "repeated_row: already in row 1",
    ]


def test_ids_of_classes_are_held_against_the_declared_ones():
    """ESC-10 keeps the numbers of ESC-50, so that an id is no position; swapped names are found, blank ids are not."""
    dataset = replace(DATASET, class_ids=[40, 7])
    ids = [("bark", "40"), ("nan", "7"), ("bark", "7"), ("nan", "40"), ("nan", "")]
    rows = [row(f"{n}.wav", **{"class": name, "class_id": id_}) for n, (name, id_) in enumerate(ids)]
    assert reasons(verdict_on(rows, only="clips", dataset=dataset)) == {
        "2.wav": "wrong_class_id: bark with id '7', declared '40'",
        "3.wav": "wrong_class_id: nan with id '40', declared '7'",
    }


def test_a_dataset_without_ids_has_none_that_could_be_wrong():
    rows = [row("a.wav", class_id="5"), row("b.wav", class_id="")]
    assert reasons(verdict_on(rows, only="clips", dataset=replace(DATASET, class_ids=None))) == {}


COPIES = [
    # class and fold of clips with the same samples, in order -> which are rejected, what is warned of
    ([("bark", 1), ("bark", 1)], [], [("duplicate", 1)]),
    ([("bark", 1), ("bark", 2), ("bark", 1)], [1], [("duplicate", 2)]),
    ([("bark", 1), ("nan", 1)], [], [("duplicate_across_classes", 0), ("duplicate_across_classes", 1)]),
    ([("bark", 2), ("nan", 1)], [1], [("duplicate_across_classes", 0), ("duplicate_across_classes", 1)]),
]


@pytest.mark.parametrize(("copies", "rejected", "expected"), COPIES)
def test_copies(copies: list[tuple[str, int]], rejected: list[int], expected: list[tuple[str, int]]):
    rows = [row("other.wav")] + [row(f"{n}.wav", **{"class": c, "fold": f"{f}"}) for n, (c, f) in enumerate(copies)]
    verdict = verdict_on(rows, {f"{n}.wav": replace(GOOD, digest="same") for n in range(len(copies))}, only="relations")
    assert list(verdict.rejected["clip"]) == [f"{n}.wav" for n in rejected]
    assert warned(verdict) == [(check, f"{n}.wav") for check, n in expected]
    assert all("duplicate_across_folds: the samples of 0.wav" in reason for reason in verdict.rejected["reasons"])


def test_a_bad_clip_does_not_cost_its_copy_the_place():
    same = replace(GOOD, digest="same")
    rows = [row("a.wav", **{"class": "brak", "class_id": ""}), row("b.wav", fold="2")]
    verdict = verdict_on(rows, {"a.wav": same, "b.wav": same}, only="clips relations")
    assert list(verdict.accepted["clip"]) == ["b.wav"]


def test_sources_in_two_folds():
    sources = [("s", 1), ("s", 2), ("s", 2), ("t", 1), ("t", 1), ("known", 1), ("known", 2), ("", 1), ("", 2)]
    rows = [row(f"{n}.wav", source=source, fold=str(fold)) for n, (source, fold) in enumerate(sources)]
    verdict = verdict_on(rows, only="clips relations")
    assert warned(verdict) == [("shared_source", "0.wav"), ("no_source", "7.wav"), ("no_source", "8.wav")]
    assert "source 's' is also in fold 2" in set(verdict.findings["detail"])
    assert list(verdict.accepted["source"][-2:]) == ["7.wav", "8.wav"]  # unknown: each a recording of its own
    strict = replace(PARAMS, severity={**PARAMS.severity, "shared_source": "reject", "no_source": "reject"})
    assert list(verdict_on(rows, params=strict, only="clips relations").rejected["clip"]) == ["0.wav", "7.wav", "8.wav"]


def test_of_folds_that_hold_equally_much_of_a_source_the_lowest_keeps_it():
    rows = [row("a.wav", source="s", fold="2"), row("b.wav", source="s", fold="1")]
    strict = replace(PARAMS, severity={**PARAMS.severity, "shared_source": "reject"})
    assert reasons(verdict_on(rows, params=strict, only="relations")) == {
        "a.wav": "shared_source: source 's' is also in fold 1"
    }


def test_columns_files_and_folds():
    rows = [row("a.wav") | {"mood": "calm"}, row("b.wav", **{"class": "nan", "fold": "2"}) | {"mood": "wild"}]
    dataset = replace(DATASET, unused_columns=["clip", "Session"])  # of the table that fetch read
    verdict = verdict_on(rows, files=["a.wav", "b.wav", "lost.wav"], dataset=dataset)
    assert warned(verdict) == [
        *(("extra_column", name) for name in ("mood", "clip", "Session")),
        ("unlisted_file", "lost.wav"),
    ]
    few = verdict.findings[verdict.findings["check"] == "few_clips"]
    assert list(few["subject"]) == ["bark in fold 2", "nan in fold 1"]
    assert set(few["detail"]) == {"0 accepted clips"}
    assert list(verdict.accepted.columns) == ACCEPTED_COLUMNS
    assert list(verdict.rejected.columns) == [*ACCEPTED_COLUMNS, "reasons"]
    assert list(verdict.findings.columns) == FINDING_COLUMNS


def test_severity_stop_is_reported_after_all_is_checked():
    params = replace(PARAMS, severity={**PARAMS.severity, "bad_fold": "stop", "few_clips": "stop"})
    rows = [row("a.wav", fold="x"), row("b.wav", salience="8"), row("c.wav", fold="y"), row("d.wav")]
    verdict = verdict_on(rows, params=params, only="clips folds")
    assert list(verdict.rejected["clip"]) == ["a.wav", "b.wav", "c.wav"]
    assert re.match(
        r"stopped by 3 few_clips, 2 bad_fold, the first is 'a.wav' \(bad_fold: 'x'\); rejected clips: 2 bad_fold, such "
        r"as 'a.wav' \('x'\), 1 bad_salience, such as 'b.wav' \('8'\); correct the data, or the limits",
        reason_to_stop(verdict),
    )
    assert reason_to_stop(verdict_on(rows, only="clips folds")) is None


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_rejected_share": 0.2}, None),  # 2 of 10
        (
            {"max_rejected_share": 0.19},
            "1 rejected_share, the first is 'all clips' .rejected_share: 2 of 10 clips rejected",
        ),
        ({"max_rejected_share_per_class": 0.4}, None),  # 2 of 5
        ({"max_rejected_share_per_class": 0.39}, "1 rejected_share_per_class, the first is 'class nan'"),
    ],
)
def test_limits_on_what_is_rejected(limits: dict[str, float], expected: str | None):
    rows = [row(f"{n}.wav", **{"class": "nan" if n % 2 else "bark"}) for n in range(10)]
    lost = {f"{n}.wav": Probe(file_error="no such file") for n in (3, 5)}
    stop = reason_to_stop(verdict_on(rows, lost, replace(PARAMS, **limits), only="clips shares"))
    assert (stop is None) if expected is None else re.search(expected, stop)


def test_nothing_accepted_stops_whatever_the_limits():
    verdict = verdict_on([row("a.wav", fold="x"), row("b.wav", fold="y", salience="7")], only="clips")
    assert reason_to_stop(verdict) == (
        "none of 2 clips can be used: 2 bad_fold, such as 'a.wav' ('x'); correct the data"
    )


def test_a_stop_shows_the_three_most_frequent_reasons_with_an_example_each():
    found = {
        **dict.fromkeys(("a", "b", "c", "d"), Probe(decode_error="Format not recognised.")),
        **dict.fromkeys(("e", "f", "g"), Probe(file_error="no such file")),
        **dict.fromkeys(("h", "i"), replace(GOOD, missing="the last page is incomplete")),
        **dict.fromkeys(("j", "k"), replace(GOOD, n_channels=9)),
    }
    found = {name: replace(probe, digest=name) for name, probe in found.items()}
    verdict = verdict_on([row(name, end_s="") for name in found], found, replace(PARAMS, max_rejected_share=0.5))
    assert (
        "stopped by 1 rejected_share, the first is 'all clips' (rejected_share: 11 of 11 clips rejected); "
        "rejected clips: 4 undecodable, such as 'a' (Format not recognised.), 3 no_file, such as 'e' (no such file), "
        "2 many_channels, such as 'j' (9 channels), 2 for other reasons; correct the data"
    ) in reason_to_stop(verdict)


def test_no_verdict_changes_with_a_limit_that_it_does_not_meet():
    rows = [row("a.wav"), row("b.wav", end_s="9"), row("c.wav", end_s="")]
    probes = {"c.wav": replace(GOOD, n_samples=10, digest="c")}
    before = verdict_on(rows, probes, only="clips")
    after = verdict_on(
        rows, probes, replace(PARAMS, min_duration_s=0.04, max_duration_s=90.0, duration_tolerance_s=0.5), only="clips"
    )
    pd.testing.assert_frame_equal(before.accepted, after.accepted)
    pd.testing.assert_frame_equal(before.rejected, after.rejected)
    pd.testing.assert_frame_equal(before.findings, after.findings)


def test_summary_and_closing_lines():
    rows = [row("a.wav"), row("b.wav", fold="x"), row("c.wav", **{"class": "nan"}), row("d.wav", source="")]
    verdict = verdict_on(
        rows, {"c.wav": replace(GOOD, n_samples=22050 * 36, digest="c"), "d.wav": Probe(file_error="a folder")}
    )
    found = summary(verdict, DATASET)
    assert {key: found[key] for key in ("n_fetched", "n_accepted", "n_rejected", "rejected_share", "hours")} == {
        "n_fetched": 4,
        "n_accepted": 2,
        "n_rejected": 2,
        "rejected_share": 0.5,
        "hours": 0.0111,
    }
    assert found["hours_by_class"] == {"bark": 0.0011, "nan": 0.01}
    assert found["n_accepted_by_class"] == {"bark": 1, "nan": 1}
    assert {name: n for name, n in found["findings"].items() if n} == {
        "bad_fold": 1,
        "no_file": 1,
        "no_source": 1,
        "wrong_duration": 1,
        "few_clips": 2,
    }
    lines = closing_lines(verdict, Path("rejected.csv"))
    assert lines[0] == "2 of 4 clips accepted (0.0 h), 2 rejected: 1 bad_fold, 1 no_file; see rejected.csv"
    assert "warning: 1 no_source, such as 'd.wav': blank" in lines
    assert len(lines) == 4


@pytest.mark.parametrize(
    "clip", ["/a.wav", "a//b.wav", "./a.wav", "a/", "a/../b.wav", "a\nb.wav", "a\0.wav", "a\u2028b"]
)
def test_paths_that_are_none(clip: str):
    assert path_problem(clip)


HEADER = ",".join(CLIP_COLUMNS)
LINE = "a.wav,bark,0,1,s,1,0,4"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a column clip, class, class_id, fold, source, salience, start_s, end_s, found \\[\\]"),
        (HEADER.replace("fold,", "").encode(), "expected a column fold, found"),
        (f"{HEADER}\n".encode(), "expected one row per clip, found none; point fetch.source"),
        (f"{HEADER}\n{LINE}\n".replace(",", ";").encode(), "expected a column clip, .*found \\['clip;class"),
        (f"{HEADER}\n{LINE}\n{LINE},x\n".encode(), "row 2: expected 8 fields, found 9"),
        (f"{HEADER}\n{LINE},x\n".encode(), "row 1: expected 8 fields, found 9"),
        (f"{HEADER}\n{LINE}\na.wav,bark\n".encode(), "row 2: expected 8 fields, found 2 .'a.wav,bark'"),
        (f"{HEADER},fold\n{LINE},1\n".encode(), "expected different names of columns"),
        (f"{HEADER}\né.wav,bark,0,1,s,1,0,4\n".encode("latin-1"), "not a CSV table in UTF-8"),
        (f'{HEADER}\n"a.wav,bark\n'.encode(), "not a CSV table in UTF-8"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "clips.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_clips(tmp_path / "clips.csv")
    assert "\n" not in str(caught.value)


def test_no_table(tmp_path: Path):
    with pytest.raises(DataError, match=r"clips\.csv: no such file; run 'dvc repro fetch'"):
        read_clips(tmp_path / "clips.csv")


@pytest.mark.parametrize(
    "content", [f"\ufeff{HEADER}\n{LINE}\n", f"{HEADER}\r\n{LINE}\r\n", f"{HEADER}\n\n{LINE}", f"{HEADER}\n{LINE}\n"]
)
def test_byte_order_mark_line_ends_and_blank_lines(tmp_path: Path, content: str):
    (tmp_path / "clips.csv").write_bytes(content.encode())
    assert read_clips(tmp_path / "clips.csv").to_dict("records") == [
        dict(zip(CLIP_COLUMNS, LINE.split(","), strict=True))
    ]


def test_values_of_the_table_stay_text(tmp_path: Path):
    values = ["NA", "nan", "007", "None", "1e3", "", " 1", '"a\nb"']
    (tmp_path / "clips.csv").write_text(f"{HEADER}\n{','.join(values)}\n")
    assert list(read_clips(tmp_path / "clips.csv").iloc[0]) == [*values[:-1], "a\nb"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "dataset.json: cannot be read"),
        ("[]", "title: expected a str, found None"),
        ('{"title": "t", "classes": [], "folds": [1]}', "classes: expected a list, found \\[\\]"),
        (
            '{"title": "t", "classes": ["a"], "folds": ["1"]}',
            "folds: expected different values of int",
        ),
        (
            '{"title": "t", "classes": ["a", "a"], "folds": [1]}',
            "classes: expected different values",
        ),
    ],
)
def test_datasets_that_declare_nothing(tmp_path: Path, content: str, message: str):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read_dataset(tmp_path / "dataset.json")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"min_duration_s": 700.0}, "min_duration_s: expected at most validate.max_duration_s .600.0., found 700.0"),
        (
            {"severity": {"silent": "ignore"}},
            "validate.severity.silent: expected 'reject', 'warn' or 'stop', found 'ignore'",
        ),
        ({"severity": {"no_file": "warn"}}, "validate.severity.no_file: expected reject or stop, found 'warn'"),
        ({"severity": {"few_clips": "reject"}}, "validate.severity.few_clips: expected warn or stop, found 'reject'"),
        ({"severity": {"loud": "warn"}}, "validate.severity.loud is not a known check, expected one of bad_path"),
        ({"max_rejected_share": 1.5}, "max_rejected_share: expected a value less than or equal to 1, found 1.5"),
        ({"known_shared_sources": [106905]}, r"validate.known_shared_sources\[0\]: expected a string, found 106905"),
    ],
)
def test_params_that_do_not_fit(tmp_path: Path, edit: dict, message: str):
    section = yaml.safe_load((ROOT / "params.yaml").read_text())["validate"]
    section.update({**edit, "severity": {**section["severity"], **edit.get("severity", {})}})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"validate": section}))
    with pytest.raises(ParamsError, match=message):
        load_params(tmp_path / "params.yaml", ValidateParams)


def test_a_check_without_a_severity(tmp_path: Path):
    section = yaml.safe_load((ROOT / "params.yaml").read_text())["validate"]
    del section["severity"]["silent"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"validate": section}))
    with pytest.raises(ParamsError, match=r"validate.severity.silent is missing"):
        load_params(tmp_path / "params.yaml", ValidateParams)


def test_params_name_the_checks_in_their_order():
    assert list(PARAMS.severity) == list(SEVERITIES)
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_a_check_that_cannot_be_computed_is_no_verdict():
    """Great Expectations turns an exception into a failed result, which must not pass for one."""
    expectations = Expectations(PARAMS, DATASET)
    with pytest.raises(RuntimeError, match="check bad_path"):
        expectations.run("clips", pd.DataFrame({"subject": ["a.wav"]}), CHECKS[:1])


@pytest.mark.slow
def test_a_hundred_thousand_rows():
    rows = [
        row(f"{n}.wav", source=str(n // 5), fold="x" if n % 50 == 0 else str(n // 5 % 2 + 1)) for n in range(100_000)
    ]
    rows += rows[-1000:]
    verdict = verdict_on(rows, {f"{n}.wav": replace(GOOD, digest="same") for n in range(500, 900)})
    assert len(verdict.accepted) + len(verdict.rejected) == 101_000
    counts = verdict.findings["check"].value_counts()
    assert (counts["bad_fold"], counts["repeated_row"]) == (2020, 1000)
