"""Published clients that need older packages than the tests' environment has, each in a folder."""

import fcntl
import subprocess
import sys
from pathlib import Path

SHARE = Path(sys.prefix, "share")
PEKAT = "pekat-vision-sdk==1.4.4"
"""The last one that can send an API key; the environment has the newest."""
WEBSOCKETS = "websockets==13.1"
"""The last one that knows `extra_headers` and `ws.open`."""
WEBSOCKET_CLIENT = "websocket-client==1.8.0"


def installed(requirement: str) -> Path:
    """The folder of a package (`name==version`), which is put there once, without what it needs.

    However many pytest workers ask, one installs and the others wait.
    """
    folder = SHARE / requirement.replace("==", "-")
    SHARE.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go of when the file is closed
        stamp = folder / ".installed"
        if not stamp.is_file():
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input"]
            done = subprocess.run(
                [*pip, "--no-deps", "--upgrade", "--target", str(folder), requirement],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise RuntimeError(f"{requirement} could not be installed:\n{done.stderr}")
            stamp.touch()
    return folder


if __name__ == "__main__":  # as `make install` does it
    for one in (PEKAT, WEBSOCKETS, WEBSOCKET_CLIENT):
        installed(one)
