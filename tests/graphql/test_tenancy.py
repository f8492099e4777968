"""Every root field with every kind of caller: what is another company's is as if it were not."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from opsin.settings import Settings
from tests.conftest import LiveServer
from tests.graphql import asking
from tests.graphql.asking import codes
from tests.graphql.callers import (
    FINGERPRINT,
    MUTATIONS,
    OPEN,
    QUERIES,
    RECEIVER,
    ROWS,
    SUBSCRIPTION,
)
from tests.graphql.conftest import KeyServer, key_server
from tests.graphql.print_schema import built_in_schema
from tests.graphql.sockets import started_socket
from tests.graphql.stored_rows import (
    add_artifact,
    add_batch,
    add_delivery,
    add_subject,
    add_twin,
)
from tests.pictures import solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

NODE_TYPES = (
    "Dataset",
    "Image",
    "Analysis",
    "Annotation",
    "Artifact",
    "Subject",
    "Batch",
    "Run",
    "Collection",
    "CollectionMember",
    "Classifier",
    "ImageClass",
    "ImageClassification",
    "Comment",
    "ImageDeletionEvent",
)


class House(NamedTuple):
    """A server with keys, and one company's things by the name of their type."""

    keys: KeyServer
    ids: dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    changes = {
        "data_dir": tmp_path_factory.mktemp("tenants"),
        "webhook_allow": ("127.0.0.1:9",),
    }
    settings = module_settings.model_copy(update=changes)
    async with key_server(settings) as keys:
        yield House(keys, await _things(keys))


async def _things(keys: KeyServer) -> dict[str, str]:
    parts = keys.parts
    owner = await parts.use_cases.access.authenticate(keys.ours)
    database, company = parts.use_cases.database, owner.company_id
    with as_caller(keys.live, keys.ours) as live:
        ids = {"Dataset": await asking.dataset(live, "ours")}
        ids["Subject"] = await add_subject(database, company, ids["Dataset"])
        ids["Batch"] = await add_batch(database, company, ids["Dataset"])
        ids["Image"] = await asking.image(
            live, ids["Dataset"], subjectId=ids["Subject"], batchId=ids["Batch"]
        )
        ids["Analysis"] = await asking.external(live, ids["Image"])
        await live.data(asking.ADD_ANNOTATIONS, id=ids["Analysis"], found=[asking.box()])
        nodes = "query($id: ID!) { analysis(id: $id) { annotations { nodes { id } } } }"
        found = await live.data(nodes, id=ids["Analysis"])
        ids["Annotation"] = found["analysis"]["annotations"]["nodes"][0]["id"]
        ids |= await _collection(live)
        ids |= await _curated(live, ids)
        ids |= await _attached(live)
        ids["Webhook"] = await _webhook(live)
    analysis = await parts.use_cases.analyses.find(owner, ids["Analysis"])
    assert analysis is not None
    ids["Artifact"] = await add_artifact(database, analysis)
    ids["Delivery"] = await add_delivery(database, company, ids["Webhook"])
    ids["Twin"] = await add_twin(database, company, ids["Dataset"], ids["Image"])
    return ids | {"ApiKey": owner.key_id or ""}


async def _webhook(live: LiveServer) -> str:
    query = """mutation($url: String!) {
      createWebhook(input: {url: $url, events: [WEBHOOK_PAUSED]}) { webhook { id } } }"""
    return str((await live.data(query, url=RECEIVER))["createWebhook"]["webhook"]["id"])


async def _attached(live: LiveServer) -> dict[str, str]:
    """An application, attached to a dataset of its own."""
    ids = {"Attached": await asking.dataset(live, "attached")}
    ids["Application"] = await asking.application(live)
    ids["Run"] = await asking.attach(live, ids["Application"], ids["Attached"])
    return ids


async def _curated(live: LiveServer, ids: dict[str, str]) -> dict[str, str]:
    """What people have added: a class, a comment, metadata, a deletion."""
    gone = await asking.image(live, ids["Dataset"])
    await live.data(asking.SOFT_DELETE, id=gone)
    query = """query($id: ID!) { dataset(id: $id) { deletions { nodes { id } } } }"""
    found = (await live.data(query, id=ids["Dataset"]))["dataset"]
    entries = "mutation($id: ID!) { setMetadata(input: {datasetId: $id, entries: {kept: 1}}) {"
    await live.data(f"{entries} dataset {{ id }} }} }}", id=ids["Dataset"])
    label = await asking.image_class(live, ids["Dataset"])
    return {
        "ImageDeletionEvent": found["deletions"]["nodes"][0]["id"],
        "ImageClass": label,
        "ImageClassification": await asking.classification(live, ids["Image"], label),
        "Comment": await asking.comment(live, ids["Image"]),
    }


