"""Applications: made, attached to datasets, at work on what was there and on what comes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.graphql import asking
from tests.graphql.asking import codes
from tests.graphql.conftest import KeyServer, key_server
from tests.graphql.sockets import Socket, started_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 60
CREATE = """mutation($input: CreateApplicationInput!) { createApplication(input: $input) {
  id name title own createdAt steps { key operation params requires available
  unavailableReason } } }"""
ATTACH = """mutation($input: AttachApplicationInput!) { attachApplication(input: $input) {
  id steps isEnabled history { steps isEnabled until } } }"""
FOLLOW = """subscription($dataset: ID, $image: ID, $after: Cursor) {
  runEvents(datasetId: $dataset, imageId: $image, after: $after) { cursor kind occurredAt runId
    applicationId imageId subjectId batchId run { application { title } }
    image { id analyses { nodes { status taskId errorCode run { id } } } } } }"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def working(any_module_settings: Settings) -> AsyncIterator[LiveServer]:
    """A server with a worker on each kind of database."""
    async with serve(any_module_settings.model_copy(update={"worker": True})) as server:
        yield server


async def completed(socket: Socket, identity: str = "1") -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        event: dict[str, Any] = (await socket.next(identity))["data"]["runEvents"]
    return event


async def test_a_new_image_is_analysed_and_told_of(working: LiveServer) -> None:
    album = await asking.dataset(working)
    person = await asking.subject(working, album)
    batch = await asking.batch(working, album, subjectId=person)
    application = await asking.application(working, "new.images")
    run = await asking.attach(working, application, album)
    async with started_socket(working) as socket:
        await socket.subscribe("1", FOLLOW, dataset=album, after="0")
        image = await asking.image(working, album, batchId=batch)
        event = await completed(socket)
        # And once more from the beginning, of this image.
        await socket.subscribe("2", FOLLOW, image=image, after="0")
        assert await completed(socket, "2") == event
    assert event.pop("cursor") and event.pop("occurredAt")
    analyses = event["image"].pop("analyses")["nodes"]
    assert event == {
        "kind": "COMPLETED",
        "runId": run,
        "applicationId": application,
        "imageId": image,
        "subjectId": person,
        "batchId": batch,
        "run": {"application": {"title": "new.images"}},
        "image": {"id": image},
    }
    assert analyses == [
        {"status": "COMPLETED", "taskId": name, "errorCode": None, "run": {"id": run}}
        for name in ("dominant_colors", "image_quality")
    ]
    query = """query($image: ID!, $run: ID!) {
      image(id: $image) { runs { isLive createdAt completedAt run { id steps } image { id } } }
      run(id: $run) { isEnabled isCatchingUp dataset { id } applicationId
        images { totalCount edges { cursor node { image { id } } } pageInfo { hasNextPage } }
        open: images(filter: {completed: false}) { totalCount }
        done: images(filter: {completed: true, live: true}) { totalCount } }
      analyses(filter: {runId: $run}) { totalCount }
      runs(filter: {datasetId: "%s"}) { nodes { id } } }"""
    found = await working.data(query % album, image=image, run=run)
    (work,) = found["image"]["runs"]
    assert work["createdAt"] < work["completedAt"] and work["isLive"]
    assert work["run"] == {"id": run, "steps": ["dominant_colors", "image_quality"]}
    assert found["run"].pop("images") == {
        "totalCount": 1,
        "edges": [{"cursor": f"id>{image}", "node": {"image": {"id": image}}}],
        "pageInfo": {"hasNextPage": False},
    }
    assert found["run"] == {
        "isEnabled": True,
        "isCatchingUp": False,
        "dataset": {"id": album},
        "applicationId": application,
        "open": {"totalCount": 0},
        "done": {"totalCount": 1},
    }
    assert found["analyses"] == {"totalCount": 2}
    assert found["runs"] == {"nodes": [{"id": run}]}


