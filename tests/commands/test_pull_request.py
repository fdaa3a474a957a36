"""The report on a pull request: its facts, its Markdown as GitHub's own parser reads it, and the command."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import urllib.parse
from pathlib import Path

import cmarkgfm
import pandas as pd
import pytest
import yaml

from helpers.facts import BASE, FACTS, HEAD, cells, row_of
from helpers.repository import GIT_IDENTITY, ROOT
from stages.commands.compare.paired_test import compare
from stages.commands.lock import differences, is_only_machine
from stages.commands.pull_request import report
from stages.commands.pull_request.collect import (
    clip_changes,
    metric_changes,
    param_changes,
    read_json_output,
    read_log,
    stage_changes,
    stale_stages,
)
from stages.commands.pull_request.facts import (
    RUNS,
    Change,
    ClassChange,
    ClipChange,
    Metric,
    Picture,
    Stage,
    read_facts,
    write_facts,
)
from stages.commands.pull_request.markdown import (
    MAX_CHARACTERS,
    MAX_ROWS,
    RUN_TEXTS,
    code,
    number,
    quote,
    render,
    table,
)
from stages.commands.revisions import find_merge_base, list_files, read_blob
from stages.lib.core.errors import DataError, EarError


def markdown(facts=FACTS, **changes):
    return render(
        dataclasses.replace(facts, **changes), picture_url=lambda picture, side: quote(f"{side}/{picture.path}")
    )


def page(text):
    """As GitHub's own parser reads it, with its links of bare addresses."""
    return cmarkgfm.github_flavored_markdown_to_html(text)


def test_the_report_says_what_changed_what_ran_and_whether_it_is_significant():
    text = markdown()
    assert text.startswith("## Accuracy 0.926 → 0.815: ▼ worse (p 0.033)\n")
    assert (
        f"Compared: `{HEAD[:9]}` (here), with results that it does not hold yet, and `{BASE[:9]}` (base), the last "
        "commit shared with `origin/main`, run here too, on 81 clips from 36 sources of test fold 10.\n"
    ) in text
    assert row_of(text, "featurize.n_mels") == ["featurize.n_mels", "150", "64"]
    assert row_of(text, "accuracy") == [
        "accuracy", "0.926", "0.815", "-0.111", "-0.241 to -0.012", "▼ worse (p 0.033)",
    ]  # fmt: skip
    assert row_of(text, "log_loss")[-1] == "no significant difference (p 0.093)"
    assert row_of(text, "featurize") == ["featurize", "ran", "ran", "featurize.n_mels"]
    assert row_of(text, "train") == ["train", "from the cache", "ran", "data/features"]
    assert row_of(text, "siren")[2:] == ["██████████ 1.000", "█████░░░░░ 0.500", "-0.500", "significant (p 0.020)"]
    assert "corrected for the 2 classes (Holm)" in text
    assert all(row[0] != "dog_bark" for row in cells(text))
    assert "![old](old/metrics/evaluate/confusion.png) | ![new](new/metrics/evaluate/confusion.png)" in text
    assert "12 metrics did not change" in text
    assert "Not up to date" not in text
    assert "[!" not in text
    assert "no metrics" not in text  # one was removed, and one is new


def test_what_is_not_tested_is_folded_and_has_no_verdict():
    text = markdown()
    shown, folded = text.split("<summary>4 other numbers, not tested</summary>")
    assert row_of(folded, "accuracy_low") == ["accuracy_low", "0.840", "0.690", "-0.150"]
    assert row_of(folded, "n_clips") == ["n_clips", "80", "81", "+1"]
    assert row_of(folded, "calibration_error") == ["calibration_error", "–", "0.100", ""]
    assert row_of(folded, "roc_auc") == ["roc_auc", "0.990", "–", ""]
    assert "▲" not in folded
    assert "▼" not in folded
    assert all(row[0] != "accuracy_low" for row in cells(shown))


@pytest.mark.parametrize(
    ("name", "old", "new", "p", "verdict"),
    [
        ("log_loss", 0.4, 0.3, 0.0499, "▲ better (p 0.050)"),
        ("log_loss", 0.3, 0.4, 0.01, "▼ worse (p 0.010)"),
        ("macro_f1", 0.3, 0.4, 0.0001, "▲ better (p < 0.001)"),
        ("macro_f1", 0.998, 0.998, 0.5, "no significant difference (p 0.500)"),
        ("macro_f1", 0.3, 0.4, 0.05, "no significant difference (p 0.050)"),
    ],
)
def test_a_verdict_knows_which_way_a_score_is_better_and_the_level(name, old, new, p, verdict):
    text = markdown(metrics=[Metric("metrics/evaluate.json", name, old, new, -1, 1, p)])
    assert row_of(text, name)[-1] == verdict
    assert text.splitlines()[0].endswith(f": {verdict}")


