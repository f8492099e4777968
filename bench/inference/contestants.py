"""The servers side by side: how each is started on two cores, and how it is asked for a vector."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson

SERVER_CORES = {0, 1}

MUTATION = """mutation($file: Upload!) { analyzeImage(input: {file: $file, reuse: false,
 tasks: [{run: {embedClipVitB32: {}}}]}) { outcomes { errorMessage
 result { ... on Embedding { vector } } } } }"""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server and how a client asks it."""

    name: str
    start: Callable[[Path, int], "subprocess.Popen[bytes]"]
    request: Callable[[bytes], dict[str, Any]]
    vector: Callable[[Any], list[float]]
    path: str = "/embed"


def started(command: list[str], **environment: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | {"OMP_NUM_THREADS": str(len(SERVER_CORES))} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=partial(os.sched_setaffinity, 0, SERVER_CORES),
    )


def _peer(module: str, folder: Path, port: int) -> "subprocess.Popen[bytes]":
    return started(["-m", f"bench.inference.{module}", str(folder), str(port)])


def opsin_server(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    models = folder.parent / "models.toml"
    models.write_text(f'[embed_clip_vit_b_32.encoder]\nfolder = "{folder}"\n')
    return started(
        ["-m", "opsin", "serve", "--port", str(port)],
        OPSIN_DATA_DIR=str(folder.parent / "data"),
        OPSIN_MODELS=str(models),
        OPSIN_LOG_LEVEL="error",
        # Every picture differs, and so it is for the others: nothing is to be found again.
        OPSIN_RESULT_CACHE_BYTES="0",
        OPSIN_PICTURE_CACHE_BYTES="0",
    )


def _body(content: bytes) -> dict[str, Any]:
    return {"content": content, "headers": {"content-type": "image/jpeg"}}


def _upload(content: bytes) -> dict[str, Any]:
    return {"files": {"content": ("picture.jpg", content, "image/jpeg")}}


def _graphql(content: bytes) -> dict[str, Any]:
    return {
        "files": {
            "operations": (None, orjson.dumps({"query": MUTATION, "variables": {"file": None}})),
            "map": (None, b'{"0": ["variables.file"]}'),
            "0": ("picture.jpg", content, "image/jpeg"),
        },
    }


def _graphql_vector(answer: Any) -> list[float]:
    (outcome,) = answer["data"]["analyzeImage"]["outcomes"]
    if outcome["errorMessage"]:
        raise RuntimeError(outcome["errorMessage"])
    vector: list[float] = outcome["result"]["vector"]
    return vector


def _plain_vector(answer: Any) -> list[float]:
    vector: list[float] = answer["vector"]
    return vector


CONTESTANTS = (
    Contestant("plain FastAPI", partial(_peer, "plain_server"), _body, _plain_vector),
    Contestant("LitServe", partial(_peer, "litserve_server"), _upload, _plain_vector),
    Contestant("Ray Serve", partial(_peer, "ray_server"), _body, _plain_vector),
    Contestant("Opsin over HTTP", opsin_server, _graphql, _graphql_vector, "/graphql"),
)


@contextlib.contextmanager
def running(contestant: Contestant, folder: Path, picture: bytes) -> Iterator[str]:
    """The URL of the started server, which has answered once and so has loaded its model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = contestant.start(folder, port)
    url = f"http://127.0.0.1:{port}{contestant.path}"
    try:
        deadline = time.monotonic() + 180
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{contestant.name} does not answer")
            with contextlib.suppress(httpx.TransportError, ValueError, KeyError):
                answer = httpx.post(url, timeout=120, **contestant.request(picture))
                if answer.status_code == 200 and contestant.vector(answer.json()):
                    break
            time.sleep(0.25)
        yield url
    finally:
        # A whole session: LitServe and Ray have processes of their own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
