"""The REST routes that are Opsin's own, as an OpenAPI document: health, files, exports, uploads."""

from typing import Any

from opsin.core.exports.request import ExportFormat, TargetKind
from opsin.web.openapi import Described

ABOUT = (
    "Health, and what GraphQL gives links to. Addresses of files and uploads come from there, "
    "signed and for a while; exports also take an API key. Everything else of Opsin's own is "
    "GraphQL, at `/graphql`."
)
_UUID = {"type": "string", "format": "uuid"}
_BYTES: dict[str, Any] = {"schema": {}}
_LINK = [
    {
        "name": name,
        "in": "query",
        "required": True,
        "schema": {"type": "string"},
        "description": text,
    }
    for name, text in (
        ("expires", "When the link ends, in seconds since 1970"),
        ("signature", "What only this server can have made of the rest of the link"),
    )
]
_SIDES = [
    {"name": name, "in": "query", "required": True, "schema": {"type": "integer"}}
    for name in ("width", "height")
]
_ERRORS = {
    "400": "The request cannot be understood",
    "401": "No usable API key",
    "403": "The link is not valid, or not any longer",
    "404": "There is no such thing, or it has no file",
    "409": "The file was sent already",
    "413": "Too many bytes",
    "416": "The file has no such part",
    "504": "It took too long",
    "503": "Too much is waiting; `Retry-After` says when to come again",
}


def describe() -> dict[str, Any]:
    """The document."""
    health = _answers({"200": _json("It answers", "Health")})
    file = {"200": _file("The file"), "206": _file("The part that was asked for")}
    thumbnail = {"200": _file("The picture")}
    metrics = {"200": {"description": "They", "content": {"text/plain": _BYTES}}}
    unchanged = {"304": {"description": "The client has it"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Opsin", "version": "1", "description": ABOUT},
        "paths": {
            "/health": {"get": _operation("Waits for no database and no device", [], health)},
            "/ready": {
                "get": _operation(
                    "Whether it can do its work and takes more: waits two seconds at most",
                    [],
                    {"200": _json("It can", "Ready"), "503": _json("Not now", "Ready")},
                )
            },
            "/metrics": {
                "get": _operation(
                    "Counters and gauges in the text format of Prometheus", [], _answers(metrics)
                )
            },
            "/images/{image_id}/content": {
                "get": _operation(
                    "The file of an image, as it was taken in",
                    [_id("image_id"), *_LINK],
                    _answers(file | unchanged, "403", "404", "416", "503"),
                )
            },
            "/images/{image_id}/thumbnail": {
                "get": _operation(
                    "A copy of an image that fits into so many pixels",
                    [_id("image_id"), *_SIDES, *_LINK],
                    _answers(thumbnail | unchanged, "403", "404", "503"),
                )
            },
            "/images/{image_id}/report": {
                "get": _operation(
                    "A PDF of an image, its results and its subject's history",
                    [_id("image_id"), *_LINK],
                    _answers({"200": _file("The report")}, "403", "404", "503", "504"),
                )
            },
            "/artifacts/{artifact_id}/content": {
                "get": _operation(
                    "A file of an analysis",
                    [_id("artifact_id"), *_LINK],
                    _answers(file | unchanged, "403", "404", "416", "503"),
                )
            },
            **{f"/exports/{kind.value}/{{id}}": {"get": _export(kind)} for kind in TargetKind},
            "/uploads/{upload_id}": {
                "put": _operation(
                    "Send the file of an artifact",
                    [_id("upload_id"), *_LINK],
                    _answers(
                        {"200": {"description": "It is stored; `Repr-Digest` tells its digest"}},
                        *("400", "403", "404", "409", "413", "503"),
                    ),
                )
                | {"requestBody": {"required": True, "content": {"*/*": _BYTES}}}
            },
        },
        "components": {
            "schemas": {"Health": _HEALTH, "Ready": _READY, "Errors": _ERROR_LIST},
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer", "description": "The same key"},
            },
        },
    }


_HEALTH = {
    "type": "object",
    "required": ["status", "version"],
    "properties": {"status": {"const": "ok"}, "version": {"type": "string"}},
}
_READY = {
    "type": "object",
    "required": ["status", "checks"],
    "properties": {
        "status": {"enum": ["ready", "not ready"]},
        "checks": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_ERROR_LIST = {
    "type": "object",
    "required": ["errors"],
    "properties": {
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["message", "extensions"],
                "properties": {
                    "message": {"type": "string"},
                    "extensions": {
                        "type": "object",
                        "required": ["code"],
                        "properties": {"code": {"type": "string"}},
                    },
                },
            },
        }
    },
}


def _export(kind: TargetKind) -> dict[str, Any]:
    form = {
        "name": "format",
        "in": "query",
        "required": True,
        "schema": {"type": "string", "enum": [*ExportFormat]},
    }
    return _operation(
        f"The annotations of one of the {kind.value}, as a file; by an API key, or a link",
        [_id("id"), form],
        _answers({"200": _file("The file")}, "400", "401", "403", "404", "503"),
    ) | {"security": [{"apiKey": []}, {"bearer": []}]}


def _operation(summary: str, parameters: list[Any], responses: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "parameters": parameters, "responses": responses}


def _id(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _UUID}


def _answers(good: dict[str, Any], *errors: str) -> dict[str, Any]:
    bad = {status: _json(_ERRORS[status], "Errors") for status in errors}
    return dict(sorted((good | bad).items()))


def _file(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"*/*": _BYTES}}


def _json(text: str, name: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


OWN = Described("Opsin", describe)


OWN_DOORS = {
    "/": "viewer",
    "/static": "viewer",
    "/graphql": "graphql",
    "/static/graphiql": "docs",
    "/docs": "docs",
    "/redoc": "docs",
    "/openapi.json": "docs",
    "/health": "health",
    "/ready": "health",
    "/metrics": "metrics",
    "/images": "files",
    "/artifacts": "files",
    "/exports": "exports",
    "/uploads": "uploads",
}
"""What the paths of Opsin's own are counted as."""