def test_clips_that_changed_sides_are_named_with_what_both_predicted():
    text = markdown()
    assert "<summary>3 clips recognised only here, 12 only by the base</summary>" in text
    assert row_of(text, "fold10/a.wav") == ["fold10/a.wav", "siren", "siren", "dog_bark"]
    assert "sounds/" not in text
    linked = render(
        FACTS,
        picture_url=lambda picture, side: None,
        sound_url=lambda clip: f"sounds/{clip}",
        page_url="https://example.org/run",
    )
    assert "| [`fold10/b.wav`](sounds/fold10/b.wav) | `dog_bark` |" in linked
    assert "[`fold10/a.wav`]" not in linked  # its recording is not there
    assert "To listen to them, open `report.md` in the artefact of the run" in linked


HOSTILE = [
    "a|b",
    "back`tick",
    "``two``",
    "\\|",
    "trailing\\",
    "a`|`b\\|c",
    "</details><img src=x onerror=alert(1)>",
    "@everyone #1 www.example.org https://example.org",
    "**bold** _it_ [link](https://example.org)",
    "-->",
    " padded ",
    "日本語 é",
    "|",
    "`",
    "&amp; &lt;",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_shown_as_it_is_and_does_nothing(name):
    text = table(["name", "next"], [[code(name), "x"]])
    assert cells(text)[1] == [name, "x"]
    assert set(re.findall(r"<(\w+)", page(text))) <= {"table", "thead", "tbody", "tr", "th", "td", "code"}


EVIL = "Approved_by_the_maintainers_merge_it_see_www.evil.example.com"


@pytest.mark.parametrize("name", [*HOSTILE, EVIL, "https://evil.example.com", "@team/all", "a@evil.example.com", "#1"])
def test_no_name_of_the_facts_leaves_its_code_wherever_it_stands(name):
    """Facts are of anyone, and GitHub makes links of bare addresses and of mentions outside of code."""
    text = markdown(
        base_name=name,
        stale=[name],
        params=[Change(name, name, name, name), Change("b.yaml", name, None, name)],
        stages=[Stage(name, "failed", "ran", [name]), Stage(name, "ran", "", [], other_machine=True)],
        metrics=[Metric(name, name, 0.1, 0.2, -1, 1, 0.01), Metric(name, name, 0.1, None)],
        not_compared=name,
        clips=[ClipChange(name, name, name, name, has_sound=True)],
        classes=[ClassChange(name, 9, 1.0, 0.0, 0.5)],
        pictures=[Picture(f"metrics/{name}/x.png", True, True, True, True)],
    )
    outside = re.sub(r'<code>.*?</code>|src="[^"]*"', "", page(text), flags=re.DOTALL)
    assert not re.search("evil|example|onerror|everyone|team|#1|<a ", outside)
    assert row_of(text, name)[1:]


def test_only_a_known_score_is_named_in_the_heading():
    metric = Metric("metrics/evaluate.json", EVIL, 0.1, 0.2, 0.05, 0.15, 0.001)
    text = markdown(metrics=[metric])
    assert text.startswith("## Results\n")
    assert row_of(text, EVIL)[:3] == [EVIL, "0.100", "0.200"]
    assert "<a " not in page(text)
    assert markdown(metrics=[metric, *FACTS.metrics]).startswith("## Accuracy")


def test_control_characters_and_long_names_are_cut():
    assert code("a\nb\u202ec") == "`a\ufffdb\ufffdc`"
    assert len(code("x" * 10_000)) < 130
    assert code(" ") == "(empty)"


STATES = {
    "a failed stage": (
        {"stages": [Stage("train", "failed", "", []), Stage("evaluate", "not run", "", [])], "metrics": []},
        ["## Stage `train` failed", "| `train` | **failed** |", "| `evaluate` | not run |"],
        ["base, here"],
    ),
    "a stage that took too long": (
        {"stages": [Stage("train", "timed out", "", [])]},
        ["## Stage `train` was stopped at the time limit", "| `train` | **stopped at the time limit** |"],
        ["failed"],
    ),
    "a base that failed": (
        {"stages": [Stage("train", "ran", "failed", ["x"])]},
        ["## Accuracy", "which could not be run here, so with the results that it holds", "| ran | **failed** |"],
        ["## Stage `"],
    ),
    "a base without metrics": (
        {"metrics": [Metric("m.json", "accuracy", None, 0.5)], "not_compared": "the base: has no x.csv", "n_clips": 0},
        ["The base has no metrics to compare with", "could not be tested: `the base: has no x.csv`", "## Results"],
        ["There are no metrics here"],
    ),
    "a base with a metric less": (
        {"metrics": [Metric("m.json", "accuracy", None, 0.5), Metric("m.json", "log_loss", 0.1, 0.5)]},
        [],
        ["The base has no metrics", "There are no metrics here"],
    ),
    "no metrics here": (
        {"metrics": [Metric("m.json", "accuracy", 0.5, None)], "not_compared": "no", "n_clips": 0},
        ["There are no metrics here"],
        ["The base has no metrics"],
    ),
    "nothing changed": (
        {name: [] for name in ("metrics", "params", "classes", "clips", "pictures", "stages")},
        [
            "## No metric changed",
            "**Parameters**: none changed",
            "12 metrics did not change",
            "**Stages**: none differs",
        ],
        ["<details>"],
    ),
    "out of date": (
        {"stale": ["train"]},
        ["Not up to date: `train`. The results are of an older state"],
        [],
    ),
    "other libraries": ({"libraries": True}, ["Both were run with those of the new one"], ["may come of that"]),
    "other libraries, base not run": (
        {"libraries": True, "stages": [Stage("train", "ran", "", [])]},
        ["Some of what changed may come of that", "The base was not run here: another machine"],
        ["Both were run"],
    ),
    "a base from the cache": (
        {"stages": [Stage("train", "cached", "cached", [])]},
        ["the last commit shared with `origin/main`, with results from the cache, on 81 clips"],
        [],
    ),
    "several folds": ({"folds": [1, 2]}, ["36 sources of test folds 1, 2."], []),
    "another machine alone": (
        {
            "only_machine": True,
            "stages": [Stage("train", "", "", [], True), Stage("evaluate", "", "", ["data/models"])],
        },
        [
            "## Accuracy 0.926 → 0.815 on another machine, with nothing else changed\n",
            "> `train` gave other outputs from the same parameters, code and data. Another processor or other versions",
            "no difference below comes from a change of this repository.",
            "| `train` | nothing, but gave other outputs |",
        ],
        ["worse (p 0.033)\n\nCompared"],
    ),
    "another machine among changes": (
        {"stages": [Stage("scale", "", "", [], True), Stage("train", "", "", ["train.epochs"])]},
        ["## Accuracy 0.926 → 0.815: ▼ worse", "> `scale` gave other outputs", "part of what differs below comes from"],
        ["nothing else"],
    ),
    "params of two files": (
        {"params": [Change("a.yaml", "k", None, "1"), Change("b.yaml", "k", "1", None)]},
        ["| `a.yaml: k` | – | `1` |", "| `b.yaml: k` | `1` | – |"],
        [],
    ),
    "a new picture": (
        {"pictures": [Picture("metrics/a.png", False, True, True, True)]},
        ["| – | ![new](new/metrics/a.png) |", "<summary>1 picture that changed</summary>"],
        [],
    ),
    "facts that were left out": ({"n_left_out": 3}, ["3 facts were too long, too many or malformed"], []),
}


@pytest.mark.parametrize("state", STATES)
def test_states_are_said(state):
    changes, expected, absent = STATES[state]
    text = markdown(**changes)
    for part in expected:
        assert part in text
    for part in absent:
        assert part not in text


def test_pictures_that_no_address_shows_are_left_to_the_artefact():
    text = render(FACTS, picture_url=lambda picture, side: None, page_url="https://example.org/run")
    assert "![" not in text
    assert "**Pictures**: 1 picture changed; see them in the artefact" in text
    assert "[artefact of the run](https://example.org/run)" in text


def test_the_report_stays_below_the_limit_of_github():
    name = "\\" * 200
    many = {
        "params": [Change("params.yaml", f"{name}{i}", name, name) for i in range(3000)],
        "stages": [Stage(f"{name}{i}", "ran", "ran", [name] * 50) for i in range(300)],
        "metrics": [Metric("m", f"{i}_accuracy_{name}", 0.1, 0.2) for i in range(3000)],
        "classes": [ClassChange(f"{name}{i}", 9, 0.1, 0.2, 0.5) for i in range(3000)],
    }
    text = markdown(**many)
    assert len(text) < MAX_CHARACTERS
    assert "A part is left out" in text
    assert text.endswith("which anyone can run in a clone.\n")
    assert "… and 2960 more." in table(["a"], [["b"]] * 3000)
    assert table(["a"], [["b"]] * 3000).count("| b |") == MAX_ROWS


def test_warnings_leave_room_whatever_stages_are_called():
    """Nine characters of Markdown for each of a name, in what is never left out."""
    names = [f"`{chr(0x1F436)}" * 60 + str(i) for i in range(300)]
    text = markdown(stale=names, stages=[Stage(name, "ran", "ran", [], True) for name in names])
    assert len(text) < MAX_CHARACTERS
    assert "and 294 more. The results are of an older state" in text
    assert "gave other outputs from the same" in text


def test_pictures_over_the_limit_are_counted():
    text = markdown(pictures=[Picture(f"metrics/{i}.png", True, True, True, True) for i in range(MAX_ROWS + 3)])
    assert text.count("![new]") == MAX_ROWS
    assert "43 pictures that changed" in text
    assert "… and 3 more." in text


def test_a_score_that_was_not_tested_stands_among_those_that_were():
    tested, other = Metric("m", "accuracy", 0.5, 0.6, -0.1, 0.3, 0.2), Metric("m", "log_loss", 0.3, 0.4)
    text = markdown(metrics=[tested, other])
    assert row_of(text, "accuracy")[-1] == "no significant difference (p 0.200)"
    assert row_of(text, "log_loss")[-1] == "not tested"


def test_a_number_that_is_whole_on_one_side_alone_is_no_count():
    assert row_of(markdown(metrics=[Metric("m", "n", 80, 80.5)]), "n") == ["n", "80.000", "80.500", "+0.500"]


def test_parts_that_fit_each_and_not_together_are_left_out_from_the_end():
    """Each is some 25,000 characters long, so two fit; the room that the third would need is used by what is small."""
    name = "\\" * 120
    rows = {
        "params": [Change("params.yaml", f"{i}{name}", "1", "2") for i in range(38)],
        "stages": [Stage(f"{i}{name}", "ran", "ran", []) for i in range(38)],
        "classes": [ClassChange(f"{i}{name}", 9, 0.1, 0.2, 0.5) for i in range(38)],
    }
    sizes = {key: len(markdown(**{key: value})) - len(markdown(**{key: []})) for key, value in rows.items()}
    assert all(20_000 < size < 28_000 for size in sizes.values())
    text = markdown(**rows)
    assert 40_000 < len(text) < MAX_CHARACTERS
    assert "### Parameters" in text
    assert "### Stages" in text
    assert "Recall of the 38 classes" not in text
    assert "1 picture that changed" in text  # small, so it still has room
    assert "A part is left out" in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "–"), (1.0, "1.000"), (0.5, "0.500"), (0.0, "0.000"), (0.00123, "0.001"), (0.00049, "0.00049"),
        (-0.000012, "-0.000012"), (1e-9, "1.0e-09"), (810.25, "810.250"), (12345.0, "12,345.000"),
    ],
)  # fmt: skip
def test_numbers_have_one_style(value, expected):
    assert number(value) == expected


