"""Every route: its method, both slash forms, its status, and the keys of its answer."""

from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from opsin.compat.vista.api import vista_api
from opsin.compat.vista.options import VistaOptions
from tests.compat.vista.conftest import Vista
from tests.compat.vista.pipelines import timestamped
from tests.pictures import solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANALYSIS = (
    "id image_id model_name model_version parameters status error_message provenance "
    "external_job_id priority requested_by_id created_at started_at completed_at updated_at "
    "annotations"
)
ANNOTATION = (
    "id analysis_id annotation_type class_name confidence data storage_path ordering created_at"
)
IMAGE = (
    "filename content_type size_bytes metadata metadata_ id project_id object_storage_key "
    "uploaded_by_user_id uploader_id created_at updated_at deleted_at deleted_by_user_id "
    "deletion_reason pending_hard_delete_at hard_deleted_at hard_deleted_by_user_id "
    "storage_deleted"
)
PROJECT = "name description meta_group_id id created_at updated_at"
USER = "email username is_active groups id created_at updated_at"
KEY = "name id user_id is_active last_used_at created_at updated_at"
CLASS = "id project_id name description created_at updated_at"
LABEL = "id image_id class_id created_by_id created_at"
COMMENT = "id image_id text author_id created_at updated_at"
ENTRY = "id project_id key value created_at updated_at"


@dataclass(frozen=True, slots=True)
class Case:
    """One request; `keys` are those of the answer, or of the first thing in a list."""

    method: str
    path: str
    status: int = 200
    keys: str | None = None
    body: Any = None
    inside: str | None = None
    of_object: bool = True
    """Whether it is about something of a company."""