async def _collection(live: LiveServer) -> dict[str, str]:
    """A trained collection `whales`, one of its members, and its classifier."""
    await live.data(asking.CREATE_COLLECTION, key="whales", operation="embed_clip_vit_b_32")
    vectors = [
        {"label": label, "vectors": [[sign * n, 1.0]]}
        for label, sign in (("true", 1), ("false", -1))
        for n in range(1, 11)
    ]
    given = {"collection": "whales", "vectors": vectors, "modelFingerprints": [FINGERPRINT]}
    await live.data(asking.ADD_MEMBERS, input=given)
    await live.data('mutation { trainClassifier(collection: "whales") { new { digest } } }')
    query = """{ collection(key: "whales") { id members(first: 1) { nodes { id } }
      classifiers { nodes { id } } } }"""
    found = (await live.data(query))["collection"]
    return {
        "Collection": found["id"],
        "CollectionMember": found["members"]["nodes"][0]["id"],
        "Classifier": found["classifiers"]["nodes"][0]["id"],
    }


async def test_every_root_field_has_a_row() -> None:
    schema = built_in_schema()._schema
    assert schema.query_type and schema.mutation_type and schema.subscription_type
    assert set(schema.query_type.fields) == set(QUERIES)
    assert set(schema.mutation_type.fields) == set(MUTATIONS) | OPEN
    assert set(schema.subscription_type.fields) == {"analysisEvents", "imageEvents", "runEvents"}


async def ask(live: LiveServer, document: str, key: str | None) -> httpx.Response:
    headers = {"x-api-key": key} if key else {}
    if "Upload!" not in document:
        return await live.client.post("/graphql", json={"query": document}, headers=headers)
    operations = json.dumps({"query": document, "variables": {"file": None}})
    return await asking.post_file(
        live.client, operations, solid_png(), "variables.file", headers=headers
    )


@pytest.mark.parametrize("field", ROWS)
async def test_what_is_another_companys_is_as_if_it_were_not(house: House, field: str) -> None:
    """First the others, then the owner, so that it is the owner's key that makes the difference."""
    keys, row = house.keys, ROWS[field]
    ids = house.ids | {"Made": await _made_for(house, field)}
    document = row.document % ids
    for key in (None, keys.revoked):
        refused = await ask(keys.live, document, key)
        assert refused.status_code == 401
        assert codes(refused.json()) == ["UNAUTHENTICATED"]
    foreign = (await ask(keys.live, document, keys.theirs)).json()
    assert codes(foreign) == ([row.foreign] if row.foreign else [])
    assert not any(identity in json.dumps(foreign["data"]) for identity in ids.values() if identity)
    nothing = row.document % dict.fromkeys(ids, asking.NO_SUCH_ID)
    absent = (await ask(keys.live, nothing, keys.theirs)).json()
    assert messages(absent) == messages(foreign)
    owned = (await ask(keys.live, document, keys.ours)).json()
    assert codes(owned) == ([row.owned] if row.owned else [])
    assert row.shows is None or ids[row.shows] in json.dumps(owned["data"])


def messages(answer: dict[str, Any]) -> list[str]:
    return [error["message"] for error in answer.get("errors", [])]


