"""Curation by GraphQL: deletion and restoration, classes, comments, metadata, and their lists."""

from typing import Any

import pytest

from tests.conftest import LiveServer
from tests.graphql.asking import (
    NO_SUCH_ID,
    SOFT_DELETE,
    classification,
    codes,
    comment,
    dataset,
    external,
    image,
    image_class,
)
from tests.graphql.conftest import KeyServer, new_key
from tests.graphql.sockets import started_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")

DELETION = "deletion { deletedAt deletedBy reason purgeAt fileDeleted }"
RESTORE = """mutation($id: ID!, $reason: String) {
  restoreImage(id: $id, reason: $reason) { id deletion { reason } } }"""
SHOWN = """query($id: ID!, $deleted: DeletedImages!) {
  image(id: $id, deleted: $deleted) { filename deletion { reason } } }"""
SET = """mutation($input: SetMetadataInput!) {
  setMetadata(input: $input) { dataset { id metadata } image { id metadata } } }"""
REMOVE = """mutation($input: RemoveMetadataInput!) {
  removeMetadata(input: $input) { dataset { id metadata } image { id metadata } } }"""
CLASSES = """query($id: ID!, $first: Int, $after: String) { dataset(id: $id) {
  classes(first: $first, after: $after) {
    totalCount nodes { id name description } pageInfo { hasNextPage endCursor } } } }"""
LABELS = """query($id: ID!) { image(id: $id) {
  classifications { totalCount nodes { id createdBy isMine imageClass { id name } } } } }"""
COMMENTS = """query($id: ID!) { image(id: $id) {
  comments { nodes { id text author isMine createdAt updatedAt } } } }"""
DELETIONS = """query($id: ID!, $first: Int!, $after: String) { dataset(id: $id) {
  deletions(first: $first, after: $after) {
    nodes { action actor reason imageId filename } pageInfo { hasNextPage endCursor } } } }"""


async def test_a_deleted_image_is_shown_to_those_who_ask(any_door: LiveServer) -> None:
    identity = await image(any_door, filename="gone.png")
    made = await any_door.data(
        f"""mutation($id: ID!) {{ softDeleteImage(input: {{
          imageId: $id, reason: "it is out of focus"}}) {{ id filename {DELETION} }} }}""",
        id=identity,
    )
    deletion = made["softDeleteImage"]["deletion"]
    assert deletion["deletedAt"] < deletion["purgeAt"]
    assert (deletion["deletedBy"], deletion["fileDeleted"]) == ("local user", False)
    assert deletion["reason"] == "it is out of focus"
    expected = {"filename": "gone.png", "deletion": {"reason": "it is out of focus"}}
    for deleted, shown in (("EXCLUDED", None), ("INCLUDED", expected), ("ONLY", expected)):
        assert await any_door.data(SHOWN, id=identity, deleted=deleted) == {"image": shown}
    restored = await any_door.data(RESTORE, id=identity)
    assert restored == {"restoreImage": {"id": identity, "deletion": None}}
    for deleted, is_shown in (("EXCLUDED", True), ("INCLUDED", True), ("ONLY", False)):
        found = (await any_door.data(SHOWN, id=identity, deleted=deleted))["image"]
        assert (found is not None) is is_shown


@pytest.mark.parametrize("members", ["edges { cursor }", "nodes { id } pageInfo { endCursor }"])
async def test_what_a_deleted_image_has_is_not_shown_in_its_place(
    any_door: LiveServer, members: str
) -> None:
    identity = await image(any_door)
    await external(any_door, identity)
    await comment(any_door, identity)
    await any_door.data(SOFT_DELETE, id=identity)
    for children in ("analyses", "comments"):
        query = "query($id: ID!, $deleted: DeletedImages!) { image(id: $id, deleted: $deleted) {"
        query += f" {children} {{ {members} }} }} }}"
        assert await any_door.data(query, id=identity, deleted="EXCLUDED") == {"image": None}
        found = (await any_door.data(query, id=identity, deleted="INCLUDED"))["image"]
        assert len(found[children][members.split()[0]]) == 1
        assert await any_door.data(query, id=identity, deleted="ONLY") == {"image": found}


