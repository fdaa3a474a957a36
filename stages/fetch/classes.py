"""Which names can be those of classes."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from stages.fetch.messages import some
from stages.lib.core.errors import SourceError
from stages.lib.core.labels import RESERVED_CLASSES

SPLIT = re.compile(
    r"(train|training|test|testing|val|valid|validation|eval|evaluation|dev|devel|development)([-_ ]?set)?"
    r"|(fold|split)[-_ ]?\d+",
    re.IGNORECASE,
)

# Overrides, embeddings and isolates of Unicode's bidirectional algorithm, which reach beyond the name in a line.
TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_split(name: str) -> bool:
    """Whether a folder of this name is a part of a dataset, such as train, test, val or fold1, and no class."""
    return SPLIT.fullmatch(name) is not None


def check_classes(names: Iterable[str]) -> None:
    """Raise `SourceError` for names that cannot be classes, or that are certainly meant to be one class.

    Two names that differ in case, blanks, hyphens, underscores or invisible characters alone stop the stage: as two
    classes they would teach the model to separate a sound from itself. Only the owner knows which spelling is right.
    """
    alike = defaultdict(list)
    for name in names:
        if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
            raise SourceError(f"class {name!r}: its name holds a control character, which breaks lists; rename it")
        if TURNING & set(name):
            raise SourceError(
                f"class {name!r}: its name holds a character that turns the text behind it round; rename it"
            )
        if name.casefold() in RESERVED_CLASSES:
            raise SourceError(
                f"class {name!r}: a reserved name, which predict gives to sounds that fit no class; rename it, such "
                "as to other"
            )
        alike[_key(name)].append(name)
    same = [" and ".join(map(repr, found)) for found in alike.values() if len(found) > 1]
    if same:
        raise SourceError(
            "classes that differ only in case, blanks, hyphens, underscores or invisible characters: "
            f"{some(same)}; write each in one way"
        )


def _key(name: str) -> str:
    """What names that are certainly meant to be one class have in common."""
    visible = "".join(character for character in name if unicodedata.category(character) != "Cf")
    return re.sub(r"[\s_-]", "", unicodedata.normalize("NFKC", visible).casefold())
