"""`opsin worker`: empties the queue and ends, or works until it is told to stop."""

import contextlib
import io
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsin.assembly import assemble
from opsin.cli.exit_codes import ExitCode
from opsin.core.engine import make_task
from opsin.core.images import NewImage
from opsin.core.plugin_host import PluginSource
from opsin.settings import Settings
from tests import pictures
from tests.cli.command import install_sample_plugin, opsin, started

SAMPLE = PluginSource("sample", "tests.cli.sample_plugin")


async def queue(folder: Path, *params: dict[str, object]) -> None:
    """Queue a measurement with each of the params, as a server without a worker does."""
    settings = Settings(data_dir=folder / "opsin-data", worker=False)
    async with assemble(settings, [SAMPLE]).running() as parts:
        house = parts.use_cases
        principal = await house.access.local()
        dataset = await house.datasets.create(principal, "measured", "")
        new = NewImage(dataset.id, "red.png")
        image = await house.images.add(principal, new, io.BytesIO(pictures.solid_png()))
        tasks = [make_task(house.host, "task", "measure_brightness", one) for one in params]
        await house.analyses.ask(principal, image.id, tasks)


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


async def test_drain_runs_what_is_queued_and_ends(folder: Path) -> None:
    await queue(folder, {"label": "a"}, {"label": "broken"}, {"label": "b"})
    ended = opsin("worker", "--drain", cwd=folder)
    assert (ended.code, ended.out) == (ExitCode.OK, "3 analyses ended\n")
    assert [status for status, _ in states(folder)] == ["COMPLETED", "FAILED", "COMPLETED"]
    with database(folder) as connection:  # as a worker leaves it that was killed long ago
        connection.execute(
            "UPDATE analyses SET status = 'PROCESSING', attempts = 1, lease_id = id,"
            " lease_until = '2001-01-01 00:00:00.000000' WHERE status = 'FAILED'"
        )
        connection.commit()
    assert opsin("worker", "--drain", cwd=folder).out == "1 analyses ended\n"
    assert [status for status, _ in states(folder)] == ["COMPLETED", "FAILED", "COMPLETED"]


@pytest.mark.parametrize("arguments", [[], ["--drain"]])
async def test_a_worker_told_to_stop_gives_its_work_back(
    folder: Path, arguments: list[str]
) -> None:
    await queue(folder, {"seconds": 8.0})
    with started("worker", *arguments, cwd=folder) as worker:
        while states(folder) == [("QUEUED", 0)]:
            assert worker.process.poll() is None, worker.err
        assert worker.stop() == 0, worker.err
        assert "queued again" in worker.err
    assert states(folder) == [("QUEUED", 0)]
