"""Accounts: made once, members of companies, and shut out with all their keys."""

import asyncio

import pytest

from opsin.assembly import Parts
from opsin.core.access import Access, Principal
from opsin.core.accounts import Accounts, clean_email
from opsin.core.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from opsin.core.memberships import Memberships
from opsin.core.reach import KNOWN_SECONDS
from opsin.storage.tables import accounts as accounts_table
from tests.core.stored import count

ADA, BEN = "ada@example.org", "ben@example.org"


@pytest.fixture
def accounts(parts: Parts) -> Accounts:
    return parts.use_cases.accounts


@pytest.fixture
def memberships(parts: Parts) -> Memberships:
    return parts.use_cases.memberships


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" Ada@Example.ORG ", ADA),
        ("a.b+c_d%e-f@x-y.example.org", "a.b+c_d%e-f@x-y.example.org"),
        ("ada@example", None),
        ("ada@example.o", None),
        ("@example.org", None),
        ("ada example.org", None),
        ("ada@example.org\nX-Admin: 1", None),
        ("ädä@example.org", None),
        ("a" * 320 + "@example.org", None),
        ("", None),
        (None, None),
    ],
)
def test_what_is_an_address(text: str | None, address: str | None) -> None:
    assert clean_email(text) == address


async def test_of_many_at_once_one_makes_the_account(parts: Parts, accounts: Accounts) -> None:
    before = await count(parts.use_cases.database, accounts_table)
    made = await asyncio.gather(*(accounts.of_email(ADA) for _ in range(8)))
    assert len({account.id for account in made}) == 1
    assert await count(parts.use_cases.database, accounts_table) == before + 1
    with pytest.raises(Conflict):
        await accounts.create(ADA.upper())
    with pytest.raises(InvalidInput):
        await accounts.create("nobody")


async def test_who_is_a_member_of_what(accounts: Accounts, memberships: Memberships) -> None:
    ada = await memberships.add("whales", ADA)
    await memberships.add("whales", ADA)  # changes nothing
    await memberships.add("whales", BEN)
    await memberships.add("seals", ADA)
    assert [one.email for one in await memberships.listed("whales")] == [ADA, BEN]
    _, names = await accounts.profile(ada.id)
    assert sorted(names.values()) == [ADA, "seals", "whales"]
    await memberships.remove("whales", ADA)
    _, names = await accounts.profile(ada.id)
    assert sorted(names.values()) == [ADA, "seals"]
    assert [one.email for one in await memberships.listed(ADA)] == [ADA]
    for group, email in (("nothing", ADA), ("whales", "nobody@example.org"), ("whales", "x")):
        with pytest.raises(NotFound):
            await memberships.remove(group, email)


async def test_another_process_believes_a_membership_for_a_moment_only(
    parts: Parts, memberships: Memberships
) -> None:
    now = 0.0
    database = parts.use_cases.database
    elsewhere = Accounts(database, Access(database, mode="keys", clock=lambda: now))
    ada = await memberships.add("whales", ADA)
    assert "whales" in (await elsewhere.profile(ada.id))[1].values()
    await memberships.remove("whales", ADA)
    now = KNOWN_SECONDS - 0.01
    assert "whales" in (await elsewhere.profile(ada.id))[1].values()
    now = KNOWN_SECONDS
    assert "whales" not in (await elsewhere.profile(ada.id))[1].values()


async def test_who_is_switched_off_gets_in_with_no_key(parts: Parts, accounts: Accounts) -> None:
    ada = await accounts.of_email(ADA)
    owner = Principal(ada.company_id, ADA, None, ada.id)
    record, key = await parts.use_cases.api_keys.create(owner, "a key")

    def fresh() -> Access:
        return Access(parts.use_cases.database, mode="keys")

    principal = await fresh().authenticate(key)
    assert (principal.key_id, principal.account_id) == (record.id, ada.id)
    await fresh().confirm(principal)
    assert (await accounts.set_active(ada.id, False)).is_active is False
    with pytest.raises(Unauthenticated):
        await fresh().authenticate(key)
    with pytest.raises(Unauthenticated):
        await fresh().confirm(principal)  # of a connection that has stayed
    await accounts.set_active(ada.id, True)
    assert await fresh().authenticate(key) == principal
    with pytest.raises(NotFound):
        await accounts.set_active("00000000-0000-7000-8000-000000000000", True)


async def test_numbers_and_ids(accounts: Accounts) -> None:
    ada = await accounts.create(ADA, full_name="  Ada Lovelace ")
    ben = await accounts.create(BEN)
    assert (ada.full_name, ben.number) == ("Ada Lovelace", ada.number + 1)
    asked = [ada.id, ben.id.upper(), ADA, "", "00000000-0000-7000-8000-000000000000"]
    assert await accounts.find_many(asked) == {ada.id: ada, ben.id: ben}
    assert await accounts.find_many([]) == {}
    assert await accounts.companies_of("no id") == {}


@pytest.mark.parametrize("name", ["x" * 256, "a\x00b", "\ud83d"])
async def test_names_of_people(accounts: Accounts, name: str) -> None:
    with pytest.raises(InvalidInput):
        await accounts.create(ADA, full_name=name)
    assert await accounts.find_email(ADA) is None


@pytest.mark.parametrize("password", ["", "short", "x" * 1025])
async def test_no_account_is_made_with_what_is_no_password(
    accounts: Accounts, password: str
) -> None:
    with pytest.raises(InvalidInput):
        await accounts.create(ADA, password=password)
    assert await accounts.find_email(ADA) is None
    with pytest.raises(NotFound):
        await accounts.set_password("00000000-0000-7000-8000-000000000000", "correct horse")
    with pytest.raises(NotFound):
        await accounts.set_password("no id", "correct horse")
