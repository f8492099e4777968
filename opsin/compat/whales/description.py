"""What the whales API says of itself, as an OpenAPI document."""

from typing import Any

from opsin.compat.whales.exports import COLUMNS

ABOUT = (
    "Whales and dolphins, told from each other on pictures: one at a time, or many in a ZIP "
    "archive. That a picture shows none is an answer as well (`rejected`). `/health` and "
    "`/metrics` are those of the server."
)
_ERRORS = {
    "400": "The file is empty, the archive cannot be read, or a parameter is wrong",
    "401": "No usable API key",
    "403": "A page of another site may not call",
    "404": "There is no such webhook",
    "413": "Too many bytes, pixels or entries",
    "415": "The file is of no kind that is taken here",
    "422": "A part or a field is missing or wrong",
    "429": "Too many requests; `Retry-After` says when to come again",
    "503": "Too much is waiting, or the models are not there",
}
_NUMBER, _TEXT = {"type": "number"}, {"type": "string"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_CANDIDATE = {
    "type": "object",
    "required": ["class_animal", "id_animal", "probability"],
    "properties": {"class_animal": _TEXT, "id_animal": _TEXT, "probability": _NUMBER},
}
_DETECTION_FIELDS: dict[str, Any] = {
    "image_ind": _TEXT | {"description": "The name of the file, or of the entry"},
    "bbox": {"type": "array", "items": {"type": "integer"}, "description": "x1, y1, x2, y2"},
    "class_animal": _TEXT | {"description": "The individual; empty where there is none"},
    "id_animal": _TEXT | {"description": "The species"},
    "probability": _NUMBER,
    "mask": _MAYBE_TEXT | {"description": "The animal cut out, a PNG as base64"},
    "is_cetacean": {"type": "boolean"},
    "cetacean_score": _NUMBER,
    "rejected": {"type": "boolean"},
    "rejection_reason": _MAYBE_TEXT,
    "model_version": _TEXT,
    "candidates": {"type": "array", "items": {"$ref": "#/components/schemas/Candidate"}},
}
_SCHEMAS: dict[str, Any] = {
    "Candidate": _CANDIDATE,
    "Detection": {
        "type": "object",
        "required": list(_DETECTION_FIELDS),
        "properties": _DETECTION_FIELDS,
    },
    "Detections": {"type": "array", "items": {"$ref": "#/components/schemas/Detection"}},
    "DriftStats": {
        "type": "object",
        "required": ["n", "alarms_total", "score_mean", "score_std", "probability_mean"],
        "properties": {
            "n": {"type": "integer"},
            "alarms_total": {"type": "integer"},
            "score_mean": _NUMBER,
            "score_std": _NUMBER,
            "probability_mean": _NUMBER,
        },
    },
    "NewWebhook": {
        "type": "object",
        "required": ["url", "events"],
        "properties": {
            "url": {"type": "string", "format": "uri", "pattern": "^https?://"},
            "events": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"enum": ["batch_completed", "prediction_rejected"]},
            },
        },
    },
    "Registered": {
        "type": "object",
        "required": ["webhook_id", "status", "url", "events"],
        "properties": {
            "webhook_id": _TEXT,
            "status": {"const": "registered"},
            "url": _TEXT,
            "events": {"type": "array", "items": _TEXT},
        },
    },
    "Webhooks": {
        "type": "object",
        "required": ["webhooks", "count"],
        "properties": {
            "webhooks": {"type": "array", "items": {"type": "object"}},
            "count": {"type": "integer"},
        },
    },
    "Export": {
        "type": "object",
        "required": ["count", "since", "records"],
        "properties": {
            "count": {"type": "integer"},
            "since": _MAYBE_TEXT,
            "records": {
                "type": "array",
                "items": {"type": "object", "required": list(COLUMNS)},
            },
        },
    },
    "Error": {
        "type": "object",
        "required": ["detail"],
        "properties": {"detail": {"type": ["string", "array"]}},
    },
}
_PREDICTING = ("400", "401", "403", "413", "415", "422", "429", "503")
_HOOK_URL = "https://example.com/whales"


def describe() -> dict[str, Any]:
    """The document."""
    single = _operation(
        "Identify the animal on one picture",
        _answers(_json("What the picture shows", "Detection"), *_PREDICTING),
        body=_form("file"),
    )
    batch = _operation(
        "Identify the animals on every picture of a ZIP archive, in its order",
        _answers(_json("One entry a picture", "Detections"), *_PREDICTING),
        body=_form("archive"),
    )
    stats = _answers(_json("The last pictures", "DriftStats"), "401", "503")
    created = _answers(
        _json("It is called from now on", "Registered"),
        *("400", "401", "403", "409", "413", "422", "503"),
        good="201",
    )
    listed = _answers(_json("Those of the caller", "Webhooks"), "401", "503")
    gone = _answers({"description": "It is called no more"}, "401", "403", "404", good="204")
    return {
        "openapi": "3.1.0",
        "info": {"title": "whales", "version": "1", "description": ABOUT},
        "paths": {
            "/v1/predict-single": {"post": single},
            "/predict-single": {"post": single | {"deprecated": True}},
            "/v1/predict-batch": {"post": batch},
            "/predict-batch": {"post": batch | {"deprecated": True}},
            "/v1/drift-stats": {"get": _operation("How scores have moved lately", stats)},
            "/v1/webhook/register": {
                "post": _operation(
                    "Have an address told of rejections and finished batches",
                    created,
                    body=_json_body("NewWebhook", {"url": _HOOK_URL, "events": _EVENTS}),
                )
            },
            "/v1/webhook/{webhook_id}": {
                "delete": _operation(
                    "Tell it no more", gone, parameters=[_parameter("path", "webhook_id", _TEXT)]
                )
            },
            "/v1/webhooks": {"get": _operation("Every webhook of the caller", listed)},
            "/v1/export": {"get": _export()},
        },
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


_EVENTS = ["prediction_rejected"]


def _export() -> dict[str, Any]:
    good = _json("What was answered lately, newest last", "Export")
    good["content"]["text/csv"] = {"schema": _TEXT}
    form = _parameter("query", "format", {"enum": ["json", "csv"], "default": "json"})
    since = _parameter("query", "since", {"type": "string", "format": "date-time"})
    return _operation(
        "What was answered lately, as JSON or CSV",
        _answers(good, "400", "401", "422", "503"),
        parameters=[form, since],
    )


def _operation(
    summary: str,
    responses: dict[str, Any],
    *,
    parameters: list[Any] | None = None,
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": parameters or [],
        "responses": responses,
        "security": [{"apiKey": []}, {"bearer": []}, {}],
    }
    return operation | ({"requestBody": body} if body else {})


def _parameter(place: str, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _form(part: str) -> dict[str, Any]:
    types = "image/*" if part == "file" else "application/zip"
    schema = {
        "type": "object",
        "required": [part],
        "properties": {part: {"type": "string", "format": "binary"}},
    }
    content = {"schema": schema, "encoding": {part: {"contentType": types}}}
    return {"required": True, "content": {"multipart/form-data": content}}


def _json_body(name: str, example: Any) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": _ref(name) | {"example": example}}}


def _answers(answer: dict[str, Any], *errors: str, good: str = "200") -> dict[str, Any]:
    bad = {status: _json(_ERRORS.get(status, "It is there already"), "Error") for status in errors}
    return dict(sorted(({good: answer} | bad).items()))


def _json(text: str, name: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": _ref(name)}}


def _ref(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}