REASON = {"reason": "it is out of focus"}
CASES = [
    Case("GET", "/health", keys="status timestamp", of_object=False),
    Case("GET", "/users/me", keys=USER, of_object=False),
    Case("GET", "/users/me/groups", of_object=False),
    Case("POST", "/users", 403, "detail", {"email": "a@b.org"}, of_object=False),
    Case("GET", "/users/{class}", 403, "detail", of_object=False),
    Case("PATCH", "/users/{class}", 403, "detail", {"is_active": False}, of_object=False),
    Case("POST", "/api-keys", 201, "api_key key", {"name": "k"}, of_object=False),
    Case("GET", "/api-keys", keys=KEY, of_object=False),
    Case("DELETE", "/api-keys/{new_key}", 204, of_object=False),
    Case("POST", "/projects", 201, PROJECT, {"name": "p", "meta_group_id": "ours"}),
    Case("GET", "/projects", keys=PROJECT, of_object=False),
    Case("GET", "/projects/{project}", keys=PROJECT),
    Case("POST", "/projects/{project}/images", 201, IMAGE, "picture"),
    Case("GET", "/projects/{project}/images", keys=IMAGE),
    Case("GET", "/images/{image}", keys=IMAGE),
    Case("GET", "/images/{image}/download", keys="url object_key method"),
    Case("GET", "/images/{image}/content"),
    Case("GET", "/images/{image}/thumbnail"),
    Case("POST", "/projects/{project}/classes", 201, CLASS, {"name": "c"}),
    Case("GET", "/projects/{project}/classes", keys=CLASS),
    Case("GET", "/classes/{class}", keys=CLASS),
    Case("PATCH", "/classes/{class}", keys=CLASS, body={"name": "d"}),
    Case("POST", "/images/{image}/classifications", 201, LABEL, {"class_id": "{class}"}),
    Case("GET", "/images/{image}/classifications", keys=LABEL),
    Case("DELETE", "/classifications/{label}", 204),
    Case("DELETE", "/classes/{spare}", 204),
    Case("POST", "/images/{image}/comments", 201, COMMENT, {"text": "good"}),
    Case("GET", "/images/{image}/comments", keys=COMMENT),
    Case("GET", "/comments/{comment}", keys=COMMENT),
    Case("PATCH", "/comments/{comment}", keys=COMMENT, body={"text": "better"}),
    Case("DELETE", "/comments/{comment}", 204),
    Case("POST", "/projects/{project}/metadata", 201, ENTRY, {"key": "a", "value": [1]}),
    Case("GET", "/projects/{project}/metadata", keys=ENTRY),
    Case("GET", "/projects/{project}/metadata/place", keys=ENTRY),
    Case("PUT", "/projects/{project}/metadata/place", keys=ENTRY, body={"value": {"x": 1}}),
    Case("GET", "/projects/{project}/metadata-dict", keys="place"),
    Case("PUT", "/projects/{project}/metadata-dict", keys="place more", body={"more": 1}),
    Case("DELETE", "/projects/{project}/metadata/place", 204),
    Case("PUT", "/images/{image}/metadata", keys=IMAGE, body={"key": "a", "value": 1}),
    Case("DELETE", "/images/{image}/metadata/a", keys=IMAGE),
    Case(
        "POST",
        "/images/{image}/analyses",
        201,
        ANALYSIS,
        {"model_name": "yolo_v8", "model_version": "1"},
    ),
    Case("GET", "/images/{image}/analyses", keys=ANALYSIS, inside="analyses"),
    Case("PATCH", "/analyses/{analysis}/status", keys=ANALYSIS, body={"status": "processing"}),
    Case(
        "POST",
        "/analyses/{analysis}/artifacts/presign",
        keys="artifact_name upload_url expires_in storage_path",
        body={"artifacts": [{"artifact_name": "b.png", "content_type": "image/png"}]},
        inside="presigned_urls",
    ),
    Case(
        "POST",
        "/analyses/{analysis}/annotations:bulk",
        keys=ANNOTATION,
        body={"annotations": [{"annotation_type": "box", "data": {}}]},
        inside="annotations",
    ),
    Case("POST", "/analyses/{analysis}/finalize", keys=ANALYSIS, body={"status": "completed"}),
    Case("GET", "/analyses/{analysis}", keys=ANALYSIS),
    Case("GET", "/analyses/{analysis}/annotations", keys=ANNOTATION, inside="annotations"),
    Case("GET", "/analyses/{analysis}/export", keys=f"{ANALYSIS} annotation_count"),
    Case("GET", "/ml/artifacts/content?path=ml_outputs/{analysis}/a.png"),
    Case("GET", "/ml/artifacts/download?path=ml_outputs/{analysis}/a.png", keys="url"),
    Case("DELETE", "/projects/{project}/images/{image}", keys=IMAGE, body=REASON),
    Case("GET", "/projects/{project}/images/deletion-events", inside="events", keys="action id"),
    Case("POST", "/projects/{project}/images/{image}/restore", keys=IMAGE),
]
OPEN = {"/health"}


