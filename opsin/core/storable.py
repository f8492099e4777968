"""What every database keeps as it is: JSON's types, finite numbers, whole characters, no NUL."""

import sys
from typing import Any

from opsin.core.errors import InvalidInput

MAX_DEPTH = 200
"""Of lists and objects in each other; the JSON functions of databases stop at some hundreds."""


_LARGEST = int(sys.float_info.max)  # what lies beyond, most readers of JSON call infinite


def check_json(value: Any, what: str) -> None:
    """Raises InvalidInput, beginning with `what`, when the value would not come back as it is."""
    reason = _reason(value, MAX_DEPTH)
    if reason is not None:
        raise InvalidInput(f"{what}: {reason}")


def is_storable_text(text: str) -> bool:
    """Whether a text has neither NULs nor halves of characters (lone surrogates)."""
    if "\x00" in text:
        return False
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def storable_text(text: str) -> str:
    """The text without NULs, and with question marks for halves of characters."""
    if is_storable_text(text):
        return text
    return text.replace("\x00", "").encode(errors="replace").decode()


def _reason(value: Any, depth: int) -> str | None:
    """Why the value cannot be stored; None when it can."""
    if isinstance(value, float):
        finite = value - value == 0  # neither for NaN nor for the infinities
        return None if finite else "NaN and infinite numbers cannot be stored"
    if isinstance(value, str):
        return None if is_storable_text(value) else "NULs and lone surrogates cannot be stored"
    if isinstance(value, int):
        readable = -_LARGEST <= value <= _LARGEST
        return None if readable else "integers beyond the largest float cannot be stored"
    if value is None:
        return None
    if not isinstance(value, dict | list):
        return f"a {type(value).__name__} is not JSON"
    if depth == 0:
        return f"nested more than {MAX_DEPTH} deep"
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                return "the names of an object must be texts"
            if not is_storable_text(name):
                return "NULs and lone surrogates cannot be stored"
        value = value.values()
    return next((r for inner in value if (r := _reason(inner, depth - 1)) is not None), None)
