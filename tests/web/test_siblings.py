"""What the processes of one server tell each other, and what one leaves behind."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from opsin.web.siblings import Siblings

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def test_what_a_process_has_counted_stays_when_it_ends(tmp_path: Path) -> None:
    one, other = Siblings(tmp_path, "1"), Siblings(tmp_path, "2")
    async with other.serving(lambda: {"now": 1}, lambda: {"documented": [{"total": 7}]}):
        assert one.left() == []
    assert one.left() == [{"documented": [{"total": 7}]}]
    assert await one.ask() == {}


async def test_one_that_was_killed_is_forgotten_and_one_that_hangs_is_left_out(
    tmp_path: Path,
) -> None:
    hanging = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hanging.wait()
        writer.close()

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"said": "yes"}')
        writer.close()

    async def nonsense(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"{")
        writer.close()

    killed = tmp_path / "4.14.sock"
    dead = await asyncio.start_unix_server(answer, killed)
    dead.close()
    await dead.wait_closed()
    servers = [
        await asyncio.start_unix_server(handler, tmp_path / f"{name}.1{name}.sock")
        for name, handler in (("2", answer), ("3", hang), ("5", nonsense))
    ]
    found = await Siblings(tmp_path, "1").ask()
    assert found == {"2": {"said": "yes"}}
    assert not killed.exists()
    hanging.set()
    for server in servers:
        server.close()


async def test_of_two_in_one_place_the_older_is_about_to_leave(tmp_path: Path) -> None:
    def named(name: bytes) -> Handler:
        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b'{"pid": ' + name + b"}")
            writer.close()

        return answer

    old = await asyncio.start_unix_server(named(b"11"), tmp_path / "2.11.sock")
    await asyncio.sleep(0.05)  # a socket's time is its age
    new = await asyncio.start_unix_server(named(b"12"), tmp_path / "2.12.sock")
    assert await Siblings(tmp_path, "1").ask() == {"2": {"pid": 12}, "2-leaving": {"pid": 11}}
    for server in (old, new):
        server.close()
