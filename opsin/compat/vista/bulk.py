"""Bulk bodies: thousands of annotations, checked in one pass, and what is wrong with them."""

from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

from opsin.compat.vista.answers import Invalid, problem
from opsin.core.checked_annotations import COLUMNS, CheckedAnnotations, check_annotations
from opsin.core.contract import Annotation
from opsin.core.errors import InvalidInput

_KNOWN = frozenset(COLUMNS)
_MANY = TypeAdapter(list[Annotation])
_MOST_REASONS = 20


@dataclass(frozen=True, slots=True)
class BulkAnnotations:
    """What may be stored, and the `data` of those that hold a box of the documented form."""

    checked: CheckedAnnotations
    boxes: list[tuple[int, Any]]


def read_annotations(body: bytes, most: int) -> BulkAnnotations:
    """The annotations of a body; fields that nobody knows are left out.

    Raises Invalid, or HTTPException for more than `most`.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise problem([], f"JSON decode error: {error.msg}", "json_invalid") from None
    if not isinstance(content, dict):
        raise problem([], "Input should be an object", "model_attributes_type")
    if "annotations" not in content:
        raise problem(["annotations"], "Field required", "missing")
    found = content["annotations"]
    if not isinstance(found, list):
        raise problem(["annotations"], "Input should be a valid list", "list_type")
    if len(found) > most:
        raise HTTPException(400, "Too many annotations in one request")
    known = [_known(one) if isinstance(one, dict) else one for one in found]
    try:
        checked = check_annotations(known) if all(isinstance(o, dict) for o in known) else None
    except InvalidInput as error:
        raise _reasons(known, str(error)) from None
    if checked is None:
        raise _reasons(known, "Input should be an object")
    boxes = [
        (index, one["data"])
        for index, one in enumerate(known)
        if one["annotation_type"] == "bounding_box" and "bbox" in one["data"]
    ]
    return BulkAnnotations(checked, boxes)


def _known(annotation: dict[str, Any]) -> dict[str, Any]:
    if annotation.keys() <= _KNOWN:
        return annotation
    return {name: annotation[name] for name in annotation if name in _KNOWN}


def _reasons(found: list[Any], text: str) -> Invalid:
    """Each field that is wrong; `text` where the fields themselves are right."""
    try:
        _MANY.validate_python(found)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=True)[:_MOST_REASONS]
        return Invalid([{**one, "loc": ["body", "annotations", *one["loc"]]} for one in problems])
    head, _, reason = text.partition(": ")
    index = head.removeprefix("annotation ")
    where: list[str | int] = ["annotations", int(index)] if index.isdigit() else ["annotations"]
    field, _, rest = reason.partition(": ")
    if rest and field in _KNOWN:
        return problem([*where, field], rest)
    return problem(where, reason or text)
