"""The commands on the pages: what they name is there, so that none is left over from an older version.

Whether they do what the pages say is tested where the command is; what is untried is in the README's Limits.
"""

import re
import shlex

import pytest
import yaml

from helpers.repository import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]
MODULE = re.compile(r"python -m ((?:stages|benchmarks|docs)[\w.]*)((?:[ \t]+[^\s`|&;>)]+)*)")
SETTING = re.compile(r"(?:-S|--set-param)\s+['\"]?((?:\w+\.)+\w+)=")


def text(page: str) -> str:
    """A page with each command on one line."""
    return re.sub(r"\\\n\s*", " ", (ROOT / page).read_text())


def module_commands() -> list[tuple[str, str, str]]:
    """Page, module and arguments of each `python -m` of this repository, once for each page."""
    found = {(page, *match.groups()) for page in PAGES for match in MODULE.finditer(text(page))}
    return sorted((page, module.rstrip("."), arguments) for page, module, arguments in found)


def sources(module: str) -> str:
    """The code of a module, or of all modules of a package that has a `__main__`; empty where there is neither."""
    path = ROOT / module.replace(".", "/")
    files = sorted(path.rglob("*.py")) if (path / "__main__.py").is_file() else [path.with_suffix(".py")]
    return "".join(file.read_text() for file in files if file.is_file())


def unknown_options(module: str, arguments: str) -> list[str]:
    """Options among `arguments` that the code of `module` does not name."""
    code = sources(module)
    options = [part.partition("=")[0] for part in shlex.split(arguments, comments=True) if part.startswith("--")]
    return [option for option in options if f'"{option}"' not in code and f'"{option[2:]}"' not in code]


@pytest.mark.parametrize(("page", "module", "arguments"), module_commands())
def test_a_command_names_a_module_and_options_that_are_there(page, module, arguments):
    assert sources(module)
    assert not unknown_options(module, arguments)


def test_commands_are_found():
    """A module or option that is gone is noticed, and there are commands to look at."""
    assert len(module_commands()) > 20
    assert not sources("stages.commands.gone")
    assert unknown_options("stages.commands.predict", " - --json --gone 3 # --not-one") == ["--gone"]


@pytest.mark.parametrize("page", PAGES)
def test_settings_are_keys_of_params(page):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name in SETTING.findall(text(page)):
        if (page, name) == ("CONTRIBUTING.md", "featurize.preemphasis"):  # the key that the page adds
            continue
        section, _, key = name.partition(".")
        assert key.split(".")[0] in params[section], name
