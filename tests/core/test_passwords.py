"""Passwords: what may be one, how it is stored, and that nothing tells who has one."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from argon2 import PasswordHasher, extract_parameters

from opsin.core import passwords as module
from opsin.core.errors import InvalidInput, Overloaded
from opsin.core.passwords import LONGEST, SHORTEST, Passwords


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    made = Passwords()
    yield made
    await made.close()


@pytest.mark.parametrize(
    "password",
    [
        "correct horse",
        "x" * SHORTEST,
        "x" * LONGEST,
        "пароль-пароль",
        "密码密码密码密码",
        "🐋" * SHORTEST,
        "  blanks count  ",
        "a\x00b\x00c\x00d\x00e",
        "\ufdfa" * LONGEST,  # one character that is eighteen once it is taken apart
    ],
    ids=lambda password: ascii(password[:16]),
)
async def test_a_password_fits_itself_and_nothing_near_it(
    passwords: Passwords, password: str
) -> None:
    stored = await passwords.hash(password)
    assert stored.startswith("$argon2id$") and password not in stored
    assert stored != await passwords.hash(password)  # salted
    assert (await passwords.check(stored, password)).fits
    for other in (password[:-1], password + "x", password.swapcase() + "y", ""):
        assert not (await passwords.check(stored, other)).fits


async def test_letters_count_however_they_are_composed(passwords: Passwords) -> None:
    composed, apart = "caf\u00e9 au lait", "cafe\u0301 au lait"
    assert composed != apart
    assert (await passwords.check(await passwords.hash(composed), apart)).fits
    assert not (await passwords.check(await passwords.hash(composed), "cafe au lait")).fits


@pytest.mark.parametrize("password", ["", "short", "x" * (LONGEST + 1), "half a \ud83d character"])
async def test_what_is_no_password(passwords: Passwords, password: str) -> None:
    with pytest.raises(InvalidInput, match="8 to 1024"):
        await passwords.hash(password)
    # Where somebody tries it, it is a wrong one.
    assert not (await passwords.check(await passwords.hash("correct horse"), password)).fits


async def test_a_text_of_any_length_is_refused_without_being_worked_on(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalized: list[int] = []

    def normalize(form: str, text: str) -> str:
        normalized.append(len(text))
        return text

    monkeypatch.setattr("opsin.core.passwords.unicodedata.normalize", normalize)
    stored = await passwords.hash("correct horse")
    assert not (await passwords.check(stored, "x" * 50_000_000)).fits
    assert max(normalized) <= LONGEST


async def test_the_same_work_is_done_whatever_is_wrong(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody learns from the time that it takes whether there is such an account."""
    stored = await passwords.hash("correct horse")
    done: list[object] = []
    verify = PasswordHasher.verify

    def noting(hasher: PasswordHasher, hash: str, password: bytes) -> bool:
        if "$" in hash:
            done.append(extract_parameters(hash))
        return verify(hasher, hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", noting)
    for hash_of, password in (
        (stored, "wrong horse"),
        (None, "correct horse"),  # no such account, or one without a password
        (None, "x" * (LONGEST + 1)),
        (stored, "half a \ud83d character"),
        ("damaged", "correct horse"),
    ):
        assert not (await passwords.check(hash_of, password)).fits
    assert done == [extract_parameters(stored)] * 5


async def test_a_hash_of_other_costs_is_renewed(passwords: Passwords) -> None:
    cheap = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("correct horse")
    checked = await passwords.check(cheap, "correct horse")
    assert checked.fits and checked.new_hash is not None
    assert await passwords.check(checked.new_hash, "correct horse") == module.Checked(True)
    assert await passwords.check(cheap, "wrong horse") == module.Checked(False)


async def test_too_many_at_once_are_told_so_and_the_others_are_answered(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 3)
    answers = await asyncio.gather(
        *(passwords.check(None, "anything") for _ in range(5)), return_exceptions=True
    )
    assert [isinstance(one, Overloaded) for one in answers] == [False] * 3 + [True] * 2
    assert not (await passwords.check(None, "anything")).fits
