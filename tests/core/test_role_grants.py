"""Roles of people and keys: given, changed and ended, at once here and soon elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from opsin.core.access import Principal
from opsin.core.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    LimitReached,
    NotFound,
    Unauthenticated,
)
from opsin.core.reach import KNOWN_SECONDS
from opsin.core.role_grants import Holder, RoleGrants
from opsin.core.role_holders import find_holder
from opsin.core.roles import Permission, Role
from opsin.storage.audit import audit_entries
from opsin.storage.ids import new_id
from opsin.storage.tables import datasets
from tests.core.sign_in import ADA, BEN, SignIn, sign_in_on


@dataclass
class Office:
    """A company with an administrator, another person, and two datasets."""

    house: SignIn
    ada: Principal
    ben_id: str
    first: str
    second: str

    @property
    def grants(self) -> RoleGrants:
        return RoleGrants(self.house.database, self.house.access)

    async def ben(self) -> Principal:
        return await self.house.caller(BEN)


@pytest.fixture
async def office(any_database_url: str) -> AsyncIterator[Office]:
    async with sign_in_on(any_database_url) as house:
        await house.person(ADA, "whales")
        ben = await house.person(BEN, "whales")
        ada = await house.caller(ADA)
        first, second = [await new_dataset(house, ada, name) for name in ("first", "second")]
        yield Office(house, ada, ben.id, first, second)


async def new_dataset(house: SignIn, principal: Principal, name: str) -> str:
    identity, now = new_id(), house.clock.time()
    async with house.database.write() as transaction:
        await transaction.connection.execute(
            insert(datasets).values(
                id=identity, company_id=principal.company_id, name=name, description="",
                created_at=now, updated_at=now,
            )
        )  # fmt: skip
    return identity


async def test_a_person_is_given_less_and_more(office: Office) -> None:
    grants, ben = office.grants, Holder(office.ben_id)
    assert (await office.ben()).may(Permission.ADMIN)
    await grants.set_role(office.ada, ben, Role.VIEWER)
    caller = await office.ben()
    assert caller.may(Permission.READ) and not caller.may(Permission.ANNOTATE, office.first)
    await grants.grant(office.ada, office.first, ben, Role.ANNOTATOR)
    caller = await office.ben()
    assert caller.may(Permission.ANNOTATE, office.first)
    assert not caller.may(Permission.ANNOTATE, office.second)
    assert caller.rights.readable is None
    await grants.set_role(office.ada, ben, None)
    caller = await office.ben()
    assert caller.rights.readable == (office.first,)
    members = {one.email: one for one in await grants.members(office.ada)}
    assert members[ADA].role is Role.ADMIN and members[ADA].datasets == ()
    assert members[BEN].role is None
    assert [(one.dataset_id, one.role) for one in members[BEN].datasets] == [
        (office.first, Role.ANNOTATOR)
    ]
    assert await grants.members(caller) == []  # people are the company's
    assert await grants.revoke(office.ada, office.first, ben)
    assert not await grants.revoke(office.ada, office.first, ben)
    assert (await office.ben()).rights.readable == ()


async def test_it_is_written_down(office: Office) -> None:
    await office.grants.set_role(office.ada, Holder(office.ben_id), Role.VIEWER)
    await office.grants.grant(office.ada, office.first, Holder(office.ben_id), Role.PIPELINE)
    await office.grants.revoke(office.ada, office.first, Holder(office.ben_id))
    async with office.house.database.read() as connection:
        rows = (await connection.execute(select(audit_entries).order_by("id"))).all()
    told = [(row.action, row.subject_id, row.dataset_id) for row in rows if "role" in row.action]
    assert told == [
        ("role.set", office.ben_id, None),
        ("dataset_role.grant", office.ben_id, office.first),
        ("dataset_role.revoke", office.ben_id, office.first),
    ]


async def test_other_processes_hear_of_it_and_open_connections_do(office: Office) -> None:
    elsewhere = office.house.elsewhere()
    token, _ = (await office.house.private_tokens.create(await office.ben(), "a script"))[::-1]
    there = await elsewhere.access.authenticate(token)
    assert there.may(Permission.ADMIN)
    await office.grants.set_role(office.ada, Holder(office.ben_id), None)
    assert not (await office.house.access.authenticate(token)).may(Permission.READ)
    assert not (await office.house.access.confirm(there)).may(Permission.READ)
    office.house.clock.advance(KNOWN_SECONDS)
    assert not (await elsewhere.access.authenticate(token)).may(Permission.READ)
    assert not (await elsewhere.access.confirm(there)).may(Permission.READ)


async def test_keys_have_roles(office: Office) -> None:
    house, grants = office.house, office.grants
    key, text = await house.api_keys.create(
        office.ada, "first only", role=Role.PIPELINE, dataset_ids=[office.first.upper()]
    )
    caller = await house.access.authenticate(text)
    assert caller.rights.readable == (office.first,)
    assert caller.may(Permission.REPORT, office.first) and not caller.may(Permission.READ)
    assert key.role is None
    assert (await grants.of_keys(office.ada))[key.id][0].role is Role.PIPELINE
    other, _ = await house.api_keys.create(office.ada, "other", dataset_ids=[office.first])
    assert [one.id for one in await house.api_keys.listed(caller)] == [key.id]  # itself
    assert list(await grants.of_keys(caller)) == [key.id]
    assert set(await grants.of_keys(office.ada)) == {key.id, other.id}
    holder = Holder(key_id=key.id)
    await grants.grant(office.ada, office.second, holder, Role.VIEWER)
    assert set((await house.access.authenticate(text)).rights.readable or ()) == {
        office.first,
        office.second,
    }
    await grants.set_role(office.ada, holder, Role.VIEWER)
    caller = await house.access.authenticate(text)
    assert caller.rights.readable is None and caller.may(Permission.REPORT, office.first)
    confirmed = await house.access.confirm(caller)
    assert confirmed == caller
    await grants.revoke(office.ada, office.first, holder)
    assert not (await house.access.confirm(caller)).may(Permission.REPORT, office.first)


async def test_a_key_never_does_more_than_its_account(office: Office) -> None:
    ben = await office.ben()
    _, text = await office.house.api_keys.create(ben, "a key of Ben's")
    assert (await office.house.access.authenticate(text)).may(Permission.ADMIN)
    await office.grants.set_role(office.ada, Holder(office.ben_id), Role.VIEWER)
    caller = await office.house.access.authenticate(text)
    assert caller.may(Permission.READ) and not caller.may(Permission.ANNOTATE, office.first)


async def test_a_key_made_by_a_link_ends_with_it(office: Office) -> None:
    house = office.house
    await house.access.ensure_company("seals")
    await house.companies.link("whales", "seals", Role.ADMIN)
    seals = await house.access.find_company("seals")
    assert seals is not None
    inside = await house.access.principal_in(await house.caller(ADA), seals.id)
    _, text = await house.api_keys.create(inside, "made by a link")
    caller = await house.access.authenticate(text)
    assert caller.may(Permission.ADMIN)
    await house.companies.link("whales", "seals", Role.VIEWER)  # again: another role
    assert not (await house.access.authenticate(text)).may(Permission.ADMIN)
    viewing = await house.access.principal_in(await house.caller(ADA), seals.id)
    assert viewing.may(Permission.READ) and not viewing.may(Permission.UPLOAD)
    with pytest.raises(Forbidden):
        await house.api_keys.create(viewing, "more than one has")
    await house.companies.unlink("whales", "seals")
    with pytest.raises(Unauthenticated):
        await house.access.authenticate(text)
    with pytest.raises(Unauthenticated):
        await house.access.confirm(caller)


async def test_a_link_gives_no_more_than_home(office: Office) -> None:
    house = office.house
    await house.access.ensure_company("seals")
    await house.companies.link("whales", "seals")
    seals = await house.access.find_company("seals")
    assert seals is not None
    await office.grants.set_role(office.ada, Holder(office.ben_id), Role.ANNOTATOR)
    inside = await house.access.principal_in(await office.ben(), seals.id)
    assert inside.may(Permission.ANNOTATE) and not inside.may(Permission.ADMIN)
    # What is given in single datasets at home is of home.
    await office.grants.set_role(office.ada, Holder(office.ben_id), None)
    await office.grants.grant(office.ada, office.first, Holder(office.ben_id), Role.ADMIN)
    inside = await house.access.principal_in(await office.ben(), seals.id)
    assert inside.rights.readable == ()


async def test_an_expiring_token_makes_nothing_that_outlives_it(office: Office) -> None:
    house = office.house
    until = house.clock.time() + timedelta(days=7)
    _, text = await house.private_tokens.create(office.ada, "for a week", until)
    caller = await house.access.authenticate(text)
    key, _ = await house.api_keys.create(caller, "made with it")
    token, _ = await house.private_tokens.create(caller, "as well")
    assert key.expires_at == token.expires_at == until
    sooner, _ = await house.api_keys.create(caller, "sooner", expires_at=until - timedelta(days=1))
    assert sooner.expires_at == until - timedelta(days=1)
    async with house.database.read() as connection:
        is_key = audit_entries.c.action == "key.create"
        noted = select(audit_entries.c.details).where(is_key).order_by(audit_entries.c.id)
        told = [one["expires_at"] for one in (await connection.execute(noted)).scalars()]
    assert told == [one.expires_at and one.expires_at.isoformat() for one in (key, sooner)]
    for make in (house.api_keys.create, house.private_tokens.create):
        with pytest.raises(InvalidInput):
            await make(caller, "longer", expires_at=until + timedelta(seconds=1))
        with pytest.raises(InvalidInput):
            await make(caller, "over", expires_at=house.clock.time())
    # A session is no such limit: whoever is signed in can sign in again.
    lasting, _ = await house.api_keys.create(office.ada, "for good")
    assert lasting.expires_at is None


async def test_expired_keys_let_nobody_in(office: Office) -> None:
    until = office.house.clock.time() + timedelta(hours=1)
    _, text = await office.house.api_keys.create(office.ada, "an hour", expires_at=until)
    caller = await office.house.access.authenticate(text)
    office.house.clock.advance(3601)
    with pytest.raises(Unauthenticated):
        await office.house.access.authenticate(text)
    with pytest.raises(Unauthenticated):
        await office.house.access.confirm(caller)


async def test_private_tokens_are_limited(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsin.core.private_tokens.MOST_TOKENS", 2)
    create = office.house.private_tokens.create
    made, _ = await create(office.ada, "one")
    await create(office.ada, "two", office.house.clock.time() + timedelta(hours=1))
    with pytest.raises(LimitReached):
        await create(office.ada, "three")
    await create(await office.ben(), "another's")
    office.house.clock.advance(3601)  # one of them has ended
    await create(await office.house.caller(ADA), "three")
    assert made.number is not None
    await office.house.private_tokens.delete(await office.house.caller(ADA), made.number)
    await create(await office.house.caller(ADA), "four")


async def test_a_company_keeps_an_administrator(office: Office) -> None:
    grants = office.grants
    me = Holder(office.ada.account_id)
    await grants.set_role(office.ada, Holder(office.ben_id), Role.VIEWER)
    for role in (None, Role.VIEWER, Role.ANNOTATOR):
        with pytest.raises(Conflict):
            await grants.set_role(office.ada, me, role)
    assert (await office.house.caller(ADA)).may(Permission.ADMIN)
    await grants.set_role(office.ada, Holder(office.ben_id), Role.ADMIN)
    await grants.set_role(office.ada, me, Role.VIEWER)
    with pytest.raises(Forbidden):
        await grants.set_role(await office.house.caller(ADA), me, Role.ADMIN)


async def test_a_role_and_a_dataset_role_given_at_once(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has locked what it begins with before either goes on: neither waits for the other."""
    locked = asyncio.Barrier(2)

    async def slowly(*given: Any, **options: Any) -> Holder:
        found = await find_holder(*given, **options)
        with suppress(TimeoutError, asyncio.BrokenBarrierError):  # SQLite has one writer
            await asyncio.wait_for(locked.wait(), 1)
        return found

    monkeypatch.setattr("opsin.core.role_grants.find_holder", slowly)
    grants, ben = office.grants, Holder(office.ben_id)
    await asyncio.gather(
        grants.set_role(office.ada, ben, Role.VIEWER),
        grants.grant(office.ada, office.first, ben, Role.ANNOTATOR),
    )
    caller = await office.ben()
    assert caller.may(Permission.READ) and caller.may(Permission.ANNOTATE, office.first)


