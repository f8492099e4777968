"""What came of each task, as this API tells it: success, skipped, or error."""

from collections.abc import Callable, Mapping
from typing import Any

from opsin.compat.image_embed.tasks import (
    CLASSIFY,
    DESCRIBE,
    DETECT,
    INTERNAL,
    Refusal,
    not_an_integer,
)
from opsin.core.contract import Box, Embedding, Result
from opsin.core.engine import Outcome
from opsin.core.errors import (
    InvalidInput,
    NotFound,
    OperationUnavailable,
    OpsinError,
    RegionNotFound,
)

Told = dict[str, Any]
"""The five keys of a result."""


def told(outcome: Outcome, params: Mapping[str, Any], cut: Callable[[Box], str]) -> Told:
    """The result of a task that the caller sent these params with.

    `cut` gives a region as a PNG in base64.
    """
    result = outcome.result
    if result is None:
        assert outcome.error is not None  # there is one or the other
        return refused(_refusal(outcome, outcome.error, params))
    region = result.region if outcome.task.operation.crop else None
    return {
        "status": "success",
        "data": _data(outcome.task.operation.name, result),
        "cropped_image_bbox": None if region is None else _corners(region),
        "cropped_image_base64": None if region is None else cut(region),
        "error_message": None,
    }


def refused(refusal: Refusal) -> Told:
    return {
        "status": "error" if refusal.is_error else "skipped",
        "data": None,
        "cropped_image_bbox": None,
        "cropped_image_base64": None,
        "error_message": refusal.message,
    }


def _data(operation: str, result: Result) -> Any:
    if isinstance(result, Embedding):
        return result.vector
    fields = result.model_dump(mode="json", exclude={"region", "note"})
    if operation == DETECT:
        box = getattr(result, "box", None)
        return None if box is None else _corners(box)
    if operation == CLASSIFY:
        return {name: fields[name] for name in ("is_in_collection", "probability")}
    return fields["text"] if operation == DESCRIBE else fields


def _corners(box: Box) -> list[int]:
    return [box.x_min, box.y_min, box.x_max, box.y_max]


def _refusal(outcome: Outcome, error: OpsinError, params: Mapping[str, Any]) -> Refusal:
    """What is wrong with what was asked or shown is `skipped`, all else an `error`."""
    if outcome.task.operation.name == CLASSIFY:
        return _of_classify(error, params.get("collection_id"))
    if isinstance(error, InvalidInput):
        return Refusal(error.message)
    return Refusal(INTERNAL + error.message, is_error=True)


def _of_classify(error: OpsinError, collection: Any) -> Refusal:
    if isinstance(error, RegionNotFound):
        return Refusal(f"No face detected for collection {collection} with face target")
    if isinstance(error, NotFound):
        if isinstance(collection, str) and not _is_integer(collection):
            return not_an_integer(collection)
        return Refusal(f"Classifier not found for collection_id {collection}.")
    if isinstance(error, InvalidInput):
        return Refusal(error.message)
    if isinstance(error, OperationUnavailable):
        return Refusal(INTERNAL + error.message, is_error=True)
    failed = f"Failed to classify embedding for collection {collection}: {error.message}"
    return Refusal(INTERNAL + failed, is_error=True)


def _is_integer(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True
