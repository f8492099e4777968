"""Answers as VISTA's clients expect them: JSON, and errors with a `detail`."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_jsonable_python
from starlette.exceptions import HTTPException
from starlette.responses import Response

from opsin.core.error_statuses import headers_of, status_of
from opsin.core.errors import LimitReached, OpsinError
from opsin.core.unexpected import logged

_MOST_PROBLEMS = 100
_LONGEST_INPUT = 1000
"""Characters of what was sent that are repeated where it is told what is wrong with it."""


class Invalid(Exception):
    """Fields that are not what they must be, in the form that FastAPI has for them: 422."""

    def __init__(self, problems: Sequence[Any]) -> None:
        super().__init__("invalid fields")
        self.problems = problems


def problem(location: Sequence[str | int], message: str, kind: str = "value_error") -> Invalid:
    """One field that is wrong."""
    return Invalid([{"type": kind, "loc": ["body", *location], "msg": message, "input": None}])


def json_answer(content: Any, status: int = 200, **headers: str) -> Response:
    """The content as JSON; what is JSON already comes as `orjson.Fragment`."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def error_answer(error: Exception) -> Response:
    """The one place where an exception becomes an answer; what nobody expected is masked."""
    match error:
        case LimitReached():
            # As the public server has it; everywhere else it is a conflict.
            return _told({"detail": error.message}, HTTPStatus.BAD_REQUEST)
        case OpsinError():
            return _told({"detail": error.message}, status_of(error), **headers_of(error))
        case HTTPException():
            return _told({"detail": error.detail}, error.status_code, **(error.headers or {}))
        case RequestValidationError():
            return _told({"detail": _plain(error.errors())}, 422)
        case Invalid():
            return _told({"detail": _plain(error.problems)}, 422)
    return _told({"detail": f"Internal server error ({logged(error)})"}, 500)


def _told(content: Any, status: int, **headers: str) -> Response:
    """In ASCII: what is said of a text may repeat half of a character, which UTF-8 has not."""
    return Response(json.dumps(content), status, headers, "application/json")


def _plain(problems: Sequence[Any]) -> Any:
    """The list as JSON: exceptions and bytes as texts, NaN as null, and nothing large repeated."""
    plain = to_jsonable_python(problems, fallback=str, bytes_mode="base64", inf_nan_mode="null")
    return [_short(problem) for problem in plain[:_MOST_PROBLEMS]]


def _short(problem: Any) -> Any:
    """Without the whole of a body in which something is missing: it is the caller's own."""
    given = problem.get("input") if isinstance(problem, dict) else None
    is_long = isinstance(given, dict | list | str) and len(json.dumps(given)) > _LONGEST_INPUT
    return {**problem, "input": None} if is_long else problem
