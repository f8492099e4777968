"""One request for each route of the VISTA API: what it answers, and wants of its caller."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import httpx

from tests.compat.vista.pipelines import SECRET, timestamped
from tests.pictures import solid_png

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


class About(Enum):
    """What a route is about, and so who gets which answer."""

    NOTHING = "anybody asks"
    CALLER = "every user asks of themselves"
    OWN_KEY = "of a key of the caller's; others' are not found"
    USERS = "for administrators"
    THING = "of something of a company"


class Signed(Enum):
    """Whether the route is a callback on the prefixes where not everything is signed."""

    NEVER = "a user calls"
    MAY = "a signature or a user"
    MUST = "a signature"


@dataclass(frozen=True, slots=True)
class Case:
    """One request to the route of this method and path; `body` may hold names of the world.

    `keys` are those of the answer, or of the first thing in a list, `inside` a key of it.
    """

    method: str
    path: str
    status: int = 200
    keys: str | None = None
    body: Any = None
    inside: str | None = None
    about: About = About.THING
    signed: Signed = Signed.NEVER
    query: str = ""
    names: Mapping[str, str] | None = None
    """Where a parameter of the path is not the thing of that name."""


PICTURE = "a picture"
_REASON = {"reason": "it is out of focus"}
_MODEL = {"model_name": "yolo_v8", "model_version": "1"}
_CALLER, _USERS, _THING = About.CALLER, About.USERS, About.THING
_PROJECT, _IMAGE, _ANALYSIS = (
    "/projects/{project_id}",
    "/images/{image_id}",
    "/analyses/{analysis_id}",
)
_LABELS, _DELETED = f"{_IMAGE}/classifications", f"{_PROJECT}/images/{{image_id}}"
_FILE = "path=ml_outputs/{analysis_id}/a.png"

CASES = [
    Case("GET", "/health", keys="status timestamp", about=About.NOTHING),
    Case("GET", "/users/me", keys=USER, about=_CALLER),
    Case("GET", "/users/me/groups", about=_CALLER),
    Case("POST", "/users", 201, USER, {"email": "{new_email}"}, about=_USERS),
    Case("GET", "/users/{user_id}", keys=USER, about=_USERS),
    Case("PATCH", "/users/{user_id}", keys=USER, body={"is_active": False}, about=_USERS),
    Case("POST", "/api-keys", 201, "api_key key", {"name": "k"}, about=_CALLER),
    Case("GET", "/api-keys", keys=KEY, about=_CALLER),
    Case("DELETE", "/api-keys/{key_id}", 204, about=About.OWN_KEY),
    Case("POST", "/projects", 201, PROJECT, {"name": "p", "meta_group_id": "ours"}),
    Case("GET", "/projects", keys=PROJECT, about=_CALLER),
    Case("GET", _PROJECT, keys=PROJECT),
    Case("POST", f"{_PROJECT}/images", 201, IMAGE, PICTURE),
    Case("GET", f"{_PROJECT}/images", keys=IMAGE),
    Case("GET", _IMAGE, keys=IMAGE),
    Case("GET", f"{_IMAGE}/download", keys="url object_key method"),
    Case("GET", f"{_IMAGE}/content"),
    Case("GET", f"{_IMAGE}/thumbnail"),
    Case("POST", f"{_PROJECT}/classes", 201, CLASS, {"name": "c"}),
    Case("GET", f"{_PROJECT}/classes", keys=CLASS),
    Case("GET", "/classes/{class_id}", keys=CLASS),
    Case("PATCH", "/classes/{class_id}", keys=CLASS, body={"name": "d"}),
    Case("POST", _LABELS, 201, LABEL, {"class_id": "{class_id}"}),
    Case("GET", _LABELS, keys=LABEL),
    Case("DELETE", "/classifications/{classification_id}", 204),
    Case("DELETE", "/classes/{class_id}", 204, names={"class_id": "spare_class_id"}),
    Case("POST", f"{_IMAGE}/comments", 201, COMMENT, {"text": "good"}),
    Case("GET", f"{_IMAGE}/comments", keys=COMMENT),
    Case("GET", "/comments/{comment_id}", keys=COMMENT),
    Case("PATCH", "/comments/{comment_id}", keys=COMMENT, body={"text": "better"}),
    Case("DELETE", "/comments/{comment_id}", 204),
    Case("POST", f"{_PROJECT}/metadata", 201, ENTRY, {"key": "a", "value": [1]}),
    Case("GET", f"{_PROJECT}/metadata", keys=ENTRY),
    Case("GET", f"{_PROJECT}/metadata/{{key}}", keys=ENTRY),
    Case("PUT", f"{_PROJECT}/metadata/{{key}}", keys=ENTRY, body={"value": {"x": 1}}),
    Case("GET", f"{_PROJECT}/metadata-dict", keys="place"),
    Case("PUT", f"{_PROJECT}/metadata-dict", keys="place more", body={"more": 1}),
    Case("DELETE", f"{_PROJECT}/metadata/{{key}}", 204),
    Case("PUT", f"{_IMAGE}/metadata", keys=IMAGE, body={"key": "place", "value": 1}),
    Case("DELETE", f"{_IMAGE}/metadata/{{key}}", keys=IMAGE),
    Case("POST", f"{_IMAGE}/analyses", 201, ANALYSIS, _MODEL),
    Case("GET", f"{_IMAGE}/analyses", keys=ANALYSIS, inside="analyses"),
    Case(
        "PATCH",
        f"{_ANALYSIS}/status",
        keys=ANALYSIS,
        body={"status": "processing"},
        signed=Signed.MAY,
    ),
    Case(
        "POST",
        f"{_ANALYSIS}/artifacts/presign",
        keys="artifact_name upload_url expires_in storage_path",
        body={"artifacts": [{"artifact_name": "b.png", "content_type": "image/png"}]},
        inside="presigned_urls",
        signed=Signed.MUST,
    ),
    Case(
        "POST",
        f"{_ANALYSIS}/annotations:bulk",
        keys=ANNOTATION,
        body={"annotations": [{"annotation_type": "box", "data": {}}]},
        inside="annotations",
        signed=Signed.MUST,
    ),
    Case(
        "POST",
        f"{_ANALYSIS}/finalize",
        keys=ANALYSIS,
        body={"status": "completed"},
        signed=Signed.MUST,
    ),
    Case("GET", _ANALYSIS, keys=ANALYSIS),
    Case("GET", f"{_ANALYSIS}/annotations", keys=ANNOTATION, inside="annotations"),
    Case("GET", f"{_ANALYSIS}/export", keys=f"{ANALYSIS} annotation_count"),
    Case("GET", "/ml/artifacts/content", query=_FILE),
    Case("GET", "/ml/artifacts/download", keys="url", query=_FILE),
    Case("DELETE", _DELETED, keys=IMAGE, body=_REASON),
    Case("GET", f"{_PROJECT}/images/deletion-events", keys="action id", inside="events"),
    Case("POST", f"{_DELETED}/restore", keys=IMAGE),
]
"""In an order in which all of them succeed, one after the other."""

World = dict[str, str]


async def make_images(client: httpx.AsyncClient, caller: Mapping[str, str]) -> World:
    """A project of the group `ours`, an image in it and what people say of it.

    Gives ids by the names that the routes' parameters have.
    """

    async def make(path: str, body: Any) -> Any:
        answer = await client.post(f"/api{path}", json=body, headers=dict(caller))
        assert answer.status_code == 201, answer.text
        return answer.json()

    project = (await make("/projects", {"name": "p", "meta_group_id": "ours"}))["id"]
    file = {"file": ("a.png", solid_png(9, 9), "image/png")}
    answer = await client.post(f"/api/projects/{project}/images", files=file, headers=dict(caller))
    image = answer.json()["id"]
    key = (await make("/api-keys", {"name": "k"}))["api_key"]["id"]
    classes = [
        (await make(f"/projects/{project}/classes", {"name": name}))["id"] for name in ("c", "s")
    ]
    label = await make(f"/images/{image}/classifications", {"class_id": classes[0]})
    comment = await make(f"/images/{image}/comments", {"text": "good"})
    await make(f"/projects/{project}/metadata", {"key": "place", "value": "here"})
    return {
        "project_id": project,
        "image_id": image,
        "key": "place",
        "class_id": classes[0],
        "spare_class_id": classes[1],
        "classification_id": label["id"],
        "comment_id": comment["id"],
        "key_id": key,
        "new_email": f"{key}@example.org",
        "analysis_id": "00000000-0000-7000-8000-000000000000",
    }


async def make_world(client: httpx.AsyncClient, caller: Mapping[str, str]) -> World:
    """One thing of each kind: images, and an analysis with the file `a.png`."""
    world = await make_images(client, caller)
    url = f"/api/images/{world['image_id']}/analyses"
    made = await client.post(url, json=_MODEL, headers=dict(caller))
    world["analysis_id"] = made.json()["id"]
    body = b'{"artifact_type": "heatmap", "filename": "a.png"}'
    url = f"/api/analyses/{world['analysis_id']}/artifacts/presign"
    address = await client.post(url, content=body, headers={**caller, **timestamped(body)})
    png = {"Content-Type": "image/png"}
    sent = await client.put(address.json()["upload_url"], content=b"x", headers=png)
    assert sent.status_code == 200, sent.text
    return world


def request_of(
    client: httpx.AsyncClient,
    case: Case,
    world: World,
    headers: Mapping[str, str],
    *,
    prefix: str = "/api",
    slash: str = "",
) -> httpx.Request:
    """The case's request, about the things of the world."""
    path = _filled(case.path, world | {k: world[v] for k, v in (case.names or {}).items()})
    query = f"?{_filled(case.query, world)}" if case.query else ""
    url = f"{prefix}{path}{slash}{query}"
    if case.body == PICTURE:
        files = {"file": ("a.png", solid_png(9, 9), "image/png")}
        return client.build_request(case.method, url, headers=dict(headers), files=files)
    if case.body is None:
        return client.build_request(case.method, url, headers=dict(headers))
    body = _filled(case.body, world)
    return client.build_request(case.method, url, headers=dict(headers), json=body)


def sign(request: httpx.Request, *, secret: str = SECRET) -> httpx.Request:
    """The request, signed in the timestamped dialect."""
    signed = timestamped(request.read(), secret)
    request.headers.update({k: v for k, v in signed.items() if k != "Content-Type"})
    return request


def _filled(value: Any, world: World) -> Any:
    if isinstance(value, str):
        for name, identity in world.items():
            value = value.replace(f"{{{name}}}", identity)
    if isinstance(value, dict):
        return {key: _filled(inner, world) for key, inner in value.items()}
    return value