async def _made_for(house: House, field: str) -> str:
    """The id of what a mutation will end."""
    parts = house.keys.parts
    owner = await parts.use_cases.access.authenticate(house.keys.ours)
    if field in ("revokeApiKey", "setRole", "grantDatasetRole", "revokeDatasetRole"):
        return (await parts.use_cases.api_keys.create(owner, "spare"))[0].id
    with as_caller(house.keys.live, house.keys.ours) as live:
        if field == "deleteCollection":
            await live.data(asking.CREATE_COLLECTION, key="spare", operation="embed_clip_vit_b_32")
            return "spare"
        if field == "deleteWebhook":
            return await _webhook(live)
        if field in ("deleteImage", "softDeleteImage", "restoreImage"):
            made = await asking.image(live, house.ids["Dataset"])
            if field == "restoreImage":
                await live.data(asking.SOFT_DELETE, id=made)
            return made
        if field in ("clearSubjects", "deleteSubjects", "deleteSubjectFiles"):
            return await asking.subject(live, house.ids["Dataset"])
        if field == "deleteBatch":
            return await asking.batch(live, house.ids["Dataset"])
        if field == "deleteDataset":
            return await asking.dataset(live)
        if field == "deleteApplication":
            return await asking.application(live, "spare")
        if field == "deleteImageClass":
            return await asking.image_class(live, house.ids["Dataset"])
        if field == "deleteComment":
            return await asking.comment(live, house.ids["Image"])
        if field == "declassifyImage":
            label = await asking.image_class(live, house.ids["Dataset"])
            return await asking.classification(live, house.ids["Image"], label)
        if field not in ("cancelAnalysis", "retryAnalysis"):
            return ""
        made = await asking.queued(live, house.ids["Image"])
    if field == "retryAnalysis":
        await parts.use_cases.analyses.cancel(owner, made)
    return made


@contextmanager
def as_caller(live: LiveServer, key: str) -> Iterator[LiveServer]:
    """The server with this key in every request."""
    live.client.headers["x-api-key"] = key
    yield live
    del live.client.headers["x-api-key"]


async def test_events_are_the_companys_own(house: House) -> None:
    keys = house.keys
    async with started_socket(keys.live, {"x-api-key": keys.theirs}) as theirs:
        await theirs.subscribe("1", SUBSCRIPTION)
        async with started_socket(keys.live, {"x-api-key": keys.ours}) as ours:
            await ours.subscribe("1", SUBSCRIPTION)
            event = (await ours.next())["data"]["analysisEvents"]
            assert event["analysisId"] == event["analysis"]["id"]
        # Theirs comes first, though ours are older: there was nothing else to see.
        with as_caller(keys.live, keys.theirs) as live:
            analysis_id = await asking.external(live)
        async with asyncio.timeout(10):
            event = (await theirs.next())["data"]["analysisEvents"]
        assert event["analysisId"] == analysis_id
    for key in (None, keys.revoked):
        headers = {"accept": "text/event-stream"} | ({"x-api-key": key} if key else {})
        refused = await keys.live.client.post(
            "/graphql", json={"query": SUBSCRIPTION}, headers=headers
        )
        assert refused.status_code == 401


@pytest.mark.parametrize("kind", NODE_TYPES)
async def test_a_node_is_found_by_its_id_alone(house: House, kind: str) -> None:
    query = "query($id: ID!) { node(id: $id) { __typename id } }"
    keys, identity = house.keys, house.ids[kind]
    request = {"query": query, "variables": {"id": identity}}
    mine = await keys.live.client.post("/graphql", json=request, headers={"x-api-key": keys.ours})
    assert mine.json()["data"]["node"] == {"__typename": kind, "id": identity}
    theirs = await keys.live.client.post(
        "/graphql", json=request, headers={"x-api-key": keys.theirs}
    )
    assert theirs.json() == {"data": {"node": None}}


async def test_the_types_of_nodes_are_all_tried() -> None:
    schema = built_in_schema()._schema
    node = schema.get_type("Node")
    assert node is not None
    implementations = schema.get_implementations(node)  # type: ignore[arg-type]  # it is an interface
    assert {kind.name for kind in implementations.objects} == set(NODE_TYPES)


@pytest.mark.parametrize(
    "identity", ["", "1", "not a uuid", asking.NO_SUCH_ID, "a\x00b", "0" * 5000]
)
@pytest.mark.parametrize("field", ["node", "dataset", "image", "analysis"])
async def test_an_id_of_nothing_gives_null(any_door: LiveServer, field: str, identity: str) -> None:
    query = f"query($id: ID!) {{ {field}(id: $id) {{ __typename }} }}"
    assert await any_door.data(query, id=identity) == {field: None}
    assert await any_door.data("query($id: ID!) { node(id: $id) { id } }", id=identity) == {
        "node": None
    }


async def test_a_link_of_an_image_needs_no_key(house: House) -> None:
    keys, query = house.keys, f'{{ image(id: "{house.ids["Image"]}") {{ url thumbnailUrl }} }}'
    answer = await keys.live.client.post(
        "/graphql", json={"query": query}, headers={"x-api-key": keys.ours}
    )
    for url in answer.json()["data"]["image"].values():
        assert (await keys.live.client.get(url)).status_code == 200