async def test_who_may_give(office: Office) -> None:
    grants, ben = office.grants, Holder(office.ben_id)
    await grants.set_role(office.ada, ben, None)
    nobody = await office.ben()
    for attempt in (
        grants.set_role(nobody, ben, Role.ADMIN),
        grants.grant(nobody, office.first, ben, Role.ADMIN),  # they do not see it
    ):
        with pytest.raises(NotFound):
            await attempt
    await grants.grant(office.ada, office.first, ben, Role.ANNOTATOR)
    with pytest.raises(Forbidden):
        await grants.grant(await office.ben(), office.first, ben, Role.ADMIN)
    await grants.grant(office.ada, office.first, ben, Role.ADMIN)
    owner = await office.ben()  # of one dataset
    await grants.grant(owner, office.first, Holder(office.ada.account_id), Role.VIEWER)
    with pytest.raises(NotFound):
        await grants.grant(owner, office.second, ben, Role.ADMIN)
    with pytest.raises(NotFound):
        await grants.set_role(owner, ben, Role.ADMIN)
    with pytest.raises(Forbidden):
        await office.house.api_keys.create(owner, "a key of all")


async def test_bad_grants(office: Office) -> None:
    grants, house = office.grants, office.house
    for given in ({}, {"account_id": office.ben_id, "key_id": office.ben_id}):
        with pytest.raises(InvalidInput):
            Holder(**given)
    stranger = await house.accounts.create("stranger@example.org")
    other = await house.access.ensure_company("seals")
    foreign, _ = await house.api_keys.create(Principal(other.id, "a test"), "theirs")
    token, _ = await house.private_tokens.create(office.ada, "mine")
    for holder in (
        Holder(stranger.id),
        Holder("no id"),
        Holder(key_id=foreign.id),
        Holder(key_id=token.id),  # an account's own, which does what the account may
    ):
        with pytest.raises(NotFound):
            await grants.set_role(office.ada, holder, Role.VIEWER)
        with pytest.raises(NotFound):
            await grants.grant(office.ada, office.first, holder, Role.VIEWER)
    for dataset_id in (new_id(), "no id", await new_dataset(house, Principal(other.id, "x"), "x")):
        with pytest.raises(NotFound):
            await grants.grant(office.ada, dataset_id, Holder(office.ben_id), Role.VIEWER)
        with pytest.raises(NotFound):
            await house.api_keys.create(office.ada, "a key", dataset_ids=[dataset_id])
    with pytest.raises(InvalidInput):
        await house.api_keys.create(office.ada, "many", dataset_ids=[office.first] * 1001)


async def test_a_membership_ends_with_what_was_given(office: Office) -> None:
    house, grants = office.house, office.grants
    await house.access.ensure_company("seals")
    eve = await house.memberships.add("whales", "eve@example.org", None)
    await grants.grant(office.ada, office.first, Holder(eve.id), Role.VIEWER)
    assert (await house.access.reach.of(eve.id)).rights[office.ada.company_id].readable == (
        office.first,
    )
    await house.memberships.remove("whales", "eve@example.org")
    assert office.ada.company_id not in (await house.access.reach.of(eve.id)).rights
    await house.memberships.add("whales", "eve@example.org", None)
    assert (await house.access.reach.of(eve.id)).rights[office.ada.company_id].readable == ()


async def test_datasets_are_found_by_name(office: Office) -> None:
    grants = office.grants
    assert await grants.dataset(office.ada, "first") == office.first
    assert await grants.dataset(office.ada, office.first.upper()) == office.first
    await new_dataset(office.house, office.ada, "second")
    with pytest.raises(InvalidInput):
        await grants.dataset(office.ada, "second")
    with pytest.raises(NotFound):
        await grants.dataset(office.ada, "third")
