"""`/metrics` of several processes: right whoever is asked, and after one of them was killed."""

import os
import re
import signal
import socket
import time
from collections import defaultdict
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.command import NO_BUILTINS, serving, started

QUERY = {"query": "{ datasets { totalCount } }"}


def scraped(url: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """By name, each series once."""
    text = httpx.get(f"{url}/metrics", trust_env=False, timeout=30).text
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = tuple(sorted(sample.labels.items()))
            assert key not in found[sample.name], (sample.name, key)
            found[sample.name][key] = sample.value
    return found


def total(series: dict[tuple[tuple[str, str], ...], float], **labels: str) -> float:
    return sum(value for key, value in series.items() if labels.items() <= dict(key).items())


def processes(series: dict[tuple[tuple[str, str], ...], float]) -> set[str]:
    return {dict(key).get("process", "") for key in series}


def until_there(url: str, names: set[str]) -> None:
    """Every process answers, the last to start among them."""
    until = time.monotonic() + 60
    while processes(scraped(url)["opsin_build_info"]) != names:
        assert time.monotonic() < until, processes(scraped(url)["opsin_build_info"])
        time.sleep(0.1)


def asked(url: str, times: int) -> None:
    for _ in range(times):  # each on a connection of its own, so that both processes get some
        httpx.post(f"{url}/graphql", json=QUERY, trust_env=False).raise_for_status()


def test_every_process_is_told_and_none_twice(tmp_path: Path) -> None:
    with serving("--workers", 2, cwd=tmp_path, settings=NO_BUILTINS) as (server, url):
        names = {"1", "2", "worker"}
        until_there(url, names)
        asked(url, 24)
        for _ in range(4):  # whoever is asked
            series = scraped(url)
            assert total(series["opsin_http_responses_total"], route="graphql") == 24
            assert series["requests_total"][()] >= 24  # the whales API's name, with no label
            assert processes(series["process_resident_memory_bytes"]) == names
            assert list(series["opsin_event_log_end"]) == [()]  # the database's, once
        before = scraped(url)
        by_process = {
            name: total(before["opsin_http_responses_total"], process=name, route="graphql")
            for name in ("1", "2")
        }
        assert min(by_process.values()) > 0, by_process
        started = {
            dict(key)["process"]: value
            for key, value in before["process_start_time_seconds"].items()
        }
        os.kill(_pid_of(server.pid, "1"), signal.SIGKILL)
        until = time.monotonic() + 60
        while True:
            after = scraped(url)
            begun = {
                dict(key)["process"]: value
                for key, value in after["process_start_time_seconds"].items()
            }
            if begun.get("1", 0) > started["1"]:
                break
            assert time.monotonic() < until, begun
            time.sleep(0.1)
        answers = after["opsin_http_responses_total"]
        assert total(answers, process="2", route="graphql") == by_process["2"]
        assert total(answers, process="1", route="graphql") == 0  # a counter that began anew
        assert server.stop() == 0


def test_where_the_way_to_temporary_files_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than the address of a socket may be."""
    deep = tmp_path.joinpath("d" * 70, "e" * 70)
    deep.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(deep))
    with serving("--workers", 1, cwd=tmp_path, settings=NO_BUILTINS) as (server, url):
        assert next(deep.iterdir()).name.startswith("opsin-")
        until_there(url, {"1", "worker"})
        assert server.stop() == 0
    assert list(deep.iterdir()) == []


def _pid_of(parent: int, name: str) -> int:
    """The process that has this place among its siblings."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        arguments = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if any(one.startswith(f"{name}:".encode()) for one in arguments):
            return int(child)
    raise AssertionError(f"there is no process {name}")


def test_a_worker_alone_answers_on_its_port(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = NO_BUILTINS | {"metrics_port": str(port)}
    with started("worker", cwd=tmp_path, settings=settings) as worker:
        worker.wait_for("working")
        url = f"http://127.0.0.1:{port}"
        series = scraped(url)
        assert series["opsin_queue_claims_total"] == {(): 0}
        assert processes(series["opsin_build_info"]) == {""}
        assert httpx.get(f"{url}/health", trust_env=False).json()["status"] == "ok"
        assert httpx.get(f"{url}/ready", trust_env=False).status_code == 200
        assert worker.stop() == 0
    assert re.search("queued again", worker.err)
