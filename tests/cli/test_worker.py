"""`opsin worker`: empties the queue and ends, or works until it is told to stop."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from opsin.cli.exit_codes import ExitCode
from tests import pictures
from tests.cli.command import install_sample_plugin, opsin, serving, started

CREATE = 'mutation { createDataset(input: {name: "d"}) { id } }'
UPLOAD = """mutation($d: ID!, $f: Upload!) {
  uploadImage(input: {datasetId: $d, file: $f}) { id } }"""
ANALYZE = """mutation($i: ID!, $t: [TaskInput!]!) {
  analyze(input: {imageId: $i, tasks: $t}) { id } }"""


def queue(folder: Path, *params: dict[str, object]) -> None:
    """Queue a measurement with each of the params, on a server without a worker."""
    with serving("--no-worker", cwd=folder) as (server, url):
        with httpx.Client(base_url=url, trust_env=False) as client:

            def ask(query: str, **variables: object) -> dict[str, object]:
                body = {"query": query, "variables": variables}
                answer = client.post("/graphql", json=body).json()
                assert "errors" not in answer, answer
                (data,) = answer["data"].values()
                found: dict[str, object] = data
                return found

            operations = {"query": UPLOAD, "variables": {"d": ask(CREATE)["id"], "f": None}}
            form = {"operations": json.dumps(operations), "map": '{"0": ["variables.f"]}'}
            files = {"0": ("red.png", pictures.solid_png())}
            stored = client.post("/graphql", data=form, files=files).json()
            tasks = [{"operation": "measure_brightness", "params": one} for one in params]
            ask(ANALYZE, i=stored["data"]["uploadImage"]["id"], t=tasks)
        assert server.stop() == 0


@contextlib.contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(folder / "opsin-data" / "opsin.sqlite3")) as found:
        yield found


def states(folder: Path) -> list[tuple[str, int]]:
    """Status and attempts of every analysis."""
    with database(folder) as connection:
        rows: list[tuple[str, int]] = connection.execute(
            "SELECT status, attempts FROM analyses ORDER BY id"
        ).fetchall()
    return rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    install_sample_plugin(tmp_path)
    return tmp_path


def test_drain_runs_what_is_queued_and_ends(folder: Path) -> None:
    queue(folder, {"label": "a"}, {"label": "broken"}, {"label": "b"})
    ended = opsin("worker", "--drain", cwd=folder)
    assert (ended.code, ended.out) == (ExitCode.OK, "3 analyses ended\n")
    assert [status for status, _ in states(folder)] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert opsin("worker", "--drain", cwd=folder).out == "0 analyses ended\n"


@pytest.mark.parametrize("arguments", [[], ["--drain"]])
def test_a_worker_told_to_stop_gives_its_work_back(folder: Path, arguments: list[str]) -> None:
    queue(folder, {"seconds": 1.5})
    with started("worker", *arguments, cwd=folder) as worker:
        while states(folder) == [("QUEUED", 0)]:
            assert worker.process.poll() is None, worker.err
        assert worker.stop() == 0
        assert "queued again" in worker.err
    assert states(folder) == [("QUEUED", 0)]


def test_drain_also_takes_what_a_lost_worker_left(folder: Path) -> None:
    queue(folder, {"label": "a"})
    with database(folder) as connection:
        connection.execute(
            "UPDATE analyses SET status = 'PROCESSING', attempts = 1, lease_id = id,"
            " lease_until = '2001-01-01 00:00:00.000000'"
        )
        connection.commit()
    assert opsin("worker", "--drain", cwd=folder).out == "1 analyses ended\n"
    assert states(folder) == [("COMPLETED", 2)]
