"""The CPU pool: what was begun goes first, and a job that raises costs no thread."""

import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from opsin.core.engine.pool import CpuPool


@pytest.fixture
def pool() -> Iterator[CpuPool]:
    pool = CpuPool(1)
    pool.start()
    yield pool
    pool.close(time.monotonic() + 10)


def test_work_in_progress_goes_before_new_work(pool: CpuPool) -> None:
    go, order = threading.Event(), list[str]()

    def hold() -> None:
        assert go.wait(10)

    pool.submit(hold)
    for name in ("new 1", "new 2"):
        pool.submit(partial(order.append, name))
    for name in ("begun 1", "begun 2"):
        pool.submit(partial(order.append, name), first=True)
    go.set()
    pool.close(time.monotonic() + 10)
    assert order == ["begun 1", "begun 2", "new 1", "new 2"]


def test_a_job_that_raises_costs_no_thread(pool: CpuPool, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise SystemExit("on purpose")

    done = threading.Event()
    pool.submit(fail)
    pool.submit(done.set)
    assert done.wait(10)
    assert "on purpose" in caplog.text


def test_a_closed_pool_takes_no_jobs(pool: CpuPool) -> None:
    pool.close(time.monotonic() + 10)
    done = threading.Event()
    pool.submit(done.set)
    assert not done.is_set()
