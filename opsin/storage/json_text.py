"""JSON as text: orjson, and the standard library for what orjson would change or refuse."""

import json
from typing import Any

import orjson

_AS_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER = b"0" * 19  # as many digits as the largest integer of 64 bits has


def dump_json(value: Any) -> str:
    """Text to store; integers beyond 64 bits are written too."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def load_json(text: str | bytes) -> Any:
    """The value of stored text, whoever wrote it."""
    try:
        return parse_json(text)
    except json.JSONDecodeError:
        return json.loads(text)


def parse_json(text: str | bytes) -> Any:
    """The value of JSON text, every digit of its integers kept; json.JSONDecodeError if none."""
    value = orjson.loads(text)  # also refuses what the standard library would let through
    raw = text.encode() if isinstance(text, str) else text
    if _LONG_NUMBER not in raw.translate(_AS_ZEROS):
        return value
    try:
        return json.loads(raw)  # orjson makes a rounded float of a longer integer
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", "", 0) from None
