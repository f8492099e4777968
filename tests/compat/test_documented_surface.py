"""The five documents, line by line: each route, method and status, and the keys of the answers."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.compat.documented_surface import DOCUMENTS, Row
from tests.compat.vista.cases import CASES
from tests.compat.whales.making import manifest, settings_of
from tests.compat.world import STOP_KEY, World, world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict(
    small_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """Asks for keys, takes little, and one request a minute where requests are counted."""
    folder = tmp_path_factory.mktemp("strict")
    settings = settings_of(folder, manifest(small_weights), whales_rate_limit=1)
    async with world(
        settings,
        auth="keys",
        pekat_api_key="SUPER_SECRET",
        pekat_stop_key=STOP_KEY,
        max_upload_bytes=1_000_000,
        max_request_bytes=4_000_000,
    ) as there:
        yield there


def found(content: Any, inside: str) -> Any:
    """What lies at `a.b` in an answer; of a list the first."""
    for name in (*filter(None, inside.split(".")), ""):
        content = content[0] if isinstance(content, list) else content
        content = content[name] if name else content
    return content


async def ask(row: Row, there: World) -> None:
    names = dict(there.names)
    if row.signed:  # each begins with an analysis of its own
        made = await there.made(
            "POST",
            f"/api/images/{names['image_id']}/analyses",
            json={"model_name": "yolo_v8", "model_version": "1"},
        )
        names["analysis_id"] = made["id"]
    request = dict(row.request(there))
    answer = await there.send(row.method, row.path.format(**names), signed=row.signed, **request)
    assert answer.status_code == row.status, (row.method, row.path, answer.text[:500])
    if row.exactly is not None:
        assert answer.json() == row.exactly, (row.method, row.path)
    if row.keys:
        assert set(row.keys.split()) <= set(found(answer.json(), row.inside)), (row, answer.text)
    for name in row.headers.split():
        assert name in answer.headers, (row.method, row.path, name)


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_every_line_of_a_document(name: str, everything: World, strict: World) -> None:
    for row in DOCUMENTS[name]:
        await ask(row, strict if row.strict else everything)


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_every_line_is_in_the_openapi_document(name: str, everything: World) -> None:
    paths = (await everything.live.client.get("/openapi.json")).json()["paths"]
    for row in DOCUMENTS[name]:
        # The other form is told of in words.
        path = row.path if row.path in paths else f"{row.path}/"
        assert path in paths, (row.method, row.path)
        if row.status == 405:
            assert row.method.lower() not in paths[path]
            continue
        told = paths[path][row.method.lower()]["responses"]
        assert str(row.status) in told, (row.method, row.path, row.status)


async def test_every_route_of_vista_is_in_the_openapi_document(everything: World) -> None:
    """Whose statuses and keys are walked in tests/compat/vista/test_routes.py."""
    paths = (await everything.live.client.get("/openapi.json")).json()["paths"]
    for case in CASES:
        told = paths[f"/api{case.path}"][case.method.lower()]["responses"]
        assert str(case.status) in told, (case.method, case.path)
