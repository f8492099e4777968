"""Datasets with a type and retention, subjects and batches: made, changed, read, deleted."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import LiveServer
from tests.graphql import asking
from tests.graphql.asking import codes
from tests.pictures import solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPDATE_DATASET = """mutation($input: UpdateDatasetInput!) { updateDataset(input: $input) {
  name description branding imageType { name sides { name } } retention {
    expireFilesAfterDays expireResultsAfterDays deleteFilesWhenReady } } }"""
UPDATE_SUBJECT = """mutation($input: UpdateSubjectInput!) { updateSubject(input: $input) {
  name birthDate sex attributes updatedAt } }"""
IMPORT = "mutation($input: ImportImageInput!) { importImage(input: $input) { id } }"


async def selfies(live: LiveServer, **more: Any) -> str:
    made = await live.data(
        "mutation($input: CreateDatasetInput!) { createDataset(input: $input) { id } }",
        input={"name": "faces", "imageType": "selfie"} | more,
    )
    return str(made["createDataset"]["id"])


async def test_image_types_are_told(any_door: LiveServer) -> None:
    types = await any_door.data(
        "{ imageTypes { number name onePerBatch sides { number name } lights { name } } }"
    )
    selfie = types["imageTypes"][0]
    assert (selfie["number"], selfie["name"], selfie["onePerBatch"]) == (1, "selfie", False)
    assert [side["name"] for side in selfie["sides"]] == ["front", "right", "left"]
    assert [one["name"] for one in types["imageTypes"] if one["onePerBatch"]] == ["skin", "visia"]


async def test_a_dataset_is_changed_in_part(any_door: LiveServer) -> None:
    given = {"expireFilesAfterDays": 30, "deleteFilesWhenReady": True}
    identity = await selfies(any_door, retention=given, branding=4)

    async def update(**changes: Any) -> dict[str, Any]:
        made = await any_door.data(UPDATE_DATASET, input={"id": identity} | changes)
        changed: dict[str, Any] = made["updateDataset"]
        return changed

    kept = {"expireFilesAfterDays": 30, "expireResultsAfterDays": None}
    found = await update(description="of people")
    assert found["description"] == "of people" and found["branding"] == 4
    assert found["retention"] == kept | {"deleteFilesWhenReady": True}
    assert found["imageType"]["sides"][0] == {"name": "front"}
    found = await update(retention={"expireResultsAfterDays": 365, "deleteFilesWhenReady": None})
    assert found["retention"] == {
        "expireFilesAfterDays": 30,
        "expireResultsAfterDays": 365,
        "deleteFilesWhenReady": False,
    }
    found = await update(retention=None, branding=None, imageType=None)
    assert found["retention"] == {
        "expireFilesAfterDays": None,
        "expireResultsAfterDays": None,
        "deleteFilesWhenReady": False,
    }
    assert (found["branding"], found["imageType"], found["name"]) == (None, None, "faces")
    read = await any_door.data(
        "query($id: ID!) { dataset(id: $id) { imageType { name } retention {"
        " expireFilesAfterDays deleteFilesWhenReady } } }",
        id=identity,
    )
    assert read["dataset"] == {
        "imageType": None,
        "retention": {"expireFilesAfterDays": None, "deleteFilesWhenReady": False},
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"name": None},
        {"description": None},
        {"name": " "},
        {"imageType": "portrait"},
        {"retention": {"expireFilesAfterDays": 0}},
        {"retention": {"expireResultsAfterDays": 366}},
    ],
)
async def test_a_dataset_refuses_what_cannot_be(
    any_door: LiveServer, changes: dict[str, Any]
) -> None:
    identity = await selfies(any_door)
    answer = await any_door.graphql(UPDATE_DATASET, input={"id": identity} | changes)
    assert codes(answer) == ["INVALID_INPUT"]


async def test_a_subject_is_made_changed_and_cleared(any_door: LiveServer) -> None:
    dataset = await selfies(any_door)
    made = await any_door.data(
        """mutation($input: CreateSubjectInput!) { createSubject(input: $input) {
          id name birthDate sex attributes dataset { id } } }""",
        input={
            "datasetId": dataset,
            "name": "Zo\u00eb \U0001f40b",
            "birthDate": "1999-12-31",
            "sex": "female",
            "attributes": {"type": [1, None]},
        },
    )
    identity = made["createSubject"].pop("id")
    assert made["createSubject"] == {
        "name": "Zo\u00eb \U0001f40b",
        "birthDate": "1999-12-31",
        "sex": "female",
        "attributes": {"type": [1, None]},
        "dataset": {"id": dataset},
    }
    changed = await any_door.data(
        UPDATE_SUBJECT, input={"id": identity, "birthDate": None, "attributes": None}
    )
    assert changed["updateSubject"].pop("updatedAt") is not None
    assert changed["updateSubject"] == {
        "name": "Zo\u00eb \U0001f40b",
        "birthDate": None,
        "sex": "female",
        "attributes": {},
    }
    cleared = await any_door.data(
        """mutation($input: SubjectsInput!) { clearSubjects(input: $input) { id name sex } }""",
        input={"datasetId": dataset, "ids": [identity]},
    )
    assert cleared["clearSubjects"] == [{"id": identity, "name": "", "sex": None}]


@pytest.mark.parametrize("day", ["31.12.1999", "19991231", "1999-W52-5", "1999-02-30", ""])
async def test_a_date_is_a_day_as_it_is_written(any_door: LiveServer, day: str) -> None:
    dataset = await selfies(any_door)
    answer = await any_door.graphql(
        "mutation($input: CreateSubjectInput!) { createSubject(input: $input) { id } }",
        input={"datasetId": dataset, "name": "x", "birthDate": day},
    )
    assert len(codes(answer)) == 1 and "data" not in answer


@pytest.mark.parametrize("change", [{"sex": "x"}, {"name": None}, {"attributes": [1]}])
async def test_a_subject_refuses_what_cannot_be(
    any_door: LiveServer, change: dict[str, Any]
) -> None:
    identity = await asking.subject(any_door, await selfies(any_door))
    answer = await any_door.graphql(UPDATE_SUBJECT, input={"id": identity} | change)
    assert codes(answer) == ["INVALID_INPUT"]


async def test_subjects_are_found_by_a_part_of_their_name_and_turned_in_pages(
    any_door: LiveServer,
) -> None:
    dataset = await selfies(any_door)
    names = ["Anna", "ANNABEL", "Berta", "Joanna"]
    made = [await asking.subject(any_door, dataset, name=name) for name in names]
    query = """query($id: ID!, $first: Int!, $after: String, $filter: SubjectFilter) {
      dataset(id: $id) { subjects(first: $first, after: $after, filter: $filter) {
        totalCount nodes { id name } pageInfo { endCursor hasNextPage } } } }"""
    found = await any_door.data(query, id=dataset, first=10, filter={"nameContains": "anna"})
    assert found["dataset"]["subjects"]["totalCount"] == 3
    seen: list[str] = []
    after = None
    for _ in names:
        page = (await any_door.data(query, id=dataset, first=1, after=after))["dataset"]["subjects"]
        seen += [node["id"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    assert seen == made and not page["pageInfo"]["hasNextPage"]


async def test_images_have_their_side_and_the_time_of_their_batch(any_door: LiveServer) -> None:
    dataset = await selfies(any_door)
    subject = await asking.subject(any_door, dataset)
    morning = datetime(2025, 3, 1, 8, tzinfo=UTC)
    batch = await asking.batch(
        any_door, dataset, subjectId=subject, takenAt=morning.isoformat(), name="one"
    )
    later = morning + timedelta(days=1)
    front = await asking.image(any_door, dataset, batchId=batch)
    left = await asking.image(
        any_door, dataset, batchId=batch, side="left", takenAt=later.isoformat()
    )
    alone = await asking.image(any_door, dataset, subjectId=subject)
    query = """query($id: ID!) { subject(id: $id) {
      newest: images(orderBy: TAKEN_DESC) { nodes { id takenAt side light fileDeleted
        resultsDeletedAt batch { name } subject { id } } }
      lefts: images(filter: {side: "left"}) { totalCount }
      past: images(filter: {takenBefore: "2025-03-02T00:00:00Z"}) { nodes { id } }
      batches { nodes { id takenAt images { nodes { id } } subject { id } dataset { id } } }
      dataset { batches { totalCount } images(filter: {batchId: "%s"}) { totalCount } } } }"""
    found = (await any_door.data(query % batch, id=subject))["subject"]
    assert [node["id"] for node in found["newest"]["nodes"]] == [alone, left, front]
    assert found["newest"]["nodes"][2] == {
        "id": front,
        "takenAt": morning.isoformat(timespec="microseconds"),
        "side": "front",
        "light": "regular",
        "fileDeleted": False,
        "resultsDeletedAt": None,
        "batch": {"name": "one"},
        "subject": {"id": subject},
    }
    assert found["lefts"]["totalCount"] == 1
    assert found["past"]["nodes"] == [{"id": front}]
    assert found["dataset"] == {"batches": {"totalCount": 1}, "images": {"totalCount": 2}}
    (only,) = found["batches"]["nodes"]
    assert only == {
        "id": batch,
        "takenAt": morning.isoformat(timespec="microseconds"),
        "images": {"nodes": [{"id": front}, {"id": left}]},
        "subject": {"id": subject},
        "dataset": {"id": dataset},
    }


async def test_a_side_that_the_type_lacks_is_refused(any_door: LiveServer) -> None:
    dataset = await selfies(any_door)
    picture = base64.b64encode(solid_png()).decode()
    given = {"datasetId": dataset, "base64": picture}
    for wrong in ({"side": "back"}, {"light": "ultraviolet"}):
        answer = await any_door.graphql(IMPORT, input=given | wrong)
        assert codes(answer) == ["INVALID_INPUT"]


async def test_deleting_takes_along_what_is_inside(any_door: LiveServer) -> None:
    dataset = await selfies(any_door)
    subject = await asking.subject(any_door, dataset)
    batch = await asking.batch(any_door, dataset, subjectId=subject)
    images = [await asking.image(any_door, dataset, batchId=batch) for _ in range(2)]
    kept = await asking.image(any_door, dataset, subjectId=subject)
    await any_door.data("mutation($id: ID!) { deleteBatch(id: $id) { deletedId } }", id=batch)
    query = "query($id: ID!) { subject(id: $id) { images { nodes { id } } } }"
    assert (await any_door.data(query, id=subject))["subject"]["images"]["nodes"] == [{"id": kept}]
    files = await any_door.data(
        """mutation($input: SubjectsInput!) {
          deleteSubjectFiles(input: $input) { deletedCount } }""",
        input={"datasetId": dataset, "ids": [subject]},
    )
    assert files == {"deleteSubjectFiles": {"deletedCount": 1}}
    gone = await any_door.data("query($id: ID!) { image(id: $id) { fileDeleted url } }", id=kept)
    assert gone["image"]["fileDeleted"] is True
    assert (await any_door.client.get(gone["image"]["url"])).status_code == 404
    deleted = await any_door.data(
        "mutation($input: SubjectsInput!) { deleteSubjects(input: $input) { deletedIds } }",
        input={"datasetId": dataset, "ids": [subject]},
    )
    assert deleted == {"deleteSubjects": {"deletedIds": [subject]}}
    assert (await any_door.data(query, id=subject)) == {"subject": None}
    for identity in (*images, kept):
        found = await any_door.data("query($id: ID!) { image(id: $id) { id } }", id=identity)
        assert found == {"image": None}
    await any_door.data("mutation($id: ID!) { deleteDataset(id: $id) { deletedId } }", id=dataset)
    found = await any_door.data("query($id: ID!) { dataset(id: $id) { id } }", id=dataset)
    assert found == {"dataset": None}
    answer = await any_door.graphql(
        "mutation($id: ID!) { deleteDataset(id: $id) { deletedId } }", id=dataset
    )
    assert codes(answer) == ["NOT_FOUND"]
