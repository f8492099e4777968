"""The Haut API over the wire: one portrait, a hundred at once, the results stream, idle sockets.

The server has two cores of the machine, the clients the others.  Every picture is another, so that
none is answered from what is stored.  `completedAt`, from which a frame's delay is measured, is
taken just before the commit.
"""

import asyncio
import base64
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import websockets
from PIL import Image

from bench.haut_sockets import Sockets
from bench.pictures import portrait
from bench.server import running_process
from bench.skin import own_times

EMAIL, PASSWORD = "bench@example.com", "a long password"
APPLICATION = "8b5b3acc-480b-4412-8d2c-ebe6ab4384d7"
DETECTOR = 40
ONE_BY_ONE, AT_ONCE, CONNECTIONS = 15, 100, 16
SOCKETS = 10_000
CORES = 2
ANALYSES = """query($after: String) { analyses(first: 500, after: $after) {
  nodes { id completedAt } pageInfo { hasNextPage endCursor } } }"""


def pictures(count: int) -> list[str]:
    """The portrait in a little more or less light, as JPEG in base64."""
    with Image.open(io.BytesIO(portrait())) as image:
        pixels = np.asarray(image.convert("RGB"), float)
    found = []
    for factor in np.linspace(0.94, 1.0, count):
        file = io.BytesIO()
        lit = Image.fromarray(np.clip(pixels * factor, 0, 255).astype(np.uint8))
        lit.save(file, "JPEG", quality=92)
        found.append(base64.b64encode(file.getvalue()).decode())
    return found


@contextmanager
def on_cores(count: int) -> Iterator[set[int]]:
    """What is started meanwhile has only so many cores; gives the others."""
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(all_of_them)[:count])
    try:
        yield set(sorted(all_of_them)[count:]) or all_of_them
    finally:
        os.sched_setaffinity(0, all_of_them)


def account(folder: Path) -> None:
    words = ["accounts", "create", EMAIL, "--password-stdin", "--company", "Bench"]
    environment = os.environ | {"OPSIN_DATA_DIR": str(folder)}
    subprocess.run(
        [sys.executable, "-m", "opsin", *words],
        input=PASSWORD.encode(),
        env=environment,
        check=True,
        capture_output=True,
    )


class Client:
    """A person who is signed in, with a dataset that the application is attached to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.AsyncClient(base_url=url, timeout=120)

    async def sign_in(self) -> None:
        body = {"username": EMAIL, "password": PASSWORD}
        told = (await self.http.post("/api/v1/login/", json=body)).json()
        self.token, self.company, self.user = told["access_token"], told["company_id"], told["id"]
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    async def post(self, path: str, **body: Any) -> Any:
        answer = await self.http.post(f"/api/v1/companies/{self.company}/{path}/", json=body)
        answer.raise_for_status()
        return answer.json()

    async def new_subject(self) -> str:
        """Its path, below the company's."""
        dataset = (await self.post("datasets", name="bench", image_type_id=1))["id"]
        await self.post(f"applications/{APPLICATION}/runs", dataset_id=dataset)
        subject = await self.post(f"datasets/{dataset}/subjects", name="bench")
        return f"datasets/{dataset}/subjects/{subject['id']}"

    async def upload(self, subject: str, picture: str) -> str:
        made: str = (await self.post(f"{subject}/images", b64data=picture))["id"]
        return made

    def stream(self) -> Any:
        address = f"{self.url.replace('http', 'ws')}/notifications/results/"
        return websockets.connect(
            f"{address}?company_id={self.company}",
            additional_headers={"Authorization": self.token},
            max_size=None,
            proxy=None,
        )

    def notifications(self) -> Any:
        address = f"{self.url.replace('http', 'ws')}/notifications/?user_id={self.user}"
        cookie = {"Cookie": f"authorization={self.token}"}
        return websockets.connect(address, additional_headers=cookie, proxy=None)

    async def completed(self) -> dict[str, float]:
        """When each analysis was completed, by its id."""
        found: dict[str, float] = {}
        after = None
        while True:
            body = {"query": ANALYSES, "variables": {"after": after}}
            page = (await self.http.post("/graphql", json=body)).json()["data"]["analyses"]
            for one in page["nodes"]:
                found[one["id"]] = datetime.fromisoformat(one["completedAt"]).timestamp()
            if not page["pageInfo"]["hasNextPage"]:
                return found
            after = page["pageInfo"]["endCursor"]


