"""The report on a pull request: its facts, its Markdown as GitHub's own parser reads it, and the command."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cmarkgfm
import pandas as pd
import pytest

from helpers.facts import BASE, FACTS, cells, row_of
from helpers.repository import GIT_IDENTITY, ROOT
from stages.commands.compare.paired_test import compare
from stages.commands.pull_request import report
from stages.commands.pull_request.collect import (
    differences,
    metric_changes,
    param_changes,
    read_json_output,
    read_log,
    stage_changes,
    stale_stages,
)
from stages.commands.pull_request.markdown import (
    MAX_CHARACTERS,
    Change,
    ClassChange,
    Metric,
    Picture,
    Stage,
    code,
    direction,
    number,
    read_facts,
    render,
    table,
    write_facts,
)
from stages.commands.revisions import find_merge_base, list_files, read_blob
from stages.lib.core.errors import DataError, EarError


def markdown(facts=FACTS, **changes):
    return render(dataclasses.replace(facts, **changes), picture_url=lambda picture, side: f"{side}/{picture.path}")


def test_the_report_says_what_changed_what_ran_and_whether_it_is_chance():
    text = markdown()
    assert text.startswith("## Accuracy 0.926 → 0.815: ▼ worse, more than chance, *p* 0.033\n")
    assert row_of(text, "featurize.n_mels") == ["featurize.n_mels", "150", "64"]
    assert row_of(text, "accuracy") == [
        "accuracy", "0.926", "0.815", "-0.111", "-0.241 to -0.012", "▼ worse, more than chance, p 0.033",
    ]  # fmt: skip
    assert row_of(text, "log_loss")[-1] == "▲ better, could be chance, p 0.093"
    assert row_of(text, "calibration_error")[1:] == ["–", "0.100", "", "", "new"]
    assert row_of(text, "roc_auc")[-1] == "removed"
    assert row_of(text, "accuracy_low") == ["accuracy_low", "0.840", "0.690", "-0.150"]  # no direction, no verdict
    assert row_of(text, "featurize") == ["featurize", "ran", "ran", "featurize.n_mels"]
    assert row_of(text, "train") == ["train", "from the cache", "ran", "data/features"]
    assert row_of(text, "siren")[2:] == ["██████████ 1.00", "█████░░░░░ 0.50", "-0.500", "more than chance"]
    assert all(row[0] != "dog_bark" for row in cells(text))
    assert "![old](old/metrics/evaluate/confusion.png) | ![new](new/metrics/evaluate/confusion.png)" in text
    assert "3 recognised only here, 12 only by the base" in text
    assert "12 metrics did not move" in text


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("accuracy", 1), ("segment_balanced_accuracy", 1), ("macro_f1", 1), ("event_f1", 1), ("roc_auc", 1),
        ("segment_average_precision", 1), ("log_loss", -1), ("validation_log_loss", -1), ("calibration_error", -1),
        ("accuracy_low", 0), ("macro_f1_high", 0), ("accuracy_std", 0), ("n_clips", 0), ("hours", 0),
        ("n_accepted_by_class.accuracy", 0), ("accuracylike", 0), ("accuracy_error_rate", 0),
    ],
)  # fmt: skip
def test_the_better_direction_is_known_by_name(name, sign):
    assert direction(name) == sign


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
    page = cmarkgfm.github_flavored_markdown_to_html(text)
    assert set(re.findall(r"<(\w+)", page)) <= {"table", "thead", "tbody", "tr", "th", "td", "code"}


def test_names_of_classes_with_pipes_and_backticks_keep_their_row():
    for name in HOSTILE[:6]:
        assert row_of(markdown(classes=[ClassChange(name, 9, 1.0, 0.0, 0.5)]), name)[1] == "9"


def test_control_characters_and_long_names_are_cut():
    assert code("a\nb\u202ec") == "`a\ufffdb\ufffdc`"
    assert len(code("x" * 10_000)) < 130
    assert code(" ") == "(empty)"


STATES = {
    "a failed stage": (
        {"stages": [Stage("train", "failed", "", []), Stage("evaluate", "not run", "", [])], "metrics": []},
        ["## Stage `train` failed", "| `train` | **failed** |", "| `evaluate` | not run |"],
    ),
    "a base without metrics": (
        {"metrics": [Metric("m.json", "accuracy", None, 0.5)], "not_compared": "the base: has no x.csv", "n_clips": 0},
        ["The base has no metrics to compare with", "could not be judged: `the base: has no x.csv`"],
    ),
    "no metrics here": (
        {"metrics": [Metric("m.json", "accuracy", 0.5, None)], "not_compared": "no", "n_clips": 0},
        ["There are no metrics here"],
    ),
    "nothing moved": (
        {"metrics": [], "params": [], "classes": [], "pictures": [], "stages": [Stage("train", "", "", [])]},
        ["## No metric moved", "**Parameters**: none changed", "12 metrics did not move", "none differs from the base"],
    ),
    "out of date": ({"stale": ["train"]}, ["Not up to date: `train`. The results are of an older state"]),
    "other libraries": ({"libraries": True}, ["Both were run with those of the new one"]),
    "base of another machine": (
        {"stages": [Stage("train", "ran", "", [])]},
        ["The base was not run here: another machine"],
    ),
    "a base from the cache": (
        {"stages": [Stage("train", "cached", "cached", [])]},
        [f"against `{BASE[:9]}`, from the cache: the last"],
    ),
    "params of two files": (
        {"params": [Change("a.yaml", "k", None, "1"), Change("b.yaml", "k", "1", None)]},
        ["| `a.yaml: k` | – | `1` |", "| `b.yaml: k` | `1` | – |"],
    ),
    "a new picture": (
        {"pictures": [Picture("metrics/a.png", False, True, True, True)]},
        ["| – | ![new](new/metrics/a.png) |"],
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_states_are_said(state):
    changes, expected = STATES[state]
    text = markdown(**changes)
    for part in expected:
        assert part in text


def test_pictures_that_no_address_shows_are_left_to_the_artefact():
    text = render(FACTS, picture_url=lambda picture, side: None, page_url="https://example.org/run")
    assert "![" not in text
    assert "**Pictures**: 1 changed; they are in the artefact" in text
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


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "–"), (1.0, "1"), (0.5, "0.500"), (0.00123, "0.0012"), (1e-9, "1e-09"), (810, "810"), (1e12, "1e+12")],
)
def test_numbers_are_short(value, expected):
    assert number(value) == expected


def test_facts_are_read_as_they_were_written():
    assert read_facts(write_facts(FACTS)) == FACTS


def changed(**changes):
    return json.dumps(json.loads(write_facts(FACTS)) | changes)


METRIC = dataclasses.asdict(FACTS.metrics[0])
REFUSED = {
    "no JSON": ("<html>", "not JSON"),
    "deep": ("[" * 200_000, "not JSON"),
    "a list": ("[]", r"facts: expected exactly the keys base, base_name"),
    "a missing key": ("{}", r"facts: expected exactly the keys"),
    "a key too many": (changed(body="# hello"), r"facts: expected exactly the keys"),
    "a branch for a commit": (changed(base="main"), r"facts\.base: 'main', expected the 40 digits of a commit"),
    "a number for text": (changed(base_name=1), r"facts\.base_name: expected str"),
    "text for a flag": (changed(libraries="no"), r"facts\.libraries: expected bool"),
    "a flag for a number": (changed(n_clips=True), r"facts\.n_clips: expected int"),
    "a negative count": (changed(n_clips=-1), r"facts\.n_clips: too long or too great"),
    "long text": (changed(base_name="x" * 3000), r"facts\.base_name: too long"),
    "NaN": (changed(metrics=[METRIC | {"new": float("nan")}]), r"facts\.metrics\[0\]\.new: expected a finite number"),
    "infinite": (changed(metrics=[METRIC | {"p": float("inf")}]), r"facts\.metrics\[0\]\.p: expected a finite"),
    "a long list": (changed(stale=["x"] * 6000), r"facts\.stale: expected a list of at most 5,000"),
    "another run": (
        changed(stages=[dataclasses.asdict(Stage("a", "won", "", []))]),
        r"stages\[0\]: 'won', expected",
    ),
    "Markdown in the name of a metric": (
        changed(metrics=[dataclasses.asdict(Metric("m.json", "x [a](https://b.example) @org", 0.1, 0.2, p=0.01))]),
        r"metrics\[0\]: 'x \[a\]\(https://b\.example\) @org', expected letters",
    ),
    "a path upwards": (
        changed(pictures=[dataclasses.asdict(Picture("metrics/../x.png", True, True, True, True))]),
        r"pictures\[0\]: 'metrics/\.\./x\.png', expected metrics/",
    ),
    "an address": (
        changed(pictures=[dataclasses.asdict(Picture("metrics/a.png) [x](https://b.png", True, True, True, True))]),
        r"expected metrics/",
    ),
    "too much": ("x" * 2_000_001, r"2,000,001 characters, at most 2,000,000"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_facts_that_are_none_are_refused(fault):
    text, message = REFUSED[fault]
    with pytest.raises(DataError, match=message):
        read_facts(text)


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
    old, new = (report.yaml.safe_load(report.read_or_none(at, path) or "{}") for at in (revision, "workspace"))
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
    assert text.startswith("## Accuracy 1 → 0: ▼ worse, more than chance, *p* ")
    assert f"`{head[:9]}`, with the results that it holds, against" in text
    assert row_of(text, "featurize.n_mels") == ["featurize.n_mels", "150", "64"]
    assert row_of(text, "featurize") == ["featurize", "featurize.n_mels"]
    assert "0 recognised only here, 12 only by the base" in text
    assert "**Pictures**: 1 changed" in text
    assert printed(capsys, "main") == text


def test_the_workspace_is_reported_before_it_is_committed(repository, capsys):
    write_state(right=(0,) + (1,) * 11)
    text = printed(capsys, "main")
    assert "with results that it does not hold yet" in text
    assert "▼ worse, could be chance" in text


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
    assert re.search(r"could not be judged: `[0-9a-f]{40}: has no metrics/evaluate/predictions\.csv", text)
    assert row_of(text, "featurize") == ["featurize", "a new stage"]


def test_new_and_removed_metrics_are_said(repository, capsys):
    write_state(metrics={"macro_f1": 0.5})
    text = printed(capsys, "main")
    assert row_of(text, "accuracy")[1:3] + row_of(text, "accuracy")[-1:] == ["1", "–", "removed"]
    assert row_of(text, "macro_f1")[-1] == "new"


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
    assert f"against `{git('rev-parse', 'main')[:9]}`, run here too" in text
    facts = read_facts(Path("out/facts.json").read_text())
    assert facts.pictures == [Picture("metrics/evaluate/confusion.png", True, True, False, True)]
    for side, content in (("old", b"other machine"), ("new", b"new")):
        assert Path(f"out/pictures/{side}/metrics/evaluate/confusion.png").read_bytes() == content
        assert f"pictures/{side}/metrics/evaluate/confusion.png" in text


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
def test_dvc_itself_is_asked_and_its_fault_is_one_line(tmp_path):
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
