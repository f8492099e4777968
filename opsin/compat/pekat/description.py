"""What the PEKAT VISION API says of itself, as an OpenAPI document."""

from typing import Any

from opsin.compat.pekat.parameters import ResponseType

ABOUT = (
    "One picture a request, through the flow of operations that is configured. An answer is a "
    "context, or an image with its context in a header (`ContextBase64utf`) or behind it in the "
    "body. The body is the picture whatever its content type says, or the first file of a form."
)
_ERRORS = {
    "400": "There is no picture that can be read, or a parameter is wrong",
    "401": "The API key is missing or wrong",
    "403": "The key is missing or wrong",
    "404": "There is nothing, or it is switched off",
    "413": "Too many bytes or pixels",
    "503": "Too much is waiting; `Retry-After` says when to come again",
}
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "required": ["image"],
        "properties": {
            "image": {"type": "string", "format": "binary"},
            "width": {"type": "integer"},
            "height": {"type": "integer"},
        },
    }
}
_BODY = {"required": True, "content": {"application/octet-stream": _BINARY}}
_BODY_OR_FORM = {
    "required": True,
    "content": {
        "application/octet-stream": _BINARY,
        **{f"image/{kind}": _BINARY for kind in ("jpeg", "png")},
        "multipart/form-data": _FORM,
    },
}
_KEYS: list[dict[str, list[str]]] = [{"query": []}, {"apiKey": []}, {"bearer": []}, {}]
"""The last: where nobody is asked for a key."""


