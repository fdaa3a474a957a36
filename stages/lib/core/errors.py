"""Errors that a user can act on, and how a stage reports them."""

import os
import sys
from collections.abc import Callable


class EarError(Exception):
    """Root of the errors that bad input causes; the message is one line that says where, what and what to do."""


class ParamsError(EarError):
    """A key of params.yaml is missing, unknown, of the wrong type, or does not fit the others."""


class SourceError(EarError):
    """A dataset cannot be obtained, unpacked or read."""


class AudioError(EarError):
    """A recording cannot be read."""


class DataError(EarError):
    """What an earlier stage wrote cannot be used as it is."""


class ModelError(EarError):
    """A model cannot be built, saved, loaded or applied."""


def one_line(message: object) -> str:
    """A message of another library on one line, since an error here is one."""
    return " ".join(str(message).split())


def run(main: Callable[[], None]) -> None:
    """Call `main`; an `EarError` becomes one line on standard error and exit status 1, a bug keeps its traceback.

    Where the reader of the output has gone, as after `| head`, the program ends silently.
    """
    try:
        main()
        sys.stdout.flush()
    except EarError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain when it ends
        sys.exit(1)
