from pathlib import Path

import pytest
import yaml

from helpers.repository import ROOT
from stages.fetch.layouts import LAYOUTS
from stages.fetch.sources import FetchParams, read_source
from stages.lib.core.errors import ParamsError, SourceError
from stages.lib.core.params import load_params

SOURCES = ROOT / "data/sources"


@pytest.mark.parametrize("path", sorted(SOURCES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_sources_of_the_repository_are_valid(path: Path) -> None:
    source = read_source(path)
    assert source.name == path.stem
    assert source.licence or source.name == "folder"
    assert source.address or source.render or source.name == "folder"


def test_every_layout_has_a_source() -> None:
    layouts = {read_source(path).layout for path in SOURCES.glob("*.yaml")}
    assert layouts == {*LAYOUTS, "folder"}


GOOD = {"name": "n", "title": "t", "synthetic": False, "layout": "folder"}
BAD_SOURCES = {
    "missing": ({key: GOOD[key] for key in ("name", "title", "layout")}, r"s.yaml: synthetic is missing"),
    "unknown": ({**GOOD, "adress": "x"}, r"s.yaml: adress is not a known key; see the files in data/sources/"),
    "wrong type": (
        {**GOOD, "limits": {"max_bytes": "1 GB", "max_files": 1}},
        r"s.yaml: limits.max_bytes: expected a whole number, found '1 GB'",
    ),
    "md5": ({**GOOD, "md5": "abc"}, r"s.yaml: md5: expected to match pattern .*, found 'abc'"),
    "layout": ({**GOOD, "layout": None}, r"s.yaml: layout: expected a string, found None"),
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
        ({"dataset": None}, r"fetch.dataset: expected a string, found None"),
        ({"source": None}, r"fetch.source: expected a string, found None"),
        ({"source": ""}, r"fetch.source: .*at least 1 character"),
        ({"n_folds": 1}, r"fetch.n_folds: expected a value greater than or equal to 2, found 1"),
        (
            {"source_from": "folder", "dataset": "esc50"},
            r"fetch.source_from: folder is for .* folder, found esc50; set",
        ),
        ({"source_from": ""}, r"fetch.source_from: .*at least 1 character"),
        (
            {"source_from": "("},
            r"fetch.source_from: expected file, folder or a regular .*, found '\(' \(missing",
        ),
        ({"source_from": "files"}, r"fetch.source_from: expected .* with one group in parentheses, found 'files'"),
        ({"source_from": "(a)(b)"}, r"fetch.source_from: expected .* with one group in parentheses, found"),
        ({"esc10": True}, r"fetch.esc10: true is for fetch.dataset esc50, found folder; set it to false"),
    ],
)
def test_wrong_params_are_an_error(tmp_path: Path, changed: dict[str, object], match: str) -> None:
    values = {"dataset": "folder", "source": "x", "esc10": False, "n_folds": 5, "source_from": "file", **changed}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"fetch": values}))
    with pytest.raises(ParamsError, match=match):
        load_params(tmp_path / "params.yaml", FetchParams)
