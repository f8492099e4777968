"""The published clients, unmodified: the newest in the environment, the old one in a folder."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.compat.old_clients import PEKAT, installed

OLD_VERSION = PEKAT.partition("==")[2]
LONGEST_SESSION = 90.0


@pytest.fixture(scope="session")
def old_sdk() -> Path:
    """Two versions of one package do not fit into one environment."""
    return installed(PEKAT)


async def session(
    script: str, asked: dict[str, Any], sdk: Path | None = None
) -> list[dict[str, Any]]:
    """Run a script of this folder with one of the clients, and read what it tells."""
    environment = {"PYTHONPATH": str(sdk)} if sdk is not None else {}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).parent / script),
        json.dumps(asked),
        stdout=pipe,
        stderr=pipe,
        env=environment,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), LONGEST_SESSION)
    finally:
        if process.returncode is None:  # too long, or the test was cancelled
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    told: list[dict[str, Any]] = json.loads(output.decode().splitlines()[-1])
    return told
