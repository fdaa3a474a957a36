"""Put a recipe into params.yaml: `python -m stages.commands.recipe pretrained`; without a name, list the recipes.

A recipe is a file of `data/recipes/`: a title, and values for keys of `params.yaml`, each with its reason. All recipes
set the same keys, so that one takes back what another has set. Only values change in `params.yaml`; comments, order and
blanks stay as they are. `--set-param` changes nothing and prints the options that do the same for one experiment:

    dvc exp run $(python -m stages.commands.recipe few --set-param)
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from stages.lib.core.errors import ParamsError, run
from stages.lib.core.files import atomic_write, read_yaml

PARAMS, RECIPES = Path("params.yaml"), Path("data/recipes")


class Value(NamedTuple):
    """The value of a key in a YAML file: what it is, and its characters, from `start` to `end`."""

    value: Any
    text: str
    start: int
    end: int


def main(argv: list[str] | None = None) -> None:
    """Change the file, or print."""
    args = parse_args(argv)
    if args.name is None:
        print("\n".join(f"{path.stem:12} {read_recipe(path)[0]}" for path in sorted(args.recipes.glob("*.yaml"))))
        return
    path = args.recipes / f"{args.name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in args.recipes.glob("*.yaml")))
        raise ParamsError(f"{path}: no such recipe; there are: {known}")
    title, recipe = read_recipe(path)
    text = args.params.read_text(encoding="utf-8") if args.params.is_file() else ""
    present = read_values(args.params)
    if unknown := sorted(set(recipe) - set(present)):
        raise ParamsError(f"{path}: {', '.join(unknown)}: no such key in {args.params}; correct the recipe")
    changed = {key: new for key, new in recipe.items() if new.value != present[key].value}
    if args.set_param:
        # Without quotes, since a shell takes those that it gets from $(...) for a part of the value.
        print(" ".join(f"-S {key}={new.text}" for key, new in changed.items()))
        return
    for key in sorted(changed, key=lambda key: present[key].start, reverse=True):  # from the end: positions stay right
        text = text[: present[key].start] + changed[key].text + text[present[key].end :]
    with atomic_write(args.params) as tmp_path:
        tmp_path.write_text(text, encoding="utf-8", newline="\n")
    for key, new in changed.items():
        print(f"{key}: {present[key].text} -> {new.text}")
    print(f"recipe: {args.name} ({title}): {len(changed)} of {len(recipe)} keys changed in {args.params}")


def read_recipe(path: Path) -> tuple[str, dict[str, Value]]:
    """Title of a recipe and the value of each key that it sets, such as `train.epochs`."""
    values = read_values(path)
    if wrong := {key.partition(".")[0] for key in values} ^ {"title", "params"}:
        raise ParamsError(f"{path}: expected the keys title and params; unknown or missing: {', '.join(sorted(wrong))}")
    title = values.pop("title").value
    return title, {key.partition(".")[2]: value for key, value in values.items()}


def read_values(path: Path) -> dict[str, Value]:
    """The values of a YAML file by key, those of nested mappings joined by dots. Raises `ParamsError`."""
    read_yaml(path, error=ParamsError, advice="run from the root of the repository")  # says what is wrong with it
    text = path.read_text(encoding="utf-8")
    yaml = YAML(typ="safe", pure=True)
    found: dict[str, Value] = {}

    def collect(node: Node, prefix: str) -> None:
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            if isinstance(value, MappingNode) and not value.flow_style:
                collect(value, f"{name}.")
                continue
            start, end = value.start_mark.index, value.end_mark.index
            if (isinstance(value, ScalarNode) and value.style in (None, "'", '"')) or value.flow_style:
                found[name] = Value(yaml.load(text[start:end]), text[start:end], start, end)

    node = YAML(typ="rt", pure=True).compose(text)
    if not isinstance(node, MappingNode):
        raise ParamsError(f"{path}: expected keys and values")
    collect(node, "")
    return found


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read which recipe, and where to."""
    parser = argparse.ArgumentParser(prog="python -m stages.commands.recipe", description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", help="a file of data/recipes/ without its ending; none: list them")
    parser.add_argument("--set-param", action="store_true", help="print -S options for 'dvc exp run', change nothing")
    parser.add_argument("--params", type=Path, default=PARAMS, help=f"by default {PARAMS}")
    parser.add_argument("--recipes", type=Path, default=RECIPES, help=f"by default {RECIPES}")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
