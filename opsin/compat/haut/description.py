"""What the Haut API says of itself, as an OpenAPI document."""

import json
import re
from typing import Any

from pydantic import BaseModel

from opsin.compat.haut.operation_forms import Operation
from opsin.compat.haut.operations import OPERATIONS
from opsin.compat.haut.shapes import INTEGER, SHAPES, TEXT, TIME, reference

ABOUT = (
    "Companies have datasets of subjects; pictures of a subject come in batches, and the "
    "applications that are attached to a dataset analyse each as it comes. Every path is there "
    "with and without the slash at its end. Results are also told as they are made: to the "
    "WebSockets `/notifications/?user_id=` and `/notifications/results/?company_id=`."
)
_ERRORS = {
    "400": "The body or the query cannot be used; `attr` names the field",
    "401": "No token, or one that is not good",
    "403": "This company is not open to the caller, or a page of another site asks",
    "404": "There is no such thing within the one before it in the path",
    "406": "JSON is what is answered",
    "409": "Its state does not allow it",
    "413": "Too many bytes, or too many pixels",
    "415": "The body is no JSON",
    "422": "It cannot be made of what is there",
    "429": "Too many attempts; `Retry-After` says when to come again",
    "503": "Too much is waiting, or the database or the store of files is not there",
    "504": "It was not ready in time",
}
_ALWAYS = ("400", "401", "403", "404", "406", "503")
_WITH_BODY = ("409", "413", "415")


_QUERIES: dict[str, Any] = {
    "page": INTEGER | {"minimum": 1, "default": 1},
    "page_size": INTEGER | {"minimum": 1, "maximum": 1000, "default": 100},
    "q": TEXT | {"description": "Part of the name, in whatever case"},
    "ordering": TEXT | {"description": "A field, after `-` from the last to the first"},
    "application_run_id": TEXT,
    "application_name": TEXT,
    "application_id": TEXT,
    "token": TEXT | {"description": "Instead of a header"},
    "date_from": TIME | {"description": "ISO 8601; without a zone it is UTC"},
    "date_to": TIME | {"description": "ISO 8601; without a zone it is UTC"},
    "expiration_seconds": INTEGER,
    "sample_time_window": INTEGER | {"default": 14, "description": "Days, from 1 to 365"},
    "sample_max_size": INTEGER | {"default": 10, "description": "Images, from 1 to 100"},
    "smoothing_method": {
        "enum": ["mean", "mean_without_outliers", "linear_approximation"],
        "default": "mean",
    },
    "resolve_dependencies": TEXT,
}


def describe() -> dict[str, Any]:
    """OpenAPI 3.1; each path is told of in the form with the slash at its end."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = dict(SHAPES)
    for operation in OPERATIONS:
        path = operation.path if operation.path.endswith(".jpg") else f"{operation.path}/"
        paths.setdefault(path, {})[operation.method] = _described(operation, path, schemas)
    bearer = {"type": "http", "scheme": "bearer", "description": "Of a sign-in, or a private one."}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Haut.AI", "version": "1", "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": bearer,
                "accessToken": {"type": "apiKey", "in": "header", "name": "access-token"},
            },
        },
    }


def _described(operation: Operation, path: str, schemas: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": TEXT}
        for name in re.findall(r"{(\w+)}", path)
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": _QUERIES[name]}
        for name in operation.query
    ]
    good: dict[str, Any] = {"description": operation.summary}
    if operation.answer is not None:
        good["content"] = {operation.kind: {"schema": operation.answer}}
    bad = {*_ALWAYS, *operation.errors, *(_WITH_BODY if operation.body is not None else ())}
    responses = {str(operation.status): good} | {
        status: {
            "description": _ERRORS[status],
            "content": {"application/json": {"schema": reference("Error")}},
        }
        for status in bad
    }
    described: dict[str, Any] = {
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": parameters,
        "responses": dict(sorted(responses.items())),
        "security": [{}] if operation.is_open else [{"bearer": []}, {"accessToken": []}],
    }
    if operation.body is not None:
        schema = _body_schema(operation.body, schemas)
        content = {"schema": schema, "example": operation.example}
        described["requestBody"] = {"required": False, "content": {"application/json": content}}
    return described


def _body_schema(body: type[BaseModel] | dict[str, Any], schemas: dict[str, Any]) -> Any:
    """The model's schema among those of the document, with all that it refers to."""
    if isinstance(body, dict):
        return body
    text = json.dumps(body.model_json_schema(by_alias=False))
    schema = json.loads(text.replace("#/$defs/", "#/components/schemas/"))
    schemas.update(schema.pop("$defs", {}))
    schemas[body.__name__] = schema
    return reference(body.__name__)