async def test_an_analysis_tells_that_its_image_is_deleted(any_door: LiveServer) -> None:
    identity = await image(any_door)
    analysis = await external(any_door, identity)
    await any_door.data(SOFT_DELETE, id=identity)
    query = f"query($id: ID!) {{ analysis(id: $id) {{ image {{ id {DELETION} }} }} }}"
    found = (await any_door.data(query, id=analysis))["analysis"]["image"]
    assert found["id"] == identity
    assert found["deletion"]["reason"] == "it is out of focus"


async def test_deletions_are_listed(any_door: LiveServer) -> None:
    dataset_id = await dataset(any_door)
    first, second = [await image(any_door, dataset_id, filename=f"{n}.png") for n in (1, 2)]
    await any_door.data(SOFT_DELETE, id=first)
    await any_door.data(RESTORE, id=first, reason="a mistake")
    force = """mutation($id: ID!) { softDeleteImage(input: {
      imageId: $id, reason: "it must not be seen", force: true}) { deletion { fileDeleted } } }"""
    assert (await any_door.data(force, id=second))["softDeleteImage"]["deletion"]["fileDeleted"]
    await any_door.data("mutation($id: ID!) { deleteImage(id: $id) { deletedId } }", id=first)
    found: list[dict[str, Any]] = []
    after, more = None, True
    while more:
        answer = await any_door.data(DELETIONS, id=dataset_id, first=3, after=after)
        page = answer["dataset"]["deletions"]
        found += page["nodes"]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    assert [(one["action"], one["reason"], one["imageId"]) for one in found] == [
        ("HARD_DELETE", None, first),
        ("FORCE_DELETE", "it must not be seen", second),
        ("RESTORE", "a mistake", first),
        ("SOFT_DELETE", "it is out of focus", first),
    ]
    assert {(one["actor"], one["filename"]) for one in found} == {
        ("local user", "1.png"),
        ("local user", "2.png"),
    }
    assert codes(await any_door.graphql(RESTORE, id=second)) == ["CONFLICT"]
    assert codes(await any_door.graphql(RESTORE, id=first)) == ["GONE"]


async def test_classes_of_a_dataset(any_door: LiveServer) -> None:
    dataset_id = await dataset(any_door)
    ids = [await image_class(any_door, dataset_id, name) for name in ("fin", "fluke", "blow")]
    change = """mutation($input: UpdateImageClassInput!) {
      updateImageClass(input: $input) { name description updatedAt } }"""
    described = {"id": ids[0], "description": "seen from the side"}
    changed = (await any_door.data(change, input=described))["updateImageClass"]
    assert (changed["name"], changed["description"]) == ("fin", "seen from the side")
    assert changed["updatedAt"]
    renamed = await any_door.data(change, input={"id": ids[0], "name": "dorsal fin"})
    assert renamed["updateImageClass"]["description"] == "seen from the side"
    emptied = await any_door.data(change, input={"id": ids[0], "description": None})
    assert emptied["updateImageClass"]["description"] is None
    page = (await any_door.data(CLASSES, id=dataset_id, first=2))["dataset"]["classes"]
    assert page["totalCount"] == 3
    assert [one["name"] for one in page["nodes"]] == ["dorsal fin", "fluke"]
    after = page["pageInfo"]["endCursor"]
    rest = (await any_door.data(CLASSES, id=dataset_id, first=2, after=after))["dataset"]
    assert [one["id"] for one in rest["classes"]["nodes"]] == ids[2:]
    delete = "mutation($id: ID!) { deleteImageClass(id: $id) { deletedId } }"
    assert await any_door.data(delete, id=ids[1]) == {"deleteImageClass": {"deletedId": ids[1]}}
    assert codes(await any_door.graphql(delete, id=ids[1])) == ["NOT_FOUND"]


