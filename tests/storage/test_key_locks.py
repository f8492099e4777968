"""Locks that several processes see: taken by one, refused to others, given up with the process."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from opsin.storage.database import Database
from opsin.storage.key_locks import FileKeyLocks, KeyLocks, PostgresKeyLocks
from tests.conftest import administer
from tests.core.working import until

_OTHER = """
import asyncio, sys
from opsin.storage.database import Database

async def main():
    database = Database(sys.argv[1])
    locks = database.key_locks()
    for line in sys.stdin:
        word, *keys = line.split()
        found = await getattr(locks, word)([int(key) for key in keys])
        print(*sorted(found or ()), flush=True)

asyncio.run(main())
"""


class Other:
    """Another process at the same database."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def take(self, *keys: int) -> list[int]:
        return await self._ask("take", keys)

    async def release(self, *keys: int) -> None:
        await self._ask("release", keys)

    async def _ask(self, word: str, keys: Sequence[int]) -> list[int]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{word} {' '.join(map(str, keys))}\n".encode())
        line = await asyncio.wait_for(self.process.stdout.readline(), 30)
        return [int(key) for key in line.split()]

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@contextlib.asynccontextmanager
async def other_process(url: str) -> AsyncIterator[Other]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _OTHER,
        url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Other(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def locks(any_database_url: str) -> AsyncIterator[KeyLocks]:
    database = Database(any_database_url)
    found = database.key_locks()
    yield found
    await found.close()
    await database.close()


LARGEST = 2**63 - 1


async def test_one_process_holds_a_key(locks: KeyLocks, any_database_url: str) -> None:
    assert await locks.take([0, 5, LARGEST]) == {0, 5, LARGEST}
    async with other_process(any_database_url) as other:
        assert await other.take(5, 6, LARGEST) == [6]
        assert await locks.take([6, 7]) == {7}
        await locks.release([5])
        assert await other.take(0, 5) == [5]
        await other.release(6)
        assert await locks.take([5, 6]) == {6}


async def test_what_was_taken_twice_is_released_twice(
    locks: KeyLocks, any_database_url: str
) -> None:
    async with other_process(any_database_url) as other:
        assert await locks.take([1]) == await locks.take([1]) == {1}
        await locks.release([1])
        assert await other.take(1) == []
        await locks.release([1])
        assert await other.take(1) == [1]


async def test_a_process_that_ends_holds_nothing(locks: KeyLocks, any_database_url: str) -> None:
    async with other_process(any_database_url) as other:
        assert await other.take(1, 2) == [1, 2]
        assert await locks.take([1, 2]) == frozenset()
        await other.kill()

        async def is_free() -> bool:
            return await locks.take([1]) == {1}

        await until(is_free, 10)  # the server has to notice


async def test_closed_they_hold_nothing_and_can_be_used_again(
    locks: KeyLocks, any_database_url: str
) -> None:
    await locks.take([1])
    await locks.close()
    async with other_process(any_database_url) as other:

        async def is_free() -> bool:
            return await other.take(1) == [1]

        await until(is_free, 10)
        assert await locks.take([1, 2]) == {2}


@pytest.mark.parametrize("any_database_url", ["postgresql"], indirect=True)
async def test_a_lost_session_is_opened_again(
    locks: KeyLocks, any_database_url: str, postgres: str
) -> None:
    await locks.take([1])
    statement = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
    await administer(any_database_url, statement)
    await locks.release([1])  # nothing to release: it went with the session
    assert await locks.take([1, 2]) == {1, 2}
    async with other_process(any_database_url) as other:
        assert await other.take(1, 2, 3) == [3]


async def test_without_a_database_everybody_has_everything(unused_tcp_port: int) -> None:
    locks = PostgresKeyLocks({"host": "127.0.0.1", "port": unused_tcp_port, "user": "a"}, "test")
    assert await locks.take([1, 2]) == {1, 2}
    await locks.release([1])
    await locks.close()


async def test_where_no_file_can_be_made_everybody_has_everything(tmp_path: Path) -> None:
    locks = FileKeyLocks(tmp_path / "there is no such folder" / "locks")
    assert await locks.take([1, 2]) == {1, 2}
    await locks.release([1])
    await locks.close()
