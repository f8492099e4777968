"""Who may call: keys are random, shown once, stored hashed, revocable; dev mode lets all in."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from opsin.assembly import Parts
from opsin.core.access import Access, Principal
from opsin.core.api_keys import ApiKeys
from opsin.core.errors import InvalidInput, NotFound, Unauthenticated
from opsin.core.known_keys import KNOWN_SECONDS
from opsin.core.role_grants import Holder, RoleGrants
from opsin.core.roles import Permission, Role
from opsin.storage.tables import api_keys
from tests.conftest import other_company
from tests.graphql.statements import statements_of


class Clock:
    """Tells the time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(parts: Parts, clock: Clock) -> Access:
    """Access in the mode that asks for keys."""
    return Access(parts.use_cases.database, mode="keys", clock=clock)


@pytest.fixture
def keys(parts: Parts, access: Access) -> ApiKeys:
    return ApiKeys(parts.use_cases.database, access)


async def test_a_key_is_its_company(access: Access, keys: ApiKeys, principal: Principal) -> None:
    record, key = await keys.create(principal, " laptop ")
    assert record.name == "laptop"
    caller = await access.authenticate(key)
    assert (caller.company_id, caller.key_id) == (principal.company_id, record.id)


async def test_no_secret_is_stored(
    parts: Parts, access: Access, keys: ApiKeys, principal: Principal
) -> None:
    _, key = await keys.create(principal, "one")
    _, other = await keys.create(principal, "two")
    assert key != other and len(key) > 50
    async with parts.use_cases.database.read() as connection:
        stored = str((await connection.execute(select(api_keys))).all())
    assert key not in stored and key.split("_", 2)[2] not in stored


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1] + ("a" if key[-1] != "a" else "b"),
        lambda key: key + "x",
        lambda key: key.replace("opsin_", "other_"),
        lambda key: key.split("_", 2)[2],
        lambda key: "opsin_" + "0" * 12 + "_" + key.split("_", 2)[2],
        lambda key: "",
        lambda key: "opsin_",
        lambda key: "ü" * 300,
        lambda key: key.upper(),
    ],
)
async def test_anything_else_is_refused(
    access: Access, keys: ApiKeys, principal: Principal, change: Callable[[str], str]
) -> None:
    _, key = await keys.create(principal, "one")
    with pytest.raises(Unauthenticated):
        await access.authenticate(change(key))


async def test_a_revoked_key_ends_at_once(
    access: Access, keys: ApiKeys, principal: Principal
) -> None:
    record, key = await keys.create(principal, "one")
    await access.authenticate(key)
    revoked = await keys.revoke(principal, record.id)
    assert revoked.revoked_at is not None
    with pytest.raises(Unauthenticated):
        await access.authenticate(key)
    assert (await keys.revoke(principal, record.id)).revoked_at == revoked.revoked_at


async def test_a_key_revoked_elsewhere_ends_within_the_time_that_is_promised(
    parts: Parts, access: Access, keys: ApiKeys, principal: Principal, clock: Clock
) -> None:
    record, key = await keys.create(principal, "one")
    caller = await access.authenticate(key)
    await parts.use_cases.api_keys.revoke(principal, record.id)
    with pytest.raises(Unauthenticated):
        await access.confirm(caller)
    clock.now += KNOWN_SECONDS
    with pytest.raises(Unauthenticated):
        await access.authenticate(key)


