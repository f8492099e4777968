"""`opsin serve` as a process of its own."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from opsin.cli.demo_server import running_server


@asynccontextmanager
async def served(folder: Path, file: Path, **environment: str) -> AsyncIterator[str]:
    """A server with this manifest; gives its URL."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    given = {name: text for name, text in os.environ.items() if not name.startswith("OPSIN_")} | {
        "OPSIN_DATA_DIR": str(folder / "data"),
        "OPSIN_DEVICE": "cpu",
        "OPSIN_OFFLINE": "true",
        "OPSIN_PLUGIN_OPTIONS": json.dumps({"cetacean": {"manifest": str(file)}}),
        "OMP_NUM_THREADS": "2",
        **environment,
    }
    async with running_server(["--port", "0", "--no-worker"], given, folder / "log") as url:
        yield url


async def run(*command: str, cwd: Path) -> str:
    """What a program prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()
