"""What front ends use, against a live server: graphql-ws and -sse, codegen, urql, Apollo, Relay.

Each test has an album of its own, so that no client sees what another does.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.graphql.asking import codes
from tests.graphql.front_ends import (
    CORNERS,
    FOUND,
    PICTURES,
    TYPESCRIPT,
    Album,
    album,
    client,
    compiled,
    compiled_with_manifest,
    generated,
)
from tests.node import node_tool

GRAPHQL_JSON = "application/graphql-response+json; charset=utf-8"
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("node_clients")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(any_module_settings: Settings) -> AsyncIterator[LiveServer]:
    """A server with a worker on each kind of database, for all clients."""
    async with serve(any_module_settings.model_copy(update={"worker": True})) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def typed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The typed project, its types made by graphql-codegen and accepted by tsc."""
    folder = await generated(tmp_path_factory.mktemp("typed"))
    checked = await node_tool(TYPESCRIPT, "--project", ".", folder=folder)
    assert checked.returncode == 0, checked.stdout
    return folder


async def test_graphql_ws_asks_changes_and_resumes_on_one_socket(live: LiveServer) -> None:
    image_id = (await album(live)).image_ids[0]
    done = await client("ws.mjs", f"{live.url}/graphql", live.websocket_url, image_id)
    assert done["start"]["image"] == {
        "filename": "corners.png",
        "analyses": {
            "nodes": [
                {"modelName": "yolo", "annotations": {"totalCount": 2}},
                {"modelName": "dominant_colors", "annotations": {"totalCount": len(CORNERS)}},
            ]
        },
    }
    assert done["created"]["status"] == "QUEUED"
    # The third happened while there was no socket.
    kinds = [event["kind"] for event in done["events"]]
    assert kinds == ["QUEUED", "PROCESSING", "FAILED", "QUEUED"]
    assert {event["analysis"]["modelName"] for event in done["events"]} == {"walker"}
    assert done["sockets"] == 2
    assert strictly_rising([done["start"]["eventCursor"], *cursors(done["events"])])


async def test_graphql_sse_asks_and_resumes(live: LiveServer) -> None:
    image_id = (await album(live)).image_ids[1]
    done = await client("sse.mjs", f"{live.url}/graphql", image_id)
    assert done["start"]["image"]["filename"] == "hopper.jpg"
    assert [event["kind"] for event in done["events"]] == ["QUEUED", "COMPLETED"]
    assert [event["analysis"] for event in done["events"]] == [{"modelName": "streamer"}] * 2
    assert strictly_rising([done["start"]["eventCursor"], *cursors(done["events"])])


async def test_the_generated_types_are_those_of_the_schema(typed: Path) -> None:
    wrong = typed / "wrong.ts"
    text = (typed / "documents.ts").read_text()
    wrong.write_text(text.replace("result.colors.map", "result.colours.map"))
    try:
        checked = await node_tool(TYPESCRIPT, "--project", ".", "--noEmit", folder=typed)
    finally:
        wrong.unlink()
    faults = [line for line in checked.stdout.splitlines() if "error" in line]
    assert all(fault.startswith("wrong.ts") for fault in faults)
    assert "'colours' does not exist" in faults[0]


async def test_urql_shows_an_album_and_follows_it(live: LiveServer, typed: Path) -> None:
    shown = await album(live)
    done = await run(typed, "urql", live, shown)
    # Events come over a socket first, then as server-sent events, where the first is seen already.
    for number, way in enumerate(("socket", "stream")):
        seen = done[way]
        images = seen["album"]["dataset"]["images"]
        assert [edge["node"]["id"] for edge in images["edges"]] == shown.image_ids
        assert images["totalCount"] == len(PICTURES)
        assert (images["edges"][0]["node"]["width"], images["edges"][0]["node"]["height"]) == (
            64,
            48,
        )
        assert len(seen["before"]) == 2 * len(PICTURES) + number
        assert all(row["found"] in ([FOUND[0]], []) for row in seen["before"])
        assert seen["cacheOutcome"] == "hit"
        (new,) = [row for row in seen["after"] if row not in seen["before"]]
        assert new == {"id": seen["created"]["id"], "status": "QUEUED", "colors": [], "found": []}
        assert seen["events"] == [{"kind": "QUEUED", "id": new["id"]}]
    # urql would take a stream for every answer, but prefers JSON; only the second follows by HTTP.
    assert sorted(set(done["types"])) == [GRAPHQL_JSON, "text/event-stream"]
    assert done["types"].count("text/event-stream") == 1
    told, ours = done["socket"]["before"][:2]
    assert (told["status"], told["colors"], told["found"]) == ("COMPLETED", [], [FOUND[0]])
    assert (ours["status"], set(ours["colors"]), ours["found"]) == ("COMPLETED", CORNERS, [])


