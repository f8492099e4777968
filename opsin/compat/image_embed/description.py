"""What the image_embed API says of itself, as an OpenAPI document."""

import json
from typing import Any

from pydantic import BaseModel, Field, JsonValue
from pydantic.json_schema import models_json_schema

from opsin.compat.image_embed.requests import AnalyzeManyRequest, AnalyzeRequest

TITLE = "Opsin: image_embed API"
ABOUT = (
    "A picture by its URL or as a file, and tasks on it; one result for each task, by the name "
    "that the caller gave it. Every path is answered with and without a slash at its end."
)
_TAG = "image_embed"


class TaskResult(BaseModel):
    """What came of one task; all five keys are always there."""

    status: str = Field(description="success, skipped or error")
    data: JsonValue = Field(description="what the operation found")
    cropped_image_bbox: list[int] | None = Field(description="xmin, ymin, xmax, ymax")
    cropped_image_base64: str | None = Field(description="the region that was used, as a PNG")
    error_message: str | None


class AnalyzeResponse(BaseModel):
    """The results of one picture by `operation_id`."""

    image_url: str
    results: dict[str, TaskResult]


class PictureEntry(AnalyzeResponse):
    """One picture of several."""

    status: str = Field(description="success, or error when there are no results")
    error_message: str | None


class AnalyzeManyResponse(BaseModel):
    """One entry for each URL, in their order."""

    images: list[PictureEntry]


class OperationEntry(BaseModel):
    """One operation, and whether it can be run here on any of its targets."""

    description: str
    allowed_targets: list[str]
    default_target: str
    available: bool
    reason: str | None = Field(description="why not on the default target, and what to do")


class OperationsResponse(BaseModel):
    """What can be named as a task's `type`."""

    operations: dict[str, OperationEntry]


class Problem(BaseModel):
    """A field that is wrong."""

    type: str
    loc: list[str | int]
    msg: str


class ProblemsResponse(BaseModel):
    detail: list[Problem]


class ErrorResponse(BaseModel):
    detail: str


class UploadForm(BaseModel):
    """A picture, and the same list of tasks as JSON."""

    image_file: str = Field(json_schema_extra={"format": "binary"})
    tasks_json: str


_MODELS: tuple[type[BaseModel], ...] = (
    *(AnalyzeRequest, AnalyzeManyRequest, UploadForm),
    *(AnalyzeResponse, AnalyzeManyResponse, OperationsResponse),
    *(ProblemsResponse, ErrorResponse),
)
_ERRORS = {
    "400": "The picture cannot be had or opened, or `tasks_json` cannot be read",
    "401": "No usable API key",
    "403": "A page of another site may not call",
    "413": "Too many bytes",
    "503": "Too much is waiting; `Retry-After` says when to come again",
}
_EXAMPLE_TASKS = [
    {
        "operation_id": "person_bbox",
        "type": "detect_bounding_box",
        "params": {"target": "prominent_person"},
    }
]


def describe() -> dict[str, Any]:
    """The document."""
    template = "#/components/schemas/{model}"
    kinds = [(model, "serialization") for model in _MODELS]
    _, told = models_json_schema(kinds, ref_template=template)  # type: ignore[arg-type] # a list of pairs with one literal
    image = "https://example.com/a.jpg"
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": "1", "description": ABOUT},
        "paths": {
            "/analyze_image/": _post(
                "Tasks on the picture behind a URL",
                _json_body("AnalyzeRequest", {"image_url": image, "tasks": _EXAMPLE_TASKS}),
                "AnalyzeResponse",
            ),
            "/analyze_image_upload/": _post(
                "Tasks on a picture that is sent",
                _form_body("UploadForm", {"tasks_json": json.dumps(_EXAMPLE_TASKS)}),
                "AnalyzeResponse",
            ),
            "/analyze_images/": _post(
                "The same tasks on several pictures, each failing alone",
                _json_body("AnalyzeManyRequest", {"image_urls": [image], "tasks": _EXAMPLE_TASKS}),
                "AnalyzeManyResponse",
            ),
            "/available_operations/": {
                "get": {
                    "summary": "The operations, and whether they can be run here",
                    "tags": [_TAG],
                    "responses": _responses("OperationsResponse", ("401",)),
                }
            },
        },
        "components": {"schemas": told["$defs"]},
    }


def _post(summary: str, content: dict[str, Any], result: str) -> dict[str, Any]:
    responses = _responses(result, tuple(_ERRORS))
    responses["422"] = _response("Fields that are wrong", "ProblemsResponse")
    return {
        "post": {
            "summary": summary,
            "tags": [_TAG],
            "requestBody": {"required": True, "content": content},
            "responses": dict(sorted(responses.items())),
        }
    }


def _json_body(model: str, example: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(model), "example": example}}


def _form_body(model: str, example: dict[str, Any]) -> dict[str, Any]:
    """The example is that of all fields but the file."""
    return {"multipart/form-data": {"schema": _ref(model), "example": example}}


def _responses(result: str, errors: tuple[str, ...]) -> dict[str, Any]:
    found = {"200": _response("What came of it", result)}
    return found | {status: _response(_ERRORS[status], "ErrorResponse") for status in errors}


def _response(text: str, model: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": _ref(model)}}}


def _ref(model: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model}"}