async def world(vista: Vista) -> dict[str, str]:
    """The ids of one thing of each kind, all of `ours`."""
    headers, client, found = vista.user, vista.client, {}

    async def make(path: str, body: Any) -> Any:
        answer = await client.post(f"/api{path}", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()

    project = (await make("/projects", {"name": "p", "meta_group_id": "ours"}))["id"]
    file = {"file": ("a.png", solid_png(9, 9), "image/png")}
    uploaded = await client.post(f"/api/projects/{project}/images", files=file, headers=headers)
    image = uploaded.json()["id"]
    found = {"project": project, "image": image}
    found["class"] = (await make(f"/projects/{project}/classes", {"name": "c"}))["id"]
    found["spare"] = (await make(f"/projects/{project}/classes", {"name": "s"}))["id"]
    given = {"class_id": found["class"]}
    found["label"] = (await make(f"/images/{image}/classifications", given))["id"]
    found["comment"] = (await make(f"/images/{image}/comments", {"text": "good"}))["id"]
    await make(f"/projects/{project}/metadata", {"key": "place", "value": "here"})
    model = {"model_name": "yolo_v8", "model_version": "1"}
    found["analysis"] = (await make(f"/images/{image}/analyses", model))["id"]
    found["new_key"] = (await make("/api-keys", {"name": "k"}))["api_key"]["id"]
    form = {"artifact_type": "heatmap", "filename": "a.png"}
    presigned = await vista.pipeline("timestamped").presign(found["analysis"], form)
    url = presigned.json()["upload_url"]
    await client.put(url, content=b"x", headers={"Content-Type": "image/png"})
    return found


def filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        for name, identity in names.items():
            value = value.replace(f"{{{name}}}", identity)
    if isinstance(value, dict):
        return {key: filled(inner, names) for key, inner in value.items()}
    return value


async def send(
    vista: Vista, case: Case, names: dict[str, str], url: str, headers: dict[str, str]
) -> Any:
    request = vista.client.build_request(case.method, url, headers=headers)
    if case.body == "picture":
        files = {"file": ("a.png", solid_png(9, 9), "image/png")}
        request = vista.client.build_request(case.method, url, headers=headers, files=files)
    elif case.body is not None:
        body = filled(case.body, names)
        request = vista.client.build_request(case.method, url, headers=headers, json=body)
    request.headers.update(
        {k: v for k, v in timestamped(request.read()).items() if k != "Content-Type"}
    )
    return await vista.client.send(request)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("prefix", ["/api", "/api-key", "/api-ml"])
async def test_every_route(vista: Vista, prefix: str, slash: str) -> None:
    names = await world(vista)
    for case in CASES:
        path, question, query = filled(case.path, names).partition("?")
        answer = await send(
            vista, case, names, f"{prefix}{path}{slash}{question}{query}", vista.user
        )
        assert answer.status_code == case.status, (case, answer.text)
        if case.status == 204:
            assert answer.content == b""
        if case.keys is None:
            continue
        content = answer.json()[case.inside] if case.inside else answer.json()
        first = content[0] if isinstance(content, list) else content
        assert set(case.keys.split()) <= set(first), case


@pytest.mark.parametrize("prefix", ["/api", "/api-key", "/api-ml"])
async def test_who_is_outside_the_group_gets_nowhere(vista: Vista, prefix: str) -> None:
    names = await world(vista)
    for case in CASES:
        if not case.of_object or case.path in OPEN:
            continue
        url = f"{prefix}{filled(case.path, names)}"
        answer = await send(vista, case, names, url, {"X-API-Key": vista.their_key})
        assert answer.status_code == 403, (case, answer.text)
        assert set(answer.json()) == {"detail"}


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "opsin_0_0"}, {"Authorization": "Basic x"}])
@pytest.mark.parametrize("prefix", ["/api", "/api-key", "/api-ml"])
async def test_nobody_gets_in_without_credentials(
    vista: Vista, prefix: str, headers: dict[str, str]
) -> None:
    names = await world(vista)
    for case in CASES:
        if case.path in OPEN:
            continue
        request = vista.client.build_request(
            case.method,
            f"{prefix}{filled(case.path, names)}",
            headers=headers,
            json=filled(case.body, names) if isinstance(case.body, dict) else None,
        )
        answer = await vista.client.send(request)
        assert answer.status_code == 401, (case, answer.text)


async def test_absent_things_are_404(vista: Vista) -> None:
    absent = dict.fromkeys(await world(vista), "00000000-0000-7000-8000-000000000000")
    lists = "/projects/{project}/images"
    for case in CASES:
        is_about_it = "{" in case.path and case.of_object
        if not is_about_it or (case.path == lists and case.method == "GET"):
            continue
        answer = await send(vista, case, absent, f"/api{filled(case.path, absent)}", vista.user)
        assert answer.status_code == 404, (case, answer.text)


async def test_no_route_is_untested(vista: Vista) -> None:
    app: FastAPI = vista_api(vista.parts.use_cases, VistaOptions())
    served = {
        (method, len(route.path.rstrip("/").split("/")), route.path.rstrip("/").split("/")[1])
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    count = sum(isinstance(route, APIRoute) for route in app.routes) // 2
    tested = {
        (case.method, len(case.path.partition("?")[0].split("/")), case.path.split("/")[1])
        for case in CASES
    }
    assert served == tested
    assert count == len({(c.method, c.path) for c in CASES})


async def test_paths_that_are_none(vista: Vista) -> None:
    answer = await vista.client.get("/api/nothing", headers=vista.user)
    assert (answer.status_code, answer.json()) == (404, {"detail": "API endpoint not found"})
    for prefix in ("/api-key", "/api-ml"):
        answer = await vista.client.get(f"{prefix}/nothing")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
