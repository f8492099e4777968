"""JSON as text: orjson, and the standard library for what orjson would change or refuse."""

import json
import re
from typing import Any

import orjson

_AS_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_NO_DIGIT = re.compile(rb"[^0]")
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
    if not _has_long_integer(raw.translate(_AS_ZEROS)):
        return value
    try:
        return json.loads(raw)  # orjson makes a rounded float of a longer integer
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", "", 0) from None


def _has_long_integer(zeros: bytes) -> bool:
    """Whether that many digits stand anywhere but behind the point of a small fraction."""
    start = zeros.find(_LONG_NUMBER)
    while start >= 0:
        if zeros[start - 1 : start] != b".":
            return True
        end = _NO_DIGIT.search(zeros, start)
        start = zeros.find(_LONG_NUMBER, end.start()) if end else -1
    return False
