"""`python -m bench.inference [--rounds N] [--seconds S]`: the table, as JSON and as Markdown."""

import argparse
import asyncio
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx

from bench.inference.contestants import CONTESTANTS, SERVER_CORES, running
from bench.inference.jpegs import jpegs
from bench.inference.load import load_over_http
from bench.inference.model import write_checkpoint

LOADS = {"1 MP": (48, 1152, 864), "12 MP": (12, 4000, 3000)}
CLIENTS = (1, 32)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=15)
    options.add_argument("--loads", nargs="*", default=list(LOADS))
    chosen = options.parse_args()
    others = set(range(os.cpu_count() or 1)) - SERVER_CORES
    if others:  # the clients leave the servers' cores alone where they can
        os.sched_setaffinity(0, others)
    with tempfile.TemporaryDirectory(prefix="opsin-bench-") as name:
        folder = Path(name) / "clip"
        write_checkpoint(folder)
        results = {
            load: _measure(folder, jpegs(*LOADS[load]), chosen.rounds, chosen.seconds)
            for load in chosen.loads
        }
    print(json.dumps(results, indent=2))
    for load, rows in results.items():
        print(_markdown(load, rows))


def _measure(folder: Path, pictures: list[bytes], rounds: int, seconds: float) -> dict[str, Any]:
    """Medians over the rounds; within a round everybody runs once, one after the other."""
    file = folder.parent / "pictures.json"
    file.write_text(json.dumps([picture.hex() for picture in pictures]))
    seen: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    vectors: dict[str, list[float]] = {}
    for _ in range(rounds):
        told = _in_process("raw", folder, file, 1, seconds)
        seen["raw forward"]["rate 32"].append(max(told["forward"].values()))
        seen["raw pipeline"]["rate 32"].append(max(told["pipeline"].values()))
        seen["raw pipeline"]["rate 1"].append(told["pipeline"]["1"])
        seen["raw pipeline"]["p50 1"].append(1000 / told["pipeline"]["1"])
        for clients in CLIENTS:
            told = _in_process("opsin", folder, file, clients, seconds)
            _note(seen["Opsin in process"], clients, told["rate"], told["p50"], told["p99"])
        for contestant in CONTESTANTS:
            with running(contestant, folder, pictures[0]) as url:
                answer = httpx.post(url, timeout=120, **contestant.request(pictures[0]))
                vectors[contestant.name] = contestant.vector(answer.json())
                for clients in CLIENTS:
                    s = asyncio.run(load_over_http(contestant, url, pictures, clients, seconds))
                    _note(seen[contestant.name], clients, s.rate, s.p50, s.p99)
                    print(contestant.name, clients, s, file=sys.stderr, flush=True)
    _check_equal(vectors)
    return {
        name: {key: round(statistics.median(values), 2) for key, values in row.items()}
        for name, row in seen.items()
    }


def _in_process(kind: str, folder: Path, pictures: Path, clients: int, seconds: float) -> Any:
    command = ["-m", "bench.inference.in_process", kind, folder, pictures, clients, seconds]
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env=os.environ | {"OMP_NUM_THREADS": str(len(SERVER_CORES))},
        preexec_fn=lambda: os.sched_setaffinity(0, SERVER_CORES),
        stdout=subprocess.PIPE,
        check=True,
    )
    told = json.loads(done.stdout)
    print(kind, clients, told, file=sys.stderr, flush=True)
    return told


def _note(row: dict[str, list[float]], clients: int, rate: float, p50: float, p99: float) -> None:
    row[f"rate {clients}"].append(rate)
    row[f"p50 {clients}"].append(p50)
    row[f"p99 {clients}"].append(p99)


def _check_equal(vectors: dict[str, list[float]]) -> None:
    """Everybody did the same work, or the numbers mean nothing."""
    names = list(vectors)
    one = vectors[names[0]]
    for name in names[1:]:
        other = vectors[name]
        dot = sum(a * b for a, b in zip(one, other, strict=True))
        cosine = dot / math.sqrt(sum(a * a for a in one)) / math.sqrt(sum(b * b for b in other))
        if cosine < 0.9999:
            raise AssertionError(f"{name} and {names[0]} gave different vectors: {cosine}")


def _markdown(load: str, rows: dict[str, Any]) -> str:
    whole = rows["raw pipeline"]["rate 32"]
    lines = [
        f"\n{load} JPEG",
        "| | images/s, 32 clients | of the raw pipeline | p99 ms | p50 ms, 1 client |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        rate = row["rate 32"]
        lines.append(
            f"| {name} | {rate:.1f} | {rate / whole:.2f} | {row.get('p99 32', '')} "
            f"| {row.get('p50 1', '')} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
