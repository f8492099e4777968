"""What every database keeps as it is: JSON's types, finite numbers, whole characters, no NUL."""

import sys
from collections.abc import Sequence
from typing import Any

import orjson

from opsin.core.errors import InvalidInput
from opsin.storage.json_text import dump_json

MAX_DEPTH = 200
"""Of lists and objects in each other; the JSON functions of databases stop at some hundreds."""


# Of what orjson writes beyond JSON, UUIDs and enums are left; they become their texts.
_NOTHING_BUT_JSON = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
_ADDED = 254 - MAX_DEPTH  # orjson goes 254 deep
_NEW_LINE = orjson.Fragment(b"\n")
_LARGEST = int(sys.float_info.max)  # what lies beyond, most readers of JSON call infinite


def check_json(value: Any, what: str) -> None:
    """Raises InvalidInput, beginning with `what`, when the value would not come back as it is."""
    reason = _reason(value, MAX_DEPTH)
    if reason is not None:
        raise InvalidInput(f"{what}: {reason}")


def storable_json(value: Any, what: str) -> str:
    """The value as JSON text to store, tuples as lists; otherwise raises as `check_json` does."""
    texts = quick_json([value])
    if texts is not None:
        return texts[0]
    check_json(value, what)
    return dump_json(value)


def quick_json(values: Sequence[Any]) -> list[str] | None:
    """The JSON texts of values in all of which nothing is unusual; None if one leaves a doubt.

    Only their texts are looked at, which takes a tenth of the time of looking at each part.
    """
    between: list[Any] = [_NEW_LINE] * (2 * len(values) - 1)
    between[::2] = values
    try:
        # At once: thousands of small texts keep the allocator busier than anything else.
        text = orjson.dumps(_deepened(between), option=_NOTHING_BUT_JSON)
    except TypeError:  # too deep, a large number, half a character, no JSON at all
        return None
    # orjson writes `null` for numbers that are not finite, and NULs by their number.
    if b"null" in text or b"\\u0000" in text:
        return None
    # No JSON text has a line break of its own here: orjson writes them as `\\n`.
    return text[_ADDED:-_ADDED].decode().split(",\n,") if values else []


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


def _deepened(values: list[Any]) -> list[Any]:
    """In so many lists that what is nested too deeply is so for orjson too."""
    for _ in range(_ADDED - 1):
        values = [values]
    return values


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
