"""JSON on the wire: as the storage has it, and never a failure for what is already there."""

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

_LARGE = 64 * 1024


def encode_json(value: object) -> bytes:
    """JSON text; integers of any size, deep nesting and any text a database gives are written.

    An `orjson.Fragment` anywhere in it is put in as it is.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return _piecewise(value)


class WrittenData(dict[str, orjson.Fragment]):
    """Members whose values are JSON already, by their keys, which are GraphQL names."""

    def __init__(self, texts: Mapping[str, bytes]) -> None:
        super().__init__({key: orjson.Fragment(text) for key, text in texts.items()})
        self.texts = texts


def encode_answer(members: Mapping[str, Any]) -> list[bytes]:
    """The members of a response as JSON, in parts to be sent one after the other.

    The texts of large compiled reads are parts of their own: nobody copies them once more.
    """
    data = members.get("data")
    if len(members) != 1 or not isinstance(data, WrittenData) or not data:
        return [encode_json(members)]
    parts: list[bytes] = []
    for key, text in data.texts.items():
        parts.append(b'%s"%s":' % (b"," if parts else b'{"data":{', key.encode()))
        parts.append(text)
    parts.append(b"}}")
    return parts if sum(map(len, parts)) > _LARGE else [b"".join(parts)]


def _piecewise(value: Any) -> bytes:
    """What orjson refuses as a whole: its parts, each as orjson writes it where it can."""
    if isinstance(value, dict) and value and all(isinstance(name, str) for name in value):
        members = (
            json.dumps(name).encode() + b":" + encode_json(inner) for name, inner in value.items()
        )
        return b"{" + b",".join(members) + b"}"
    if isinstance(value, list | tuple) and value:
        return b"[" + b",".join([encode_json(inner) for inner in value]) + b"]"
    return json.dumps(_finite(value), separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    """As orjson does it: null for NaN and infinite numbers, which are not JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value
