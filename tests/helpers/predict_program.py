"""The predict command in a program of its own, with the model of tones in the place of a network."""

import json
import subprocess
import sys
from typing import Any

from helpers.repository import ROOT

PROGRAM = """
import sys
sys.path.insert(0, "tests")
from helpers.tone_model import tone_model
from stages.commands.predict import __main__ as predict
from stages.lib.core.errors import run
predict.open_model = lambda path: tone_model()
predict.obtain_model = lambda *arguments: None
try:
    run(lambda: predict.main(sys.argv[1:]))
except KeyboardInterrupt:
    sys.exit(130)
"""


def start(*options: str, **pipes: Any) -> subprocess.Popen:
    """Start the command."""
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *options], cwd=ROOT, **pipes)


def read_lines(text: str) -> list[dict]:
    """The events of `--json`."""
    return [json.loads(line) for line in text.splitlines()]
