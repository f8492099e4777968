"""What a server that is set up unusually asks of its callers: no less than any other."""

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from opsin.app import create_app
from opsin.settings import Settings
from tests.compat.vista.conftest import vista_server, vista_settings
from tests.compat.vista.pipelines import timestamped

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_empty_proxy_secret_is_none(module_settings: Settings, tmp_path: Path) -> None:
    """As a variable that was forgotten in a file of settings comes out."""
    settings = vista_settings(module_settings, data_dir=tmp_path, vista_proxy_shared_secret="")
    async with vista_server(settings) as vista:
        for secret in ({}, {"X-Proxy-Secret": ""}, {"X-Proxy-Secret": "x"}):
            headers = {"X-User-Email": "somebody@example.com"} | secret
            answer = await vista.client.get("/api/users/me", headers=headers)
            assert answer.status_code == 500, answer.text
            assert answer.json() == {"detail": "Server configuration error"}


async def test_below_another_path_everything_is_signed_as_well(
    module_settings: Settings, tmp_path: Path
) -> None:
    settings = vista_settings(module_settings, data_dir=tmp_path)
    async with vista_server(settings) as vista:
        path = f"/analyses/{await vista.analysis()}"
        user = vista.user
        inner = create_app(settings)
        app = Starlette(routes=[Mount("/house", inner)])
        transport = httpx.ASGITransport(app)
        async with (
            inner.router.lifespan_context(inner),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
        ):
            unsigned = await client.get(f"/house/api-ml{path}", headers=user)
            signed = await client.get(f"/house/api-ml{path}", headers=user | timestamped(b""))
            by_user = await client.get(f"/house/api{path}", headers=user)
            nobody = await client.get(f"/house/api{path}")
        codes = [answer.status_code for answer in (unsigned, signed, by_user, nobody)]
        assert codes == [401, 200, 200, 401]
