"""Errors of pydantic as one line: which key, what was expected, what was found."""

import re
from typing import Any

import pydantic

MAX_SHOWN = 80  # characters of a value that was found


def describe_errors(error: pydantic.ValidationError, *, within: str = "", see: str) -> str:
    """All problems of `error` as one line, with "; " between them.

    `within` is the section that the keys belong to, "" for none; `see` says where the known keys are explained. Keys
    are joined by dots, positions in lists count from 0: `render.clips.siren`, `[1].results[0].accuracy`.
    """
    return "; ".join(_describe(problem, within, see) for problem in error.errors(include_url=False))


def _describe(problem: Any, within: str, see: str) -> str:
    if problem["type"] == "value_error":  # from a __post_init__, which names the keys itself
        return str(problem["ctx"]["error"])
    key = within
    for part in problem["loc"]:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    if problem["type"] in ("missing", "missing_argument"):
        return f"{key} is missing"
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{key} is not a known key; see {see}"
    expected = re.sub(r"^\w+ should (be )?", lambda match: "expected " if match[1] else "expected to ", problem["msg"])
    expected = expected.replace("a valid integer", "a whole number").replace("a valid ", "a ")
    for comparison in ("greater", "less"):
        expected = expected.replace(f"expected {comparison}", f"expected a value {comparison}")
    value, found = problem["input"], repr(problem["input"])
    if len(found) > MAX_SHOWN:
        found = f"{found[: MAX_SHOWN - 3]}..."
    hint = "; write it without quotes" if _is_number(value) else ""
    return f"{key}: {expected}, found {found}{hint}" if key else f"{expected}, found {found}{hint}"


def _is_number(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True
