"""`python -m bench.reads`: all of it, as JSON and as the tables of docs/benchmarks.md.

Needs wrk, taskset and npm.  The peers are installed into `--peers`, or into a temporary folder.
PostgreSQL and wrk run on all cores but the last, each server in its turn on the last one.
"""

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from bench.databases import each_database
from bench.reads import growth, report, tools
from bench.reads.cases import CASES, Case, canonical
from bench.reads.contestants import (
    ON_POSTGRESQL,
    ON_SQLITE,
    Ground,
    Running,
    ask,
    running,
)
from bench.reads.load import load
from bench.reads.rows import Seeded, execute_alone, new_database, seed

_WARM_UP = 10
_PATIENCE = 20
"""Seconds; who needs longer for that many connections is left out there."""

PARTS = ("load", "in-process", "growth")


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.reads", description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=int, default=3)
    options.add_argument("--peers", type=Path, help="a folder that keeps what was installed")
    options.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS)
    options.add_argument("--databases", nargs="*", default=["postgresql", "sqlite"])
    options.add_argument("--out", type=Path, help="write the JSON there as well")
    chosen = options.parse_args()
    tools.check_tools()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:-1])  # also of PostgreSQL and wrk, which are started here
    results: dict[str, Any] = {"machine": {"cores": len(cores), "load": os.getloadavg()}}
    with ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="opsin-bench-"))
        peers = (chosen.peers or Path(temporary)).resolve()
        tools.install_peers(peers)
        for kind, url, folder in each_database():
            if kind not in chosen.databases:
                continue
            ground = _ground(kind, url, folder, peers, cores[-1])
            results[kind] = _measure(ground, chosen)
            if "growth" in chosen.parts:
                results[kind]["growth"] = growth.measure(_empty(ground))
    results["machine"]["load at the end"] = os.getloadavg()
    text = json.dumps(results, indent=2)
    if chosen.out:
        chosen.out.write_text(text)
    print(text)
    print(report.markdown(results))


def _measure(ground: Ground, chosen: argparse.Namespace) -> dict[str, Any]:
    contestants = ON_SQLITE if ground.kind == "sqlite" else ON_POSTGRESQL
    told: dict[str, Any] = {}
    if "in-process" in chosen.parts:
        told["in process"] = _in_process(ground)
        print(ground.kind, told["in process"], file=sys.stderr, flush=True)
    if "load" in chosen.parts:
        with ExitStack() as stack:
            servers = [stack.enter_context(running(one, ground)) for one in contestants]
            told["load"] = {
                case.name: _load(servers, case, ground, chosen.rounds, chosen.seconds)
                for case in CASES
            }
    return told


def _load(
    servers: Sequence[Running], case: Case, ground: Ground, rounds: int, seconds: int
) -> dict[str, Any]:
    """Every round's numbers by contestant and connections; in a round all take their turn."""
    sizes = _sizes_of_equal(servers, case)
    alone = {server.contestant.name: _seconds_of_one(server, case) for server in servers}
    seen: dict[str, dict[int, list[Any]]] = {server.contestant.name: {} for server in servers}
    for _ in range(rounds):
        for count in case.connections:
            for server in servers:
                name = server.contestant.name
                # Long enough for each connection of a slow server to see an answer.
                enough = max(seconds, math.ceil(1.5 * (count + 2) * alone[name]))
                if enough > _PATIENCE and count > 1:
                    continue
                one = load(server, case, count, enough, ground.postmaster, sizes[name])
                seen[name].setdefault(count, []).append(asdict(one))
                print(case.name, name, count, one, file=sys.stderr, flush=True)
    return seen


def _seconds_of_one(server: Running, case: Case) -> float:
    """How long an answer takes once plans, caches and connections are there."""
    for _ in range(_WARM_UP):
        started = time.perf_counter()
        ask(server, case)
        seconds = time.perf_counter() - started
    return seconds


def _sizes_of_equal(servers: Sequence[Running], case: Case) -> dict[str, int]:
    """Bytes of each one's answer; everybody gives the same values, or the numbers mean nothing."""
    answers = {server.contestant.name: ask(server, case) for server in servers}
    values = {name: canonical(json.loads(text).get("data")) for name, text in answers.items()}
    expected = next(iter(values.values()))
    for name, value in values.items():
        if value is None or value != expected:
            raise AssertionError(f"{name} gives another answer to {case.name}: {value!s:.500}")
    return {name: len(text) for name, text in answers.items()}


def _in_process(ground: Ground) -> Any:
    """Medians by case and contestant, from a process of its own on the servers' core."""
    seeded = json.dumps(asdict(ground.seeded))
    command = [sys.executable, "-m", "bench.reads.in_process", ground.url, seeded]
    settings = {"DATABASE_URL": ground.url, "DATA_DIR": str(ground.data_folder), "WORKER": "0"}
    done = subprocess.run(
        ["taskset", "--cpu-list", str(ground.server_core), *command],
        env=os.environ | {f"OPSIN_{name}": value for name, value in settings.items()},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def _ground(kind: str, url: str, folder: Path, peers: Path, core: int) -> Ground:
    postmaster = None
    if kind == "postgresql":
        postmaster = int((folder / "postgres" / "postmaster.pid").read_text().split()[0])
        _without_jit(url)
    return Ground(kind, url, seed(url, folder), folder, peers, core, postmaster)


def _empty(ground: Ground) -> Ground:
    """The same with a database that has no rows yet."""
    folder = ground.data_folder / "growth"
    folder.mkdir()
    if ground.kind == "sqlite":
        url = f"sqlite:///{folder / 'opsin.sqlite3'}"
    else:
        asyncio.run(execute_alone(ground.url, "CREATE DATABASE growth"))
        url = make_url(ground.url).set(database="growth").render_as_string(hide_password=False)
        _without_jit(url)
    company_id, key = new_database(url, folder)
    return replace(ground, url=url, data_folder=folder, seeded=Seeded(company_id, "", "", key))


def _without_jit(url: str) -> None:
    """For all alike: compiling a statement to machine code takes longer than to run it here."""
    statement = f'ALTER DATABASE "{make_url(url).database}" SET jit = off'
    asyncio.run(execute_alone(url, statement))


if __name__ == "__main__":
    main()
