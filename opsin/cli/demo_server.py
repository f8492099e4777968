"""The server of the demo: a process of its own, ended whatever happens."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from opsin.core.errors import OpsinError

_START_SECONDS = 60
_STOP_SECONDS = 20
_ANNOUNCED = "GraphQL"


@contextlib.asynccontextmanager
async def running_server(
    arguments: list[str], environment: Mapping[str, str], log: Path
) -> AsyncIterator[str]:
    """`opsin serve` with these arguments; gives its URL once it accepts requests.

    Raises OpsinError when it does not start, or does not end as it should.
    """
    with log.open("wb") as log_file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a folder of the working directory must not hide a package
            "-m",
            "opsin",
            "serve",
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=log_file,
            env=environment,
        )
    try:
        try:
            url = await asyncio.wait_for(_announced(process), _START_SECONDS)
        except TimeoutError:
            raise OpsinError(f"the server did not start in {_START_SECONDS} s") from None
        if url is None:
            raise OpsinError(f"the server did not start: {_last_line(log)}")
        yield url
    finally:
        code = await _stop(process)
    if code != 0:
        raise OpsinError(f"the server ended with exit code {code}: {_last_line(log)}")


async def _announced(process: Process) -> str | None:
    """The address that the server prints when it accepts requests; None when it ended instead."""
    assert process.stdout is not None
    async for line in process.stdout:
        name, _, url = line.decode().partition(" ")
        if name == _ANNOUNCED:
            return url.strip().removesuffix("/graphql")
    return None


async def _stop(process: Process) -> int:
    """End the process, by force when asking does not help; gives its exit code."""
    if process.returncode is None:
        process.terminate()
    try:
        return await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        return await process.wait()
    except asyncio.CancelledError:  # a second Ctrl-C
        if process.returncode is None:
            process.kill()
        raise


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("opsin: ") if lines else "it said nothing"
