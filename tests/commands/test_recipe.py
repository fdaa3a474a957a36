"""Recipes: the files of data/recipes, and the command that puts one into params.yaml."""

import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from helpers.repository import ROOT
from stages.commands import recipe
from stages.lib.core.errors import ParamsError
from stages.lib.core.params import load_params
from stages.lib.frontend.spectrogram import FeaturizeParams
from stages.lib.model.segments import SegmentParams
from stages.train.augment import AugmentParams
from stages.train.recipe import TrainParams
from stages.train.weights import check_weights, read_weights_file

NAMES = ["default", "few", "pretrained", "recordings", "study-2018"]


@pytest.fixture
def params_file(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))


def apply(params_file: Path, *arguments: str) -> None:
    recipe.main([*arguments, f"--params={params_file}", f"--recipes={ROOT / 'data/recipes'}"])


def values_of(name: str) -> dict:
    _, values = recipe.read_recipe(ROOT / f"data/recipes/{name}.yaml")
    return {key: value.value for key, value in values.items()}


def look_up(tree: dict, key: str) -> object:
    for part in key.split("."):
        tree = tree[part]
    return tree


def test_all_recipes_set_the_same_keys_so_that_one_takes_back_what_another_set():
    assert sorted(path.stem for path in (ROOT / "data/recipes").iterdir()) == NAMES
    assert len({tuple(values_of(name)) for name in NAMES}) == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_value_of_a_recipe_has_its_reason(name):
    lines = (ROOT / f"data/recipes/{name}.yaml").read_text().splitlines()
    assert not [line for line in lines if line.startswith("    ") and "#" not in line]


@pytest.mark.parametrize("name", NAMES)
def test_the_stages_take_the_parameters_of_a_recipe(params_file, name):
    apply(params_file, name)
    tree = yaml.safe_load(params_file.read_text())
    assert all(look_up(tree, key) == value for key, value in values_of(name).items())
    front_end = load_params(params_file, FeaturizeParams)
    for section in (SegmentParams, AugmentParams):
        load_params(params_file, section)
    train = load_params(params_file, TrainParams)
    weights = read_weights_file(ROOT / train.weights)
    check_weights(weights, Path(train.weights), train.model, needed=False, featurize=vars(front_end))
    assert (weights is None) is (name in ("default", "recordings", "study-2018"))


def test_default_is_what_the_repository_comes_with(params_file, capsys):
    before = params_file.read_bytes()
    apply(params_file, "default")
    assert params_file.read_bytes() == before
    assert capsys.readouterr().out.startswith("recipe: default (")


def test_only_values_change_and_the_way_back_gives_the_same_bytes(params_file, capsys):
    before = params_file.read_text()
    apply(params_file, "few")
    changed = params_file.read_text()
    out = capsys.readouterr().out
    assert "train.learning_rate: 0.002 -> 0.003\n" in out
    assert out.splitlines()[-1].endswith(f" keys changed in {params_file}")
    assert [line.partition("#")[2] for line in changed.splitlines()] == [
        line.partition("#")[2] for line in before.splitlines()
    ]
    n_changed = sum(a != b for a, b in zip(before.splitlines(), changed.splitlines(), strict=True))
    assert f": {n_changed} of " in out.splitlines()[-1]
    apply(params_file, "default")
    assert params_file.read_text() == before


@pytest.mark.parametrize("name", NAMES)
def test_options_for_an_experiment_say_the_same_and_change_nothing(params_file, capsys, name):
    before = params_file.read_text()
    apply(params_file, name, "--set-param")
    words = capsys.readouterr().out.split()  # as the shell takes them from $(...), without a look at quotes
    assert params_file.read_text() == before
    assert words[::2] == ["-S"] * (len(words) // 2)
    assert words == shlex.split(" ".join(words))
    options = dict(word.split("=", 1) for word in words[1::2])
    tree = yaml.safe_load(before)
    values = values_of(name)
    assert {key: yaml.safe_load(text) for key, text in options.items()} == {
        key: value for key, value in values.items() if look_up(tree, key) != value
    }


def test_without_a_name_the_recipes_are_listed(params_file, capsys):
    apply(params_file)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == NAMES


def test_lists_and_quoted_text_are_replaced_too(tmp_path):
    (tmp_path / "params.yaml").write_text(
        'a: # one\n  b: [1, 2] # two\n  c: "x # y" # three\n  d: null # four\ne: 1e-06\n'
    )
    (tmp_path / "r.yaml").write_text("title: t\nparams:\n  a:\n    b: []\n    c: z\n    d: 2.0\n  e: 0.5\n")
    recipe.main(["r", f"--params={tmp_path / 'params.yaml'}", f"--recipes={tmp_path}"])
    expected = "a: # one\n  b: [] # two\n  c: z # three\n  d: 2.0 # four\ne: 0.5\n"
    assert (tmp_path / "params.yaml").read_text() == expected


REFUSED = {
    "unknown recipe": (None, r"r\.yaml: no such recipe; there are: other"),
    "stale key": ("title: t\nparams:\n  train:\n    size: 1\n", r"r\.yaml: train\.size: no such key in .*params\.yaml"),
    "no title": (
        "params:\n  train:\n    epochs: 1\n",
        r"expected the keys title and params; .*missing: title",
    ),
    "another key": ("title: t\nparam:\n  train:\n    epochs: 1\n", r"unknown or missing: param, params"),
    "no YAML": ("title: [", r"r\.yaml line 1: not valid YAML"),
    "no mapping": ("- a\n", r"r\.yaml: expected keys and values"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_recipe_changes_nothing(params_file, tmp_path, case):
    content, match = REFUSED[case]
    before = params_file.read_bytes()
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/other.yaml").write_text("")
    if content is not None:
        (tmp_path / "recipes/r.yaml").write_text(content)
    with pytest.raises(ParamsError, match=match) as caught:
        recipe.main(["r", f"--params={params_file}", f"--recipes={tmp_path / 'recipes'}"])
    assert "\n" not in str(caught.value)
    assert params_file.read_bytes() == before


def test_without_a_file_of_parameters_it_is_one_line(tmp_path):
    with pytest.raises(ParamsError, match=r"absent\.yaml: No such file or directory; run from the root"):
        apply(tmp_path / "absent.yaml", "few")
