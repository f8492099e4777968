"""What a client needs around the six steps: users, projects, images, labels, deletion, search."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from opsin.core.actors import operator
from opsin.core.audit_log import AuditFilter
from opsin.core.reach import KNOWN_SECONDS
from opsin.core.role_grants import Holder
from opsin.core.roles import Role
from tests.compat.vista.conftest import PROXY_SECRET, Vista
from tests.compat.vista.documented_client import MLPipelineClient, run_ml_analysis
from tests.compat.vista.pipelines import SECRET, documented
from tests.conftest import LiveServer
from tests.pictures import solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

REASON = {"reason": "it is out of focus"}


def proxy(email: str) -> dict[str, str]:
    return {"X-User-Email": email, "X-Proxy-Secret": PROXY_SECRET}


async def project(vista: Vista, headers: dict[str, str], group: str = "ours") -> str:
    body = {"name": "p", "meta_group_id": group}
    answer = await vista.client.post("/api/projects/", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    identity: str = answer.json()["id"]
    return identity


async def upload(vista: Vista, project_id: str, name: str, metadata: str = "{}") -> httpx.Response:
    return await vista.client.post(
        f"/api/projects/{project_id}/images",
        files={"file": (name, solid_png(30, 20), "image/png")},
        data={"metadata": metadata},
        headers=vista.user,
    )


async def test_a_proxy_names_users(any_vista: Vista) -> None:
    client, memberships = any_vista.client, any_vista.parts.use_cases.memberships
    me = (await client.get("/api/users/me", headers=proxy("Ada@Example.ORG"))).json()
    assert me["email"] == "ada@example.org"
    refused = await client.post(
        "/api/projects",
        json={"name": "p", "meta_group_id": "ours"},
        headers=proxy("ada@example.org"),
    )
    assert refused.status_code == 403
    await memberships.add("ours", "ada@example.org")
    await asyncio.sleep(KNOWN_SECONDS)  # it is another process's accounts that were told
    identity = await project(any_vista, proxy("ada@example.org"))
    groups = await client.get("/api/users/me/groups", headers=proxy("ada@example.org"))
    assert "ours" in groups.json()
    # A key that she makes reaches what she reaches.
    made = await client.post("/api/api-keys", json={"name": "k"}, headers=proxy("ada@example.org"))
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    assert (await client.get(f"/api-key/projects/{identity}", headers=key)).status_code == 200
    ids = [one["id"] for one in (await client.get("/api/projects", headers=key)).json()]
    assert identity in ids
    other = await client.get(f"/api/projects/{identity}", headers=proxy("bob@example.org"))
    assert (other.status_code, other.json()) == (403, {"detail": "Access forbidden"})
    await memberships.remove("ours", "ada@example.org")
    await asyncio.sleep(KNOWN_SECONDS)
    gone = await client.get(f"/api/projects/{identity}", headers=proxy("ada@example.org"))
    assert gone.status_code == 403


async def test_whoever_may_do_nothing_any_more_may_end_their_own_keys(any_vista: Vista) -> None:
    client, use_cases = any_vista.client, any_vista.parts.use_cases
    dan = proxy("dan@example.org")
    account = await use_cases.accounts.create("dan@example.org", company="demoted")
    by = operator(account.company_id)
    foreign, _ = await use_cases.api_keys.create(by, "somebody else's")
    made = [
        (await client.post("/api/api-keys", json={"name": name}, headers=dan)).json()
        for name in ("first", "second")
    ]
    await use_cases.role_grants.set_role(by, Holder(account.id), None)
    await asyncio.sleep(KNOWN_SECONDS)  # it is another process that was told
    listed = (await client.get("/api/api-keys", headers=dan)).json()
    assert [one["id"] for one in listed] == [one["api_key"]["id"] for one in reversed(made)]
    assert (await client.post("/api/api-keys", json={"name": "k"}, headers=dan)).status_code == 403
    first, second = [one["api_key"]["id"] for one in made]
    for shown, key_id, expected in (
        (dan, foreign.id, 404),
        (dan, first, 204),
        ({"X-API-Key": made[1]["key"]}, foreign.id, 404),
        ({"X-API-Key": made[1]["key"]}, second, 204),
        ({"X-API-Key": made[1]["key"]}, second, 401),
    ):
        answer = await client.delete(f"/api/api-keys/{key_id}", headers=shown)
        assert answer.status_code == expected, answer.text


async def test_what_a_signature_alone_has_done_is_noted_as_such(vista: Vista) -> None:
    identity = await vista.analysis()
    assert (await vista.pipeline().status(identity, "processing")).status_code == 200
    wanted = AuditFilter(subject=identity, action=("analysis.update",))
    noted = await vista.parts.use_cases.audit_log.read(wanted)
    assert [(one.actor_kind, one.actor_name) for one in noted] == [("signature", "pipeline")]


async def test_what_somebody_may_do_is_said_by_each_group(vista: Vista) -> None:
    client, use_cases = vista.client, vista.parts.use_cases
    await use_cases.accounts.create(
        "guest@example.org", company="theirs", password="correct horse", role=Role.VIEWER
    )
    await use_cases.memberships.add("ours", "guest@example.org", Role.ADMIN)
    session = (await use_cases.sessions.login("guest@example.org", "correct horse")).access_token
    caller = await use_cases.access.authenticate(session)
    _, private = await use_cases.private_tokens.create(caller, "a script")
    shown = [
        proxy("guest@example.org"),
        {"Authorization": f"Bearer {session}"},
        {"Authorization": f"Bearer {private}"},
    ]
    for headers in shown:
        identity = await project(vista, headers, "ours")
        read = await client.get(f"/api/projects/{identity}", headers=headers)
        assert read.status_code == 200
        body = {"name": "p", "meta_group_id": "theirs"}
        at_home = await client.post("/api/projects", json=body, headers=headers)
        assert at_home.status_code == 403, at_home.text
    # A key is of one group: elsewhere it does no more than there, whatever its maker may.
    made = await use_cases.api_keys.create(
        await use_cases.access.principal_in(caller, vista.ours.company_id), "k", role=Role.VIEWER
    )
    key = {"Authorization": f"Bearer {made[1]}"}
    for group in ("ours", "theirs"):
        body = {"name": "p", "meta_group_id": group}
        assert (await client.post("/api/projects", json=body, headers=key)).status_code == 403
    assert (await client.get("/api/projects", headers=key)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({"X-User-Email": "a@b.org"}, "Invalid proxy authentication"),
        ({"X-User-Email": "a@b.org", "X-Proxy-Secret": "x"}, "Invalid proxy authentication"),
        ({"X-Proxy-Secret": PROXY_SECRET}, "Missing or invalid X-User-Email header"),
        (proxy("nobody"), "Missing or invalid X-User-Email header"),
        ({}, "Authentication required."),
    ],
)
async def test_headers_that_name_nobody(vista: Vista, headers: dict[str, str], detail: str) -> None:
    answer = await vista.client.get("/api/users/me", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"detail": detail})
    assert (await vista.client.get("/api-key/users/me", headers=headers)).status_code == 401


async def test_administrators_manage_users(vista: Vista) -> None:
    client, boss = vista.client, proxy("boss@example.org")
    await vista.parts.use_cases.memberships.add("admin", "boss@example.org")
    made = await client.post("/api/users/", json={"email": "Eve@example.org"}, headers=boss)
    assert made.status_code == 201
    twice = await client.post("/api/users", json={"email": "eve@example.org"}, headers=boss)
    assert twice.status_code == 409
    url = f"/api/users/{made.json()['id']}"
    assert (await client.get(url, headers=boss)).json()["email"] == "eve@example.org"
    out = await client.patch(url, json={"is_active": False}, headers=boss)
    assert out.json()["is_active"] is False
    assert (await client.get("/api/users/me", headers=proxy("eve@example.org"))).status_code == 401


async def test_keys_of_another_are_not_there(vista: Vista) -> None:
    client = vista.client
    made = await client.post("/api/api-keys", json={"name": "k"}, headers=proxy("a@b.org"))
    identity = made.json()["api_key"]["id"]
    url = f"/api/api-keys/{identity}"
    refused = await client.delete(url, headers=proxy("c@d.org"))
    assert (refused.status_code, refused.json()) == (404, {"detail": "API key not found"})
    assert (await client.delete(url, headers=proxy("a@b.org"))).status_code == 204
    keys = (await client.get("/api/api-keys", headers=proxy("a@b.org"))).json()
    assert [(key["id"], key["is_active"]) for key in keys] == [(identity, False)]


async def test_images_and_what_they_are_searched_by(any_vista: Vista) -> None:
    identity = await project(any_vista, any_vista.user)
    url = f"/api/projects/{identity}/images"
    for name, metadata in (
        ("Sea.png", '{"place": "Bergen", "depth": 40}'),
        ("land_1.png", '{"place": "Oslo", "note": "20% snow"}'),
        ("land2.png", "{}"),
    ):
        assert (await upload(any_vista, identity, name, metadata)).status_code == 201

    async def found(**query: Any) -> list[str]:
        answer = await any_vista.client.get(url, params=query, headers=any_vista.user)
        return [image["filename"] for image in answer.json()]

    everything = ["Sea.png", "land_1.png", "land2.png"]
    assert await found() == everything
    assert await found(skip=1, limit=1) == ["land_1.png"]
    assert await found(limit=0) == []
    assert await found(search_field="filename", search_value="sEA") == ["Sea.png"]
    assert await found(search_field="filename", search_value="_1") == ["land_1.png"]
    assert await found(search_field="content_type", search_value="PNG") == everything
    assert await found(search_field="metadata", search_value="berg") == ["Sea.png"]
    assert await found(search_field="metadata", search_value="20%") == ["land_1.png"]
    assert await found(search_field="depth", search_value="40") == ["Sea.png"]
    assert await found(search_field="place", search_value="40") == []
    bad = {"[": 400, "[1]": 422}
    for text, status in bad.items():
        assert (await upload(any_vista, identity, "x.png", text)).status_code == status
    query = {"limit": -1}
    answer = await any_vista.client.get(url, params=query, headers=any_vista.user)
    assert answer.status_code == 422


async def test_bytes_and_thumbnails(vista: Vista) -> None:
    identity = (await upload(vista, await project(vista, vista.user), 'ü".png')).json()["id"]
    client = vista.client
    answer = await client.get(f"/api/images/{identity}/content", headers=vista.user)
    assert answer.content == solid_png(30, 20)
    assert "inline" in answer.headers["content-disposition"]
    small = await client.get(
        f"/api/images/{identity}/thumbnail", params={"width": 10}, headers=vista.user
    )
    assert (small.status_code, small.headers["content-type"]) == (200, "image/png")
    none = await client.get(
        f"/api/images/{identity}/thumbnail", params={"width": 0}, headers=vista.user
    )
    assert none.status_code == 400
    where = (await client.get(f"/api/images/{identity}/download", headers=vista.user)).json()
    assert (await client.get(f"/api{where['url']}", headers=vista.user)).status_code == 200


async def test_what_is_no_picture(vista: Vista) -> None:
    url = f"/api/projects/{await project(vista, vista.user)}/images"
    file = {"file": ("a.png", b"no picture", "image/png")}
    assert (await vista.client.post(url, files=file, headers=vista.user)).status_code == 400
    assert (await vista.client.post(url, headers=vista.user)).status_code == 422


async def graphql_images(vista: Vista, project_id: str, image_id: str) -> list[str]:
    query = """query($dataset: ID!, $image: ID!) {
      dataset(id: $dataset) { images { totalCount nodes { id } } }
      images(filter: {datasetId: $dataset}) { totalCount nodes { id } }
      image(id: $image) { id } node(id: $image) { id } }"""
    variables = {"dataset": project_id, "image": image_id}
    answer = await vista.client.post(
        "/graphql", json={"query": query, "variables": variables}, headers=vista.user
    )
    data = answer.json()["data"]
    lists = (data["dataset"]["images"], data["images"])
    assert all(one["totalCount"] == len(one["nodes"]) for one in lists)
    shown = [node["id"] for one in lists for node in one["nodes"]]
    return shown + [one["id"] for one in (data["image"], data["node"]) if one]


async def test_deleted_images_are_in_no_list_until_they_are_restored(any_vista: Vista) -> None:
    client, user = any_vista.client, any_vista.user
    identity = await project(any_vista, user)
    image = (await upload(any_vista, identity, "a.png")).json()["id"]
    many, url = f"/api/projects/{identity}/images", f"/api/projects/{identity}/images/{image}"
    analysis = (await any_vista.pipeline().create(image)).json()["id"]
    short = await client.request("DELETE", url, json={"reason": "too short"}, headers=user)
    assert short.status_code == 400
    deleted = await client.request("DELETE", url, json=REASON, headers=user)
    assert deleted.json()["deletion_reason"] == REASON["reason"]
    assert deleted.json()["pending_hard_delete_at"] > deleted.json()["deleted_at"]
    assert await graphql_images(any_vista, identity, image) == []
    assert (await client.get(many, headers=user)).json() == []
    for wanted in ({"include_deleted": True}, {"deleted_only": True}):
        assert len((await client.get(many, params=wanted, headers=user)).json()) == 1
    shown = {"include_deleted": True}
    for path in ("", "/content", "/thumbnail"):
        one = f"/api/images/{image}{path}"
        assert (await client.get(one, headers=user)).status_code == 404
        assert (await client.get(one, params=shown, headers=user)).is_success
    # Its analysis is reached by its id, and tells which image it is of.
    query = "query($id: ID!) { analysis(id: $id) { image { id } } }"
    answer = await client.post(
        "/graphql", json={"query": query, "variables": {"id": analysis}}, headers=user
    )
    assert answer.json()["data"]["analysis"]["image"]["id"] == image
    restored = await client.post(f"{url}/restore", headers=user)
    assert restored.json()["deleted_at"] is None
    assert await graphql_images(any_vista, identity, image) == [image] * 4
    events = (await client.get(f"{many}/deletion-events", headers=user)).json()
    assert [event["action"] for event in events["events"]] == ["restore", "soft_delete"]
    assert events["total"] == 2


async def test_what_is_deleted_for_good(any_vista: Vista) -> None:
    client, user = any_vista.client, any_vista.user
    deletions = any_vista.parts.use_cases.image_deletions
    identity = await project(any_vista, user)
    images = [(await upload(any_vista, identity, f"{n}.png")).json()["id"] for n in range(2)]
    urls = [f"/api/projects/{identity}/images/{image}" for image in images]
    forced = await client.request("DELETE", urls[0], json=REASON | {"force": True}, headers=user)
    assert forced.json()["storage_deleted"] is True
    for name in ("content", "thumbnail"):
        file = f"/api/images/{images[0]}/{name}"
        gone = await client.get(file, params={"include_deleted": True}, headers=user)
        assert gone.status_code == 404
    assert (await client.post(f"{urls[0]}/restore", headers=user)).status_code == 409
    # The other image has the same bytes, and keeps them.
    kept = await client.get(f"/api/images/{images[1]}/content", headers=user)
    assert kept.content == solid_png(30, 20)
    await client.request("DELETE", urls[1], json=REASON, headers=user)
    assert await deletions.purge() == 0
    assert await deletions.purge(datetime.now(UTC) + timedelta(days=61)) >= 2
    assert (await client.post(f"{urls[1]}/restore", headers=user)).status_code == 410
    shown = {"include_deleted": True}
    gone = await client.get(f"/api/images/{images[1]}", params=shown, headers=user)
    assert gone.status_code == 404


async def test_classes_that_are_in_use_stay(vista: Vista) -> None:
    client, user = vista.client, vista.user
    identity = await project(vista, user)
    image = (await upload(vista, identity, "a.png")).json()["id"]
    body = {"name": "whale", "project_id": identity}
    made = await client.post(f"/api/projects/{identity}/classes", json=body, headers=user)
    given = {"image_id": image, "class_id": made.json()["id"]}
    for _ in range(2):
        url = f"/api/images/{image}/classifications"
        assert (await client.post(url, json=given, headers=user)).status_code == 201
    assert len((await client.get(url, headers=user)).json()) == 2
    used = await client.delete(f"/api/classes/{given['class_id']}", headers=user)
    assert used.status_code == 409
    mismatch = body | {"project_id": image}
    wrong = await client.post(f"/api/projects/{identity}/classes", json=mismatch, headers=user)
    assert wrong.status_code == 400


async def test_comments_are_their_authors(vista: Vista) -> None:
    client, memberships = vista.client, vista.parts.use_cases.memberships
    for email in ("ann@example.org", "ben@example.org"):
        await memberships.add("ours", email)
    image = (await upload(vista, await project(vista, vista.user), "a.png")).json()["id"]
    url, text = f"/api/images/{image}/comments", {"text": "a fin"}
    made = await client.post(url, json=text, headers=proxy("ann@example.org"))
    one = f"/api/comments/{made.json()['id']}"
    for method in ("PATCH", "DELETE"):
        other = await client.request(method, one, json=text, headers=proxy("ben@example.org"))
        assert other.status_code == 403
    changed = await client.patch(one, json={"text": "a wave"}, headers=proxy("ann@example.org"))
    assert changed.json()["text"] == "a wave"
    assert changed.json()["updated_at"]


async def test_order_of_annotations_and_exports(any_vista: Vista) -> None:
    identity = await any_vista.analysis()
    pipeline = any_vista.pipeline("timestamped")
    names = ["a", 'b "quoted", ü', "c", "d"]
    orders = [None, 2, None, 0]
    many: list[dict[str, Any]] = [
        {"annotation_type": "box", "class_name": name, "ordering": order, "data": {}}
        for name, order in zip(names, orders, strict=True)
    ]
    await pipeline.bulk(identity, many)
    base = f"/api/analyses/{identity}"
    client, user = any_vista.client, any_vista.user
    page = (await client.get(f"{base}/annotations?skip=1&limit=2", headers=user)).json()
    assert [row["class_name"] for row in page["annotations"]] == [names[1], names[0]]
    assert page["total"] == 4
    for query in ("limit=1001", "limit=-1", "skip=-1"):
        answer = await client.get(f"{base}/annotations?{query}", headers=user)
        assert answer.status_code == 422
    exported = (await client.get(f"{base}/export?format=json", headers=user)).json()
    assert exported["annotation_count"] == 4
    assert "analysis_id" not in exported["annotations"][0]
    csv = await client.get(f"{base}/export?format=csv", headers=user)
    assert csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert csv.headers["content-disposition"].startswith("attachment; filename=analysis_yolo_v8_")
    lines = csv.text.split("\r\n")
    assert lines[0] == (
        "annotation_id,annotation_type,class_name,confidence,storage_path,ordering,data_json,"
        "created_at"
    )
    assert lines[1].split(",")[1:7] == ["box", "d", "", "", "0", "{}"]
    assert '"b ""quoted"", ü"' in lines[2]
    assert (await client.get(f"{base}/export?format=xml", headers=user)).status_code == 422


async def test_dev_mode_needs_no_credentials(dev: LiveServer) -> None:
    client = dev.client
    me = (await client.get("/api/users/me")).json()
    assert me["email"] == "test@example.com"
    named = (await client.get("/api/users/me", headers={"X-User-Email": "Joe@x.org"})).json()
    assert named["email"] == "joe@x.org"
    body = {"name": "p", "meta_group_id": "any-group"}
    made = (await client.post("/api/projects", json=body)).json()
    assert made["meta_group_id"] == "any-group"
    assert (await client.get("/api/users/me/groups")).json() == ["any-group"]
    datasets = await dev.data("{ datasets { nodes { id } } }")
    assert {"id": made["id"]} in datasets["datasets"]["nodes"]
    file = {"file": ("a.png", solid_png(9, 9), "image/png")}
    image = (await client.post(f"/api/projects/{made['id']}/images", files=file)).json()
    assert image["uploaded_by_user_id"] == "test@example.com"
    model = {"model_name": "yolo_v8", "model_version": "1"}
    analysis = (await client.post(f"/api/images/{image['id']}/analyses", json=model)).json()
    payload = {"status": "completed"}
    ended = await client.post(
        f"/api/analyses/{analysis['id']}/finalize", json=payload, headers=documented(payload)
    )
    assert ended.json()["status"] == "completed"
    # The documented client as it stands, with the key that is written there.
    documented_client = MLPipelineClient(dev.url, SECRET, "your-api-key")
    done = await asyncio.to_thread(run_ml_analysis, documented_client, image["id"], solid_png(8, 8))
    read = (await client.get(f"/api/analyses/{done}")).json()
    assert (read["status"], len(read["annotations"])) == ("completed", 1)
    refused = await client.get("/api-key/users/me", headers={"X-API-Key": "your-api-key"})
    assert refused.status_code == 401
