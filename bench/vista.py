"""The VISTA API beside a server of the usual kind: findings sent and read back, analyses made.

The two take turns on one database server; each is one process.  Server and database share two
cores, the clients have the others.
"""

import asyncio
import io
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from bench.databases import each_database
from bench.server import wait_until_accepting
from bench.vista_load import Load, annotations
from opsin.assembly import assemble
from opsin.core.images import NewImage
from opsin.settings import Settings

ROUNDS = 5
REQUESTS, EACH = 10, 1000
"""Of annotations: as many requests, with as many as one may have."""
CLIENTS, CREATES, PER_IMAGE = 16, 1280, 10
IMAGES = (ROUNDS + 1) * (CREATES // PER_IMAGE + 2)


@dataclass
class Contestant:
    """One server: the images it has left, and what was measured."""

    name: str
    load: Load
    process: "subprocess.Popen[bytes]"
    images: list[str]
    dialects: Sequence[str]
    processes: Callable[[], Sequence[int]]
    """Those of the server and of its database."""
    measured: dict[str, list[float]] = field(default_factory=dict)

    def turn(self) -> None:
        """Everything once."""
        for dialect in self.dialects:
            analysis = self._analysis()
            self._ingest(analysis, dialect)
        self._read(analysis)
        images = [self.images.pop() for _ in range(CREATES // PER_IMAGE)]
        # One image after the other, as a pipeline does; and never two clients at one image alone.
        requests = [self._create(image) for _ in range(PER_IMAGE) for image in images]
        with self._processor("create", len(requests)):
            self._note("creates_per_second", self.load.at_once(requests, 201, CLIENTS))

    def _analysis(self) -> str:
        _, answers = self.load.one_after_the_other([self._create(self.images.pop())], 201)
        return str(json.loads(answers[0])["id"])

    def _create(self, image: str) -> bytes:
        new = {"model_name": "yolo_v8", "model_version": "8.0", "parameters": {"threshold": 0.5}}
        return self.load.post(f"/api-key/images/{image}/analyses", new)

    def _ingest(self, analysis: str, dialect: str) -> None:
        path = f"/api-key/analyses/{analysis}/annotations:bulk"
        requests = [
            self.load.signed(path, {"annotations": annotations(EACH, seed)}, dialect)
            for seed in range(REQUESTS)
        ]
        status = 201 if dialect == "documented" else 200
        with self._processor(f"ingest_{dialect}"):
            seconds, answers = self.load.one_after_the_other(requests, status)
        if json.loads(answers[-1])["total"] != REQUESTS * EACH:
            raise AssertionError(answers[-1])
        self._note(f"ingest_{dialect}_ms", seconds * 1000)

    def _read(self, analysis: str) -> None:
        one = f"/api-key/analyses/{analysis}"
        pages = [
            self.load.get(f"{one}/annotations?skip={skip}&limit={EACH}")
            for skip in range(0, REQUESTS * EACH, EACH)
        ]
        for name, requests in (("read_pages", pages), ("read_whole", [self.load.get(one)])):
            with self._processor(name):
                seconds, answers = self.load.one_after_the_other(requests, 200)
            read = [row["data"] for answer in answers for row in json.loads(answer)["annotations"]]
            if len(read) != REQUESTS * EACH:
                raise AssertionError(f"{len(read)} annotations were read")
            self._note(f"{name}_ms", seconds * 1000)

    def _note(self, name: str, value: float) -> None:
        self.measured.setdefault(name, []).append(value)

    @contextmanager
    def _processor(self, name: str, parts: int = 1) -> Iterator[None]:
        """Notes the processor time of the step, which other work on the machine does not change."""
        before = self._processor_ms()
        yield
        self._note(f"{name}_processor_ms", (self._processor_ms() - before) / parts)

    def _processor_ms(self) -> float:
        threads = [
            thread
            for process in [self.process.pid, *self.processes()]
            for thread in Path(f"/proc/{process}/task").glob("*/schedstat")
        ]
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e6


def main() -> list[dict[str, Any]]:
    results = []
    cores = sorted(os.sched_getaffinity(0))
    for database, url, folder in each_database():
        with ExitStack() as stack:
            # Who serves and who stores have two cores, who asks has the others.
            _pin(_database_processes(folder), cores[:2])
            ours = stack.enter_context(_opsin(database, url, folder, cores[:2]))
            theirs = stack.enter_context(_baseline(database, url, folder, cores[:2]))
            os.sched_setaffinity(0, cores[2:] or cores)
            for number in range(ROUNDS + 1):
                # By turns, the first one in every second round the other.
                for one in (ours, theirs) if number % 2 else (theirs, ours):
                    one.turn()
            os.sched_setaffinity(0, cores)
            results += [_summary(database, one) for one in (ours, theirs)]
            results.append(_ratios(database, ours, theirs))
            print(results[-1], flush=True)
    return results


def _summary(database: str, one: Contestant) -> dict[str, Any]:
    """Medians; the first round is left out."""
    medians = {name: round(statistics.median(v[1:]), 2) for name, v in one.measured.items()}
    result = {"database": database, "server": one.name} | medians
    print(result, flush=True)
    return result


def _ratios(database: str, ours: Contestant, theirs: Contestant) -> dict[str, Any]:
    """How many times better, the median of the rounds."""
    ratios = {}
    for name, values in theirs.measured.items():
        pairs = list(zip(ours.measured[name], values, strict=True))[1:]
        more = name.endswith("per_second")
        ratios[name] = statistics.median([a / b if more else b / a for a, b in pairs])
    return {"database": database, "times_better": {n: round(r, 1) for n, r in ratios.items()}}


@contextmanager
def _opsin(database: str, url: str, folder: Path, cores: Sequence[int]) -> Iterator[Contestant]:
    home, secret = folder / "opsin", secrets.token_hex(16)
    settings = Settings(data_dir=home, database_url=url, worker=False)
    images, key = asyncio.run(_fill(settings))
    environment = {
        "OPSIN_DATA_DIR": str(home),
        "OPSIN_DATABASE_URL": url,
        "OPSIN_AUTH": "keys",
        "OPSIN_LOG_LEVEL": "error",
        "OPSIN_WORKER": "false",
        "ML_CALLBACK_HMAC_SECRET": secret,
    }
    with _server(["-m", "opsin", "serve"], environment, cores) as (process, port):
        load = Load(port, key, secret)
        name, dialects = f"opsin, {database}", ("documented", "timestamped")
        there = partial(_database_processes, folder)
        yield Contestant(name, load, process, images, dialects, there)


async def _fill(settings: Settings) -> tuple[list[str], str]:
    """Ids of images, and a key of their company."""
    async with assemble(settings).running() as parts:
        use_cases = parts.use_cases
        principal = await use_cases.access.local()
        dataset = await use_cases.datasets.create(principal, "bench")
        picture = io.BytesIO()
        Image.new("RGB", (64, 48), "gray").save(picture, "PNG")
        new = NewImage(dataset.id, "bench.png")
        made = [
            (await use_cases.images.add(principal, new, io.BytesIO(picture.getvalue()))).id
            for _ in range(IMAGES)
        ]
        return made, (await use_cases.api_keys.create(principal, "bench"))[1]


@contextmanager
def _baseline(database: str, url: str, folder: Path, cores: Sequence[int]) -> Iterator[Contestant]:
    secret = secrets.token_hex(16)
    if database == "sqlite":
        url = f"sqlite+aiosqlite:///{folder / 'baseline.sqlite3'}"
    environment = {
        "BASELINE_DATABASE_URL": url.replace("postgresql://", "postgresql+asyncpg://"),
        "BASELINE_SECRET": secret,
        "BASELINE_IMAGES": str(IMAGES),
    }
    command = ["-m", "uvicorn", "bench.vista_baseline:app", "--loop", "uvloop",
               "--http", "httptools", "--no-access-log", "--log-level", "error"]  # fmt: skip
    with _server(command, environment, cores) as (process, port):
        found = httpx.get(f"http://127.0.0.1:{port}/bench").json()
        load = Load(port, found["key"], secret)
        name = f"FastAPI and SQLAlchemy's ORM, {database}"
        there = partial(_database_processes, folder)
        yield Contestant(name, load, process, found["images"], ("timestamped",), there)


@contextmanager
def _server(
    command: Sequence[str], environment: dict[str, str], cores: Sequence[int]
) -> "Iterator[tuple[subprocess.Popen[bytes], int]]":
    """A server in a process of its own on these cores, and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, cores)), sys.executable, *command, "--port", str(port)],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            wait_until_accepting(client, process)
        yield process, port
    finally:
        process.terminate()
        process.wait()


def _database_processes(folder: Path) -> list[int]:
    """PostgreSQL's own, without those of connections yet to come, which are as the first is."""
    file = folder / "postgres" / "postmaster.pid"
    if not file.exists():
        return []
    first = int(file.read_text().split()[0])
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return [first, *map(int, children)]


def _pin(processes: Sequence[int], cores: Sequence[int]) -> None:
    for process in processes:
        os.sched_setaffinity(process, cores)


if __name__ == "__main__":
    main()
