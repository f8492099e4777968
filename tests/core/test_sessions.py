"""Signing in: who gets in, for how long, and that everybody else is told the same."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, update

from opsin.core.access import Principal
from opsin.core.error_statuses import headers_of, status_of
from opsin.core.errors import InvalidInput, Throttled, Unauthenticated
from opsin.storage.tables import accounts, api_keys
from tests.core.sign_in import ADA, BEN, PASSWORD, SignIn, sign_in_on

HOUR, DAY = 3600.0, 86400.0


@pytest.fixture
async def house(any_database_url: str) -> AsyncIterator[SignIn]:
    async with sign_in_on(any_database_url) as made:
        yield made


async def sessions_stored(house: SignIn) -> int:
    statement = select(func.count()).where(api_keys.c.kind == "session")
    async with house.database.read() as connection:
        return int((await connection.execute(statement)).scalar_one())


async def test_who_signs_in_is_let_in(house: SignIn) -> None:
    ada = await house.person()
    signed_in = await house.sessions.login(f" {ADA.upper()} ", PASSWORD, address="192.0.2.1")
    assert signed_in.account == ada
    assert (signed_in.expires_at - house.clock.now).total_seconds() == HOUR
    caller = await house.access.authenticate(signed_in.access_token)
    assert (caller.company_id, caller.account_id) == (ada.company_id, ada.id)
    assert caller.reaches_all and caller.name == ADA
    again = await house.login()
    assert again.access_token != signed_in.access_token
    for token in (signed_in.access_token, again.access_token):
        assert (await house.access.authenticate(token)).identity == ada.id


async def test_no_token_is_stored_and_no_key_is_shown(house: SignIn) -> None:
    await house.person()
    signed_in = await house.login()
    caller = await house.access.authenticate(signed_in.access_token)
    async with house.database.read() as connection:
        stored = str((await connection.execute(select(api_keys))).all())
        stored += str((await connection.execute(select(accounts))).all())
    for secret in (signed_in.access_token.split("_", 2)[2], signed_in.refresh_token, PASSWORD):
        assert secret not in stored
    assert await house.api_keys.listed(caller) == []
    with pytest.raises(Unauthenticated):
        await house.access.authenticate(signed_in.refresh_token)


async def test_everybody_else_is_told_the_same(house: SignIn) -> None:
    await house.person()
    off = await house.person("off@example.org")
    await house.accounts.set_active(off.id, False)
    await house.accounts.create("none@example.org")  # as a proxy's users: without a password
    tries = [
        (ADA, "wrong horse"),
        (ADA, ""),
        (ADA, PASSWORD + "x" * 2000),
        (ADA, "half \ud83d"),
        ("nobody@example.org", PASSWORD),
        ("off@example.org", PASSWORD),
        ("none@example.org", PASSWORD),
        ("none@example.org", ""),
        ("no address", PASSWORD),
        ("ädä@example.org", PASSWORD),
        ("a\x00da@example.org", PASSWORD),
        ("\ud83d@example.org", PASSWORD),
        ("x" * 10_000 + "@example.org", PASSWORD),
    ]
    told = set()
    for email, password in tries:
        with pytest.raises(Unauthenticated) as refused:
            await house.sessions.login(email, password, address="192.0.2.1")
        told.add(str(refused.value))
    assert len(told) == 1
    assert await sessions_stored(house) == 0


async def test_the_time_does_not_tell_either(house: SignIn) -> None:
    """A wide margin: an answer without the work would take a hundredth of the time."""
    await house.person()

    async def seconds(email: str) -> float:
        begun = time.perf_counter()
        with pytest.raises(Unauthenticated):
            await house.sessions.login(email, "wrong horse")
        return time.perf_counter() - begun

    known = [await seconds(ADA) for _ in range(5)]
    unknown = [await seconds("nobody@example.org") for _ in range(5)]
    assert statistics.median(unknown) > statistics.median(known) / 5


async def test_passwords_in_any_script_and_of_any_length(house: SignIn) -> None:
    ada = await house.person()
    for password in ("пароль и соль", "x" * 1024, "cafe\u0301 au lait"):
        await house.accounts.set_password(ada.id, password)
        await house.sessions.login(ADA, password)
        with pytest.raises(Unauthenticated):
            await house.sessions.login(ADA, PASSWORD)
    await house.sessions.login(ADA, "caf\u00e9 au lait")  # the same letters


async def test_a_hash_that_is_out_of_date_is_renewed_by_signing_in(house: SignIn) -> None:
    ada = await house.person()
    cheap = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    async with house.database.write() as transaction:
        await transaction.connection.execute(update(accounts).values(password_hash=cheap))
    await house.login()
    async with house.database.read() as connection:
        stored = (await connection.execute(select(accounts.c.password_hash))).scalar_one()
    assert stored != cheap and PasswordHasher().verify(stored, PASSWORD)
    # Also by several at once: one renews it, and all are let in.
    async with house.database.write() as transaction:
        await transaction.connection.execute(update(accounts).values(password_hash=cheap))
    houses = [house, house.elsewhere()] * 3
    entered = await asyncio.gather(*(one.login() for one in houses))
    assert {one.account.id for one in entered} == {ada.id}
    assert (await house.login()).account.id == ada.id


async def test_an_access_token_ends_with_its_hour_wherever_it_is_known(house: SignIn) -> None:
    await house.person()
    token = (await house.login()).access_token
    house.clock.advance(HOUR - 0.2)
    caller = await house.access.authenticate(token)
    await house.access.confirm(caller)
    house.clock.advance(0.1)
    assert await house.access.authenticate(token) == caller  # from memory
    house.clock.advance(0.101)
    with pytest.raises(Unauthenticated):  # though it was known a fifth of a second ago
        await house.access.authenticate(token)
    with pytest.raises(Unauthenticated):  # of a connection that has stayed
        await house.access.confirm(caller)
    with pytest.raises(Unauthenticated):
        await house.elsewhere().access.authenticate(token)


async def test_a_session_is_renewed_and_the_old_token_lives_out_its_hour(house: SignIn) -> None:
    ada = await house.person()
    first = await house.login()
    house.clock.advance(HOUR / 2)
    second = await house.sessions.refresh(first.refresh_token)
    assert second.account == ada
    assert (second.expires_at - first.expires_at).total_seconds() == HOUR / 2
    for token in (first.access_token, second.access_token):
        await house.access.authenticate(token)
    house.clock.advance(HOUR / 2)
    with pytest.raises(Unauthenticated):
        await house.access.authenticate(first.access_token)
    await house.access.authenticate(second.access_token)
    house.clock.advance(29 * DAY)  # long after the access token has ended
    third = await house.sessions.refresh(second.refresh_token)
    await house.access.authenticate(third.access_token)
    house.clock.advance(30 * DAY)
    with pytest.raises(Unauthenticated):
        await house.sessions.refresh(third.refresh_token)


async def test_a_refresh_token_works_once(house: SignIn) -> None:
    await house.person()
    first = await house.login()
    second = await house.sessions.refresh(first.refresh_token)
    with pytest.raises(Unauthenticated) as refused:
        await house.sessions.refresh(first.refresh_token)
    for other in ("", "opsin-refresh_x", second.access_token, "ü" * 300, "\ud83d", "a\x00b"):
        with pytest.raises(Unauthenticated, match=str(refused.value)):
            await house.sessions.refresh(other)
    # Who has the new pair is not disturbed.
    await house.access.authenticate(second.access_token)
    await house.sessions.refresh(second.refresh_token)


async def test_of_many_who_renew_at_once_exactly_one_wins(house: SignIn) -> None:
    await house.person()
    for _ in range(5):
        first = await house.login()
        houses = [house, house.elsewhere()] * 4
        answers = await asyncio.gather(
            *(one.sessions.refresh(first.refresh_token) for one in houses), return_exceptions=True
        )
        (won,) = [one for one in answers if not isinstance(one, BaseException)]
        lost = [one for one in answers if isinstance(one, BaseException)]
        assert {type(one) for one in lost} == {Unauthenticated}, lost
        await house.access.authenticate(won.access_token)


async def test_signing_out_ends_all_tokens_of_the_session_and_no_others(house: SignIn) -> None:
    await house.person()
    other = await house.login()
    first = await house.login()
    second = await house.sessions.refresh(first.refresh_token)
    caller = await house.access.authenticate(second.access_token)
    stayed = await house.access.authenticate(first.access_token)
    await house.sessions.logout(caller)
    for token in (first.access_token, second.access_token):
        with pytest.raises(Unauthenticated):
            await house.access.authenticate(token)  # at once, though it was known
    for principal in (caller, stayed):
        with pytest.raises(Unauthenticated):
            await house.access.confirm(principal)
    with pytest.raises(Unauthenticated):
        await house.sessions.refresh(second.refresh_token)
    await house.access.authenticate(other.access_token)
    await house.sessions.refresh(other.refresh_token)


async def test_signing_out_is_of_sessions_only(house: SignIn) -> None:
    await house.person()
    caller = await house.caller()
    _, key = await house.api_keys.create(caller, "a key")
    _, private = await house.private_tokens.create(caller, "a token")
    for token in (key, private):
        with pytest.raises(InvalidInput):
            await house.sessions.logout(await house.access.authenticate(token))
        await house.elsewhere().access.authenticate(token)
    with pytest.raises(InvalidInput):
        await house.sessions.logout(Principal(caller.company_id, "the local user"))


async def test_who_is_switched_off_is_out_at_once(house: SignIn) -> None:
    ada = await house.person()
    signed_in = await house.login()
    caller = await house.access.authenticate(signed_in.access_token)
    record, private = await house.private_tokens.create(caller, "a token")
    await house.access.authenticate(private)
    await house.accounts.set_active(ada.id, False)
    for token in (signed_in.access_token, private):
        with pytest.raises(Unauthenticated):
            await house.access.authenticate(token)
    with pytest.raises(Unauthenticated):
        await house.access.confirm(caller)
    with pytest.raises(Unauthenticated):
        await house.sessions.refresh(signed_in.refresh_token)
    with pytest.raises(Unauthenticated):
        await house.login()
    await house.accounts.set_active(ada.id, True)
    house.clock.advance(0.001)
    assert (await house.access.authenticate(private)).key_id == record.id
    for ended in (
        house.access.authenticate(signed_in.access_token),
        house.sessions.refresh(signed_in.refresh_token),
    ):
        with pytest.raises(Unauthenticated):
            await ended
    await house.login()


async def test_another_password_ends_the_sessions(house: SignIn) -> None:
    ada = await house.person()
    ben = await house.person(BEN)
    signed_in, bens = await house.login(), await house.login(BEN)
    await house.access.authenticate(signed_in.access_token)
    _, private = await house.private_tokens.create(await house.caller(), "a token")
    await house.accounts.set_password(ada.id, "another horse")
    with pytest.raises(Unauthenticated):
        await house.access.authenticate(signed_in.access_token)
    with pytest.raises(Unauthenticated):
        await house.sessions.refresh(signed_in.refresh_token)
    with pytest.raises(Unauthenticated):
        await house.login()
    await house.sessions.login(ADA, "another horse")
    await house.access.authenticate(private)
    assert (await house.access.authenticate(bens.access_token)).account_id == ben.id


async def test_a_password_that_changes_while_it_is_compared_lets_nobody_in(
    house: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await house.person()
    check, checked, go_on = house.passwords.check, asyncio.Event(), asyncio.Event()

    async def slow(stored: str | None, password: str) -> object:
        found = await check(stored, password)
        checked.set()
        await go_on.wait()
        return found

    for change in (
        lambda: house.elsewhere().accounts.set_active(ada.id, False),
        lambda: house.elsewhere().accounts.set_password(ada.id, "another horse"),
    ):
        await house.accounts.set_active(ada.id, True)
        checked.clear()
        go_on.clear()
        monkeypatch.setattr(house.passwords, "check", slow)
        entering = asyncio.create_task(house.login())
        await checked.wait()
        await change()
        go_on.set()
        with pytest.raises(Unauthenticated):
            await entering
        monkeypatch.undo()


async def test_too_many_attempts_on_an_account(house: SignIn) -> None:
    limited = SignIn(house.database, house.clock, attempts=3)
    await limited.person()
    await limited.person(BEN)
    for password in ("wrong horse", "wrong horse", PASSWORD):
        with contextlib.suppress(Unauthenticated):
            await limited.sessions.login(ADA, password, address="192.0.2.1")
        limited.clock.advance(10)
    # Whatever the password is, in whatever letters the address, and in every process.
    for house_, email, password in (
        (limited, ADA, PASSWORD),
        (SignIn(house.database, house.clock, attempts=3), ADA.upper() + " ", "wrong horse"),
    ):
        with pytest.raises(Throttled) as refused:
            await house_.sessions.login(email, password)
        assert refused.value.retry_after == pytest.approx(30, abs=0.01)
        assert status_of(refused.value) == 429
        assert headers_of(refused.value)["retry-after"] in ("30", "31")
    await limited.sessions.login(BEN, PASSWORD)
    limited.clock.advance(30.01)
    await limited.sessions.login(ADA, PASSWORD)


async def test_accounts_that_are_not_there_are_throttled_alike(house: SignIn) -> None:
    limited = SignIn(house.database, house.clock, attempts=2)
    for email in ("nobody@example.org", "no address"):
        for _ in range(2):
            with pytest.raises(Unauthenticated):
                await limited.sessions.login(email, PASSWORD)
        with pytest.raises(Throttled):
            await limited.sessions.login(email, PASSWORD)


async def test_too_many_attempts_from_an_address(house: SignIn) -> None:
    limited = SignIn(house.database, house.clock, attempts=1)
    await limited.person()
    for number in range(5):
        with pytest.raises(Unauthenticated):
            await limited.sessions.login(f"{number}@example.org", PASSWORD, address="192.0.2.1")
    with pytest.raises(Throttled):
        await limited.sessions.login(ADA, PASSWORD, address="192.0.2.1")
    await limited.sessions.login(ADA, PASSWORD, address="192.0.2.2")


async def test_sessions_that_are_over_are_swept(house: SignIn) -> None:
    await house.person()
    first = await house.login()
    await house.sessions.refresh(first.refresh_token)
    await house.sessions.logout(await house.caller())
    _, private = await house.private_tokens.create(await house.caller(), "a token")
    assert await sessions_stored(house) == 4
    assert await house.sessions.sweep() == 1  # the one that was ended
    await house.access.authenticate(first.access_token)
    house.clock.advance(HOUR)
    assert await house.sessions.sweep() == 1  # the one that was renewed
    house.clock.advance(30 * DAY)
    assert await house.sessions.sweep() == 2
    assert await sessions_stored(house) == 0
    await house.access.authenticate(private)
