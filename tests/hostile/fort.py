"""`opsin serve` as an operator starts it, with a key, and raw connections to it."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from opsin.assembly import Parts, assemble
from opsin.settings import Settings, environment_with
from tests.graphql.conftest import new_key


@dataclass(frozen=True, slots=True)
class Fort:
    """A server process and a good key for it."""

    port: int
    key: str
    client: httpx.AsyncClient
    process: "subprocess.Popen[bytes]"
    output: Path

    @property
    def rss(self) -> int:
        """Bytes of memory that its process holds."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    async def is_well(self) -> bool:
        """Whether it answers a good caller in a moment, whatever else goes on."""
        async with asyncio.timeout(60):
            answer = await self.client.post("/graphql", json={"query": "{ viewer { name } }"})
        return bool(answer.json() == {"data": {"viewer": {"name": "a key of ours"}}})

    def logged(self) -> str:
        return self.output.read_text(errors="replace")


@contextlib.asynccontextmanager
async def fort(
    folder: Path, prepare: Callable[[Parts], Awaitable[None]] | None = None, **settings: Any
) -> AsyncIterator[Fort]:
    """It asks for keys; what it logs must hold no traceback in the end.

    `prepare` is given the house before the server starts.
    """
    data = folder / "data"
    given = {"auth": "keys", "worker": False, "webhooks": False, "data_dir": data} | settings
    async with assemble(Settings(data_dir=data, auth="keys")).running() as parts:
        key = await new_key(parts, "ours")
        if prepare is not None:
            await prepare(parts)
    output = folder / "output"
    command = [sys.executable, "-m", "opsin", "serve", "--port", "0"]
    texts = {name: str(value) for name, value in given.items()}
    with output.open("wb") as file:
        process = subprocess.Popen(  # noqa: ASYNC220  # begun before anything else goes on
            command, stdout=file, stderr=file, env=environment_with(**texts), cwd=folder
        )
    try:
        async with asyncio.timeout(120):
            while "/graphql" not in output.read_text():
                assert process.poll() is None, output.read_text()
                await asyncio.sleep(0.05)
        url = next(w for w in output.read_text().split() if w.endswith("/graphql"))
        port = int(url.removesuffix("/graphql").rpartition(":")[2])
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": key}, timeout=60
        ) as client:
            yield Fort(port, key, client, process, output)
        assert "Traceback" not in (text := output.read_text(errors="replace")), text
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, 30)
        finally:
            process.kill()
            process.wait(10)
