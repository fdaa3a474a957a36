"""dvc.yaml is held to the code: DVC reruns a stage only for what is declared, so what is not declared goes stale.

Code is declared by folders, so the layout has rules: what a stage alone uses lies in its package, what several share in
`stages/lib`, in small packages that import each other in one direction only.
"""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from helpers.repository import ROOT
from stages.lib.core.params import SECTIONS

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = PIPELINE["stages"]
UNTRACKED_OPTIONS = {"--params", "--docs", "--checkpoints"}  # params; pages to look at, made anew; work in progress
LIB = ROOT / "stages" / "lib"
PUBLIC = LIB / "inference" / "__init__.py"  # the one package that has names of its own, for programs of users
# Which packages and modules of lib each one may import, besides itself.
LIB_MAY_IMPORT = {
    "core": set(),
    **{name: {"core"} for name in ("containers", "download", "plotting", "frontend", "features", "split", "tables")},
    "audio": {"core", "containers"},
    "event_tables": {"core", "tables"},
    "model": {"core", "audio", "plotting", "frontend", "features", "split"},
    "soundscapes": set(),
    "inference": {"core", "audio", "plotting", "frontend", "features", "split", "model"},
}


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


def first_party_files(*paths: Path) -> set[Path]:
    """The files and every first-party file that they import, directly or not, but for the docstrings of packages."""
    found, left = set(), [*paths]
    while left:
        file = left.pop()
        if file in found:
            continue
        found.add(file)
        left += filter(None, map(module_file, imported_modules(file)))
    return {file for file in found if file.name != "__init__.py"}


def code_deps(name: str) -> set[Path]:
    return {ROOT / dep for dep in STAGES[name]["deps"] if dep.startswith("stages/")}


def names(entries: list) -> list[str]:
    """The paths of outs or metrics, which are text or a mapping of one key."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outs(stage: dict) -> list[str]:
    return names(stage.get("outs", []) + stage.get("metrics", []) + stage.get("plots", []))


def loaded_sections(name: str) -> set[str]:
    """The sections whose dataclasses a stage hands to `load_params`."""
    sections = set()
    for path in (ROOT / "stages" / name).rglob("*.py"):
        calls = [
            node
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "load_params"
        ]
        if calls:
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            sections |= {SECTIONS[getattr(module, call.args[1].id)] for call in calls}
    return sections


def test_the_packages_of_stages_are_the_stages_with_lib_and_commands():
    packages = {path.parent.name for path in (ROOT / "stages").glob("*/__init__.py")}
    assert packages == set(STAGES) | {"lib", "commands"}
    assert all((ROOT / "stages" / name / "__main__.py").is_file() for name in STAGES)
    assert [path.name for path in (ROOT / "stages").glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("name", STAGES)
def test_every_first_party_import_lies_under_a_dep(name):
    files = first_party_files(*(ROOT / "stages" / name).rglob("*.py"))
    missing = {file for file in files if not any(file == dep or dep in file.parents for dep in code_deps(name))}
    assert not missing


@pytest.mark.parametrize("name", STAGES)
def test_every_dep_on_code_is_imported(name):
    files = first_party_files(ROOT / "stages" / name / "__main__.py")
    unused = {dep for dep in code_deps(name) if not any(file == dep or dep in file.parents for file in files)}
    assert not unused


@pytest.mark.parametrize("name", STAGES)
def test_no_module_of_a_stage_is_left_unused(name):
    files = first_party_files(ROOT / "stages" / name / "__main__.py")
    own = {path for path in (ROOT / "stages" / name).rglob("*.py") if path.name != "__init__.py"}
    assert own <= files


@pytest.mark.parametrize("name", STAGES)
def test_other_deps_are_outs_of_other_stages_or_the_source(name):
    made = {out for other, stage in STAGES.items() if other != name for out in outs(stage)}
    data = {dep for dep in STAGES[name]["deps"] if not dep.startswith("stages/")}
    in_git = {
        "fetch": {"${fetch.source}", "data/sources"},
        "train": {"${train.weights}"},
        "evaluate": {"data/published.yaml", "${evaluate.backgrounds}", "${evaluate.unknown}"},
    }
    assert data - made <= in_git.get(name, set())


@pytest.mark.parametrize("name", STAGES)
def test_params_are_the_sections_that_the_stage_loads(name):
    assert set(STAGES[name]["params"]) == loaded_sections(name)


@pytest.mark.parametrize("name", STAGES)
def test_paths_in_the_command_are_deps_or_outs_and_the_other_way_round(name):
    stage = STAGES[name]
    python, flag, module, *options = shlex.split(stage["cmd"])
    assert [python, flag, module] == ["python", "-m", f"stages.{name}"]
    given = {path for option, path in zip(options[::2], options[1::2], strict=True) if option not in UNTRACKED_OPTIONS}
    # Some are read from the parameters: a name of the user's own must not pass through a shell.
    data = {dep for dep in stage["deps"] if not dep.startswith(("stages/", "${"))}
    assert given == data | set(outs(stage))


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_imports_itself_and_lib_alone(name):
    for path in (ROOT / "stages" / name).rglob("*.py"):
        imported = [module.split(".") for module in imported_modules(path) if module.startswith("stages.")]
        assert all(parts[1] in (name, "lib") for parts in imported), path


def test_lib_imports_in_one_direction_and_neither_stages_nor_commands():
    for path in LIB.rglob("*.py"):
        package = path.relative_to(LIB).parts[0].removesuffix(".py")
        imported = [m.split(".") for m in imported_modules(path) if m.startswith("stages.")]
        assert all(parts[1] == "lib" for parts in imported), path
        used = {parts[2] for parts in imported if len(parts) > 2}
        assert package == "__init__" or used <= {package} | LIB_MAY_IMPORT[package], path


def test_packages_hold_a_docstring_and_nothing_else():
    chooses_functions = ROOT / "stages/__init__.py"  # before all else, see test_processors.py
    for path in {*(ROOT / "stages").rglob("__init__.py")} - {PUBLIC, chooses_functions}:
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, f"{path}: code in it would be a dep of whatever imports the package"
        assert ast.get_docstring(ast.parse(path.read_text())), path


@pytest.mark.parametrize("name", STAGES)
def test_each_stage_is_described(name):
    assert STAGES[name]["desc"]


def test_every_key_of_params_has_a_comment():
    lines = (ROOT / "params.yaml").read_text().splitlines()
    bare = [line for line in lines if line.strip() and "#" not in line]
    assert not bare


def test_modules_that_params_name_are_there():
    named = re.findall(r"[\w/]+\.py\b", (ROOT / "params.yaml").read_text())
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_metrics_belong_to_their_stage_and_are_kept_in_git():
    for name, stage in STAGES.items():
        for out in stage.get("outs", []) + stage.get("metrics", []) + stage.get("plots", []):
            path = out if isinstance(out, str) else next(iter(out))
            if path.startswith("metrics/"):
                assert path in (f"metrics/{name}", f"metrics/{name}.json")
                assert out[path]["cache"] is False


def test_bytecode_and_editors_files_are_no_deps():
    ignored = (ROOT / ".dvcignore").read_text().split()
    assert {"__pycache__/", "*.swp", "*~"} <= set(ignored)
