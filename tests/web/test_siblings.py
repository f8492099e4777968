"""What the processes of one server tell each other, and what one leaves behind."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from opsin.web.siblings import Siblings, Told

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def test_what_a_process_has_counted_stays_when_it_ends(tmp_path: Path) -> None:
    one, other = Siblings(tmp_path, "1"), Siblings(tmp_path, "2")
    async with other.serving(lambda: {"now": 1}, lambda _left: {"documented": [{"total": 7}]}):
        assert one.left() == []
    assert one.left() == [{"documented": [{"total": 7}]}]
    assert await one.ask() == {}


async def test_each_place_leaves_one_file_however_often_it_was_taken(tmp_path: Path) -> None:
    def leave(left: Sequence[Told]) -> Told:
        return {"ended": 1 + sum(told["ended"] for told in left)}

    for _ in range(5):
        for name in ("1", "2"):
            async with Siblings(tmp_path, name).serving(dict, leave):
                pass
    assert Siblings(tmp_path, "3").left() == [{"ended": 5}, {"ended": 5}]
    assert {path.name for path in _files(tmp_path)} == {"1.left", "2.left"}


async def test_what_was_half_written_when_its_process_was_killed_is_no_hindrance(
    tmp_path: Path,
) -> None:
    (tmp_path / "1.left").write_text('{"ended": 1')
    place = Siblings(tmp_path, "1")
    assert place.left() == []
    async with place.serving(dict, lambda left: {"before": len(left)}):
        pass
    assert place.left() == [{"before": 0}]


async def test_in_a_folder_whose_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    deep = tmp_path.joinpath("a" * 60, "b" * 60)
    deep.mkdir(parents=True)
    with pytest.raises(OSError, match="too long"):
        await asyncio.start_unix_server(lambda _reader, _writer: None, deep / "1.14.sock")
    async with _elsewhere(deep, "2"):
        assert await Siblings(deep, "1").ask() == {"2": {"place": "2"}}
    assert list(deep.glob("*.sock")) == []


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@asynccontextmanager
async def _elsewhere(folder: Path, name: str) -> AsyncIterator[None]:
    """Another process that tells which place it has."""
    script = (
        "import asyncio, sys, pathlib; from opsin.web.siblings import Siblings\n"
        "async def main():\n"
        "    folder, name = sys.argv[1:]\n"
        "    async with Siblings(pathlib.Path(folder), name).serving(lambda: {'place': name}):\n"
        "        print('there', flush=True)\n"
        "        await asyncio.to_thread(sys.stdin.read)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(folder), name, stdin=PIPE, stdout=PIPE
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        assert await process.stdout.readline() == b"there\n"
        yield
    finally:
        process.stdin.close()
        code = await process.wait()
    assert code == 0


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