def describe() -> dict[str, Any]:
    """The document."""
    wanted = [_RESPONSE_TYPE, _IN_BODY, _DATA]
    raw = [_side("width"), _side("height"), _BAYER, *wanted]
    shared = [_parameter("name", {"type": "string"}, "The segment of shared memory", True)]
    analyses = ("400", "401", "413", "503")
    return {
        "openapi": "3.1.0",
        "info": {"title": "PEKAT VISION", "version": "1", "description": ABOUT},
        "paths": {
            "/ping": _reads(
                "Whether the server answers; with `init_model`, once the models are loaded",
                [_parameter("init_model", {"type": "string"}, "Wait for the models")],
                _answers(_json("It does", "Ping"), "400", "401", "503"),
            ),
            "/version": _reads(
                "From which version on clients send arrays by shared memory",
                [],
                _answers({"description": "It", "content": {"text/plain": _TEXT}}, "404"),
            ),
            "/analyze_image": _pictures(
                "A picture in a file: JPEG, PNG, BMP, TIFF, WebP or GIF, by its content",
                wanted,
                _BODY_OR_FORM,
                _answers(_ANALYSED, *analyses),
            ),
            "/analyze_raw_image": _pictures(
                "Pixels without a file: BGR, BGRA, grey or Bayer RG8, by their number",
                raw,
                _BODY,
                _answers(_ANALYSED, *analyses),
            ),
            "/analyze_image_shared_memory": {
                "post": _operation(
                    "Pixels in shared memory, from this machine only",
                    [*shared, _side("width"), _side("height"), *wanted],
                    _answers(_ANALYSED, *analyses, "404"),
                )
            },
            "/last_image": {
                "get": _operation(
                    "The picture that was analysed last, and its context",
                    [_RESPONSE_TYPE, _IN_BODY],
                    _answers(_ANALYSED, "400", "401", "404", "413", "503"),
                )
            },
            "/stop": _reads(
                "Stop a server that was started with a stop key",
                [_parameter("key", {"type": "string"}, "The stop key")],
                _answers(_json("It stops", "Ping"), "400", "403", "404"),
                keys=False,
            ),
        },
        "components": {
            "schemas": {"Ping": _PING, "Context": _CONTEXT, "Error": _ERROR},
            "securitySchemes": {
                "query": {"type": "apiKey", "in": "query", "name": "api_key"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _reads(
    summary: str, parameters: list[Any], responses: dict[str, Any], *, keys: bool = True
) -> dict[str, Any]:
    """GET and HEAD."""
    bare = {status: {"description": one["description"]} for status, one in responses.items()}
    return {
        "get": _operation(summary, parameters, responses, keys=keys),
        "head": _operation(f"{summary}; no body", parameters, bare, keys=keys),
    }


def _pictures(
    summary: str, parameters: list[Any], body: dict[str, Any], responses: dict[str, Any]
) -> dict[str, Any]:
    """POST, as PUT for clients that upload, and as GET for those that send a body by it."""
    operation = _operation(summary, parameters, responses)
    return {
        "post": operation | {"requestBody": body},
        "put": operation | {"summary": f"{summary}; as POST", "requestBody": body},
        "get": operation | {"summary": f"{summary}; as POST, the body included"},
    }


def _operation(
    summary: str, parameters: list[Any], responses: dict[str, Any], *, keys: bool = True
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": parameters,
        "responses": responses,
    }
    return operation | ({"security": _KEYS} if keys else {})


def _parameter(name: str, schema: Any, text: str, required: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "schema": schema,
        "description": text,
    }


def _side(name: str) -> dict[str, Any]:
    return _parameter(name, {"type": "integer", "minimum": 1}, "In pixels", True) | {"example": 2}


def _answers(good: dict[str, Any], *errors: str) -> dict[str, Any]:
    return {"200": good} | {status: _json(_ERRORS[status], "Error") for status in sorted(errors)}


def _json(text: str, name: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": _ref(name)}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_TEXT = {"schema": {"type": "string"}}
_RESPONSE_TYPE = _parameter(
    "response_type",
    {"type": "string", "enum": [*ResponseType], "default": ResponseType.CONTEXT.value},
    "A context, or the picture, the picture with findings drawn, the heat alone, as PNG",
)
_IN_BODY = _parameter(
    "context_in_body",
    {"type": "string"},
    "The context behind the image; `ImageLen` says where it begins",
)
_DATA = _parameter("data", {"type": "string"}, "Comes back in the context")
_BAYER = _parameter("bayer", {"type": "string"}, "The bytes are a Bayer mosaic, RG8")
_ANALYSED = {
    "description": "What the flow found",
    "headers": {
        "ContextBase64utf": {"schema": {"type": "string"}, "description": "The context, base64"},
        "ImageLen": {"schema": {"type": "integer"}, "description": "Bytes of the image"},
    },
    "content": {
        "application/json": {"schema": _ref("Context")},
        "image/png": _BINARY,
        "application/octet-stream": _BINARY,
    },
}
_PING = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "string"}},
}
_ERROR = {
    "type": "object",
    "required": ["error", "message"],
    "properties": {"error": {"const": True}, "message": {"type": "string"}},
}
_CONTEXT = {
    "type": "object",
    "description": "Flat, and open: each step of the flow may add a key of its own",
    "required": ["error", "imageShape", "processing", "processingTime", "save"],
    "properties": {
        "error": {"type": "boolean"},
        "imageShape": {
            "type": "object",
            "required": ["height", "width"],
            "properties": {"height": {"type": "integer"}, "width": {"type": "integer"}},
        },
        "processing": {"type": "boolean", "description": "Only then there are the keys below"},
        "processingTime": {"type": "number", "description": "Seconds"},
        "save": {"type": "boolean"},
        "completeTime": {"type": "number", "description": "Seconds"},
        "result": {"type": "boolean", "description": "Whether every rule holds"},
        "detectedRectangles": {"type": "array", "items": {"type": "object"}},
        "surfaceClasses": {"type": "array", "items": {"type": "object"}},
        "data": {"type": "string"},
        "production_mode": {"type": "boolean"},
        "operatorInput": {"type": "object"},
        "globalData": {"type": "object"},
        "errors": {"type": "array", "items": {"type": "string"}},
        "stdout": {"type": "string"},
        "stderr": {"type": "string"},
        "score": {"type": "number"},
        "threshold": {"type": "number"},
        "angle": {"type": ["number", "null"]},
        "lines": {"type": "array", "items": {"type": "object"}},
    },
}
