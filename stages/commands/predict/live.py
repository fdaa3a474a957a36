"""Standard input while it comes, until its end or Ctrl-C."""

import io
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import cast

from stages.lib.core.errors import AudioError

READ_BYTES = 1 << 16  # at most at once


def check_stdin() -> None:
    """Raise `AudioError` where nothing can come on standard input."""
    how = "send raw samples through a pipe: arecord -q -t raw -f S16_LE -r 44100 | python -m stages.commands.predict -"
    if sys.stdin is None:
        raise AudioError(f"standard input: is closed; {how}")
    if sys.stdin.isatty():
        raise AudioError(f"standard input: is a terminal; {how}")


def read_stdin() -> Iterator[bytes]:
    """What comes on standard input, as soon as it is there, until its end or Ctrl-C.

    The first Ctrl-C ends it between two reads, so that what was read is still processed; a second one ends the program.
    """
    stdin = cast(io.BufferedReader, sys.stdin.buffer)  # as documented; the stubs have only what all binary files can
    reading = asked = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if reading or asked:
            raise KeyboardInterrupt
        asked = True

    before = signal.signal(signal.SIGINT, end)
    try:
        while not asked:
            reading = True
            data = stdin.read1(READ_BYTES)
            reading = False
            if not data:
                return
            yield data
    except KeyboardInterrupt:
        if not reading:
            raise
    finally:
        signal.signal(signal.SIGINT, before)
