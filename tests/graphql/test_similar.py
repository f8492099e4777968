"""Like images over the wire: by another, by a text, near-duplicates; vectors when asked for."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from opsin.settings import Settings
from tests.conftest import LiveServer, postgres_database, serve
from tests.core.colour_plugin import SOURCE, colour_vector
from tests.graphql.asking import IMPORT_IMAGE, NO_SUCH_ID, codes, dataset
from tests.graphql.sockets import started_socket
from tests.graphql.statements import statements_of
from tests.graphql.test_main_job import ended
from tests.pictures import portrait

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANALYZE = """mutation($id: ID!, $operation: String!, $params: JSON) { analyze(input: {
  imageId: $id, tasks: [{operation: $operation, params: $params}]}) { id } }"""
SIMILAR = """query($id: ID!, $first: Int = 10, $operation: String = "embed_colour",
    $datasetId: ID, $target: Target) {
  similarImages(imageId: $id, operation: $operation, first: $first, datasetId: $datasetId,
    target: $target) { similarity image { id filename } analysis { id status operation } } }"""
LIKE = """query($text: String!, $operation: String = "embed_colour", $datasetId: ID) {
  imagesLike(text: $text, operation: $operation, datasetId: $datasetId) {
    similarity image { id filename } } }"""
DUPLICATES = """query($id: ID!, $max: Int = 10, $first: Int = 10, $operation: String) {
  nearDuplicates(imageId: $id, maxDistance: $max, first: $first, operation: $operation) {
    distance image { id } analysis { id } } }"""
VECTOR = """query($id: ID!) { analysis(id: $id) { result { __typename
  ... on ColourEmbedding { dimensions brightness vector } } } }"""
NO_VECTOR = VECTOR.replace(" vector", "")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """A server with a worker and the operation `embed_colour`."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    settings = Settings(data_dir=folder, worker=True, poll_seconds=0.05)
    async with database_of(request) as url:
        chosen = settings.model_copy(update={"database_url": url})
        async with serve(chosen, more_plugins=[SOURCE]) as server:
            yield server


@asynccontextmanager
async def database_of(request: pytest.FixtureRequest) -> AsyncIterator[str | None]:
    if request.param == "sqlite":
        yield None
        return
    async with postgres_database(request.getfixturevalue("postgres")) as url:
        yield url


def colour(red: int, green: int, blue: int) -> bytes:
    """A PNG of one colour."""
    content = io.BytesIO()
    Image.new("RGB", (6, 6), (red, green, blue)).save(content, "PNG")
    return content.getvalue()


async def stored(
    live: LiveServer, dataset_id: str, picture: bytes, operation: str = "", **params: Any
) -> str:
    """A picture, analysed when an operation is named."""
    given = {"datasetId": dataset_id, "base64": base64.b64encode(picture).decode()}
    image = (await live.data(IMPORT_IMAGE, input=given))["importImage"]["id"]
    if operation:
        await run(live, image, operation, **params)
    return str(image)


async def run(live: LiveServer, image_id: str, operation: str, **params: Any) -> str:
    asked = await live.data(ANALYZE, id=image_id, operation=operation, params=params)
    analysis_id = str(asked["analyze"][0]["id"])
    assert (await ended(live, analysis_id))["status"] == "COMPLETED"
    return analysis_id


async def palette(live: LiveServer) -> tuple[str, dict[str, str]]:
    """A dataset of coloured pictures."""
    dataset_id = await dataset(live)
    colours = {
        "red": (250, 0, 0),
        "orange": (250, 90, 0),
        "green": (0, 250, 0),
        "sky": (0, 90, 250),
    }
    made = {
        n: await stored(live, dataset_id, colour(*c), "embed_colour") for n, c in colours.items()
    }
    return dataset_id, made


# --- by image and by text -------------------------------------------------------------------------


