"""Seconds until `opsin --help` ends, and until a server answers, with a fresh data folder."""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import httpx

from bench.server import wait_until_accepting

RUNS = 7


def main() -> list[dict[str, Any]]:
    result = {
        "help_seconds": round(statistics.median(_help() for _ in range(RUNS)), 3),
        "server_seconds": round(statistics.median(_server() for _ in range(RUNS)), 3),
    }
    print(result, flush=True)
    return [result]


def _help() -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "opsin", "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _server() -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="opsin-bench-") as folder:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "opsin", "serve", "--port", str(port)],
            env=os.environ | {"OPSIN_DATA_DIR": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                wait_until_accepting(client, process)
            return time.perf_counter() - started
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
