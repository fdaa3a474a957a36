"""The listen command in a program of its own, with the model of tones in the place of a network.

The environment variable LEARN has the Python code that is run in the place of the learn command; with UNTAUGHT there is
no model in the workspace.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from helpers.repository import ROOT

PROGRAM = """
import os
import sys
sys.path.insert(0, "tests")
from helpers.tone_model import tone_model
from stages.commands.listen import __main__ as listen, learning
from stages.lib.core.errors import ModelError, run
listen.open_model = lambda path: tone_model()
def obtain(wanted, revision, scratch):
    if "nope" in (wanted, revision):
        raise ModelError("nope: no such model")
    if wanted is None and "UNTAUGHT" in os.environ:
        raise ModelError("data/models: holds no model")
listen.obtain_model = obtain
learning.COMMAND = (sys.executable, "-c", os.environ.get("LEARN", "raise SystemExit('error: not here')"))
try:
    run(lambda: listen.main(sys.argv[1:]))
except KeyboardInterrupt:
    sys.exit(130)
"""


def start(*options: str, **variables: str) -> subprocess.Popen:
    """Start the command; `variables` are of its environment."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *options], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        env=os.environ | variables,
    )  # fmt: skip


@contextmanager
def running(*options: str, port: int = 0, **variables: str) -> Iterator[str]:
    """The address of the command, which has opened its model, for the block of a `with`; ends with a slash."""
    process = start("--port", str(port), *options, **variables)
    lines: list[str] = []
    try:
        while not (lines and "listen: model" in lines[-1]):
            line: Any = process.stderr.readline()
            assert line, lines
            lines.append(line)
        yield re.search(r"open (https?://\S+)", "".join(lines))[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        process.stderr.close()