async def test_images_are_found_by_their_colour(live: LiveServer) -> None:
    dataset_id, made = await palette(live)
    found = (await live.data(SIMILAR, id=made["red"], datasetId=dataset_id))["similarImages"]
    assert [f["image"]["id"] for f in found] == [made[n] for n in ("orange", "green", "sky")]
    ours, orange = (
        np.array(colour_vector(*values)) for values in ((250 / 255, 0, 0), (250 / 255, 90 / 255, 0))
    )
    cosine = ours @ orange / np.sqrt((ours @ ours) * (orange @ orange))
    assert found[0]["similarity"] == pytest.approx(cosine, abs=1e-6)
    assert {f["analysis"]["operation"] for f in found} == {"embed_colour"}
    two = (await live.data(SIMILAR, id=made["red"], datasetId=dataset_id, first=2))["similarImages"]
    assert two == found[:2]
    assert (await live.data(SIMILAR, id=made["red"], datasetId=NO_SUCH_ID)) == {"similarImages": []}
    assert (await live.data(SIMILAR, id=made["red"], first=0)) == {"similarImages": []}
    named = (await live.data(LIKE, text="blue", datasetId=dataset_id))["imagesLike"]
    assert named[0]["image"]["id"] == made["sky"]
    assert named[0]["similarity"] > 0.9 and len(named) == 4


async def test_the_newest_embedding_of_each_image_counts(live: LiveServer) -> None:
    dataset_id, made = await palette(live)
    again = await run(live, made["orange"], "embed_colour", normalize=True)
    found = (await live.data(SIMILAR, id=made["red"], datasetId=dataset_id))["similarImages"]
    assert [f["image"]["id"] for f in found].count(made["orange"]) == 1
    assert found[0]["analysis"]["id"] == again


async def test_a_deleted_image_is_no_longer_found(live: LiveServer) -> None:
    dataset_id, made = await palette(live)
    before = (await live.data(SIMILAR, id=made["red"], datasetId=dataset_id))["similarImages"]
    await live.data("mutation($id: ID!) { deleteImage(id: $id) { deletedId } }", id=made["orange"])
    after = (await live.data(SIMILAR, id=made["red"], datasetId=dataset_id))["similarImages"]
    assert after == before[1:]


async def test_what_cannot_be_asked(live: LiveServer) -> None:
    dataset_id = await dataset(live)
    plain = await stored(live, dataset_id, colour(1, 2, 3))
    answer = await live.graphql(SIMILAR, id=plain)
    assert codes(answer) == ["CONFLICT"]
    assert "no embedding by 'embed_colour' of its whole_image yet: analyze it first" in str(answer)
    await run(live, plain, "embed_colour")
    answer = await live.graphql(SIMILAR, id=plain, target="PROMINENT_FACE")
    assert codes(answer) == ["CONFLICT"]
    for changes, code in (
        ({"id": NO_SUCH_ID}, "NOT_FOUND"),
        ({"operation": "embed_color"}, "UNKNOWN_OPERATION"),
        ({"operation": "perceptual_hash"}, "INVALID_INPUT"),
        ({"first": -1}, "INVALID_INPUT"),
        ({"first": 10_001}, "INVALID_INPUT"),
    ):
        assert codes(await live.graphql(SIMILAR, **({"id": plain} | changes))) == [code]
    for changes, code in (
        ({"text": ""}, "INVALID_INPUT"),
        ({"text": "a\x00"}, "INVALID_INPUT"),
        ({"text": "x" * 10_001}, "INVALID_INPUT"),
        ({"text": "red", "operation": "saliency"}, "INVALID_INPUT"),
        ({"text": "red", "operation": "nothing"}, "UNKNOWN_OPERATION"),
        ({"text": "no colour"}, "OPERATION_FAILED"),
    ):
        assert codes(await live.graphql(LIKE, **changes)) == [code]


# --- near-duplicates ------------------------------------------------------------------------------


