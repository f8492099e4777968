"""Accounts made by several processes at the same time: each has a number of its own."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from opsin.core.errors import Conflict
from tests.core.sign_in import SignIn, sign_in_on

PROCESSES, EACH = 3, 25

_PROGRAM = """
import asyncio, sys

from tests.core.sign_in import sign_in_on

async def main(url, mark, each):
    async with sign_in_on(url) as house:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(each):
            made = await house.accounts.create(f"{mark}-{number}@example.org", company="whales")
            print(made.number, flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


@pytest.fixture
async def house(any_database_url: str) -> AsyncIterator[SignIn]:
    async with sign_in_on(any_database_url) as made:
        yield made


def numbers_of(url: str) -> list[int]:
    """What each of the processes was given; they begin together."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, url, f"process-{mark}", str(EACH)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for mark in range(PROCESSES)
    ]
    try:
        for process in running:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        outputs = []
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in running:
            outputs.append(process.communicate(timeout=60)[0])
            assert process.returncode == 0
    finally:
        for process in running:
            process.kill()
            process.wait()
    return [int(line) for output in outputs for line in output.split()]


async def test_processes_that_make_accounts_at_once(house: SignIn, any_database_url: str) -> None:
    first = await house.accounts.create("first@example.org", company="whales")
    assert first.number == 1
    numbers = await asyncio.to_thread(numbers_of, any_database_url)
    assert sorted(numbers) == list(range(2, 2 + PROCESSES * EACH))
    listed = await house.accounts.listed()
    assert {one.account.number for one in listed} == {1, *numbers}
    assert {one.company for one in listed} == {"whales"}


async def test_of_several_who_make_the_same_account_one_does(house: SignIn) -> None:
    houses = [house, *(house.elsewhere() for _ in range(5))]
    made = await asyncio.gather(
        *(one.accounts.create("ada@example.org") for one in houses), return_exceptions=True
    )
    assert sum(not isinstance(one, BaseException) for one in made) == 1
    assert {type(one) for one in made if isinstance(one, BaseException)} == {Conflict}
    # Those who were not first have used up no number.
    assert (await house.accounts.create("ben@example.org")).number == 2
