"""Check a clean clone in which the pipeline ran: the accuracy is plausible, and only train and evaluate may differ.

A processor that computes other last digits changes the weights and what is scored with them; all before is the same.
"""

import json
import subprocess
import sys
from pathlib import Path

import yaml

ACCURACY = (0.70, 0.97)  # of the synthetic sample: learned, and not so easy that nothing could be compared on it
MAY_DIFFER = ("train", "evaluate")


def main(clone: Path) -> None:
    """Exit with what is wrong, if anything is."""
    problems = []
    accuracy = json.loads((clone / "metrics/evaluate.json").read_text())["accuracy"]
    if not ACCURACY[0] <= accuracy <= ACCURACY[1]:
        problems.append(f"metrics/evaluate.json: accuracy {accuracy}, expected {ACCURACY[0]} to {ACCURACY[1]}")

    locks = git(clone, "show", "HEAD:dvc.lock"), (clone / "dvc.lock").read_text()
    committed, found = (yaml.safe_load(text)["stages"] for text in locks)
    problems += [
        f"dvc.lock: stage '{name}' differs from the commit; run 'dvc repro' and commit dvc.lock and metrics"
        for name in sorted(committed.keys() | found.keys())
        if name not in MAY_DIFFER and committed.get(name) != found.get(name)
    ]

    allowed = ("dvc.lock", *(f"metrics/{name}{end}" for name in MAY_DIFFER for end in ("/", ".json")))
    changed = [line[3:] for line in git(clone, "status", "--porcelain", "--untracked-files=all").splitlines()]
    problems += [f"{path}: differs from the commit" for path in changed if not path.startswith(allowed)]

    if problems:
        sys.exit("\n".join(problems))
    same = "none of them" if not changed else ", ".join(changed)
    print(f"accuracy {accuracy}; differ from the commit, on this processor: {same}")


def git(clone: Path, *arguments: str) -> str:
    """What a command of Git prints."""
    return subprocess.run(["git", *arguments], cwd=clone, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]))
