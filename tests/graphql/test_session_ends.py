"""Who has signed in follows the log for as long as the session lasts, and no longer."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.storage.tables import api_keys
from tests.graphql.asking import external, set_status
from tests.graphql.conftest import KeyServer
from tests.graphql.sockets import started_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "correct horse"
FOLLOW = """subscription($id: ID, $after: Cursor) {
  analysisEvents(analysisId: $id, after: $after) { status } }"""


async def sign_out(parts: Parts, caller: Principal) -> None:
    await parts.use_cases.sessions.logout(caller)


async def expire(parts: Parts, caller: Principal) -> None:
    """The time of the token is over: what a clock would do in an hour."""
    async with parts.use_cases.database.write() as transaction:
        mine = update(api_keys).where(api_keys.c.id == caller.key_id)
        await transaction.connection.execute(mine.values(expires_at=datetime.now(UTC)))


async def change_password(parts: Parts, caller: Principal) -> None:
    assert caller.account_id is not None
    await parts.use_cases.accounts.set_password(caller.account_id, PASSWORD)


async def switch_off(parts: Parts, caller: Principal) -> None:
    assert caller.account_id is not None
    await parts.use_cases.accounts.set_active(caller.account_id, False)


@pytest.mark.parametrize("end", [sign_out, expire, change_password, switch_off])
async def test_what_ends_a_session_ends_what_it_follows(keys: KeyServer, end) -> None:  # type: ignore[no-untyped-def]  # one of the above
    use_cases = keys.parts.use_cases
    email = f"{end.__name__}@example.org"
    await use_cases.accounts.create(email, company="ours", password=PASSWORD)
    token = (await use_cases.sessions.login(email, PASSWORD)).access_token
    caller = await use_cases.access.authenticate(token)
    keys.live.client.headers["x-api-key"] = keys.ours
    analysis_id = await external(keys.live)
    async with started_socket(keys.live, {"Authorization": f"Bearer {token}"}) as socket:
        await socket.subscribe("1", FOLLOW, id=analysis_id, after="0")
        assert (await socket.next())["data"]["analysisEvents"]["status"] == "QUEUED"
        await end(keys.parts, caller)
        await set_status(keys.live, analysis_id, "PROCESSING")
        ended = await socket.next()
        assert ended["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert (await socket.receive())["type"] == "complete"
        await socket.subscribe("2", "{ viewer { name } }")
        assert (await socket.receive())["type"] == "error"
