"""Private tokens: an account's own, for every company that it reaches, until they end."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select

from opsin.core.access import Principal
from opsin.core.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from opsin.core.pages import Order
from opsin.core.reach import KNOWN_SECONDS
from opsin.storage.tables import api_keys
from tests.core.sign_in import BEN, SignIn, sign_in_on


@pytest.fixture
async def house(any_database_url: str) -> AsyncIterator[SignIn]:
    async with sign_in_on(any_database_url) as made:
        yield made


async def test_a_token_is_its_account(house: SignIn) -> None:
    ada = await house.person()
    caller = await house.caller()
    record, text = await house.private_tokens.create(caller, "  a script ")
    assert (record.name, record.kind, record.expires_at) == ("a script", "private", None)
    found = await house.access.authenticate(text)
    assert (found.account_id, found.company_id, found.key_id) == (ada.id, ada.company_id, record.id)
    assert found.reaches_all
    house.clock.advance(10 * 365 * 86400)
    await house.access.authenticate(text)
    async with house.database.read() as connection:
        assert text.split("_", 2)[2] not in str((await connection.execute(select(api_keys))).all())


async def test_they_are_numbered_listed_and_found_by_name(house: SignIn) -> None:
    await house.person()
    await house.person(BEN)
    ada, ben = await house.caller(), await house.caller(BEN)
    names = ["Night Script", "day script", "Überwachung", "50%"]
    made = [(await house.private_tokens.create(ada, name))[0] for name in names]
    bens, _ = await house.private_tokens.create(ben, "night script")
    numbers = [one.number for one in made]
    assert numbers == sorted({number for number in numbers if number is not None})
    assert bens.number not in numbers

    async def listed(**options: object) -> tuple[list[str], int]:
        found, count = await house.private_tokens.listed(ada, **options)  # type: ignore[arg-type]  # by name
        return [one.name for one in found], count

    assert await listed() == (names, 4)
    assert await listed(order=Order("id", descending=True)) == (names[::-1], 4)
    with pytest.raises(InvalidInput):
        await listed(order=Order("key_hash"))
    assert await listed(skip=1, limit=2) == (names[1:3], 4)
    assert await listed(text="SCRIPT") == (names[:2], 2)
    assert await listed(text="überw") == (names[2:3], 1)
    assert await listed(text="%") == (names[3:], 1)
    assert await listed(text="a\x00b") == ([], 0)
    assert await listed(skip=10) == ([], 4)
    assert [one.id for one in (await house.private_tokens.listed(ben))[0]] == [bens.id]
    assert await house.api_keys.listed(ada) == []
    with pytest.raises(NotFound):
        await house.api_keys.revoke(ada, made[0].id)


async def test_a_deleted_token_ends_at_once(house: SignIn) -> None:
    await house.person()
    await house.person(BEN)
    ada = await house.caller()
    record, text = await house.private_tokens.create(ada, "a script")
    other, still = await house.private_tokens.create(ada, "another")
    caller = await house.access.authenticate(text)
    assert record.number is not None and other.number is not None
    for number in (0, -1, 2**31, 10**30, record.number + 1000):
        with pytest.raises(NotFound):
            await house.private_tokens.delete(ada, number)
    with pytest.raises(NotFound):
        await house.private_tokens.delete(await house.caller(BEN), record.number)
    await house.access.authenticate(text)
    await house.private_tokens.delete(ada, record.number)
    with pytest.raises(Unauthenticated):
        await house.access.authenticate(text)
    with pytest.raises(Unauthenticated):
        await house.access.confirm(caller)
    with pytest.raises(NotFound):
        await house.private_tokens.delete(ada, record.number)
    assert [one.id for one in (await house.private_tokens.listed(ada))[0]] == [other.id]
    await house.access.authenticate(still)
    newer, _ = await house.private_tokens.create(ada, "newer")
    assert newer.number is not None and newer.number > other.number  # no number comes back


async def test_a_token_expires_wherever_it_is_known(house: SignIn) -> None:
    await house.person()
    ada = await house.caller()
    east = timezone(timedelta(hours=9))
    ends = (house.clock.now + timedelta(seconds=100)).astimezone(east)
    record, text = await house.private_tokens.create(ada, "a script", ends)
    assert record.expires_at == ends
    house.clock.advance(99.9)
    caller = await house.access.authenticate(text)
    await house.access.confirm(caller)
    house.clock.advance(0.101)
    with pytest.raises(Unauthenticated):
        await house.access.authenticate(text)
    with pytest.raises(Unauthenticated):
        await house.access.confirm(caller)
    # It is still shown, so that one sees why a script has stopped.
    assert [one.id for one in (await house.private_tokens.listed(ada))[0]] == [record.id]


async def test_bad_input(house: SignIn) -> None:
    await house.person()
    ada = await house.caller()
    for name in ("", "  ", "x" * 256, "a\x00b", "\ud83d"):
        with pytest.raises(InvalidInput):
            await house.private_tokens.create(ada, name)
    for ends in (house.clock.now, datetime(1999, 1, 1, tzinfo=UTC)):
        with pytest.raises(InvalidInput):
            await house.private_tokens.create(ada, "late", ends)
    assert await house.private_tokens.listed(ada) == ([], 0)


async def test_only_who_is_signed_in_has_them(house: SignIn) -> None:
    """A company's key makes nothing that reaches more than the company, whoever made the key."""
    await house.person()
    ada = await house.caller()
    _, key = await house.api_keys.create(ada, "a key")
    strangers = [
        await house.access.authenticate(key),
        Principal(ada.company_id, "a key of none"),
    ]
    for caller in strangers:
        for act in (
            house.private_tokens.create(caller, "more"),
            house.private_tokens.listed(caller),
            house.private_tokens.delete(caller, 1),
        ):
            with pytest.raises(Forbidden):
                await act
    _, private = await house.private_tokens.create(ada, "a script")
    await house.private_tokens.create(await house.access.authenticate(private), "its successor")


async def test_a_token_of_an_account_that_left_a_company(house: SignIn) -> None:
    ada = await house.person()
    await house.memberships.add("seals", ada.email)
    seals = await house.access.ensure_company("seals")
    ours = await house.caller()
    # Also one that is made while its account acts for that company.
    acting = await house.access.principal_in(ours, seals.id)
    _, text = await house.private_tokens.create(acting, "a script")
    caller = await house.access.authenticate(text)
    assert caller.company_id == ada.company_id
    inside = await house.access.principal_in(caller, seals.id)
    assert (inside.company_id, inside.account_id) == (seals.id, ada.id)
    await house.access.confirm(inside)
    elsewhere = house.elsewhere()
    await elsewhere.access.confirm(inside)
    await house.memberships.remove("seals", ada.email)
    with pytest.raises(Forbidden):
        await house.access.principal_in(caller, seals.id)
    with pytest.raises(Unauthenticated):
        await house.access.confirm(inside)  # of a connection that has stayed
    house.clock.advance(KNOWN_SECONDS)
    with pytest.raises(Unauthenticated):
        await elsewhere.access.confirm(inside)
    # Its own company is still open to it.
    assert await house.access.authenticate(text) == caller
    assert (await house.access.principal_in(caller, ada.company_id)).company_id == ada.company_id
    await house.access.confirm(caller)
