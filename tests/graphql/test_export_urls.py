"""Links to exports: on everything that can be exported, and they lead to it."""

import json

import pytest

from tests.conftest import LiveServer
from tests.graphql.asking import ADD_ANNOTATIONS, box, codes, dataset, external, image

pytestmark = pytest.mark.asyncio(loop_scope="module")

LINKS = """query($dataset: ID!, $form: ExportFormat!) { dataset(id: $dataset) {
  id exportUrl(format: $form) images { nodes {
    id exportUrl(format: $form) analyses { nodes { id exportUrl(format: $form) } } } } } }"""


@pytest.mark.parametrize("form", ["JSON", "NDJSON", "CSV", "COCO"])
async def test_links_lead_to_what_they_are_of(any_door: LiveServer, form: str) -> None:
    dataset_id = await dataset(any_door)
    analysis_id = await external(any_door, await image(any_door, dataset_id))
    await any_door.data(ADD_ANNOTATIONS, id=analysis_id, found=[box()])
    found = (await any_door.data(LINKS, dataset=dataset_id, form=form))["dataset"]
    (one,) = found["images"]["nodes"]
    (analysis,) = one["analyses"]["nodes"]
    for thing in (found, one, analysis):
        assert thing["exportUrl"].startswith(any_door.url)
        answer = await any_door.client.get(thing["exportUrl"])
        assert answer.status_code == 200
        if form == "JSON":
            assert json.loads(answer.text)["id"] == thing["id"]
        else:
            assert "face" in answer.text
        longer = await any_door.client.get(thing["exportUrl"] + "&class_name=cat")
        assert codes(longer.json()) == ["FORBIDDEN"]


async def test_a_format_must_be_one(any_door: LiveServer) -> None:
    answer = await any_door.graphql(LINKS, dataset=await dataset(any_door), form="XML")
    assert codes(answer) == ["GRAPHQL_VALIDATION_FAILED"]