async def test_images_that_were_there_are_analysed_once(working: LiveServer) -> None:
    album = await asking.dataset(working)
    images = [await asking.image(working, album) for _ in range(3)]
    application = await asking.application(working, "old.images", {"operation": "image_quality"})
    async with started_socket(working) as socket:
        await socket.subscribe("1", FOLLOW, dataset=album, after="0")
        run = await asking.attach(working, application, album)
        assert await asking.attach(working, application, album) == run
        seen = {(await completed(socket))["imageId"] for _ in images}
    assert seen == set(images)
    query = """query($id: ID!, $after: String) { run(id: $id) {
      images(first: 2, after: $after) { totalCount nodes { isLive image { id } }
        pageInfo { endCursor hasNextPage } } } }"""
    first = (await working.data(query, id=run))["run"]["images"]
    after = first["pageInfo"]["endCursor"]
    second = (await working.data(query, id=run, after=after))["run"]["images"]
    assert first["totalCount"] == 3 and first["pageInfo"]["hasNextPage"]
    nodes = [*first["nodes"], *second["nodes"]]
    assert [node["image"]["id"] for node in nodes] == images
    assert not any(node["isLive"] for node in nodes)


async def test_a_run_keeps_what_it_was(working: LiveServer) -> None:
    album = await asking.dataset(working)
    application = await asking.application(
        working,
        "steps",
        {"key": "first", "operation": "image_quality"},
        {"key": "second", "operation": "image_quality", "requires": ["first"]},
    )
    given = {"applicationId": application, "datasetId": album}
    run = (await working.data(ATTACH, input=given))["attachApplication"]
    assert (run["steps"], run["history"]) == (["first", "second"], [])
    again = await working.data(ATTACH, input=given | {"steps": ["second"]})
    changed = again["attachApplication"]
    assert (changed["id"], changed["steps"], changed["isEnabled"]) == (run["id"], ["second"], True)
    async with started_socket(working) as socket:
        await socket.subscribe("1", FOLLOW, dataset=album, after="0")
        await asking.image(working, album)
        event = await completed(socket)
    assert event["image"]["analyses"]["nodes"] == [
        {
            "status": "FAILED",
            "taskId": "second",
            "errorCode": "MISSING_PREREQUISITE",
            "run": {"id": run["id"]},
        }
    ]
    detach = """mutation($run: ID!) { detachApplication(runId: $run) {
      isEnabled history { steps isEnabled until } } }"""
    detached = (await working.data(detach, run=run["id"]))["detachApplication"]
    assert detached["isEnabled"] is False
    assert [one["steps"] for one in detached["history"]] == [["first", "second"], ["second"]]
    query = """query($id: ID!) { dataset(id: $id) { applications { totalCount nodes { id isEnabled
      history { steps isEnabled until } } } } }"""
    found = (await working.data(query, id=album))["dataset"]["applications"]
    assert found == {"totalCount": 1, "nodes": [{"id": run["id"], **detached}]}
    await asking.image(working, album)
    quiet = await working.data(
        "query($id: ID!) { run(id: $id) { images { totalCount } } }", id=run["id"]
    )
    assert quiet["run"]["images"]["totalCount"] == 1


async def test_an_application_of_the_company(working: LiveServer) -> None:
    given = {
        "name": "own.one",
        "title": "One of ours",
        "imageType": "selfie",
        "steps": [
            {"operation": "dominant_colors", "params": {"count": 3}},
            {"key": "again", "operation": "dominant_colors", "requires": ["dominant_colors"]},
        ],
    }
    made = (await working.data(CREATE, input=given))["createApplication"]
    assert made["own"] and made["createdAt"] and made["title"] == "One of ours"
    assert made["steps"][0] == {
        "key": "dominant_colors",
        "operation": "dominant_colors",
        "params": {"count": 3},
        "requires": [],
        "available": True,
        "unavailableReason": None,
    }
    changed = await working.data(
        """mutation($input: UpdateApplicationInput!) { updateApplication(input: $input) {
          title imageType { name } steps { key } } }""",
        input={"id": made["id"], "imageType": None, "steps": [{"operation": "image_quality"}]},
    )
    assert changed["updateApplication"] == {
        "title": "One of ours",
        "imageType": None,
        "steps": [{"key": "image_quality"}],
    }
    delete = "mutation($id: ID!) { deleteApplication(id: $id) { deletedId } }"
    album = await asking.dataset(working)
    run = await asking.attach(working, made["id"], album)
    assert codes(await working.graphql(delete, id=made["id"])) == ["CONFLICT"]
    await working.data("mutation($id: ID!) { detachApplication(runId: $id) { id } }", id=run)
    await working.data(delete, id=made["id"])
    query = "query($run: ID!, $id: ID!) { run(id: $run) { application { id } }" + (
        " application(id: $id) { id } }"
    )
    found = await working.data(query, run=run, id=made["id"])
    assert found == {"run": {"application": None}, "application": None}


