"""Histories and smoothed values, of what models elsewhere have measured."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import LiveServer
from tests.graphql import asking
from tests.graphql.asking import codes

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = datetime(2025, 6, 15, 12, tzinfo=UTC)
VALUES = {-20: 10, -14: 90, -13: 60, -10: 62, -7: 64, -5: 20, -3: 66, -1: 68, 0: 70}
"""Days before now, and what was measured then."""


async def measured(live: LiveServer, dataset: str, subject: str, days: int, score: float) -> str:
    """An image of so many days ago, with what a model has measured in it."""
    image = await asking.image(
        live, dataset, subjectId=subject, takenAt=(NOW + timedelta(days=days)).isoformat()
    )
    analysis = await asking.external(live, image, modelName="redness")
    metric = {"name": "face.redness", "score": score, "value": score / 7, "unit": "a*"}
    found = {"annotationType": "metric", "data": metric}
    await live.data(asking.ADD_ANNOTATIONS, id=analysis, found=[found])
    await live.data(asking.FINALIZE, input={"analysisId": analysis})
    return image


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    return {}


async def history(live: LiveServer, known: dict[str, Any]) -> tuple[str, list[str]]:
    """A subject with its images, oldest first; made once on each server."""
    if live.url not in known:
        dataset = await asking.dataset(live)
        subject = await asking.subject(live, dataset)
        images = [await measured(live, dataset, subject, *one) for one in VALUES.items()]
        known[live.url] = subject, images
    made: tuple[str, list[str]] = known[live.url]
    return made


async def test_the_history_is_newest_first(any_door: LiveServer, known: dict[str, Any]) -> None:
    subject, images = await history(any_door, known)
    query = """query($id: ID!) { subject(id: $id) { history(first: 2) {
      imageId takenAt operation step applicationId name score unit } all: history { value } } }"""
    found = (await any_door.data(query, id=subject))["subject"]
    assert found["history"][0] == {
        "imageId": images[-1],
        "takenAt": NOW.isoformat(timespec="microseconds"),
        "operation": "redness",
        "step": None,
        "applicationId": None,
        "name": "face.redness",
        "score": 70,
        "unit": "a*",
    }
    assert [point["score"] for point in found["history"]] == [70, 68]
    assert [round(point["value"] * 7) for point in found["all"]] == list(VALUES.values())[::-1]


async def test_a_part_of_the_history(any_door: LiveServer, known: dict[str, Any]) -> None:
    subject, _ = await history(any_door, known)
    query = """query($id: ID!, $from: DateTime, $to: DateTime) { subject(id: $id) {
      history(takenFrom: $from, takenTo: $to) { score } } }"""
    between = {"from": (NOW - timedelta(days=7)).isoformat(), "to": NOW.isoformat()}
    found = await any_door.data(query, id=subject, **between)
    assert [point["score"] for point in found["subject"]["history"]] == [70, 68, 66, 20, 64]
    nobodys = """query($id: ID!, $application: ID!) { subject(id: $id) {
      history(applicationId: $application) { score } smoothed(applicationId: $application) {
        value } } }"""
    for identity in (asking.NO_SUCH_ID, "x"):
        found = await any_door.data(nobodys, id=subject, application=identity)
        assert found["subject"] == {"history": [], "smoothed": []}


@pytest.mark.parametrize(
    ("options", "value", "count"),
    [
        ("", 410 / 7, 7),
        ("maxSize: 3", 68, 3),
        ("method: MEAN_WITHOUT_OUTLIERS", 65, 7),
        ("windowDays: 7, method: MEAN_WITHOUT_OUTLIERS", 68, 4),
        ("windowDays: 1", 70, 1),
        ("windowDays: 7, method: LINEAR_APPROXIMATION", 77.051, 4),
    ],
)
async def test_smoothed_values(
    any_door: LiveServer, known: dict[str, Any], options: str, value: float, count: int
) -> None:
    subject, images = await history(any_door, known)
    given = f"({options})" if options else ""
    asked = f"smoothed{given} {{ operation name value count isScore unit }}"
    query = f"""query($id: ID!, $image: ID!) {{ subject(id: $id) {{ {asked} }}
      image(id: $image) {{ {asked} }} }}"""
    found = await any_door.data(query, id=subject, image=images[-1])
    (one,) = found["image"]["smoothed"]
    assert one["value"] == pytest.approx(value, abs=0.01) and one["count"] == count
    assert (one["operation"], one["name"], one["isScore"]) == ("redness", "face.redness", True)
    assert found["subject"]["smoothed"] == [one]


async def test_later_images_do_not_count(any_door: LiveServer, known: dict[str, Any]) -> None:
    _, images = await history(any_door, known)
    query = "query($id: ID!) { image(id: $id) { smoothed { value count } } }"
    found = await any_door.data(query, id=images[2])
    assert found["image"]["smoothed"] == [{"value": (10 + 90 + 60) / 3, "count": 3}]


async def test_options_out_of_range(any_door: LiveServer, known: dict[str, Any]) -> None:
    subject, images = await history(any_door, known)
    for options in ("windowDays: 0", "windowDays: 366", "maxSize: 101", "maxSize: 0"):
        for root, identity in (("image", images[0]), ("subject", subject)):
            query = f"query($id: ID!) {{ {root}(id: $id) {{ smoothed({options}) {{ value }} }} }}"
            assert codes(await any_door.graphql(query, id=identity)) == ["INVALID_INPUT"]
    query = "query($id: ID!) { subject(id: $id) { history(first: -1) { value } } }"
    assert codes(await any_door.graphql(query, id=subject)) == ["INVALID_INPUT"]


async def test_without_an_image_nothing_is_smoothed(any_door: LiveServer) -> None:
    subject = await asking.subject(any_door, await asking.dataset(any_door))
    query = "query($id: ID!) { subject(id: $id) { history { value } smoothed { value } } }"
    found = await any_door.data(query, id=subject)
    assert found["subject"] == {"history": [], "smoothed": []}


async def test_many_histories_are_one_answer(any_door: LiveServer, known: dict[str, Any]) -> None:
    _, images = await history(any_door, known)
    query = """query($id: ID!) { image(id: $id) { dataset { images { nodes {
      id smoothed(windowDays: 365) { count } subject { smoothed { count } } } } } } }"""
    found = await any_door.data(query, id=images[0])
    nodes = found["image"]["dataset"]["images"]["nodes"]
    assert [node["smoothed"][0]["count"] for node in nodes] == list(range(1, len(VALUES) + 1))
