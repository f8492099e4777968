"""JSON on the wire: as the storage has it, and never a failure for what is already there."""

import json
import math
from typing import Any

import orjson


def encode_json(value: object) -> bytes:
    """JSON text; integers of any size, deep nesting and any text a database gives are written."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(_finite(value), separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    """As orjson does it: null for NaN and infinite numbers, which are not JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value