async def test_applications_of_plugins_come_first_and_stay_as_they_are(
    working: LiveServer,
) -> None:
    query = """{ applications { id name own createdAt imageType { name } steps { key operation
      requires available unavailableReason } } }"""
    listed = (await working.data(query))["applications"]
    skin = next(one for one in listed if one["name"] == "face_skin")
    assert [one["own"] for one in listed] == sorted(one["own"] for one in listed)
    assert not skin["own"] and skin["createdAt"] is None
    steps = {step["key"]: step for step in skin["steps"]}
    assert len(steps) == 11
    assert all(step["available"] is (step["unavailableReason"] is None) for step in skin["steps"])
    album = await asking.dataset(working)
    run = await asking.attach(working, skin["id"], album)
    found = await working.data(
        """query($id: ID!) { run(id: $id) { application { id name own createdAt imageType { name }
          steps { key operation requires available unavailableReason } } } }""",
        id=run,
    )
    assert found["run"]["application"] == skin
    update = """mutation($id: ID!) { updateApplication(input: {id: $id, title: "x"}) { id } }"""
    assert codes(await working.graphql(update, id=skin["id"])) == ["CONFLICT"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": []},
        {"steps": [{"operation": "no_such_operation"}]},
        {"steps": [{"operation": "dominant_colors", "params": {"count": 0}}]},
        {"steps": [{"operation": "dominant_colors", "params": 3}]},
        {"steps": [{"operation": "image_quality", "requires": ["nothing"]}]},
        {"steps": [{"operation": "image_quality"}, {"operation": "image_quality"}]},
        {"steps": [{"operation": "image_quality"}], "imageType": "portrait"},
        {"steps": [{"operation": "image_quality"}], "name": ""},
    ],
)
async def test_an_application_that_cannot_be_is_refused(
    working: LiveServer, wrong: dict[str, Any]
) -> None:
    assert codes(await working.graphql(CREATE, input={"name": "wrong"} | wrong)) == [
        "INVALID_INPUT"
    ]


async def test_what_cannot_be_attached_is_refused(working: LiveServer) -> None:
    album = await asking.dataset(working)
    application = await asking.application(working, "to.attach")
    given = {"applicationId": application, "datasetId": album}
    for steps in ([], ["nothing"]):
        answer = await working.graphql(ATTACH, input=given | {"steps": steps})
        assert codes(answer) == ["INVALID_INPUT"]
    for missing in ({"applicationId": asking.NO_SUCH_ID}, {"datasetId": "x"}):
        assert codes(await working.graphql(ATTACH, input=given | missing)) == ["NOT_FOUND"]
    name = "steps.twice"
    await asking.application(working, name)
    again = {"name": name, "steps": [{"operation": "image_quality"}]}
    assert codes(await working.graphql(CREATE, input=again)) == ["CONFLICT"]


async def test_nobody_hears_of_another_companys_runs(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("two")
    changes = {"data_dir": folder, "worker": True}
    async with key_server(module_settings.model_copy(update=changes)) as keys:
        theirs = await _worked(keys, keys.theirs)
        ours = await _worked(keys, keys.ours)
        async with started_socket(keys.live, {"x-api-key": keys.ours}) as socket:
            await socket.subscribe("1", FOLLOW, after="0")
            event = await completed(socket)
            # Asked for by its id, too, theirs are not there.
            await socket.subscribe("2", FOLLOW, image=theirs, after="0")
            await socket.subscribe("3", FOLLOW, image=ours, after="0")
            assert (await completed(socket, "3"))["imageId"] == ours
    assert event["imageId"] == ours


async def _worked(keys: KeyServer, key: str) -> str:
    """An image of a company, whose run has been completed."""
    live = keys.live
    live.client.headers["x-api-key"] = key
    try:
        album = await asking.dataset(live)
        application = await asking.application(live, "quick", {"operation": "image_quality"})
        await asking.attach(live, application, album)
        async with started_socket(live, {"x-api-key": key}) as socket:
            await socket.subscribe("1", FOLLOW, dataset=album, after="0")
            image = await asking.image(live, album)
            await completed(socket)
    finally:
        del live.client.headers["x-api-key"]
    return image