async def test_images_have_classes(any_door: LiveServer) -> None:
    dataset_id = await dataset(any_door)
    identity = await image(any_door, dataset_id)
    fin, fluke = [await image_class(any_door, dataset_id, name) for name in ("fin", "fluke")]
    given = [await classification(any_door, identity, one) for one in (fin, fluke, fin)]
    assert given[0] == given[2]  # whoever says it again has said it once
    found = (await any_door.data(LABELS, id=identity))["image"]["classifications"]
    assert found["totalCount"] == 2
    assert found["nodes"] == [
        {
            "id": made,
            "createdBy": "local user",
            "isMine": True,
            "imageClass": {"id": one, "name": name},
        }
        for made, one, name in ((given[0], fin, "fin"), (given[1], fluke, "fluke"))
    ]
    delete = "mutation($id: ID!) { deleteImageClass(id: $id) { deletedId } }"
    assert codes(await any_door.graphql(delete, id=fin)) == ["CONFLICT"]
    back = "mutation($id: ID!) { declassifyImage(id: $id) { deletedId } }"
    assert await any_door.data(back, id=given[0]) == {"declassifyImage": {"deletedId": given[0]}}
    assert await any_door.data(delete, id=fin)
    elsewhere = await image_class(any_door, await dataset(any_door))
    classify = """mutation($image: ID!, $class: ID!) {
      classifyImage(input: {imageId: $image, classId: $class}) { id } }"""
    refused = await any_door.graphql(classify, **{"image": identity, "class": elsewhere})
    assert codes(refused) == ["INVALID_INPUT"]


async def test_comments_of_an_image(any_door: LiveServer) -> None:
    identity = await image(any_door)
    first, second = [await comment(any_door, identity, text) for text in ("a fin?", "a wave")]
    change = """mutation($id: ID!, $text: String!) {
      updateComment(input: {id: $id, text: $text}) { text updatedAt } }"""
    assert (await any_door.data(change, id=first, text="a fin!"))["updateComment"]["updatedAt"]
    found = (await any_door.data(COMMENTS, id=identity))["image"]["comments"]["nodes"]
    assert [(one["id"], one["text"]) for one in found] == [(first, "a fin!"), (second, "a wave")]
    assert {(one["author"], one["isMine"]) for one in found} == {("local user", True)}
    assert [one["updatedAt"] is None for one in found] == [False, True]
    delete = "mutation($id: ID!) { deleteComment(id: $id) { deletedId } }"
    assert await any_door.data(delete, id=first) == {"deleteComment": {"deletedId": first}}
    for text in ("", "x" * 10_001, "a\x00b"):
        assert codes(await any_door.graphql(change, id=second, text=text)) == ["INVALID_INPUT"]


async def test_metadata_of_datasets_and_images(any_door: LiveServer) -> None:
    identity = await image(any_door, metadata={"place": "Bergen"})
    place = "query($id: ID!) { image(id: $id) { dataset { id metadata } metadata } }"
    dataset_id = (await any_door.data(place, id=identity))["image"]["dataset"]["id"]
    values = {"z": [1, {"deep": None}], "a": 1.5, "\U0001f40b": "Wal", "none": None}
    made = await any_door.data(SET, input={"datasetId": dataset_id, "entries": values})
    assert made["setMetadata"] == {
        "dataset": {"id": dataset_id, "metadata": values},
        "image": None,
    }
    assert list(made["setMetadata"]["dataset"]["metadata"]) == sorted(values)
    made = await any_door.data(SET, input={"imageId": identity, "entries": values})
    whole = {"place": "Bergen", **values}
    assert made["setMetadata"] == {"dataset": None, "image": {"id": identity, "metadata": whole}}
    for place_of, left in (("datasetId", {"a": 1.5}), ("imageId", {"place": "Bergen", "a": 1.5})):
        given = {place_of: dataset_id if place_of == "datasetId" else identity}
        removed = await any_door.data(REMOVE, input=given | {"keys": ["z", "none", "\U0001f40b"]})
        (of,) = [one for one in removed["removeMetadata"].values() if one]
        assert of["metadata"] == left
        again = await any_door.graphql(REMOVE, input=given | {"keys": ["z"]})
        assert codes(again) == ["NOT_FOUND"]
    found = (await any_door.data(place, id=identity))["image"]
    assert found["metadata"] == {"place": "Bergen", "a": 1.5}
    assert found["dataset"]["metadata"] == {"a": 1.5}


@pytest.mark.parametrize(
    "given",
    [
        {"entries": {}},
        {"entries": {}, "datasetId": NO_SUCH_ID, "imageId": NO_SUCH_ID},
        {"entries": [1], "datasetId": NO_SUCH_ID},
        {"entries": "text", "imageId": NO_SUCH_ID},
        {"entries": {"": 1}, "imageId": NO_SUCH_ID},
        {"entries": {"a": "\x00"}, "datasetId": NO_SUCH_ID},
    ],
)
async def test_metadata_that_is_refused(any_door: LiveServer, given: dict[str, Any]) -> None:
    assert codes(await any_door.graphql(SET, input=given)) == ["INVALID_INPUT"]