async def test_apollo_normalises_pages_and_events(live: LiveServer, typed: Path) -> None:
    shown = await album(live)
    done = await run(typed, "apollo", live, shown)
    assert filenames(done["first"]) == list(PICTURES)[:2]
    assert filenames(done["whole"]) == list(PICTURES)
    told, ours = done["whole"]["edges"][0]["node"]["analyses"]["nodes"]
    (found,) = told["annotations"]["nodes"]
    assert (found["className"], found["confidence"]) == FOUND
    assert found["data"] == {"bbox": [1, 2, 3, 4], "format": "xywh"}
    assert {color["hex"] for color in ours["result"]["colors"]} == CORNERS
    # Two pages, a mutation, a read: the changes of status came by events alone.
    assert done["requests"] == 4
    assert done["statuses"] == ["QUEUED", "PROCESSING", "FAILED"]
    assert [event["kind"] for event in done["events"]] == ["PROCESSING", "FAILED"]
    ids = [shown.dataset_id, *shown.image_ids, told["id"], ours["id"], found["id"]]
    names = ["Dataset", "Image", "Image", "Image", "Analysis", "Analysis", "Annotation"]
    assert {f"{name}:{ident}" for name, ident in zip(names, ids, strict=True)} <= set(
        done["cached"]
    )


async def test_relay_pages_by_its_own_queries_and_follows(live: LiveServer, tmp_path: Path) -> None:
    await relay_shows(live, await album(live), await compiled(tmp_path))


async def relay_shows(live: LiveServer, shown: Album, folder: Path) -> None:
    done = await client(
        "relay.mjs", str(folder), f"{live.url}/graphql", live.websocket_url, shown.dataset_id
    )
    assert done["pages"] == [list(PICTURES)[:2], list(PICTURES)]
    assert done["hasNextPage"] == [True, False]
    ours, told = done["shown"][:2]  # the newest first
    assert {color["hex"] for color in ours["result"]["colors"]} == CORNERS
    (found,) = [edge["node"] for edge in told["sure"]["edges"]]
    assert (found["className"], found["confidence"]) == FOUND
    assert done["statuses"] == done["kinds"] == ["QUEUED", "COMPLETED"]
    assert [thing.pop("__typename") for thing in done["things"]] == ["Dataset", "Image", "Analysis"]
    assert done["things"][1] == {"id": shown.image_ids[0], "filename": "corners.png"}


async def test_relay_asks_for_trusted_documents_by_id(
    module_settings: Settings, tmp_path: Path
) -> None:
    folder = await compiled_with_manifest(tmp_path)
    async with trusting(module_settings, tmp_path, folder / "manifest.json") as (live, shown):
        await relay_shows(live, shown, folder)


async def test_apollo_asks_for_trusted_documents_by_id(
    module_settings: Settings, tmp_path: Path, typed: Path
) -> None:
    manifest = typed / "gql" / "persisted-documents.json"
    async with trusting(module_settings, tmp_path, manifest) as (live, shown):
        done = await run(typed, "trusted", live, shown)
    (body,) = done["bodies"]
    assert "query Album" not in body and "persistedQuery" in body
    assert len(done["rows"]) == 2 * len(PICTURES)


@asynccontextmanager
async def trusting(
    settings: Settings, folder: Path, manifest: Path
) -> AsyncIterator[tuple[LiveServer, Album]]:
    """A server with an album that serves no documents but those of a manifest."""
    settings = settings.model_copy(update={"data_dir": folder / "data", "worker": True})
    async with serve(settings) as open_to_all:
        shown = await album(open_to_all)
    changes = {"graphql_documents": manifest, "graphql_trusted_only": True}
    async with serve(settings.model_copy(update=changes)) as live:
        assert codes(await live.graphql("{ viewer { name } }")) == ["DOCUMENT_NOT_TRUSTED"]
        yield live, shown


async def run(folder: Path, name: str, live: LiveServer, shown: Album) -> Any:
    """What a program of the typed project printed."""
    program = str(folder / "built" / f"{name}.js")
    url = f"{live.url}/graphql"
    return await client("typed.mjs", program, url, live.websocket_url, shown.dataset_id)


def filenames(connection: dict[str, Any]) -> list[str]:
    return [edge["node"]["filename"] for edge in connection["edges"]]


def cursors(events: list[dict[str, Any]]) -> list[str]:
    return [event["cursor"] for event in events]


def strictly_rising(values: list[str]) -> bool:
    return values == sorted(set(values))
