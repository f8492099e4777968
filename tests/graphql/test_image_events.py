"""`imageEvents`: images that came and went, from any position on, of the caller's own company."""

import io
from datetime import UTC, datetime, timedelta

import pytest

from opsin.core.access import Principal
from opsin.core.datasets import DatasetChanges
from opsin.core.images import NewImage
from opsin.core.records import Image
from tests.conftest import LiveServer
from tests.graphql.asking import dataset, image
from tests.graphql.conftest import KeyServer
from tests.graphql.sockets import started_socket
from tests.pictures import solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLLOW = """subscription($after: Cursor, $dataset: ID) {
  imageEvents(after: $after, datasetId: $dataset) {
    cursor kind occurredAt imageId image { filename dataset { id } } } }"""


async def test_images_come_and_go(any_door: LiveServer) -> None:
    live = any_door
    album = await dataset(live)
    before = await image(live, album, filename="before.png")
    cursor = (await live.data("{ eventCursor }"))["eventCursor"]
    async with started_socket(live) as socket:
        await socket.subscribe("1", FOLLOW, dataset=album, after=cursor)
        await image(live)  # of another dataset
        new = await image(live, album, filename="new.png")
        event = (await socket.next())["data"]["imageEvents"]
        assert (event["kind"], event["imageId"]) == ("CREATED", new)
        assert event["image"] == {"filename": "new.png", "dataset": {"id": album}}
        await live.data("mutation($id: ID!) { deleteImage(id: $id) { deletedId } }", id=before)
        gone = (await socket.next())["data"]["imageEvents"]
        assert (gone["kind"], gone["imageId"], gone["image"]) == ("DELETED", before, None)
        # From the beginning, as things are now.
        await socket.subscribe("2", FOLLOW, dataset=album, after="0")
        replayed = [(await socket.next("2"))["data"]["imageEvents"] for _ in range(3)]
    assert [(one["kind"], one["imageId"], bool(one["image"])) for one in replayed] == [
        ("CREATED", before, False),
        ("CREATED", new, True),
        ("DELETED", before, False),
    ]
    assert replayed[0]["cursor"] <= cursor < replayed[1]["cursor"] < replayed[2]["cursor"]


async def test_nobody_hears_of_another_companys_images(keys: KeyServer) -> None:
    access, use_cases = keys.parts.use_cases.access, keys.parts.use_cases
    ours, theirs = await access.authenticate(keys.ours), await access.authenticate(keys.theirs)
    await add(keys, theirs, "theirs.png")
    made = await add(keys, ours, "ours.png")
    await use_cases.image_deletions.delete(ours, made.dataset_id, made.id, "blurred beyond use")
    async with started_socket(keys.live, {"x-api-key": keys.ours}) as socket:
        await socket.subscribe("1", FOLLOW, after="0")
        events = [(await socket.next())["data"]["imageEvents"] for _ in range(2)]
    assert [(one["kind"], one["imageId"]) for one in events] == [
        ("CREATED", made.id),
        ("DELETED", made.id),
    ]
    assert [one["image"] for one in events] == [None, None]  # deleted softly, so seen by nobody


async def test_files_that_are_not_kept_are_told_of(keys: KeyServer) -> None:
    use_cases = keys.parts.use_cases
    ours = await use_cases.access.authenticate(keys.ours)
    made = await add(keys, ours, "short-lived.png")
    changes = DatasetChanges(expire_files_after_days=1)
    await use_cases.datasets.update(ours, made.dataset_id, changes)
    await use_cases.retention.run(datetime.now(UTC) + timedelta(days=2))
    async with started_socket(keys.live, {"x-api-key": keys.ours}) as socket:
        await socket.subscribe("1", FOLLOW, after="0", dataset=made.dataset_id)
        events = [(await socket.next())["data"]["imageEvents"] for _ in range(2)]
    assert [(one["kind"], one["imageId"]) for one in events] == [
        ("CREATED", made.id),
        ("FILE_DELETED", made.id),
    ]
    assert events[1]["image"]["filename"] == "short-lived.png"


async def add(keys: KeyServer, owner: Principal, filename: str) -> Image:
    album = await keys.parts.use_cases.datasets.create(owner, filename)
    new = NewImage(album.id, filename)
    return await keys.parts.use_cases.images.add(owner, new, io.BytesIO(solid_png()))
