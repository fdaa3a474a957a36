"""dvc.yaml is held to the code: DVC reruns a stage only for what is declared, so what is not declared goes stale."""

import ast
import importlib
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = PIPELINE["stages"]
UNTRACKED_OPTIONS = {"--params", "--docs", "--checkpoints"}  # params; pages to look at, made anew; work in progress


def module_file(module: str) -> Path | None:
    """The file of a first-party module, or None for another."""
    path = ROOT.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def imported_modules(path: Path) -> set[str]:
    """Every module that a file imports, at its top or in a function, with the packages that hold it."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import, which this test does not follow"
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return modules | {module.rsplit(".", n)[0] for module in modules for n in range(1, module.count(".") + 1)}


def first_party_files(path: Path) -> set[str]:
    """The file and every first-party file that it imports, directly or not, relative to the root."""
    found, left = set(), [path, ROOT / "stages" / "__init__.py"]
    while left:
        file = left.pop()
        if file in found:
            continue
        found.add(file)
        left += filter(None, map(module_file, imported_modules(file)))
    return {file.relative_to(ROOT).as_posix() for file in found}


def names(entries: list) -> list[str]:
    """The paths of outs or metrics, which are text or a mapping of one key."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outs(stage: dict) -> list[str]:
    return names(stage.get("outs", []) + stage.get("metrics", []) + stage.get("plots", []))


def loaded_sections(path: Path) -> set[str]:
    """The sections whose dataclasses a stage hands to `load_params`."""
    module = importlib.import_module(f"stages.{path.stem}")
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "load_params"
    ]
    return {getattr(module, call.args[1].id).section for call in calls}


def test_stage_modules_are_the_stages():
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"} == set(STAGES)


@pytest.mark.parametrize("name", STAGES)
def test_deps_hold_every_first_party_import(name):
    code = {dep for dep in STAGES[name]["deps"] if dep.startswith("stages/")}
    assert code == first_party_files(ROOT / "stages" / f"{name}.py")


@pytest.mark.parametrize("name", STAGES)
def test_other_deps_are_outs_of_other_stages_or_the_source(name):
    made = {out for other, stage in STAGES.items() if other != name for out in outs(stage)}
    data = {dep for dep in STAGES[name]["deps"] if not dep.startswith("stages/")}
    in_git = {"fetch": {"${fetch.source}", "data/sources"}, "evaluate": {"data/published.yaml"}}
    assert data - made <= in_git.get(name, set())


@pytest.mark.parametrize("name", STAGES)
def test_params_are_the_sections_that_the_stage_loads(name):
    assert set(STAGES[name]["params"]) == loaded_sections(ROOT / "stages" / f"{name}.py")


@pytest.mark.parametrize("name", STAGES)
def test_paths_in_the_command_are_deps_or_outs_and_the_other_way_round(name):
    stage = STAGES[name]
    python, flag, module, *options = shlex.split(stage["cmd"])
    assert [python, flag, module] == ["python", "-m", f"stages.{name}"]
    given = {path for option, path in zip(options[::2], options[1::2], strict=True) if option not in UNTRACKED_OPTIONS}
    # The source is read from the parameters: a name of the user's own must not pass through a shell.
    data = {dep for dep in stage["deps"] if not dep.startswith("stages/")} - {"${fetch.source}"}
    assert given == data | set(outs(stage))


@pytest.mark.parametrize("name", STAGES)
def test_stages_import_from_lib_and_never_from_each_other(name):
    others = {f"stages.{other}" for other in STAGES} | {"stages.commands"}
    assert not imported_modules(ROOT / "stages" / f"{name}.py") & others


@pytest.mark.parametrize("path", sorted((ROOT / "stages" / "lib").glob("*.py")), ids=lambda path: path.stem)
def test_lib_imports_neither_stages_nor_commands(path):
    first_party = {module for module in imported_modules(path) if module.startswith("stages.")}
    assert all(module == "stages.lib" or module.startswith("stages.lib.") for module in first_party)


@pytest.mark.parametrize("name", STAGES)
def test_each_stage_is_described(name):
    assert STAGES[name]["desc"]


def test_every_key_of_params_has_a_comment():
    lines = (ROOT / "params.yaml").read_text().splitlines()
    bare = [line for line in lines if line.strip() and "#" not in line]
    assert not bare


def test_metrics_belong_to_their_stage_and_are_kept_in_git():
    for name, stage in STAGES.items():
        for out in stage.get("outs", []) + stage.get("metrics", []) + stage.get("plots", []):
            path = out if isinstance(out, str) else next(iter(out))
            if path.startswith("metrics/"):
                assert path in (f"metrics/{name}", f"metrics/{name}.json")
                assert out[path]["cache"] is False
