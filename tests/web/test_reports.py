"""The report of an image, by its signed link: a PDF that a reader opens, also without a file."""

from urllib.parse import urlsplit

import httpx
import pypdfium2
import pytest

from tests.conftest import LiveServer
from tests.graphql import asking
from tests.graphql.conftest import any_door as any_door  # a fixture

pytestmark = pytest.mark.asyncio(loop_scope="module")

REPORT = "query($id: ID!) { image(id: $id) { reportUrl } }"


async def link(live: LiveServer, image: str) -> str:
    found = await live.data(REPORT, id=image)
    return str(found["image"]["reportUrl"])


def text_of(content: bytes) -> str:
    document = pypdfium2.PdfDocument(content)
    try:
        return "\n".join(page.get_textpage().get_text_bounded() for page in document)
    finally:
        document.close()


async def test_a_report_tells_of_the_subject_and_what_was_measured(any_door: LiveServer) -> None:
    album = await asking.dataset(any_door)
    person = await asking.subject(any_door, album, name="Zo\u00eb \u738b")
    image = await asking.image(any_door, album, subjectId=person, filename="\u00e9t\u00e9 1.png")
    analysis = await asking.external(any_door, image, modelName="redness")
    metric = {"name": "face.redness", "score": 71, "unit": "a*"}
    found = {"annotationType": "metric", "data": metric}
    await any_door.data(asking.ADD_ANNOTATIONS, id=analysis, found=[found])
    await any_door.data(asking.FINALIZE, input={"analysisId": analysis})
    answer = await any_door.client.get(await link(any_door, image))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''%C3%A9t%C3%A9%201.pdf"
    assert answer.headers["cache-control"] == "private, no-store"
    text = text_of(answer.content)
    assert "Zo\u00eb \u738b" in text and "71" in text


async def test_a_report_without_a_file(any_door: LiveServer) -> None:
    album = await asking.dataset(any_door)
    person = await asking.subject(any_door, album)
    image = await asking.image(any_door, album, subjectId=person)
    await any_door.data(
        "mutation($input: SubjectsInput!) { deleteSubjectFiles(input: $input) { deletedCount } }",
        input={"datasetId": album, "ids": [person]},
    )
    answer = await any_door.client.get(await link(any_door, image))
    assert answer.status_code == 200 and text_of(answer.content)


async def test_a_link_is_for_one_report(any_door: LiveServer) -> None:
    first, second = [await asking.image(any_door) for _ in range(2)]
    url = await link(any_door, first)
    head = await any_door.client.head(url)
    assert (head.status_code, head.headers["content-type"]) == (200, "application/pdf")
    path = urlsplit(url).path
    refused: list[httpx.Response] = [
        await any_door.client.get(url.replace(first, second)),
        await any_door.client.get(path),
        await any_door.client.get(url.replace("/report?", "/content?")),
    ]
    assert [answer.status_code for answer in refused] == [403, 403, 403]
    await any_door.data("mutation($id: ID!) { deleteImage(id: $id) { deletedId } }", id=first)
    assert (await any_door.client.get(url)).status_code == 404
