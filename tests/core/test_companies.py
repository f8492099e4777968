"""Linked companies: the members of one reach the other, one way and one step."""

from collections.abc import AsyncIterator

import pytest

from opsin.core.access import Access
from opsin.core.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from opsin.core.reach import KNOWN_SECONDS
from opsin.storage.ids import new_id
from tests.core.sign_in import ADA, BEN, SignIn, sign_in_on


@pytest.fixture
async def house(any_database_url: str) -> AsyncIterator[SignIn]:
    async with sign_in_on(any_database_url) as made:
        yield made


async def reached(house: SignIn, email: str) -> list[str]:
    account = await house.accounts.find_email(email)
    assert account is not None
    return list((await house.accounts.companies_of(account.id)).values())


async def test_a_link_leads_one_way_and_one_step(house: SignIn) -> None:
    for name in ("dolphins", "krill"):
        await house.access.ensure_company(name)
    await house.person(ADA, "whales")
    await house.person(BEN, "seals")
    await house.companies.link("whales", "seals")
    await house.companies.link("seals", "krill")
    assert await reached(house, ADA) == ["seals", "whales"]
    assert await reached(house, BEN) == ["krill", "seals"]
    # A membership counts as one's own company does, and brings its links with it.
    await house.memberships.add("dolphins", BEN)
    await house.companies.link("dolphins", "whales")
    assert await reached(house, BEN) == ["dolphins", "krill", "seals", "whales"]
    assert await reached(house, ADA) == ["seals", "whales"]
    await house.companies.link("seals", "whales")
    assert await reached(house, BEN) == ["dolphins", "krill", "seals", "whales"]


async def test_who_may_act_for_what(house: SignIn) -> None:
    ada = await house.person(ADA, "whales")
    ben = await house.person(BEN, "seals")
    await house.companies.link("whales", "seals")
    signed_in = await house.caller(ADA)
    _, private = await house.private_tokens.create(signed_in, "a script")
    _, key = await house.api_keys.create(signed_in, "a key")
    token = await house.access.authenticate(private)
    company_key = await house.access.authenticate(key)
    for caller in (signed_in, token):
        inside = await house.access.principal_in(caller, ben.company_id.upper())
        assert (inside.company_id, inside.identity) == (ben.company_id, ada.id)
        assert inside.reaches_all
        home = await house.access.principal_in(inside, ada.company_id)  # and back
        assert home == caller
    assert await house.access.principal_in(company_key, ada.company_id) == company_key
    local = await Access(house.database, mode="dev").local()
    assert await house.access.principal_in(local, local.company_id) == local
    refusals = set()
    for caller, company_id in (
        (await house.caller(BEN), ada.company_id),  # the other way round
        (company_key, ben.company_id),  # whoever made it, it is of one company
        (local, ada.company_id),
        (signed_in, local.company_id),
        (signed_in, new_id()),
        (signed_in, "no id"),
        (signed_in, "a\x00b"),
        (signed_in, ""),
        (local, "no id"),
    ):
        with pytest.raises(Forbidden) as refused:
            await house.access.principal_in(caller, company_id)
        refusals.add(str(refused.value))
    assert len(refusals) == 1


async def test_a_link_that_ends(house: SignIn) -> None:
    await house.person(ADA, "whales")
    ben = await house.person(BEN, "seals")
    assert await reached(house, ADA) == ["whales"]
    await house.companies.link("whales", "seals")
    await house.companies.link("whales", "seals")  # changes nothing
    assert await reached(house, ADA) == ["seals", "whales"]  # at once
    caller = await house.caller(ADA)
    inside = await house.access.principal_in(caller, ben.company_id)
    elsewhere = house.elsewhere()
    await elsewhere.access.principal_in(caller, ben.company_id)
    assert await house.companies.unlink("seals", "whales") is False
    await house.access.confirm(inside)
    assert await house.companies.unlink("whales", "seals") is True
    assert await house.companies.unlink("whales", "seals") is False
    with pytest.raises(Forbidden):
        await house.access.principal_in(caller, ben.company_id)
    with pytest.raises(Unauthenticated):
        await house.access.confirm(inside)
    await house.access.confirm(caller)
    # Another process may believe it for a moment, and not longer.
    house.clock.advance(KNOWN_SECONDS)
    with pytest.raises(Forbidden):
        await elsewhere.access.principal_in(caller, ben.company_id)


async def test_links_are_listed(house: SignIn) -> None:
    await house.person(ADA, "whales")
    await house.memberships.add("whales", BEN)
    for name in ("seals", "krill"):
        await house.access.ensure_company(name)
        await house.companies.link("whales", name)
    listed = {one.company.name: one for one in await house.companies.listed()}
    assert list(listed) == [BEN, "krill", "seals", "whales"]
    assert listed["whales"].members == 2
    assert list(listed["whales"].links.items()) == [("krill", "admin"), ("seals", "admin")]
    assert (listed[BEN].members, listed["krill"].members, listed["krill"].links) == (1, 0, {})


async def test_bad_links(house: SignIn) -> None:
    await house.access.ensure_company("whales")
    with pytest.raises(InvalidInput):
        await house.companies.link("whales", "whales")
    for company, linked in (("whales", "whalez"), ("whalez", "whales")):
        with pytest.raises(NotFound, match="whalez"):
            await house.companies.link(company, linked)
        with pytest.raises(NotFound):
            await house.companies.unlink(company, linked)
    assert [one.company.name for one in await house.companies.listed()] == ["whales"]
