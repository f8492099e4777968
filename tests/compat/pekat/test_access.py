"""Who may send pictures, and whose last picture is shown to whom."""

import httpx
import pytest

from opsin.assembly import assemble
from opsin.core.access import Principal
from opsin.settings import Settings
from tests.compat.pekat.conftest import HEIGHT, WIDTH, pekat, png, scene
from tests.conftest import LiveServer

KEY = "6f1c9a52-0c8e-4a5e-9a55-1b8f6f2f2c11"
PROTECTED = (
    ("POST", "/analyze_image?"),
    ("POST", f"/analyze_raw_image?width={WIDTH}&height={HEIGHT}"),
    ("GET", "/last_image?"),
    ("GET", "/ping?init_model"),
)


async def ask(
    live: LiveServer, method: str, path: str, headers: dict[str, str] | None = None
) -> httpx.Response:
    body = scene().tobytes() if "raw" in path else png(scene())
    return await live.client.request(method, path, content=body, headers=headers)


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_a_configured_key_is_asked_for(settings: Settings, method: str, path: str) -> None:
    async with pekat(settings, api_key=KEY) as live:
        assert (await ask(live, "POST", f"/analyze_image?api_key={KEY}")).status_code == 200
        for headers in ({}, {"x-api-key": "other"}, {"authorization": f"Basic {KEY}"}):
            for query in ("", "&api_key=", "&api_key=%FF", f"&api_key={KEY}x"):
                answer = await ask(live, method, path + query, headers)
                assert answer.status_code == 401
                assert answer.json() == {"error": True, "message": "invalid or missing api_key"}
        for query, headers in (
            (f"&api_key={KEY}", {}),
            ("", {"X-API-KEY": KEY}),
            ("", {"Authorization": f"Bearer {KEY}"}),
        ):
            assert (await ask(live, method, path + query, headers)).status_code == 200


async def test_ping_and_version_never_need_a_key(settings: Settings) -> None:
    async with pekat(settings, api_key=KEY, shared_memory=True) as live:
        for path in ("/ping", "/version"):
            assert (await live.client.get(path)).status_code == 200


async def test_without_a_key_the_parameter_is_ignored(server: LiveServer) -> None:
    assert (await ask(server, "POST", "/analyze_image?api_key=anything")).status_code == 200


async def test_keys_of_the_server_and_their_companies(settings: Settings) -> None:
    """Where the server asks for keys, so does this API; nobody sees another company's picture."""
    strict = settings.model_copy(update={"auth": "keys"})
    async with assemble(strict).running() as parts:
        access = parts.use_cases.access
        keys = []
        for name in ("ours", "theirs"):
            company = Principal((await access.ensure_company(name)).id, name)
            keys.append((await parts.use_cases.api_keys.create(company, "camera"))[1])
    ours, theirs = keys
    async with pekat(strict) as live:
        for query in ("", "&api_key=opsin_nothing_at_all"):
            refused = await ask(live, "POST", f"/analyze_image?{query}")
            assert refused.status_code == 401
        sent = await ask(live, "POST", f"/analyze_image?data=ours&api_key={ours}")
        assert sent.status_code == 200
        mine = await live.client.get("/last_image", headers={"x-api-key": ours})
        assert mine.json() == sent.json()
        other = await live.client.get("/last_image", headers={"x-api-key": theirs})
        assert other.status_code == 404


async def test_a_server_that_is_open_to_clients_that_have_no_key(settings: Settings) -> None:
    strict = settings.model_copy(update={"auth": "keys"})
    async with pekat(strict, open=True) as live:
        assert (await ask(live, "POST", "/analyze_image")).status_code == 200
        viewer = await live.graphql("{ viewer { name } }")
        assert "errors" in viewer  # nothing else is open
    async with pekat(strict, open=True, api_key=KEY) as live:
        assert (await ask(live, "POST", "/analyze_image")).status_code == 401
