"""Comparison of two runs: the test itself, and reading revisions out of Git."""

import itertools
import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from helpers.repository import GIT_IDENTITY
from stages.commands.compare import __main__ as command
from stages.commands.compare.paired_test import COMPARED, compare, correct_holm, find_changed
from stages.commands.revisions import find_commit, read_revision
from stages.evaluate.scores import score_folds
from stages.lib.core.errors import DataError, EarError

CLASSES = ["siren", "dog_bark", "car_horn"]


def predictions(right, n_per_source=1, fold=1, classes=CLASSES):
    """Clips of the classes in turn, `right` or predicted as the next class; `n_per_source` neighbours are a source."""
    right = np.asarray(right, dtype=bool)
    numbers = np.arange(len(right)) % len(classes)
    predicted = np.where(right, numbers, (numbers + 1) % len(classes))
    table = pd.DataFrame(
        {
            "clip": [f"fold{fold}/{i:03}.wav" for i in range(len(right))],
            "fold": fold,
            "source": [str(i // n_per_source) for i in range(len(right))],
            "truth": np.array(classes)[numbers],
            "predicted": np.array(classes)[predicted],
        }
    )
    for i, name in enumerate(classes):
        table[f"p_{name}"] = np.where(predicted == i, 0.8, 0.1)
    return table


def score_of(comparison, name="accuracy"):
    return comparison.scores.set_index("score").loc[name]


def test_the_p_value_is_that_of_all_exchanges_counted_out():
    """Six sources, so 64 ways to exchange: each is tried, and the share that differs as much is the p-value."""
    a = predictions([1, 0, 0, 0, 1, 0])
    b = predictions([1, 1, 1, 1, 0, 1])
    gains = np.array([0, 1, 1, 1, -1, 1])
    observed = abs(gains.sum())
    ways = [abs((gains * signs).sum()) >= observed for signs in itertools.product([1, -1], repeat=6)]
    found = score_of(compare(a, b, n_draws=20_000))
    assert found["difference"] == pytest.approx(3 / 6)
    assert found["p"] == pytest.approx(np.mean(ways), abs=4 * np.sqrt(0.25 / 20_000))  # four standard errors


def test_clips_of_one_source_are_one_observation():
    """The same 24 better clips prove much as 24 sources, and little as 4."""
    a, b = [0] * 24 + [1] * 24, [1] * 48
    apart = score_of(compare(predictions(a), predictions(b)))
    together = score_of(compare(predictions(a, 6), predictions(b, 6)))
    assert apart["difference"] == together["difference"] == 0.5
    assert apart["p"] < 0.001
    assert together["p"] == pytest.approx(2 / 2**4, abs=0.02)  # all four sources one way or all the other way
    assert apart["high"] - apart["low"] < together["high"] - together["low"]


def test_equal_runs_do_not_differ():
    a = predictions([1, 0, 1, 1, 0, 1])
    comparison = compare(a, a, n_draws=100)
    assert (comparison.scores["difference"] == 0).all()
    assert (comparison.scores["p"] == 1).all()
    assert (comparison.classes["p"] == 1).all()
    assert comparison.changed.empty
    for table in (comparison.scores, comparison.classes):  # both runs are resampled alike, so nothing is left
        assert (table[["low", "high"]] == 0).all(axis=None)


def test_runs_that_are_equal_but_for_chance_are_rarely_significantly_different():
    """Of 100 pairs that are right by the same chance, one in twenty differs at 5 %, within three standard errors."""
    rng = np.random.default_rng(0)
    p_values = [
        score_of(compare(*(predictions(rng.random(60) < 0.7, 3) for _ in range(2)), n_draws=100, seed=i))["p"]
        for i in range(100)
    ]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)


def confidences(n, n_per_source, seed):
    """A table whose probabilities differ from clip to clip."""
    rng = np.random.default_rng(seed)
    table = predictions(rng.random(n) < 0.7, n_per_source)
    raw = rng.gamma(1.0, size=(n, 3)) + 3 * (table["predicted"].to_numpy()[:, np.newaxis] == np.array(CLASSES))
    table[[f"p_{name}" for name in CLASSES]] = raw / raw.sum(axis=1, keepdims=True)
    return table.assign(predicted=np.array(CLASSES)[raw.argmax(axis=1)])


@pytest.mark.parametrize("name", ["accuracy", "log_loss"])
def test_the_p_value_is_that_of_the_permutation_test_of_scipy(name):
    """Scipy tries all 2 ** 12 exchanges of the sums of 12 sources."""
    a, b = confidences(36, 3, seed=1), confidences(36, 3, seed=5)

    def sums(table):
        if name == "accuracy":
            values = (table["truth"] == table["predicted"]).astype(float)
        else:
            values = -np.log([row[f"p_{row['truth']}"] for row in table.to_dict("records")])
        return pd.Series(values, index=table.index).groupby(table["source"]).sum().to_numpy()

    exact = stats.permutation_test(
        (sums(a), sums(b)),
        lambda x, y, axis: y.sum(axis=axis) - x.sum(axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    found = score_of(compare(a, b, n_draws=20_000), name)
    assert 0.02 < exact.pvalue < 0.98
    assert found["difference"] == pytest.approx(exact.statistic / 36, abs=1e-5)
    assert found["p"] == pytest.approx(exact.pvalue, abs=4 * np.sqrt(0.25 / 20_000))


def test_compared_scores_are_those_of_evaluate():
    tables = [
        pd.concat([confidences(30, 3, seed), confidences(12, 2, seed + 9).assign(fold=2)], ignore_index=True)
        for seed in (2, 3)
    ]
    tables = [table.assign(clip=[f"{i}.wav" for i in range(42)]) for table in tables]
    scores = compare(*tables, n_draws=10).scores.set_index("score")
    for side, table in zip("ab", tables, strict=True):
        assert scores[side].to_dict() == pytest.approx(score_folds(table, CLASSES)[COMPARED].mean().to_dict())


def test_classes_and_sources_are_of_all_folds():
    a = pd.concat([predictions([1] * 9, 3), predictions([1] * 6, 2, fold=2)])
    b = pd.concat([predictions([1] * 9, 3), predictions([1, 1, 0] * 2, 2, fold=2)])  # no car horn of fold 2 is found
    comparison = compare(a, b, n_draws=100)
    assert comparison.n_sources == 3 + 3
    table = comparison.classes.set_index("class")
    assert table["n_clips"].to_dict() == dict.fromkeys(CLASSES, 5)
    assert table.loc["car_horn", "difference"] == pytest.approx(-2 / 5)


def test_turning_the_runs_round_turns_the_signs():
    a, b = predictions([1, 0, 0, 0, 1, 0, 1, 1, 0]), predictions([1, 1, 1, 0, 0, 1, 1, 1, 0])
    one, other = (score_of(compare(*pair, n_draws=500)) for pair in ((a, b), (b, a)))
    assert one["difference"] == -other["difference"]
    assert (one["low"], one["high"]) == pytest.approx((-other["high"], -other["low"]))
    assert one["p"] == other["p"]


def test_scores_are_means_over_folds():
    a = pd.concat([predictions([1] * 9), predictions([0] * 3, fold=2)])
    comparison = compare(a, a, n_draws=10)
    assert comparison.folds == [1, 2]
    assert score_of(comparison)["a"] == 0.5


def test_the_order_of_rows_and_columns_does_not_matter():
    a, b = predictions([1, 0, 1, 0, 1, 1]), predictions([1, 1, 1, 0, 0, 1])
    shuffled = b.sample(frac=1, random_state=0)[[*b.columns[:5], *reversed(b.columns[5:])]]
    pd.testing.assert_frame_equal(compare(a, b, n_draws=50).scores, compare(a, shuffled, n_draws=50).scores)


def test_a_class_that_moved_carries_its_own_name():
    a = predictions([1] * 60)
    b = predictions([i % 3 != 2 for i in range(60)])  # no car horn is recognised
    table = compare(a, b, n_draws=1000).classes.set_index("class")
    assert table.index[0] == "car_horn"
    assert table["difference"].to_dict() == {"car_horn": -1, "siren": 0, "dog_bark": 0}
    assert table.loc["car_horn", "p"] == pytest.approx(3 / 1001)  # the least there is, three times for three classes


def test_changed_clips_say_which_run_was_right():
    changed = find_changed(predictions([1, 0, 1]), predictions([1, 1, 0]))
    assert changed[["clip", "truth", "predicted_a", "predicted_b", "better"]].to_numpy().tolist() == [
        ["fold1/002.wav", "car_horn", "car_horn", "siren", "a"],
        ["fold1/001.wav", "dog_bark", "car_horn", "dog_bark", "b"],
    ]


def test_holm_corrects_as_in_the_textbook():
    assert correct_holm(np.array([0.01, 0.04, 0.03, 0.5])).tolist() == pytest.approx([0.04, 0.09, 0.09, 0.5])


RIGHT = [1, 0, 1, 1, 1, 0]
REFUSED = {
    "other clips": (
        lambda b: b[1:],
        r"different clips: 1 are in A alone and 0 in B alone, such as fold1/000\.wav; run",
    ),
    "more clips": (
        lambda b: pd.concat([b, b[:1].assign(clip="new.wav")]),
        r"different clips: 0 are in A alone and 1 in B alone, such as new\.wav; run",
    ),
    "other source": (
        lambda b: b.assign(source=["x", *b["source"][1:]]),
        r"fold1/000\.wav: its source is 0 in A and x in B, and so for 1 clips; run both on the same data",
    ),
    "other fold": (lambda b: b.assign(fold=2), r"fold1/000\.wav: its fold is 1 in A and 2 in B, and so for 6 clips"),
    "other label": (
        lambda b: b.assign(truth=["dog_bark", *b["truth"][1:]]),
        r"fold1/000\.wav: its truth is siren in A and dog_bark in B, and so for 1 clips; run both on the same data",
    ),
    "other classes": (
        lambda b: b.rename(columns={"p_siren": "p_cat"}),
        r"different classes, \['cat', 'siren'\] in one",
    ),
    "no clip": (lambda b: b[:0], r"a run has no predictions, since no model had a test fold; set split\.test_folds"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_runs_that_cannot_be_compared_are_refused(case):
    change, message = REFUSED[case]
    a = predictions(RIGHT)
    with pytest.raises(DataError, match=message):
        compare(a, change(a).reset_index(drop=True))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with the predictions of three states: `better` and `worse` (tags), and the workspace."""
    monkeypatch.chdir(tmp_path)
    for name, value in GIT_IDENTITY.items():
        monkeypatch.setenv(name, value)
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "empty")
    git("tag", "empty")
    for tag, right in (("worse", [0] * 12 + [1] * 6), ("better", [1] * 18)):
        command.PREDICTIONS.parent.mkdir(parents=True, exist_ok=True)
        predictions(right).to_csv(command.PREDICTIONS, index=False)
        git("add", "--all")
        git("commit", "--quiet", "--message", tag)
        git("tag", tag)
    return tmp_path


def git(*arguments):
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_two_tags_are_compared(repository, capsys):
    command.main(["worse", "better", "--csv", "changed.csv"])
    text = capsys.readouterr().out
    assert "18 clips of 18 sources, folds 1" in text
    accuracy = next(line for line in text.splitlines() if line.startswith("accuracy"))
    assert accuracy.split()[1:4] == ["0.333", "1.000", "+0.667"]
    assert accuracy.endswith("  significant")
    assert "12 clips recognised by B alone:" in text
    assert "  fold1/000.wav  siren, by the other dog_bark" in text
    assert "and 2 more; --csv FILE writes them all" in text
    assert "0 clips recognised by A alone" in text
    assert len(pd.read_csv("changed.csv")) == 12


def test_the_workspace_is_a_revision(repository, capsys):
    predictions([0] * 18).to_csv(command.PREDICTIONS, index=False)
    command.main(["HEAD", "workspace"])
    assert "0 clips recognised by B alone" in capsys.readouterr().out


def test_another_machine_is_said_before_the_numbers(repository, capsys):
    """The same inputs and other outputs, which dvc.lock shows, come from no change of the repository."""
    for tag, model in (("amd", "1"), ("intel", "2")):
        git("checkout", "--quiet", "better" if tag == "amd" else "worse")
        model = {"path": "data/models", "hash": "md5", "md5": model}
        lock = {"train": {"cmd": "t", "outs": [model]}, "evaluate": {"cmd": "e", "deps": [model]}}
        Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": lock}))
        git("add", "--all")
        git("commit", "--quiet", "--message", tag)
        git("tag", tag)
    command.main(["amd", "intel"])
    note, rest = capsys.readouterr().out.split("\n\n", 1)
    assert note.startswith("note: train gave other outputs from the same parameters, code and data. Another processor")
    assert note.endswith("nothing else differs, so no difference below comes from a change of this repository.")
    assert rest.startswith("A: amd\n")
    command.main(["amd", "amd"])
    assert capsys.readouterr().out.startswith("A: amd\n")


def write_lock(*, trained, tested, test_folds=(1,)):
    """A lock in which train gave the models `trained`, and evaluate ran on `tested`."""
    outs, deps = ([{"path": "data/models", "hash": "md5", "md5": md5}] for md5 in (trained, tested))
    params = {"params.yaml": {"split": {"test_folds": list(test_folds)}}}
    stages = {"train": {"cmd": "t", "params": params, "outs": outs}, "evaluate": {"cmd": "e", "deps": deps}}
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))


def test_predictions_of_models_before_are_not_taken_for_those_of_an_experiment(repository, capsys):
    """An experiment that ends with train carries along what evaluate left in an earlier run."""
    write_lock(trained="1.dir", tested="1.dir")
    git("add", "--all")
    git("commit", "--quiet", "--message", "evaluated")
    git("tag", "evaluated")
    write_lock(trained="2.dir", tested="1.dir")
    git("add", "--all")
    git("commit", "--quiet", "--message", "trained")
    make_experiment("my-sounds", "evaluated", "HEAD")
    why = "evaluate has not run on its models, so there are no predictions of them; run"
    for revisions in (["evaluated", "my-sounds"], ["my-sounds", "evaluated"]):
        git("checkout", "--quiet", "evaluated")
        with pytest.raises(EarError, match=rf"^my-sounds: {why} 'dvc exp apply my-sounds' and 'dvc repro'$"):
            command.main(revisions)
    write_lock(trained="2.dir", tested="1.dir")
    with pytest.raises(EarError, match=rf"^workspace: {why} 'dvc repro'$"):
        command.main(["evaluated", "workspace"])
    write_lock(trained="2.dir", tested="1.dir", test_folds=[])
    with pytest.raises(EarError, match=r"^workspace: evaluate has .*; none can be made of models of all recordings"):
        command.main(["evaluated", "workspace"])
    assert not capsys.readouterr().out
    write_lock(trained="2.dir", tested="2.dir")
    command.main(["evaluated", "workspace"])
    assert "0 clips recognised by B alone" in capsys.readouterr().out


def test_a_lock_that_is_no_yaml_is_named(repository):
    Path("dvc.lock").write_text("stages: [")
    with pytest.raises(EarError, match=r"workspace: its dvc\.lock is not valid YAML with stages"):
        command.main(["better", "workspace"])


def make_experiment(name, base, commit):
    full = git("rev-parse", base)
    git("update-ref", f"refs/exps/{full[:2]}/{full[2:]}/{name}", git("rev-parse", commit))


def test_an_experiment_is_found_by_its_name(repository):
    make_experiment("lucky-owl", "better", "worse")
    git("update-ref", "refs/exps/exec/EXEC_BRANCH", "better")  # one of DVC's own notes
    assert find_commit("lucky-owl") == git("rev-parse", "worse")
    assert "fold1/000.wav" in read_revision("lucky-owl", command.PREDICTIONS)
    make_experiment("lucky-owl", "empty", "better")
    assert find_commit("lucky-owl") == git("rev-parse", "worse")  # the one that started from HEAD
    git("checkout", "--quiet", "worse")
    with pytest.raises(EarError, match=r"lucky-owl: several experiments have this name; give the hash of one"):
        find_commit("lucky-owl")


@pytest.mark.parametrize(
    ("revisions", "message"),
    [
        (["nothing", "better"], "nothing: no commit, branch, tag or experiment; see 'git log' and 'dvc exp list"),
        (["EXEC_BRANCH", "better"], "EXEC_BRANCH: no commit, branch, tag or experiment"),
        (["better", "empty"], r"empty: has no metrics/evaluate/predictions\.csv; name a revision at which"),
        (["better", "-x"], None),
    ],
)
def test_what_cannot_be_read_is_named(repository, revisions, message):
    git("update-ref", "refs/exps/exec/EXEC_BRANCH", "better")
    if message is None:  # an option that argparse does not know
        with pytest.raises(SystemExit, match="2"):
            command.main(revisions)
    else:
        with pytest.raises(EarError, match=message):
            command.main(revisions)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"workspace: metrics/evaluate/predictions\.csv has no column clip; run 'dvc repro' there and commit"),
        ("clip,fold,source,truth,predicted\n", r"has no column p_<class>; run"),
        (None, r"predictions\.csv: no such file in the workspace; run 'dvc repro'"),
    ],
)
def test_a_workspace_without_predictions_is_named(repository, content, message):
    command.PREDICTIONS.unlink()
    if content is not None:
        command.PREDICTIONS.write_text(content)
    with pytest.raises(EarError, match=message):
        command.main(["better", "workspace"])


def test_outside_of_a_repository_it_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(EarError, match=r"cannot read its Git repository \(not a git repository"):
        command.main(["HEAD", "workspace"])


def test_as_a_command_it_ends_with_one_line_and_exit_status_1(repository, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compare", "HEAD", "nothing"])
    monkeypatch.delitem(sys.modules, command.__name__)
    with pytest.raises(SystemExit, match="1"):
        runpy.run_module("stages.commands.compare", run_name="__main__")
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("error: nothing: no commit")
