"""What the five documents say: each route, method and status, and the keys of what is answered."""

import base64
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.compat.world import PICTURE, STOP_KEY, World

Request = Callable[[World], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a document: a request, and what is answered to it.

    `keys` are those of the JSON object, or of the first in a list; `inside` leads to it; `exactly`
    is the whole body, `headers` are names that the answer has.  `strict` is for the server that
    asks for keys and has narrow limits; `signed` as a pipeline does.
    """

    method: str
    path: str
    status: int
    keys: str = ""
    request: Request = lambda _world: {}
    inside: str = ""
    exactly: Any = None
    headers: str = ""
    strict: bool = False
    signed: bool = False


def _json(content: Any) -> Request:
    return lambda _world: {"json": content}


def _body(content: bytes = PICTURE, **query: str) -> Request:
    return lambda _world: {
        "content": content,
        "params": query,
        "headers": {"content-type": "application/octet-stream"},
    }


def _file(name: str, content: bytes, kind: str, **fields: str) -> Request:
    return lambda _world: {"files": {name: ("a.bin", content, kind)}, "data": fields}


def _archive(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("whale.png", content)
    return packed.getvalue()


# VISTA: the guide for pipelines.

_CREATED = "id image_id model_name model_version status parameters created_at"
_ANALYSIS = "/api/analyses/{analysis_id}"
_MODEL = {"model_name": "yolo_v8", "model_version": "v8.0.0", "description": "d", "parameters": {}}
_BOX = {
    "annotation_type": "bounding_box",
    "class_name": "person",
    "confidence": 0.95,
    "data": {"bbox": [100, 150, 50, 100], "format": "xywh"},
}
_NOBODY: Request = lambda _world: {"json": _MODEL, "headers": {"X-API-Key": ""}}  # noqa: E731  # a row is one expression, as all here
_BAD_BOX = _BOX | {"confidence": 7}
_FILES = {"artifacts": [{"artifact_name": "heatmap.png", "content_type": "image/png"}]}
_WRONG: Request = lambda _world: {  # noqa: E731  # as above
    "json": {"status": "processing"},
    "headers": {"X-ML-Signature": "0" * 64, "X-ML-Timestamp": "1"},
}
_OTHER_MODEL = {"model_name": "not_listed", "model_version": "1"}

VISTA = [
    Row("POST", "/api/images/{image_id}/analyses", 201, _CREATED, _json(_MODEL)),
    Row("POST", "/api/images/{image_id}/analyses", 401, "detail", _NOBODY, strict=True),
    Row("POST", "/api/images/{image_id}/analyses", 400, "detail", _json(_OTHER_MODEL)),
    Row("PATCH", f"{_ANALYSIS}/status", 401, "detail", _WRONG),
    Row(
        *("PATCH", f"{_ANALYSIS}/status", 200, "id status updated_at"),
        _json({"status": "processing"}),
        signed=True,
    ),
    Row(
        *("POST", f"{_ANALYSIS}/artifacts/presign", 200, "artifact_name upload_url expires_in"),
        _json(_FILES),
        inside="presigned_urls",
        signed=True,
    ),
    Row(
        *("POST", f"{_ANALYSIS}/annotations:bulk", 201, "created_count annotations"),
        _json({"annotations": [_BOX, _BOX]}),
        signed=True,
    ),
    Row(
        *("POST", f"{_ANALYSIS}/annotations:bulk", 400, "detail"),
        _json({"annotations": [_BAD_BOX]}),
        signed=True,
    ),
    Row("POST", f"{_ANALYSIS}/annotations:bulk", 401, "detail", _json({"annotations": []})),
    Row(
        *("POST", f"{_ANALYSIS}/finalize", 200, "id status completed_at"),
        _json({"status": "completed", "summary": {"total_detections": 2}}),
        signed=True,
    ),
]

# PEKAT VISION: the page "REST API", and what the published clients ask for besides.

_COMMON = "error imageShape processing processingTime save"
_CONTEXT = (
    f"{_COMMON} completeTime detectedRectangles result data production_mode operatorInput "
    "globalData errors stdout stderr score threshold surfaceClasses angle lines"
)
_WRONG_KEY = _body(api_key="wrong")
_IN_HEADERS = "ContextBase64utf context"

PEKAT = [
    Row("POST", "/analyze_image", 200, _CONTEXT, _body(data="SomeInfo")),
    Row("PUT", "/analyze_image", 200, _CONTEXT, _body()),
    Row("GET", "/analyze_image", 200, _CONTEXT, _file("file", PICTURE, "image/png")),
    *(
        Row("POST", "/analyze_image", 200, request=_body(response_type=kind), headers=_IN_HEADERS)
        for kind in ("image", "annotated_image", "heatmap")
    ),
    Row(
        *("POST", "/analyze_image", 200),
        request=_body(response_type="image", context_in_body=""),
        headers="ImageLen",
    ),
    Row("POST", "/analyze_raw_image", 200, _CONTEXT, _body(bytes(24), width="4", height="2")),
    Row("PUT", "/analyze_raw_image", 200, _CONTEXT, _body(bytes(8), width="4", height="2")),
    Row(
        *("POST", "/analyze_raw_image", 200, _CONTEXT),
        _body(bytes(8), width="4", height="2", bayer=""),
    ),
    Row("GET", "/last_image", 200, _CONTEXT),
    Row("GET", "/ping", 200, "status"),
    Row("HEAD", "/ping", 200),
    Row("POST", "/analyze_image", 400, "error message", _body(b"")),
    Row("POST", "/analyze_image", 400, "error message", _body(b"no picture")),
    Row("POST", "/analyze_image", 400, "error message", _body(response_type="unknown")),
    Row("POST", "/analyze_raw_image", 400, "error message", _body(bytes(5), width="4", height="2")),
    Row("POST", "/analyze_image", 401, "error message", _WRONG_KEY, strict=True),
    Row("POST", "/analyze_raw_image", 401, "error message", _WRONG_KEY, strict=True),
    Row("POST", "/analyze_image", 200, _CONTEXT, _body(api_key="SUPER_SECRET"), strict=True),
    Row("GET", "/last_image", 401, "error message", strict=True),
    Row("DELETE", "/analyze_image", 405, "error message"),
    Row("GET", "/version", 404, "error message"),
    Row("POST", "/analyze_image_shared_memory", 404, "error message"),
    Row("GET", "/stop", 404, "error message"),
    Row("GET", "/stop", 403, "error message", strict=True),
    Row("HEAD", "/stop", 403, strict=True),
    Row("POST", "/analyze_image", 413, "error message", _body(bytes(5_000_000)), strict=True),
]
assert STOP_KEY, "the strict server has one, and nobody sends it"

# image_embed: its README.

_RESULT = "status data cropped_image_bbox cropped_image_base64 error_message"
_TASKS = [
    {"operation_id": "one", "type": "embed_clip_vit_b_32", "params": {"target": "whole_image"}},
    {"operation_id": "two", "type": "detect_bounding_box"},
]
_GOOD: Request = lambda world: {  # noqa: E731  # as above
    "json": {"image_url": world.picture_url, "tasks": _TASKS}
}
_GONE: Request = lambda world: {  # noqa: E731  # as above
    "json": {"image_url": f"{world.picture_url}.gone", "tasks": _TASKS}
}
_FORM = _file("image_file", PICTURE, "image/png", tasks_json=json.dumps(_TASKS))
_BAD_FORM = _file("image_file", PICTURE, "image/png", tasks_json="[")
_NO_PICTURE = _file("image_file", b"no", "image/png", tasks_json=json.dumps(_TASKS))

IMAGE_EMBED = [
    *(
        row
        for slash in ("", "/")
        for row in (
            Row("POST", f"/analyze_image{slash}", 200, "image_url results", _GOOD),
            Row("POST", f"/analyze_image{slash}", 200, _RESULT, _GOOD, inside="results.one"),
            Row("POST", f"/analyze_image{slash}", 400, "detail", _GONE),
            Row("POST", f"/analyze_image{slash}", 422, "detail", _json({"tasks": 1})),
            Row("POST", f"/analyze_image_upload{slash}", 200, "image_url results", _FORM),
            Row("POST", f"/analyze_image_upload{slash}", 400, "detail", _BAD_FORM),
            Row("POST", f"/analyze_image_upload{slash}", 400, "detail", _NO_PICTURE),
            Row("GET", f"/available_operations{slash}", 200, "operations"),
        )
    ),
    *(
        Row(
            *("GET", "/available_operations/", 200),
            "description allowed_targets default_target",
            inside=f"operations.{name}",
        )
        for name in (
            *("detect_bounding_box", "embed_clip_vit_b_32", "embed_dino_v2"),
            *("classify", "describe_image"),
        )
    ),
    Row("POST", "/available_operations/", 405, exactly={"detail": "Method Not Allowed"}),
]

# whales: its API reference.

_DETECTION = (
    "image_ind bbox class_animal id_animal probability mask is_cetacean cetacean_score rejected "
    "rejection_reason model_version candidates"
)
_CANDIDATE = "class_animal id_animal probability"
_DRIFT = "n alarms_total score_mean score_std probability_mean"
_WHALE = _file("file", PICTURE, "image/jpeg")
_ZIP = _file("archive", _archive(PICTURE), "application/zip")

WHALES = [
    Row("GET", "/health", 200, "status device"),
    Row("GET", "/metrics", 200),
    *(
        row
        for version in ("/v1", "")
        for row in (
            Row("POST", f"{version}/predict-single", 200, _DETECTION, _WHALE),
            Row("POST", f"{version}/predict-single", 200, _CANDIDATE, _WHALE, inside="candidates"),
            Row(
                *("POST", f"{version}/predict-single", 415),
                request=_file("file", PICTURE, "text/plain"),
                exactly={"detail": "Только изображения."},
            ),
            Row(
                *("POST", f"{version}/predict-single", 400),
                request=_file("file", b"", "image/png"),
                exactly={"detail": "Пустой файл."},
            ),
            Row(
                *("POST", f"{version}/predict-single", 415),
                request=_file("file", b"not a picture", "image/png"),
                exactly={"detail": "Не удалось распознать изображение."},  # noqa: RUF001  # Russian
            ),
            Row("POST", f"{version}/predict-single", 422, "detail", _file("x", b"y", "a/b")),
            Row("POST", f"{version}/predict-batch", 200, _DETECTION, _ZIP),
            Row(
                *("POST", f"{version}/predict-batch", 415),
                request=_file("archive", PICTURE, "image/png"),
                exactly={"detail": "Ожидается ZIP-архив."},
            ),
            Row(
                *("POST", f"{version}/predict-batch", 400),
                request=_file("archive", b"PK\x03\x04", "application/zip"),
                exactly={"detail": "Не удаётся распаковать архив."},  # noqa: RUF001  # Russian
            ),
        )
    ),
    Row("POST", "/v1/predict-single", 415, "detail", _file("file", b"x", "a/b"), strict=True),
    Row(
        *("POST", "/v1/predict-single", 429),
        request=_file("file", b"x", "a/b"),
        exactly={"detail": "Превышен лимит запросов. Повторите позже."},
        headers="Retry-After",
        strict=True,
    ),
    Row("GET", "/v1/drift-stats", 200, _DRIFT),
    Row("GET", "/v1/export", 200, "count since records"),
    Row("GET", "/v1/webhooks", 200, "webhooks count"),
]

# Haut.AI: its quick start.

_COMPANY = "/api/v1/companies/{company_id}"
_SUBJECTS = f"{_COMPANY}/datasets/{{dataset_id}}/subjects/"
_BATCHES = f"{_SUBJECTS}{{subject_id}}/batches/"
_IMAGES = f"{_BATCHES}{{batch_id}}/images/"
_RUNS = f"{_COMPANY}/applications/{{application_id}}/runs/"

_ERRORS = "type errors"
_DATASET = f"{_COMPANY}/datasets/{{dataset_id}}/"
_IMAGE = f"{_IMAGES}{{image_id}}/"
_PDF = f"/service/pdf-generator/{_IMAGE.removeprefix('/api/v1/')}pdf/"
_WRONG_PASSWORD = {"username": "somebody@example.com", "password": "wrong"}
_NO_TOKEN: Request = lambda _world: {"headers": {"Authorization": "Bearer none"}}  # noqa: E731  # as above
_LOGIN: Request = lambda world: {  # noqa: E731  # as above
    "json": {"username": world.names["email"], "password": world.names["password"]}
}
_REFRESH: Request = lambda world: {  # noqa: E731  # as above
    "json": {"refresh_token": world.names["refresh_token"]}
}
_ATTACHED: Request = lambda world: {  # noqa: E731  # as above
    "json": {"dataset_id": world.names["dataset_id"], "enabled_algorithms": [30, 40]}
}
_SELFIE = {"side_id": 1, "light_id": 1, "b64data": base64.b64encode(PICTURE).decode()}
_RETENTION = {"expire_images_after_days": 30, "expire_metadata_after_day": 60}
_BAD_RETENTION = {"expire_images_after_days": 0}
_COLON: Request = lambda world: {  # noqa: E731  # as above
    "headers": {"Authorization": f"Bearer: {world.names['token']}"}
}

HAUT = [
    Row("POST", "/api/v1/login/", 200, "access_token company_id id", _LOGIN),
    Row("POST", "/api/v1/login/", 401, _ERRORS, _json(_WRONG_PASSWORD)),
    Row("POST", "/api/v1/login/", 400, _ERRORS, _json({})),
    Row("POST", "/api/v1/auth/refresh/", 200, "access_token", _REFRESH),
    Row("POST", "/api/v1/auth/private_tokens/", 201, "data", _json({"name": "string"})),
    Row("GET", "/api/v1/auth/private_tokens/", 200, "results"),
    Row("GET", "/api/v1/dicts/image_types/", 200, "id name sides lights"),
    Row("GET", "/api/v1/dicts/algorithms/", 200, "id version algorithm_family", _COLON),
    Row("GET", "/api/v1/dicts/algorithms/", 200, "name", inside="algorithm_family"),
    Row("POST", f"{_COMPANY}/datasets/", 201, "id", _json({"name": "n", "image_type_id": 1})),
    Row("POST", f"{_COMPANY}/datasets/", 400, _ERRORS, _json({"name": ""})),
    Row("POST", f"{_COMPANY}/datasets/", 415, _ERRORS, _body(b"name=n")),
    Row("GET", f"{_COMPANY}/datasets/", 200, "results"),
    Row("GET", f"{_COMPANY}/datasets/", 401, _ERRORS, _NO_TOKEN),
    Row("GET", f"{_COMPANY}/datasets/", 401, _ERRORS, _NO_TOKEN, strict=True),
    Row("PUT", _DATASET, 200, "id expire_metadata_after_days", _json(_RETENTION)),
    Row("POST", _DATASET, 200, "id expire_images_after_days", _json(_RETENTION)),
    Row("PUT", _DATASET, 400, _ERRORS, _json(_BAD_RETENTION)),
    Row("DELETE", f"{_COMPANY}/datasets/", 405, _ERRORS),
    Row("GET", f"{_COMPANY}/applications/", 200, "results"),
    Row("GET", f"{_COMPANY}/applications/", 200, "id name tech_name", inside="results"),
    Row("POST", _RUNS, 201, "id", _ATTACHED),
    Row("POST", _RUNS, 400, _ERRORS, _json({})),
    Row("POST", _SUBJECTS, 201, "id", _json({"name": "My subject name"})),
    Row("POST", _BATCHES, 201, "id"),
    Row("POST", _IMAGES, 201, "id", _json(_SELFIE)),
    Row("POST", _IMAGES, 400, _ERRORS, _json(_SELFIE | {"b64data": "no"})),
    Row("POST", _IMAGES, 413, _ERRORS, _json({"b64data": "A" * 3_000_000}), strict=True),
    Row("GET", f"{_IMAGE}results/", 200, "algorithm_version_id result"),
    Row("GET", f"{_IMAGE}aux/", 200, "id aux_image_type results"),
    Row("GET", f"{_IMAGE}aux/", 200, "name", inside="aux_image_type"),
    Row("GET", f"{_IMAGE}smoothed_results/", 200, "value algorithm_name algorithm_tech_name"),
    Row("GET", f"{_SUBJECTS}{{subject_id}}/all_results/", 200, "algorithm_version_id batch_id"),
    Row("GET", "/images/{file_id}.jpg", 200),
    Row("GET", "/images/{file_id}.jpg", 401, _ERRORS, _NO_TOKEN),
    Row("POST", _PDF, 200),
    Row("GET", "/api/swagger/", 200),
]

DOCUMENTS: Mapping[str, list[Row]] = {
    "vista": VISTA,
    "pekat": PEKAT,
    "image_embed": IMAGE_EMBED,
    "whales": WHALES,
    "haut": HAUT,
}