async def test_what_is_whose(keys: KeyServer) -> None:
    """Colleagues see each other's comments and classifications, and leave them alone."""
    live, colleague = keys.live, await new_key(keys.parts, "ours")

    async def ask(key: str, query: str, **variables: Any) -> dict[str, Any]:
        body = {"query": query, "variables": variables}
        answer = await live.client.post("/graphql", json=body, headers={"x-api-key": key})
        found: dict[str, Any] = answer.json()
        return found

    live.client.headers["x-api-key"] = keys.ours
    dataset_id = await dataset(live)
    identity = await image(live, dataset_id)
    label = await image_class(live, dataset_id)
    made = {
        "declassifyImage": await classification(live, identity, label),
        "deleteComment": await comment(live, identity),
    }
    del live.client.headers["x-api-key"]
    query = """query($id: ID!) { image(id: $id) { uploadedBy
      classifications { nodes { createdBy isMine } } comments { nodes { author isMine } } } }"""
    for key, mine in ((keys.ours, True), (colleague, False)):
        for _ in range(2):
            shown = (await ask(key, query, id=identity))["data"]["image"]
            assert shown["uploadedBy"] == "a key of ours"
            (given,), (said,) = (shown[of]["nodes"] for of in ("classifications", "comments"))
            assert given == {"createdBy": "a key of ours", "isMine": mine}
            assert said == {"author": "a key of ours", "isMine": mine}
    for mutation, one in made.items():
        text = f"mutation($id: ID!) {{ {mutation}(id: $id) {{ deletedId }} }}"
        assert codes(await ask(colleague, text, id=one)) == ["FORBIDDEN"]
        assert (await ask(keys.ours, text, id=one))["data"][mutation] == {"deletedId": one}


async def test_followers_see_for_themselves_what_is_theirs(keys: KeyServer) -> None:
    """Answers to events are shared by those of a company, but not what differs between them."""
    live, colleague = keys.live, await new_key(keys.parts, "ours")
    live.client.headers["x-api-key"] = keys.ours
    identity = await image(live)
    await comment(live, identity)
    analysis = await external(live, identity)
    del live.client.headers["x-api-key"]
    follow = """subscription($id: ID!) { analysisEvents(analysisId: $id, after: "0") {
      analysis { image { comments { nodes { isMine } } } } } }"""
    shown = []
    for key in (keys.ours, colleague, keys.ours):
        async with started_socket(live, {"x-api-key": key}) as socket:
            await socket.subscribe("1", follow, id=analysis)
            event = (await socket.next())["data"]["analysisEvents"]
            shown.append(event["analysis"]["image"]["comments"]["nodes"][0]["isMine"])
    assert shown == [True, False, True]


async def test_a_file_that_has_come_is_told_of(any_door: LiveServer) -> None:
    analysis = await external(any_door)
    presign = """mutation($id: ID!) { presignArtifacts(input: {analysisId: $id, artifacts: [
      {name: "heat.png", contentType: "image/png"}]}) { uploadUrl } }"""
    url = (await any_door.data(presign, id=analysis))["presignArtifacts"][0]["uploadUrl"]
    follow = """subscription($id: ID!) { analysisEvents(analysisId: $id, after: "0") {
      kind status artifactName analysis { artifacts { name sizeBytes } } } }"""
    async with started_socket(any_door) as socket:
        await socket.subscribe("1", follow, id=analysis)
        queued = (await socket.next())["data"]["analysisEvents"]
        assert (queued["kind"], queued["artifactName"]) == ("QUEUED", None)
        sent = await any_door.client.put(
            url, content=b"\x89PNG\r\n", headers={"content-type": "image/png"}
        )
        assert sent.is_success, sent.text
        assert (await socket.next())["data"]["analysisEvents"] == {
            "kind": "ARTIFACT_STORED",
            "status": "QUEUED",
            "artifactName": "heat.png",
            "analysis": {"artifacts": [{"name": "heat.png", "sizeBytes": 6.0}]},
        }
