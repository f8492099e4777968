"""Bodies of requests: what they must hold, and what is said of those that do not."""

from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, Field, HttpUrl, TypeAdapter, ValidationError

TASKS_REFUSED = "Invalid tasks JSON format or structure: "

_MOST_PROBLEMS = 20

Problem = dict[str, Any]


class TaskRequest(BaseModel):
    """One operation that is asked for; whether it can be done is said in its result."""

    operation_id: str = Field(description="the caller's name for it, a key of `results`")
    type: str = Field(description="an operation, as `/available_operations/` lists them")
    params: dict[str, Any] | None = None


class AnalyzeRequest(BaseModel):
    """Tasks on the picture behind a URL."""

    image_url: HttpUrl
    tasks: list[TaskRequest]


class AnalyzeManyRequest(BaseModel):
    """The same tasks on each of several pictures; a URL that is none fails alone."""

    image_urls: list[str] = Field(min_length=1)
    tasks: list[TaskRequest]


Body = TypeVar("Body", AnalyzeRequest, AnalyzeManyRequest)

_TASKS = TypeAdapter(list[TaskRequest])
_URL = TypeAdapter(HttpUrl)


class Refused(Exception):
    """A request with these fields wrong: 422, a list of what and where, without what was sent."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("the request is not as documented")
        self.problems = list(problems)


class TasksRefused(Exception):
    """Tasks in a form field that are no tasks: 400, one text."""

    def __init__(self, reason: str) -> None:
        super().__init__(TASKS_REFUSED + reason)


def read_body(kind: type[Body], content: bytes, max_tasks: int) -> Body:
    """The JSON body of a request; raises Refused."""
    if not content:
        raise Refused([missing()])
    try:
        given = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        wrong = problem("json_invalid", ("body", error.pos), "JSON decode error")
        raise Refused([wrong]) from None
    try:
        body = kind.model_validate(given, from_attributes=True)
    except ValidationError as error:
        raise Refused(_problems(error)) from None
    check_length(len(body.tasks), max_tasks, "tasks")
    return body


def check_length(length: int, most: int, name: str) -> None:
    """Raises Refused for a list of more than `most`."""
    if length > most:
        text = f"List should have at most {most} items after validation, not {length}"
        raise Refused([problem("too_long", ["body", name], text)])


def read_tasks(text: str, max_tasks: int) -> list[TaskRequest]:
    """The tasks of a form field; raises TasksRefused."""
    try:
        given = orjson.loads(text)
    except ValueError as error:  # also for text that is no UTF-8
        at = f" at character {error.pos}" if isinstance(error, orjson.JSONDecodeError) else ""
        raise TasksRefused(f"no JSON{at}") from None
    if given == {}:
        return []
    if not isinstance(given, list):
        raise TasksRefused("a list of tasks is needed")
    try:
        tasks = _TASKS.validate_python(given, from_attributes=True)
    except ValidationError as error:
        reasons = (f"{_place(one['loc'])}: {one['msg']}" for one in _problems(error, ()))
        raise TasksRefused("; ".join(reasons)) from None
    if len(tasks) > max_tasks:
        raise TasksRefused(f"at most {max_tasks} tasks may be asked at once")
    return tasks


def normal_url(text: str) -> str | None:
    """A URL as it is used and told again; None for what is none."""
    try:
        return str(_URL.validate_python(text))
    except ValidationError:
        return None


def missing(*place: str) -> Problem:
    return problem("missing", ["body", *place], "Field required")


def problem(kind: str, place: Sequence[str | int], text: str) -> Problem:
    return {"type": kind, "loc": list(place), "msg": text}


def _problems(error: ValidationError, start: Sequence[str] = ("body",)) -> list[Problem]:
    """What is wrong and where; never the value, which may be a whole file."""
    told = error.errors(include_url=False, include_context=False, include_input=False)
    found = [problem(one["type"], (*start, *one["loc"]), one["msg"]) for one in told]
    return found[:_MOST_PROBLEMS]


def _place(location: Sequence[str | int]) -> str:
    return ".".join(map(str, location)) or "tasks"