async def one_by_one(client: Client) -> dict[str, float]:
    """Milliseconds from the upload's first byte to the first measure, and to the last of all."""
    subject = await client.new_subject()
    first, last, cold = [], [], 0.0
    async with client.stream() as stream, client.notifications() as notifications:
        for number, picture in enumerate(pictures(ONE_BY_ONE + 1)):
            started = time.perf_counter()
            sent = asyncio.create_task(client.upload(subject, picture))
            finished = asyncio.create_task(notifications.recv())
            frames: list[tuple[float, dict[str, Any]]] = []
            reading = asyncio.create_task(_read(stream, frames))
            told = json.loads(await finished)
            ended = time.perf_counter() - started
            image = await sent
            assert told["meta"]["image_id"] == image
            await asyncio.sleep(0.3)  # the other socket may be read a little later
            reading.cancel()
            await asyncio.wait({reading})
            measured = next(at for at, one in frames if _is_measure(one, image)) - started
            if number == 0:
                cold = ended  # the server loads the face finder
                continue
            first.append(measured)
            last.append(ended)
    return {
        "first_picture_ms": round(cold * 1000),
        "to_first_metric_ms": round(statistics.median(first) * 1000),
        "to_all_metrics_ms": round(statistics.median(last) * 1000),
    }


async def _read(stream: Any, frames: list[tuple[float, dict[str, Any]]]) -> None:
    async for text in stream:
        frames.append((time.perf_counter(), json.loads(text)))


def _is_measure(told: dict[str, Any], image: str) -> bool:
    """Whether a frame is a measure of this image, and not of one before."""
    of_it: bool = told["image_id"] == image and told["is_ok"]
    return of_it and told["algorithm_version_id"] != DETECTOR


async def at_once(client: Client, process: "subprocess.Popen[bytes]") -> dict[str, float]:
    """Images a second from the first byte to the last notification, and the stream's delays.

    The processor's time is told as well: unlike a clock's, it is not more where others work too.
    """
    subject = await client.new_subject()
    room = asyncio.Semaphore(CONNECTIONS)
    arrived: dict[str, float] = {}
    finished: set[str] = set()

    async def follow(stream: Any) -> None:
        async for text in stream:
            arrived[json.loads(text)["id"]] = time.time()

    async def send(picture: str) -> None:
        async with room:
            await client.upload(subject, picture)

    prepared = pictures(AT_ONCE)
    async with client.stream() as stream, client.notifications() as notifications:
        following = asyncio.create_task(follow(stream))
        started, used = time.perf_counter(), processor_seconds(process)
        async with asyncio.TaskGroup() as group:
            for picture in prepared:
                group.create_task(send(picture))
            while len(finished) < AT_ONCE:
                finished.add(json.loads(await notifications.recv())["meta"]["image_id"])
        seconds = time.perf_counter() - started
        used = processor_seconds(process) - used
        await asyncio.sleep(1)
        following.cancel()
    completed = await client.completed()
    delays = sorted(1000 * (moment - completed[one]) for one, moment in arrived.items())
    return {
        "images_per_second": round(AT_ONCE / seconds, 2),
        "processor_s_per_image": round(used / AT_ONCE, 3),
        "frames": len(delays),
        "stream_delay_median_ms": round(statistics.median(delays), 1),
        "stream_delay_p99_ms": round(delays[int(len(delays) * 0.99)], 1),
    }


def processor_seconds(process: "subprocess.Popen[bytes]") -> float:
    """That a process has used so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(process: "subprocess.Popen[bytes]") -> float:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS in the process's status")


async def idle_sockets(client: Client, process: "subprocess.Popen[bytes]") -> dict[str, float]:
    """What so many notification sockets take of the server's memory, with nothing to tell."""
    await asyncio.sleep(61)  # what was told in the last minute would be sent to them
    before = resident_megabytes(process)
    async with Sockets(client.url, client.user, client.token, SOCKETS) as sockets:
        await asyncio.sleep(3)
        held = resident_megabytes(process)
        return {
            "sockets": sockets.count,
            "connected_in_s": round(sockets.seconds, 1),
            "before_mb": round(before),
            "with_them_mb": round(held),
            "kb_each": round((held - before) * 1024 / sockets.count, 1),
        }


async def _measure(url: str, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    client = Client(url)
    await client.sign_in()
    result: dict[str, Any] = await one_by_one(client)
    result |= await at_once(client, process)
    with Image.open(io.BytesIO(portrait())) as image:
        own = sum(own_times(image.size, time.process_time, threads=1).values()) / 1000
    result["processor_s_per_image_of_the_operations_alone"] = round(own, 3)
    result["idle"] = await idle_sockets(client, process)
    await client.http.aclose()
    return result


def main() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="opsin-bench-") as name:
        folder = Path(name)
        account(folder)
        with on_cores(CORES) as others:
            context = running_process(folder, auth="keys", offline="true", device="cpu")
            client, process = context.__enter__()
        try:
            os.sched_setaffinity(0, others)
            result = asyncio.run(_measure(str(client.base_url).rstrip("/"), process))
        finally:
            context.__exit__(None, None, None)
    print(result, flush=True)
    return result


if __name__ == "__main__":
    main()
