"""Parts of messages that several modules of fetch share."""

from collections.abc import Iterable


def some(names: Iterable[str], n_shown: int = 5) -> str:
    """The first few of `names`, and how many more there are."""
    names = [repr(name) if not name.isprintable() else name for name in names]
    return ", ".join(names[:n_shown]) + (f" and {len(names) - n_shown} more" if len(names) > n_shown else "")


def count(n: int, singular: str, plural: str = "") -> str:
    """`n` with its noun: "1 file", "1,200 files"."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def also(notes: list[str]) -> str:
    """The `notes` as a continuation of an error that they may explain."""
    return "".join(f"; {note}" for note in notes)
