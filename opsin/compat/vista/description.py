"""What the VISTA API says of itself, as an OpenAPI document for its first prefix."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from opsin.compat.vista.examples import EXAMPLES
from opsin.compat.vista.gate import Policy

ABOUT = (
    "Projects, images, and what pipelines that run elsewhere tell of them. The same paths exist "
    "below `/api-key`, which always wants an API key, and `/api-ml`, which wants an API key and a "
    "signature on every request; each with and without a slash at its end."
)

_Way = dict[str, list[str]]
_KEY: _Way = {"apiKey": []}
_BEARER: _Way = {"bearer": []}
_SIGNED: _Way = {"signature": [], "timestamp": []}
SECURITY: Mapping[Policy, list[_Way]] = {
    Policy.OPEN: [],
    Policy.USER: [_KEY, _BEARER],
    Policy.ANALYSES: [_KEY, _BEARER],
    Policy.STATUS: [_SIGNED, _KEY, _BEARER],
    Policy.CALLBACK: [_SIGNED],
}
"""Any one of these is enough."""

ERRORS: Mapping[str, str] = {
    "400": "The request cannot be understood, or goes beyond a limit",
    "401": "Nobody who may call: no usable key, or no valid signature",
    "403": "Another group's, or a page of another site",
    "404": "There is no such thing, or analyses are switched off",
    "409": "It is not in the state that this needs",
    "413": "Too many bytes",
    "422": "Fields that are wrong, each with its place",
    "503": "Too much is waiting; `Retry-After` says when to come again",
}
_ERROR = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["type", "loc", "msg"],
                        "properties": {
                            "type": {"type": "string"},
                            "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                            "msg": {"type": "string"},
                        },
                    },
                },
            ]
        }
    },
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, with paths as they are below the prefix."""
    document = app.openapi()
    document["info"]["description"] = ABOUT
    document.setdefault("components", {}).setdefault("schemas", {})["Error"] = _ERROR
    for path, item in document["paths"].items():
        for operation in item.values():
            _hoist(operation, document["components"]["schemas"])
            _tell_errors(path, operation)
    _give_examples(document["paths"])
    bulk = document["paths"]["/analyses/{analysis_id}/annotations:bulk"]["post"]["responses"]
    # As the guide has it; who signs with the time is answered 200.
    bulk["201"] = bulk["200"]
    for path, content in _FILES.items():
        document["paths"][path]["get"]["responses"]["200"]["content"] = content
    document.setdefault("components", {})["securitySchemes"] = {
        "apiKey": _header("X-API-Key", "An API key of Opsin."),
        "bearer": {"type": "http", "scheme": "bearer", "description": "The same key."},
        "signature": _header(
            "X-ML-Signature",
            "`sha256=` and the HMAC-SHA256 of `<X-ML-Timestamp>.<body>`, or that of the body alone "
            "without the mark; in lower-case hexadecimal.",
        ),
        "timestamp": _header("X-ML-Timestamp", "Seconds since 1970, or ISO 8601."),
    }
    return document


_ANY: Mapping[str, Any] = {"*/*": {"schema": {}}}
_FILES: Mapping[str, Mapping[str, Any]] = {
    "/images/{image_id}/content": _ANY,
    "/images/{image_id}/thumbnail": _ANY,
    "/ml/artifacts/content": _ANY,
    "/analyses/{analysis_id}/export": {
        "application/json": {"schema": {}},
        "text/csv": {"schema": {"type": "string"}},
    },
}
"""What answers with something else than JSON."""


def _hoist(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Move a body's own definitions to those of the document, which every reader looks through."""
    for form in operation.get("requestBody", {}).get("content", {}).values():
        schema = form["schema"]
        if "$defs" not in schema:
            continue
        there = json.loads(json.dumps(schema).replace("#/$defs/", "#/components/schemas/"))
        schemas.update(there.pop("$defs"))
        schemas[there.pop("$id")] = there
        form["schema"] = {"$ref": f"#/components/schemas/{schema['$id']}"}


def _give_examples(paths: dict[str, Any]) -> None:
    """Each body that is JSON, as somebody sends it."""
    for (method, path), example in EXAMPLES.items():
        paths[path][method]["requestBody"]["content"]["application/json"]["example"] = example


def _tell_errors(path: str, operation: dict[str, Any]) -> None:
    """Add what an operation may answer instead: all of them alike, but for what it needs."""
    responses = operation["responses"]
    statuses = dict(ERRORS) if operation.get("security") else {}
    if "{" not in path and "requestBody" not in operation:
        statuses.pop("409", None)
    if any("signature" in way for way in operation.get("security", ())):
        statuses["500"] = "It is signed, and there is no secret to tell by"
    for status, text in statuses.items():
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        responses[status] = {"description": text, "content": content}
    operation["responses"] = dict(sorted(responses.items()))


def _header(name: str, text: str) -> dict[str, str]:
    return {"type": "apiKey", "in": "header", "name": name, "description": text}