def test_counts_have_no_decimals():
    assert number(12345, whole=True) == "12,345"
    assert number(-3, whole=True, sign=True) == "-3"


def test_facts_are_read_as_they_were_written():
    assert read_facts(write_facts(FACTS)) == FACTS


def changed(**changes):
    return json.dumps(json.loads(write_facts(FACTS)) | changes)


REFUSED = {
    "no JSON": ("<html>", "not JSON"),
    "deep": ("[" * 200_000, "not JSON"),
    "a list": ("[]", r"facts: expected exactly the keys base, base_name"),
    "a missing key": ("{}", r"facts: expected exactly the keys"),
    "a key too many": (changed(body="# hello"), r"facts: expected exactly the keys"),
    "a branch for a commit": (changed(base="main"), r"facts\.base: 'main', expected the 40 digits of a commit"),
    "text behind a commit": (changed(base="a" * 40 + ") [x](https://b.example"), r"facts\.base: 'aa.*expected the 40"),
    "a line end behind a commit": (changed(head="a" * 40 + "\n"), r"facts\.head: 'aa.*expected the 40 digits"),
    "a number for text": (changed(base_name=1), r"facts\.base_name: expected str"),
    "text for a flag": (changed(libraries="no"), r"facts\.libraries: expected bool"),
    "a flag for a number": (changed(n_clips=True), r"facts\.n_clips: expected int"),
    "a negative count": (changed(n_clips=-1), r"facts\.n_clips: -1, expected a count"),
    "text for a list": (changed(stale="train"), r"facts\.stale: expected a list"),
    "too much": ("x" * 2_000_001, r"2,000,001 characters, at most 2,000,000"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_facts_that_are_none_are_refused(case):
    text, message = REFUSED[case]
    with pytest.raises(DataError, match=message):
        read_facts(text)


METRIC = dataclasses.asdict(FACTS.metrics[0])
PICTURE = dataclasses.asdict(FACTS.pictures[0])
LEFT_OUT = {
    "NaN": ("metrics", METRIC | {"new": float("nan")}),
    "infinite": ("metrics", METRIC | {"p": float("inf")}),
    "a metric that is text": ("metrics", METRIC | {"old": "0.9"}),
    "a key too many": ("metrics", METRIC | {"html": "<b>"}),
    "another run": ("stages", dataclasses.asdict(Stage("a", "won", "", []))),
    "a path upwards": ("pictures", PICTURE | {"path": "metrics/../x.png"}),
    "a path elsewhere": ("pictures", PICTURE | {"path": "/metrics/x.png"}),
    "no picture": ("pictures", PICTURE | {"path": "metrics/x.html"}),
    "a negative fold": ("folds", -1),
    "no stage": ("stale", {}),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_one_item_that_is_no_fact_costs_itself_alone_and_is_counted(case):
    field, item = LEFT_OUT[case]
    facts = read_facts(changed(**{field: [item, *json.loads(write_facts(FACTS))[field]]}))
    assert facts == dataclasses.replace(FACTS, n_left_out=1)


def test_facts_that_are_too_long_are_cut_at_writing_so_that_they_can_be_read():
    long = dataclasses.replace(
        FACTS,
        not_compared="because " + "x" * 3_000,
        params=[Change("params.yaml", "classes", None, json.dumps(list(range(700))))],
        metrics=[*FACTS.metrics, Metric("m.json", "loss", 0.1, float("nan"))],
        stale=[f"stage{i}" for i in range(6_000)],
    )
    facts = read_facts(write_facts(long))
    assert len(facts.not_compared) == 2_000
    assert facts.not_compared.endswith("…")
    assert facts.params[0].new.startswith("[0, 1, 2")
    assert facts.metrics == FACTS.metrics
    assert len(facts.stale) == 5_000
    assert facts.n_left_out == 1_001
    assert "1001 facts were too long" in markdown(facts)


def test_facts_of_more_than_can_be_read_lose_the_ends_of_their_lists():
    many = [Change("params.yaml", f"{i}" + "é" * 1_900, "1", "2") for i in range(3_000)]
    facts = read_facts(write_facts(dataclasses.replace(FACTS, params=many)))
    assert len(facts.params) + facts.n_left_out == 3_000
    assert facts.metrics == FACTS.metrics


def test_an_address_is_quoted_whatever_the_letters_of_a_path():
    path = "metrics/Straße (neu)/日本 [x](evil.example) www.evil.example.png"
    facts = dataclasses.replace(FACTS, pictures=[Picture(path, True, True, True, True)])
    assert read_facts(write_facts(facts)) == facts
    html_text = page(render(facts, picture_url=lambda picture, side: quote(picture.path)))
    sources = re.findall(r'src="([^"]*)"', html_text)
    assert [urllib.parse.unquote(source) for source in sources] == [path, path]
    assert "<a " not in html_text


LOG = """\
Stage 'fetch' didn't change, skipping
Stage 'validate' is cached - skipping run, checking out outputs
Running stage 'train':
> python -m stages.train
train: Running stage 'nonsense'
ERROR: failed to reproduce 'train': failed to run: python -m stages.train, exited with 1
"""


def test_the_output_of_repro_is_understood():
    assert read_log(LOG) == {"fetch": "unchanged", "validate": "cached", "train": "failed"}
    assert stale_stages(LOG) == ["train"]


def test_stages_say_what_they_were_run_with():
    old = {
        "cmd": "a",
        "deps": [{"path": "x.py", "hash": "md5", "md5": "1"}, {"path": "data/in", "hash": "md5", "md5": "1"}],
        "params": {"params.yaml": {"train": {"rate": 1, "seed": 1}, "split.folds": [1]}},
    }
    new = {
        "cmd": "b",
        "deps": [{"path": "x.py", "hash": "md5", "md5": "2"}, {"path": "y.py", "hash": "md5", "md5": "1"}],
        "params": {"params.yaml": {"train": {"rate": 2, "seed": 1}, "split.folds": [1, 2]}},
    }
    assert differences(old, new) == ["split.folds", "train.rate", "data/in", "x.py", "y.py", "command"]
    assert differences(None, new) == ["a new stage"]
    assert differences(old, None) == ["no longer run"]
    assert differences(None, None) == []
    rows = stage_changes(["a", "b"], {"a": old, "b": old}, {"a": old, "b": old}, {"a": "ran"}, {})
    assert rows == [Stage("a", "ran", "", []), Stage("b", "not run", "", [])]


def lock_of(machine, epochs=1):
    """A lock of two stages, of which the first gives other outputs on another machine."""
    model = {"path": "data/models", "hash": "md5", "md5": f"{machine} {epochs}"}
    return {
        "train": {"cmd": "t", "params": {"params.yaml": {"train": {"epochs": epochs}}}, "outs": [model]},
        "evaluate": {
            "cmd": "e",
            "deps": [model],
            "outs": [{"path": "metrics", "md5": f"scores of {machine} {epochs}"}],
        },
    }


@pytest.mark.parametrize(
    ("old", "new", "other_machine", "only_machine"),
    [
        (lock_of("amd"), lock_of("intel"), [True, False], True),
        (lock_of("amd"), lock_of("amd"), [False, False], False),
        (lock_of("amd"), lock_of("intel", epochs=2), [False, False], False),
        (
            lock_of("amd"),
            {**lock_of("intel"), "evaluate": lock_of("intel")["evaluate"] | {"cmd": "x"}},
            [True, False],
            False,
        ),
        ({}, lock_of("intel"), [False, False], False),
    ],
    ids=["another machine", "the same", "a parameter", "both", "a first run"],
)
def test_other_outputs_of_the_same_are_distinguished_from_those_of_a_change(old, new, other_machine, only_machine):
    rows = stage_changes(["train", "evaluate"], old, new, {}, {})
    assert [row.other_machine for row in rows] == other_machine
    assert is_only_machine(old, new) == only_machine


def test_diffs_of_dvc_become_changes():
    diff = {"params.yaml": {"b": {"old": 1, "new": 2}, "a": {"new": "x"}, "c": {"old": [1], "new": None}}}
    assert param_changes(diff) == [
        Change("params.yaml", "a", None, "x"),
        Change("params.yaml", "b", "1", "2"),
        Change("params.yaml", "c", "[1]", None),
    ]
    metrics, n_equal = metric_changes(
        {"m": {"a": {"old": 1, "new": 1}, "b": {"old": 1, "new": 2}, "c": {"new": 1.5}}}, None, "m"
    )
    assert metrics == [Metric("m", "b", 1, 2), Metric("m", "c", None, 1.5)]
    assert n_equal == 1
    with pytest.raises(DataError, match="'dvc x' printed no JSON but 'oops'"):
        read_json_output("oops", "dvc x")


def predictions(right):
    rows = [
        {"clip": f"c{i}", "fold": 1, "source": f"s{i}", "truth": "a", "predicted": "a" if ok else "b"}
        | {"p_a": 0.9 if ok else 0.2, "p_b": 0.1 if ok else 0.8}
        for i, ok in enumerate(right)
    ]
    return pd.DataFrame(rows)


def test_tested_metrics_come_first_with_their_p():
    comparison = compare(predictions([1] * 8), predictions([0] * 8), n_draws=100)
    diff = {
        "e.json": {"aa": {"old": 0, "new": 1}, "accuracy": {"old": 1.0, "new": 0.0}},
        "t.json": {"accuracy": {"new": 1}},
    }
    metrics, _ = metric_changes(diff, comparison, "e.json")
    assert [(metric.file, metric.name, metric.p is not None) for metric in metrics] == [
        ("e.json", "accuracy", True),
        ("e.json", "aa", False),
        ("t.json", "accuracy", False),
    ]


def test_clips_that_changed_sides_are_those_of_the_comparison_lost_ones_first():
    comparison = compare(predictions([1, 1, 1, 0, 0, 0]), predictions([0, 0, 1, 1, 0, 0]), n_draws=10)
    lost, gained = [ClipChange(f"c{i}", "a", "a", "b") for i in (0, 1)], [ClipChange("c3", "a", "b", "a")]
    assert clip_changes(comparison, 5) == lost + gained
    assert clip_changes(comparison, 1) == lost[:1] + gained


# The command, on repositories that have results but no pipeline to run; DVC's diffs are read out of Git by a stand-in.


PARAMS = Path("params.yaml")


def git(*arguments):
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def write_state(n_mels=150, right=(1,) * 12, metrics=None, picture=b"old"):
    """Files as the pipeline leaves them."""
    report.PREDICTIONS.parent.mkdir(parents=True, exist_ok=True)
    (report.METRICS / "evaluate/confusion.png").write_bytes(picture)
    predictions(right).to_csv(report.PREDICTIONS, index=False)
    scores = {"accuracy": sum(right) / len(right)} if metrics is None else metrics
    report.SCORES.write_text(json.dumps(scores))
    PARAMS.write_text(f"featurize: {{n_mels: {n_mels}}}\n")
    report.PIPELINE.write_text("stages: {featurize: {}, evaluate: {}}\n")
    lock = {"stages": {"featurize": {"params": {"params.yaml": {"featurize": {"n_mels": n_mels}}}}, "evaluate": {}}}
    report.LOCK.write_text(json.dumps(lock))


def commit(message):
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", message)
    return git("rev-parse", "HEAD")


def fake_diff(*command):
    """What `dvc metrics diff` and `dvc params diff` say of a state of `write_state`."""
    kind, revision = command[0], command[-1]
    path = report.SCORES if kind == "metrics" else PARAMS
    old, new = (yaml.safe_load(report.read_or_none(at, path) or "{}") for at in (revision, "workspace"))
    if kind == "params":
        old, new = ({f"featurize.{k}": v for k, v in each.get("featurize", {}).items()} for each in (old, new))
    names = old | new
    keys = names if "--all" in command else [name for name in names if old.get(name) != new.get(name)]
    return json.dumps({path.as_posix(): {name: {"old": old.get(name), "new": new.get(name)} for name in keys}})


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with a branch `main` and one from it, `topic`, which is checked out."""
    monkeypatch.chdir(tmp_path)
    for name, value in GIT_IDENTITY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(report, "dvc", fake_diff)
    monkeypatch.setattr(report, "follow_dvc", lambda *command, show: (0, "Stage 'featurize' didn't change, skipping\n"))
    git("init", "--quiet", "--initial-branch", "main")
    write_state()
    commit("base")
    git("checkout", "--quiet", "-b", "topic")
    return tmp_path


def printed(capsys, *arguments):
    report.main([*arguments])
    return capsys.readouterr().out


def test_a_branch_is_reported(repository, capsys):
    write_state(n_mels=64, right=(0,) * 12, picture=b"new")
    head = commit("fewer bands")
    text = printed(capsys, "main")
    assert text.startswith("## Accuracy 1.000 → 0.000: ▼ worse (p < 0.001)")
    assert f"Compared: `{head[:9]}` (here), with the results that it holds, and `" in text
    assert row_of(text, "featurize.n_mels") == ["featurize.n_mels", "150", "64"]
    assert row_of(text, "featurize") == ["featurize", "featurize.n_mels"]
    assert "0 clips recognised only here, 12 only by the base" in text
    assert row_of(text, "c0") == ["c0", "a", "a", "b"]
    assert "**Pictures**: 1 picture changed" in text
    assert printed(capsys, "main") == text


def test_the_workspace_is_reported_before_it_is_committed(repository, capsys):
    write_state(right=(0,) + (1,) * 11)
    text = printed(capsys, "main")
    assert "with results that it does not hold yet" in text
    assert "no significant difference" in text


def test_a_base_that_moved_on_changes_nothing(repository, capsys):
    write_state(n_mels=64)
    commit("topic")
    before = printed(capsys, "main")
    git("checkout", "--quiet", "main")
    write_state(n_mels=40, right=(0,) * 12)
    commit("moved")
    git("checkout", "--quiet", "topic")
    assert printed(capsys, "main") == before


def test_a_base_without_results_is_said(repository, capsys):
    git("checkout", "--quiet", "--orphan", "bare")
    git("rm", "-r", "--quiet", "--force", ".")
    commit("nothing yet")
    git("checkout", "--quiet", "-b", "first")
    write_state()
    commit("results")
    text = printed(capsys, "bare")
    assert "The base has no metrics to compare with" in text
    assert re.search(r"could not be tested: `[0-9a-f]{40}: has no metrics/evaluate/predictions\.csv", text)
    assert row_of(text, "featurize") == ["featurize", "a new stage"]


def test_predictions_of_models_before_are_not_compared(repository, capsys):
    """As `dvc exp apply` of an experiment that ended with train leaves them."""
    write_state(right=(0,) * 12)
    models = [{"path": "data/models", "md5": md5} for md5 in ("new", "old")]
    report.LOCK.write_text(json.dumps({"stages": {"train": {"outs": models[:1]}, "evaluate": {"deps": models[1:]}}}))
    text = printed(capsys, "main")
    assert "could not be tested: `the workspace: evaluate has not run on its models" in text
    assert "worse" not in text


def test_new_and_removed_metrics_are_said(repository, capsys):
    write_state(metrics={"macro_f1": 0.5})
    text = printed(capsys, "main")
    assert row_of(text, "accuracy") == ["accuracy", "1.000", "–", ""]
    assert row_of(text, "macro_f1") == ["macro_f1", "–", "0.500", ""]


def test_a_failed_run_is_said_with_what_there_is(repository, capsys):
    for path in (report.SCORES, report.PREDICTIONS, report.METRICS / "evaluate/confusion.png"):
        path.unlink()
    Path("rerun.json").write_text(json.dumps({"head": {"featurize": "failed"}, "base": {}, "base_results": None}))
    text = printed(capsys, "main", "--rerun", "rerun.json")
    assert text.startswith("## Stage `featurize` failed")
    assert row_of(text, "evaluate")[1] == "not run"
    assert "no such file in the workspace" in text


def test_results_of_the_base_that_were_made_here_are_compared(repository, capsys):
    git("checkout", "--quiet", "--detach", "main")
    write_state(right=(1,) * 6 + (0,) * 6, picture=b"other machine")
    made = commit("base, run here")
    git("checkout", "--quiet", "topic")
    write_state(right=(1,) * 7 + (0,) * 5, picture=b"new")
    commit("topic")
    log = {"head": {"evaluate": "ran"}, "base": {"evaluate": "ran"}, "base_results": made}
    Path("rerun.json").write_text(json.dumps(log))
    text = printed(capsys, "main", "--rerun", "rerun.json", "--out", "out")
    text = Path("out/report.md").read_text()
    assert row_of(text, "accuracy")[1:3] == ["0.500", "0.583"]
    assert f"and `{git('rev-parse', 'main')[:9]}` (base), the last commit shared with `main`, run here too" in text
    facts = read_facts(Path("out/facts.json").read_text())
    assert facts.pictures == [Picture("metrics/evaluate/confusion.png", True, True, False, True)]
    for side, content in (("old", b"other machine"), ("new", b"new")):
        assert Path(f"out/pictures/{side}/metrics/evaluate/confusion.png").read_bytes() == content
        assert f"pictures/{side}/metrics/evaluate/confusion.png" in text


@pytest.fixture
def recordings(repository, monkeypatch):
    """The branch loses three clips, whose recordings of 10, 20 and 30 bytes are at hand; nothing is withheld."""
    write_state(right=(0, 0, 0) + (1,) * 9)
    commit("worse")
    audio = report.RAW / "audio"
    audio.mkdir(parents=True)
    for i in range(3):
        (audio / f"c{i}").write_bytes(b"x" * 10 * (i + 1))
    monkeypatch.setattr(report, "outputs_not_to_push", set)
    return audio


def sounds():
    return sorted(path.name for path in Path("out/sounds").glob("*"))


def test_recordings_of_clips_that_changed_sides_are_next_to_the_report(recordings):
    (recordings / "c1").unlink()
    report.main(["main", "--out", "out", "--sounds"])
    assert sounds() == ["c0", "c2"]
    assert Path("out/sounds/c2").read_bytes() == b"x" * 30
    text = Path("out/report.md").read_text()
    assert "| [`c0`](sounds/c0) | `a` | `a` | `b` |" in text
    assert "| `c1` | `a` | `a` | `b` |" in text
    assert [clip.has_sound for clip in read_facts(Path("out/facts.json").read_text()).clips] == [True, False, True]


def test_recordings_are_there_only_when_asked_for_and_up_to_a_size(recordings, monkeypatch):
    report.main(["main", "--out", "out"])
    assert sounds() == []
    monkeypatch.setattr(report, "MAX_SOUNDS_BYTES", 40)
    report.main(["main", "--out", "out", "--sounds"])
    assert sounds() == ["c0", "c1"]


def test_recordings_that_may_not_be_passed_on_are_left_out(recordings, monkeypatch, capsys):
    monkeypatch.setattr(report, "outputs_not_to_push", lambda: {"data/raw"})
    report.main(["main", "--out", "out", "--sounds"])
    assert sounds() == []
    assert "no recordings, since dvc.yaml says push: false of data/raw" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--plots", "--sounds"])
def test_what_needs_a_folder_says_so(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        report.main(["main", option])
    assert "--plots and --sounds need --out" in capsys.readouterr().err


def test_a_pipeline_that_cannot_be_read_is_one_line(repository, monkeypatch):
    said = "ERROR: unable to read: 'params.yaml'\n"
    monkeypatch.setattr(report, "follow_dvc", lambda *command, show: (1, said))
    with pytest.raises(EarError, match=r"^'dvc repro --allow-missing --dry' failed: unable to read: 'params.yaml'"):
        report.main(["main"])


def test_the_page_of_plots_compares_with_the_base(repository, monkeypatch):
    asked = []

    def dvc(*command):
        asked.append(command)
        return "" if command[0] == "plots" else fake_diff(*command)

    monkeypatch.setattr(report, "dvc", dvc)
    report.main(["main", "--out", "out", "--plots"])
    assert asked[-1] == ("plots", "diff", git("rev-parse", "main"), "--out", "out/plots")


def test_what_has_to_run_first_is_said(repository, capsys, monkeypatch):
    monkeypatch.setattr(report, "follow_dvc", lambda *command, show: (0, "Running stage 'featurize':\n> x\n"))
    assert "Not up to date: `featurize`" in printed(capsys, "main")


def test_a_shallow_clone_says_what_to_fetch(repository, tmp_path_factory, monkeypatch, capsys):
    write_state(n_mels=64)
    commit("one")
    commit("two")
    git("checkout", "--quiet", "main")
    commit("moved")
    clone = tmp_path_factory.mktemp("clone") / "shallow"
    git("clone", "--quiet", "--depth=1", "--no-single-branch", "--branch=topic", f"file://{repository}", str(clone))
    monkeypatch.chdir(clone)
    with pytest.raises(
        EarError, match=r"origin/main: no commit that it shares with HEAD .* run 'git fetch --unshallow"
    ):
        report.main(["origin/main"])
    with pytest.raises(EarError, match=r"other: not in this shallow clone; run 'git fetch --unshallow origin' first"):
        find_merge_base("other")
    git("fetch", "--quiet", "--unshallow", "origin")
    assert row_of(printed(capsys, "origin/main"), "featurize.n_mels")[1:] == ["150", "64"]


def test_unrelated_and_unknown_bases_are_named(repository):
    git("checkout", "--quiet", "--orphan", "alone")
    commit("unrelated")
    with pytest.raises(EarError, match="main: shares no commit with HEAD; name the branch that HEAD began on"):
        report.main(["main"])
    with pytest.raises(EarError, match="nothing: no commit, branch, tag or experiment"):
        report.main(["nothing"])


def test_files_of_a_revision_are_listed_with_their_content(repository):
    old = list_files("main", report.METRICS)
    assert list_files("workspace", report.METRICS) == old
    assert read_blob(old["metrics/evaluate/confusion.png"]) == b"old"
    (report.METRICS / "new.txt").write_text("x")
    assert set(list_files("workspace", report.METRICS)) - set(old) == {"metrics/new.txt"}
    assert list_files("main", Path("nowhere")) == list_files("workspace", Path("nowhere")) == {}


@pytest.mark.slow
def test_dvc_itself_is_asked_and_its_error_is_one_line(tmp_path):
    """The command as users run it, with the real DVC, on this repository's pipeline and no data."""
    clone = tmp_path / "clone"
    git("clone", "--quiet", "--shared", str(ROOT), str(clone))
    params = clone / "params.yaml"
    params.write_text(params.read_text().replace("n_mels: 150", "n_mels: 64"))
    done = run_report(clone, "HEAD")
    assert done.returncode == 0, done.stderr
    assert row_of(done.stdout, "featurize.n_mels") == ["featurize.n_mels", "150", "64"]
    assert "Not up to date: `featurize`" in done.stdout
    params.write_text("a: [")
    done = run_report(clone, "HEAD")
    assert done.returncode == 1
    assert re.match(
        r"error: 'dvc repro --allow-missing --dry' failed: unable to read: 'params.yaml'.*; correct that first$",
        done.stderr.strip(),
    )


def run_report(folder, *arguments):
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
    }
    command = [
        sys.executable,
        "-P",
        "-m",
        "stages.commands.pull_request.report",
        *arguments,
    ]  # not the code of the clone
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_every_way_that_a_stage_can_have_run_has_a_text():
    assert set(RUN_TEXTS) == RUNS
