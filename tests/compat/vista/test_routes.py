"""Every route: its method, both slash forms, its status, and the keys of its answer."""

import pytest

from tests.compat.vista.cases import CASES, About, make_world, request_of, sign
from tests.compat.vista.conftest import Vista

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIXES = pytest.mark.parametrize("prefix", ["/api", "/api-key", "/api-ml"])


@pytest.mark.parametrize("slash", ["", "/"])
@PREFIXES
async def test_every_route(vista: Vista, prefix: str, slash: str) -> None:
    world = await make_world(vista.client, vista.user)
    for case in CASES:
        if case.about is About.USERS:
            continue  # who may do these things is told by the access matrix
        request = request_of(vista.client, case, world, vista.user, prefix=prefix, slash=slash)
        answer = await vista.client.send(sign(request))
        assert answer.status_code == case.status, (case, answer.text)
        if case.status == 204:
            assert answer.content == b""
        if case.keys is None:
            continue
        content = answer.json()[case.inside] if case.inside else answer.json()
        first = content[0] if isinstance(content, list) else content
        assert set(case.keys.split()) <= set(first), case


async def test_absent_things_are_404(vista: Vista) -> None:
    absent = dict.fromkeys(
        await make_world(vista.client, vista.user), "00000000-0000-7000-8000-000000000000"
    )
    for case in CASES:
        if case.about is not About.THING or "{" not in case.path + case.query:
            continue
        answer = await vista.client.send(sign(request_of(vista.client, case, absent, vista.user)))
        if (case.method, case.path) == ("GET", "/projects/{project_id}/images"):
            assert (answer.status_code, answer.json()) == (200, [])
            continue
        assert answer.status_code == 404, (case, answer.text)
        assert set(answer.json()) == {"detail"}
