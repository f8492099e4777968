"""The published clients, unmodified: the newest in the environment, the old one in a folder."""

import asyncio
import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

OLD_VERSION = "1.4.4"  # the last one that can send an API key
OLD_SDK = Path(sys.prefix, "share", f"pekat-vision-sdk-{OLD_VERSION}")
"""Two versions of one package do not fit into one environment."""
LONGEST_SESSION = 90.0


def install_old_sdk() -> Path:
    """Done once, however many pytest workers ask; it needs nothing that the newest one does not."""
    OLD_SDK.parent.mkdir(parents=True, exist_ok=True)
    with OLD_SDK.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go of when the file is closed
        stamp = OLD_SDK / ".installed"
        if not stamp.is_file():
            requirement = f"pekat-vision-sdk=={OLD_VERSION}"
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input"]
            done = subprocess.run(
                [*pip, "--no-deps", "--upgrade", "--target", str(OLD_SDK), requirement],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise RuntimeError(f"{requirement} could not be installed:\n{done.stderr}")
            stamp.touch()
    return OLD_SDK


old_sdk = pytest.fixture(scope="session", name="old_sdk")(install_old_sdk)


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


if __name__ == "__main__":  # as `make install` does it
    install_old_sdk()