def portrait_as(quality: int, width: int = 512) -> bytes:
    """The portrait scaled and compressed anew."""
    content = io.BytesIO()
    with Image.open(io.BytesIO(portrait())) as image:
        image.resize((width, width * 600 // 512)).save(content, "JPEG", quality=quality)
    return content.getvalue()


async def test_near_duplicates_of_a_portrait(live: LiveServer) -> None:
    dataset_id = await dataset(live)
    turned = io.BytesIO()
    with Image.open(io.BytesIO(portrait())) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(turned, "PNG")
    original, small, coarse, other = [
        await stored(live, dataset_id, picture, "perceptual_hash")
        for picture in (portrait(), portrait_as(90, 200), portrait_as(10), turned.getvalue())
    ]
    unhashed = await stored(live, dataset_id, portrait_as(80))
    found = (await live.data(DUPLICATES, id=original))["nearDuplicates"]
    assert {f["image"]["id"] for f in found} == {small, coarse}
    assert [f["distance"] for f in found] == sorted(f["distance"] for f in found)
    assert all(0 <= f["distance"] <= 10 for f in found)
    everything = (await live.data(DUPLICATES, id=original, max=64))["nearDuplicates"]
    assert [f["image"]["id"] for f in everything][-1] == other and len(everything) == 3
    assert everything[-1]["distance"] > 20
    one = (await live.data(DUPLICATES, id=original, max=64, first=1))["nearDuplicates"]
    assert one == everything[:1]
    again = await run(live, small, "perceptual_hash")
    found = (await live.data(DUPLICATES, id=original))["nearDuplicates"]
    assert [f["analysis"]["id"] for f in found if f["image"]["id"] == small] == [again]
    for changes, code in (
        ({"id": unhashed}, "CONFLICT"),
        ({"id": NO_SUCH_ID}, "NOT_FOUND"),
        ({"max": 65}, "INVALID_INPUT"),
        ({"max": -1}, "INVALID_INPUT"),
        ({"operation": "embed_colour"}, "INVALID_INPUT"),
    ):
        assert codes(await live.graphql(DUPLICATES, **({"id": original} | changes))) == [code]


# --- the vector itself ----------------------------------------------------------------------------


async def test_a_vector_is_read_when_it_is_asked_for(live: LiveServer) -> None:
    image = await stored(live, await dataset(live), colour(250, 90, 0))
    analysis = await run(live, image, "embed_colour")
    with statements_of("embeddings") as statements:
        found = (await live.data(NO_VECTOR, id=analysis))["analysis"]["result"]
        assert found["__typename"] == "ColourEmbedding" and found["dimensions"] == 4
        assert statements == []
        with_vector = (await live.data(VECTOR, id=analysis))["analysis"]["result"]
        assert len(statements) == 1
    red, green = float(np.float32(250 / 255)), float(np.float32(90 / 255))
    assert with_vector.pop("vector") == [red, green, 0.0, float(np.float32(1 / 3))]
    assert with_vector == found


@pytest.mark.parametrize(
    "selection",
    [
        "... on ColourEmbedding { v: vector }",
        "... { ... on ColourEmbedding { v: vector @include(if: true) } }",
        "...Deep",
    ],
)
async def test_a_vector_is_found_however_it_is_selected(live: LiveServer, selection: str) -> None:
    dataset_id, made = await palette(live)
    query = f"""query($id: ID!) {{ dataset(id: $id) {{ images {{ nodes {{ analyses {{ nodes {{
      result {{ {selection} }} }} }} }} }} }} }}"""
    if "Deep" in selection:
        query += """ fragment Deep on OperationResult { ...Deeper }
                     fragment Deeper on ColourEmbedding { v: vector }"""
    with statements_of("embeddings") as statements:
        found = (await live.data(query, id=dataset_id))["dataset"]["images"]["nodes"]
        assert len(statements) == 1  # for all of them
    vectors = [image["analyses"]["nodes"][0]["result"]["v"] for image in found]
    assert len(vectors) == len(made) == 4 and all(len(vector) == 4 for vector in vectors)


async def test_a_follower_gets_the_vector_too(live: LiveServer) -> None:
    image = await stored(live, await dataset(live), colour(10, 20, 30))
    async with started_socket(live) as socket:
        await socket.subscribe(
            "1",
            """subscription($id: ID!) { analysisEvents(imageId: $id, after: "0") { kind
              analysis { result { ... on ColourEmbedding { vector } } } } }""",
            id=image,
        )
        analysis = await run(live, image, "embed_colour")
        async with asyncio.timeout(20):
            while True:
                event = (await socket.next())["data"]["analysisEvents"]
                if event["kind"] == "COMPLETED":
                    break
    stored_vector = (await live.data(VECTOR, id=analysis))["analysis"]["result"]["vector"]
    assert event["analysis"]["result"]["vector"] == stored_vector


async def test_an_immediate_result_has_the_same_vector(live: LiveServer) -> None:
    image = await stored(live, await dataset(live), colour(70, 80, 90))
    analysis = await run(live, image, "embed_colour")
    now = """mutation($id: ID!) {
      analyzeImage(input: {imageId: $id, tasks: [{operation: "embed_colour"}]}) {
        outcomes { result { ... on ColourEmbedding { vector } } } } }"""
    (outcome,) = (await live.data(now, id=image))["analyzeImage"]["outcomes"]
    assert outcome["result"] == {
        "vector": (await live.data(VECTOR, id=analysis))["analysis"]["result"]["vector"]
    }
