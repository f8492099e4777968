"""Answers as exact values: every bit of a float, every digit, the order of names, every error."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from strawberry.types import ExecutionResult

from opsin.graphql.wire import encode_json

_REFERENCE = re.compile(r"\b[0-9a-f]{12}\b")


def body(result: ExecutionResult) -> bytes:
    """The answer as it goes over the wire."""
    whole: dict[str, Any] = {"data": result.data}
    if result.errors:
        whole["errors"] = [error.formatted for error in result.errors]
    return encode_json(whole)


def exact(text: bytes) -> Any:
    """What JSON text says, such that equal texts and equal numbers are equal and no others.

    Objects are lists of pairs, because the order of names counts and a name twice is a fault.
    """
    found = json.loads(
        text,
        object_pairs_hook=lambda pairs: ("object", pairs),
        parse_float=lambda digits: ("number", float(digits).hex()),
        parse_int=_whole,
        parse_constant=lambda name: ("no JSON", name),
    )
    return found


def _whole(digits: str) -> tuple[str, str]:
    """1 is 1.0, and -0 is -0.0; of what a float cannot hold every digit counts."""
    number = float(digits)
    is_exact = math.isfinite(number) and int(number) == int(digits)
    return ("number", number.hex()) if is_exact else ("integer", digits)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that can be compared with another of the same database, or of another one."""

    data: Any
    errors: list[str]
    """Their message, code, path and places."""
    reasons: list[str]
    """Their messages: of several rows with one fault, any may be the first to be told of."""


def comparable(result: ExecutionResult) -> Answer:
    """The answer as exact values, its errors in any order."""
    pairs = dict(exact(body(result))[1])
    # Errors of ours that are masked have a reference of their own each.
    errors = [_REFERENCE.sub("<reference>", repr(error)) for error in pairs.get("errors", [])]
    reasons = {_REFERENCE.sub("<reference>", error.message) for error in result.errors or ()}
    return Answer(pairs["data"], sorted(errors), sorted(reasons))


def first_difference(one: Any, other: Any, where: str = "data") -> str | None:
    """Where two exact values begin to differ, and how; None where they do not."""
    if one == other:
        return None
    if isinstance(one, tuple) and isinstance(other, tuple) and one[0] == other[0] == "object":
        for (name, value), (other_name, other_value) in zip(one[1], other[1], strict=False):
            if name != other_name:
                return f"{where}: {name} beside {other_name}"
            if (found := first_difference(value, other_value, f"{where}.{name}")) is not None:
                return found
        return f"{where}: {len(one[1])} and {len(other[1])} members"
    if isinstance(one, list) and isinstance(other, list):
        for place, (value, other_value) in enumerate(zip(one, other, strict=False)):
            if (found := first_difference(value, other_value, f"{where}.{place}")) is not None:
                return found
        return f"{where}: {len(one)} and {len(other)} items"
    return f"{where}: {one!r} and {other!r}"