async def test_a_key_that_is_revoked_while_it_is_read_lets_nobody_in(
    access: Access, keys: ApiKeys, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, key = await keys.create(principal, "one")
    reading, read_key = asyncio.Event(), access._read_key

    async def slow(token: str, digest: bytes) -> Principal:
        found = await read_key(token, digest)
        reading.set()
        await asyncio.sleep(0.05)
        return found

    monkeypatch.setattr(access, "_read_key", slow)
    entering = asyncio.create_task(access.authenticate(key))
    await reading.wait()
    await keys.revoke(principal, record.id)
    with pytest.raises(Unauthenticated):
        await entering


async def test_a_role_that_is_taken_while_a_key_is_read_is_gone_for_who_comes_after(
    parts: Parts,
    access: Access,
    keys: ApiKeys,
    principal: Principal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record, key = await keys.create(principal, "one")
    await keys.create(principal, "an administrator's")
    reading, go_on, read_key = asyncio.Event(), asyncio.Event(), access._read_key

    async def slow(token: str, digest: bytes) -> Principal:
        found = await read_key(token, digest)
        reading.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(access, "_read_key", slow)
    earlier = asyncio.create_task(access.authenticate(key))
    await reading.wait()
    grants = RoleGrants(parts.use_cases.database, access)
    await grants.set_role(principal, Holder(key_id=record.id), Role.VIEWER)
    later = asyncio.create_task(access.authenticate(key))
    await asyncio.sleep(0)  # it has asked
    go_on.set()
    assert (await earlier).may(Permission.ADMIN)  # it had asked before
    assert not (await later).may(Permission.ANNOTATE)
    assert not (await access.authenticate(key)).may(Permission.ANNOTATE)


async def test_a_known_key_is_not_read_again(
    access: Access, keys: ApiKeys, principal: Principal, clock: Clock
) -> None:
    _, key = await keys.create(principal, "one")
    with statements_of("api_keys") as statements:
        callers = await asyncio.gather(*(access.authenticate(key) for _ in range(20)))
        callers.append(await access.authenticate(key))
    assert len(set(callers)) == 1
    assert len(statements) == 1
    clock.now += KNOWN_SECONDS
    with statements_of("api_keys") as statements:
        await access.authenticate(key)
        await asyncio.gather(*(access.confirm(callers[0]) for _ in range(20)))
    assert len(statements) == 2


async def test_keys_of_another_company(
    parts: Parts, access: Access, keys: ApiKeys, principal: Principal
) -> None:
    record, _ = await keys.create(principal, "one")
    stranger = await other_company(parts)
    assert await keys.listed(stranger) == []
    with pytest.raises(NotFound):
        await keys.revoke(stranger, record.id)
    assert [key.id for key in await keys.listed(principal)] == [record.id]


async def test_last_used_is_kept_to_the_minute(
    parts: Parts, access: Access, keys: ApiKeys, principal: Principal, clock: Clock
) -> None:
    _, key = await keys.create(principal, "one")
    await access.authenticate(key)
    clock.now += KNOWN_SECONDS
    first = (await keys.listed(principal))[0].last_used_at
    assert first is not None and datetime.now(UTC) - first < timedelta(seconds=30)
    await access.authenticate(key)
    assert (await keys.listed(principal))[0].last_used_at == first
    async with parts.use_cases.database.write() as transaction:
        earlier = first - timedelta(hours=1)
        await transaction.connection.execute(update(api_keys).values(last_used_at=earlier))
    clock.now += KNOWN_SECONDS
    await access.authenticate(key)
    later = (await keys.listed(principal))[0].last_used_at
    assert later is not None and later >= first


async def test_only_dev_mode_lets_a_caller_in_without_a_key(parts: Parts, access: Access) -> None:
    with pytest.raises(Unauthenticated, match="Bearer"):
        await access.authenticate(None)
    assert (await parts.use_cases.access.authenticate(None)).name == "local user"
    with pytest.raises(Unauthenticated):
        await parts.use_cases.access.authenticate("wrong")


async def test_many_at_once_find_one_company(access: Access) -> None:
    found = await asyncio.gather(*(access.ensure_company("fresh") for _ in range(10)))
    assert len({company.id for company in found}) == 1


@pytest.mark.parametrize("name", ["", "  ", "x" * 256, "a\x00b"])
async def test_names_of_keys(
    access: Access, keys: ApiKeys, principal: Principal, name: str
) -> None:
    with pytest.raises(InvalidInput):
        await keys.create(principal, name)
