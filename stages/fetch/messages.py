"""Parts of messages that several modules of fetch share."""

from collections.abc import Iterable


def some(names: Iterable[str], n_shown: int = 5) -> str:
    """The first few of `names`, and how many more there are."""
    names = [repr(name) if not name.isprintable() else name for name in names]
    return ", ".join(names[:n_shown]) + (f" and {len(names) - n_shown} more" if len(names) > n_shown else "")


def also(notes: list[str]) -> str:
    """The `notes` as a continuation of an error that they may explain."""
    return "".join(f"; {note}" for note in notes)
