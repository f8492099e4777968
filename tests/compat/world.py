"""A server with every API on it, and one thing of each kind that their addresses name."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from opsin.assembly import assemble
from opsin.compat.haut.examples import EXAMPLE_USER
from opsin.core.access import Principal
from opsin.settings import Settings
from tests.compat.haut.things import things as haut_things
from tests.compat.pekat.bright_plugin import SOURCE
from tests.compat.vista.pipelines import SECRET, documented
from tests.conftest import LiveServer, serve
from tests.pictures import solid_png

PICTURE = solid_png(40, 30)
FLOW = json.dumps([{"operation": "judge_tone"}, {"operation": "heat_of_luma"}])
STOP_KEY = "stop-it"
HAUT = ("/api/v1/", "/service/pdf-generator/", "/images/")
"""Below which somebody who has signed in asks."""


@dataclass(frozen=True, slots=True)
class World:
    """A server in dev mode, and ids by the names that parameters of paths have."""

    live: LiveServer
    names: Mapping[str, str]
    picture_url: str = ""

    async def send(
        self, method: str, path: str, *, signed: bool = False, **request: Any
    ) -> httpx.Response:
        """One request; `signed` as the documented pipeline does it."""
        content = json.dumps(request.pop("json")).encode() if "json" in request else None
        headers = dict(request.pop("headers", {}))
        if content is not None:
            headers["content-type"] = "application/json"
        if signed:
            headers |= documented(json.loads(content or b"{}"))
        if path.startswith(HAUT) and "token" in self.names:
            headers = {"Authorization": f"Bearer {self.names['token']}"} | headers
        if content is not None:
            request["content"] = content
        return await self.live.client.request(method, path, headers=headers, **request)

    async def made(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """What was made by a request that must succeed."""
        answer = await self.send(method, path, **request)
        assert answer.is_success, (method, path, answer.text)
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def world(
    settings: Settings, picture_url: str = "", **changes: object
) -> AsyncIterator[World]:
    """The APIs on one port, a weight-free flow behind PEKAT's; all sends come with a key."""
    given: dict[str, object] = {
        "vista_hmac_secret": SECRET,
        "pekat_flow": FLOW,
        "offline": True,
    }
    changed = settings.model_copy(update=given | changes)
    async with assemble(changed).running() as parts:
        access = parts.use_cases.access
        company = await access.ensure_company("local")
        email, password = EXAMPLE_USER
        await parts.use_cases.accounts.create(email, company="local", password=password)
        _, key = await parts.use_cases.api_keys.create(Principal(company.id, "a test"), "a key")
    async with serve(changed, {"X-API-Key": key}, more_plugins=[SOURCE]) as live:
        names = await _things(live, has_users=changed.auth == "dev", calculates=changed.worker)
        yield World(live, names, picture_url)


async def _things(live: LiveServer, *, has_users: bool, calculates: bool) -> dict[str, str]:
    """One of each kind; users are for administrators, results for servers with a worker."""
    bare = World(live, {})
    project = (
        await bare.made("POST", "/api/projects", json={"name": "p", "meta_group_id": "local"})
    )["id"]
    # The project is a dataset with a subject, too, and the image is one of both APIs.
    haut = await haut_things(live, project, EXAMPLE_USER, calculates=calculates)
    image = haut["image_id"]
    other = await bare.made(
        "POST",
        f"/api/projects/{project}/images",
        files={"file": ("a.png", PICTURE, "image/png")},
    )
    klass = (await bare.made("POST", f"/api/projects/{project}/classes", json={"name": "c"}))["id"]
    label = await bare.made(
        "POST", f"/api/images/{other['id']}/classifications", json={"class_id": klass}
    )
    comment = await bare.made("POST", f"/api/images/{image}/comments", json={"text": "t"})
    metadata = {"key": "camera", "value": 1}
    await bare.made("POST", f"/api/projects/{project}/metadata", json=metadata)
    await bare.made("PUT", f"/api/images/{image}/metadata", json=metadata)
    analysis = await bare.made(
        "POST",
        f"/api/images/{image}/analyses",
        json={"model_name": "yolo_v8", "model_version": "1"},
    )
    user = {"id": "00000000-0000-7000-8000-000000000000"}
    if has_users:
        user = await bare.made("POST", "/api/users", json={"email": "first@example.com"})
    key = await bare.made("POST", "/api/api-keys", json={"name": "k"})
    return haut | {
        "project_id": project,
        "class_id": klass,
        "classification_id": label["id"],
        "comment_id": comment["id"],
        "analysis_id": analysis["id"],
        "user_id": user["id"],
        "key_id": key["api_key"]["id"],
        "key": "camera",
    }
