"""Who came in, who was kept out, and what became of people and keys, as the audit tells it."""

from collections.abc import AsyncIterator

import pytest

from opsin.core.access import Principal
from opsin.core.actors import NO_COMPANY, operator
from opsin.core.audit_log import AuditEntry, AuditFilter, AuditLog
from opsin.core.errors import Throttled, Unauthenticated
from tests.core.sign_in import ADA, BEN, PASSWORD, SignIn, sign_in_on

ADDRESS = "192.0.2.1"


@pytest.fixture
async def house(any_database_url: str) -> AsyncIterator[SignIn]:
    async with sign_in_on(any_database_url) as made:
        yield made


async def _entries(house: SignIn, *actions: str) -> list[AuditEntry]:
    log = AuditLog(house.database)
    return list(await log.read(AuditFilter(action=actions or None), limit=1000))


async def _actions(house: SignIn) -> list[tuple[str, str]]:
    return [(entry.actor_kind, entry.action) for entry in await _entries(house)]


async def test_a_session_from_its_beginning_to_its_end(house: SignIn) -> None:
    ada = await house.person()
    signed_in = await house.sessions.login(ADA, PASSWORD, address=ADDRESS)
    renewed = await house.sessions.refresh(signed_in.refresh_token)
    await house.sessions.logout(await house.access.authenticate(renewed.access_token))
    begun, again, ended = await _entries(house, "session.begin", "session.renew", "session.end")
    for entry in (begun, again, ended):
        assert (entry.actor_kind, entry.actor_id, entry.actor_name) == ("session", ada.id, ADA)
        assert entry.company_id == ada.company_id
        assert entry.subject_id == begun.subject_id
    assert begun.details == {"address": ADDRESS}


async def test_who_is_kept_out(house: SignIn) -> None:
    """Also by an address that nobody has; what was shown as a password is nowhere."""
    ada = await house.person()
    for email in (ADA, BEN, "no address"):
        with pytest.raises(Unauthenticated):
            await house.sessions.login(email, "wrong horse", address=ADDRESS)
    await house.accounts.set_active(ada.id, False)
    with pytest.raises(Unauthenticated):
        await house.sessions.login(ADA, PASSWORD)
    refused = await _entries(house, "session.refuse")
    assert [entry.actor_name for entry in refused] == [ADA, BEN, "nobody", ADA]
    assert [entry.company_id for entry in refused] == [
        ada.company_id,
        NO_COMPANY,
        NO_COMPANY,
        ada.company_id,
    ]
    assert [entry.subject_id for entry in refused] == [ada.id, None, None, ada.id]
    assert {entry.actor_kind for entry in refused} == {"stranger"}
    told = str(await _entries(house))
    assert "horse" not in told and "no address" not in told


async def test_an_attempt_too_many_is_none(any_database_url: str) -> None:
    """Whoever tries on is not even looked at: the audit does not grow by it."""
    async with sign_in_on(any_database_url) as made:
        house = SignIn(made.database, made.clock, attempts=2)
        await house.person()
        for _ in range(2):
            with pytest.raises(Unauthenticated):
                await house.sessions.login(ADA, "wrong horse")
        for _ in range(3):
            with pytest.raises(Throttled):
                await house.sessions.login(ADA, "wrong horse")
        assert len(await _entries(house, "session.refuse")) == 2
        await house.passwords.close()


async def test_ended_keys_that_are_shown(house: SignIn) -> None:
    """Once a minute; with a wrong secret nothing is noted, as it would take time."""
    company = await house.access.ensure_company("whales")
    caller = Principal(company.id, "somebody")
    key, text = await house.api_keys.create(caller, "robot")
    await house.api_keys.revoke(caller, key.id)
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await house.elsewhere().access.authenticate(text[:-1] + "?")
    assert await _entries(house, "key.refuse") == []
    process = house.elsewhere()
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await process.access.authenticate(text)
    (first,) = await _entries(house, "key.refuse")
    assert (first.company_id, first.subject_id) == (company.id, key.id)
    assert (first.actor_kind, first.details) == ("stranger", {"reason": "revoked"})
    house.clock.advance(61)
    with pytest.raises(Unauthenticated):
        await process.access.authenticate(text)
    assert len(await _entries(house, "key.refuse")) == 2


async def test_what_the_operator_does_to_people(house: SignIn) -> None:
    ada = await house.person(company="home")
    await house.accounts.set_password(ada.id, "another horse")
    await house.accounts.set_active(ada.id, False)
    await house.accounts.set_active(ada.id, True)
    await house.memberships.add("whales", ADA)
    await house.memberships.add("whales", ADA)  # is one already
    await house.companies.link("home", "whales")
    await house.companies.unlink("home", "whales")
    await house.memberships.remove("whales", ADA)
    assert [action for _, action in await _actions(house)] == [
        "company.create",
        "account.create",
        "account.change_password",
        "account.disable",
        "account.enable",
        "company.create",
        "member.add",
        "company.link",
        "company.link",
        "company.unlink",
        "company.unlink",
        "member.remove",
    ]
    assert {kind for kind, _ in await _actions(house)} == {operator().kind}
    whales = await house.access.ensure_company("whales")
    linked = await _entries(house, "company.link")
    assert {entry.company_id for entry in linked} == {ada.company_id, whales.id}


async def test_an_account_that_a_proxy_vouches_for(house: SignIn) -> None:
    """Made at first sight, and noted as the proxy's doing."""
    proxy = Principal(NO_COMPANY, ADA, came_as="proxy")
    ada = await house.accounts.of_email(ADA, by=proxy)
    assert await house.accounts.of_email(ADA, by=proxy) == ada
    made = await _entries(house, "company.create", "account.create")
    assert [(entry.actor_kind, entry.company_id) for entry in made] == [
        ("proxy", ada.company_id),
        ("proxy", ada.company_id),
    ]
