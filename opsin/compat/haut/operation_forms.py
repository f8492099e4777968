"""How an operation of the API is described, and the short ways to say what most of them are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from opsin.compat.haut.shapes import OBJECT, Schema, reference


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path; without an `answer` nothing is answered but the status."""

    method: str
    path: str
    summary: str
    tag: str
    answer: Schema | None
    status: int = 200
    query: Sequence[str] = ()
    body: type[BaseModel] | Schema | None = None
    example: Any = None
    is_open: bool = False
    kind: str = "application/json"
    errors: Sequence[str] = ()


def read(
    path: str,
    summary: str,
    tag: str,
    answer: Schema,
    *query: str,
    is_open: bool = False,
    kind: str = "application/json",
) -> Operation:
    return Operation("get", path, summary, tag, answer, query=query, is_open=is_open, kind=kind)


def changed(
    method: str, path: str, summary: str, tag: str, answer: str, body: type[BaseModel], example: Any
) -> Operation:
    return Operation(method, path, summary, tag, reference(answer), body=body, example=example)


def made(
    path: str,
    summary: str,
    tag: str,
    answer: str,
    body: type[BaseModel] | Schema,
    example: Any,
    *query: str,
) -> Operation:
    return Operation("post", path, summary, tag, reference(answer), 201, query, body, example)


def deleted(path: str, summary: str, tag: str) -> Operation:
    return Operation("delete", path, summary, tag, OBJECT)
