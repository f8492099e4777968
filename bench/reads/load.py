"""Load by wrk from other cores than the server's, and the processor time that it cost."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.reads.cases import Case
from bench.reads.contestants import Running

_TICKS = os.sysconf("SC_CLK_TCK")
_SCRIPT = """
wrk.method = "POST"
wrk.body = %s
%s
function done(summary, latency, requests)
  io.write(string.format(
    '{"requests": %%d, "microseconds": %%d, "bytes": %%d, "failed": %%d, "p50": %%d, "p99": %%d}',
    summary.requests, summary.duration, summary.bytes,
    summary.errors.status + summary.errors.read + summary.errors.connect + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One run: requests a second, milliseconds, bytes of an answer, seconds of processor each."""

    rate: float
    p50: float
    p99: float
    size: float
    server_cpu: float
    database_cpu: float


def load(
    server: Running, case: Case, connections: int, seconds: int, database: int | None, least: int
) -> Seen:
    """`connections` at a time ask for `seconds`; `database` is the id of PostgreSQL's process.

    An answer has at least so many bytes: an error that came with status 200 would have fewer.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        headers = "\n".join(
            f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}"
            for name, value in server.headers.items()
        )
        script.write(_SCRIPT % (_lua(server.body(case).decode()), headers))
        script.flush()
        before = _cpu(server.process.pid), _cpu(database)
        done = subprocess.run(
            [
                *("wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s"),
                *("--timeout=120s", f"--script={script.name}", server.url),
            ],
            stdout=subprocess.PIPE,
            check=True,
        )
        after = _cpu(server.process.pid), _cpu(database)
    told = json.loads(done.stdout[done.stdout.index(b'{"requests"') :])
    if told["failed"] or not told["requests"] or told["bytes"] < told["requests"] * least:
        raise RuntimeError(f"{server.contestant.name}, {case.name}: {told}")
    _until_idle(server.process.pid)
    # What wrk leaves unfinished in the end is half done on average.
    requests = told["requests"] + connections / 2
    return Seen(
        told["requests"] / told["microseconds"] * 1e6,
        told["p50"] / 1000,
        told["p99"] / 1000,
        told["bytes"] / told["requests"],
        (after[0] - before[0]) / requests,
        (after[1] - before[1]) / requests,
    )


def _lua(text: str) -> str:
    return f"[==[{text}]==]"


def _until_idle(process: int) -> None:
    """An abandoned request may still be worked on; the next run must not pay for it."""
    spent = _cpu(process)
    while True:
        time.sleep(0.1)
        now = _cpu(process)
        if now - spent <= 1.5 / _TICKS:
            return
        spent = now


def _cpu(process: int | None) -> float:
    """Seconds of processor that the process and its children have had; 0 for None."""
    if process is None:
        return 0.0
    spent, children = 0.0, [process]
    parents = dict(_parents())
    while children:
        one = children.pop()
        spent += _own_cpu(one)
        children += [child for child, parent in parents.items() if parent == one]
    return spent


def _own_cpu(process: int) -> float:
    fields = _stat(process)
    # Its own, in user and kernel mode, and that of children that have ended.
    return sum(map(int, fields[11:15])) / _TICKS


def _parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            yield int(folder.name), int(fields[1])


def _stat(process: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold spaces; none if it has gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
