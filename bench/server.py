"""A real server in a process of its own, for measurements over the wire."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx


@contextlib.contextmanager
def running_server(folder: Path, **settings: str) -> Iterator[httpx.Client]:
    """A server for `settings` (names without `OPSIN_`), and a client for it."""
    with running_process(folder, **settings) as (client, _):
        yield client


@contextlib.contextmanager
def running_process(
    folder: Path, **settings: str
) -> "Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]":
    """The same, and the server's process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        f"OPSIN_{name.upper()}": value
        for name, value in ({"data_dir": str(folder), "log_level": "error"} | settings).items()
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "opsin", "serve", "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            wait_until_accepting(client, process)
            yield client, process
    finally:
        process.terminate()
        process.wait()


def wait_until_accepting(client: httpx.Client, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError("the server ended before it accepted requests")
        with contextlib.suppress(httpx.TransportError):
            if client.get("/health").status_code == 200:
                return
        time.sleep(0.01)
    raise TimeoutError("the server does not accept requests")


def data(client: httpx.Client, query: str, **variables: Any) -> dict[str, Any]:
    """The data of an answer without errors."""
    answer = client.post("/graphql", json={"query": query, "variables": variables}).json()
    if "errors" in answer:
        raise RuntimeError(answer["errors"])
    result: dict[str, Any] = answer["data"]
    return result


def new_image(client: httpx.Client, picture: bytes) -> str:
    """The id of an image in a new dataset."""
    import base64

    made = data(client, 'mutation { createDataset(input: {name: "bench"}) { id } }')
    imported = data(
        client,
        "mutation($input: ImportImageInput!) { importImage(input: $input) { id } }",
        input={
            "datasetId": made["createDataset"]["id"],
            "base64": base64.b64encode(picture).decode(),
            "filename": "bench",
        },
    )
    return str(imported["importImage"]["id"])
