"""When another process is brought up, and when not: the bookkeeping alone, without a cluster."""

import pytest

from opsin.core.engine import load_failures
from opsin.core.engine.ray.growth import Growth
from opsin.core.errors import OperationFailed
from tests.core.engine.test_load_failures import Clock

ERROR = OperationFailed("it cannot be loaded")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(load_failures, "time", clock)
    return clock


def test_a_backlog_has_to_stand_for_a_while() -> None:
    growth = Growth()
    for now, waiting, wanted in (
        (0.0, 100, None),
        (2.0, 10, None),  # it was taken meanwhile: the time begins anew
        (4.0, 100, None),
        (6.9, 100, None),
        (7.1, 100, 1),
        (7.2, 100, None),  # the next has to wait as long
    ):
        assert growth.one_more(waiting, 32, 4, {0, 2}, now) == wanted


def test_no_more_than_there_may_be_and_one_at_a_time() -> None:
    growth = Growth()
    assert growth.one_more(100, 32, 2, {0, 1}, 0.0) is None
    assert growth.one_more(100, 32, 2, {0, 1}, 9.0) is None
    growth.begin(2)
    assert growth.one_more(100, 32, 4, {0, 1}, 10.0) is None
    assert growth.one_more(100, 32, 4, {0, 1}, 19.0) is None
    growth.joined(2)
    assert growth.one_more(100, 32, 4, {0, 1, 2}, 20.0) is None
    assert growth.one_more(100, 32, 4, {0, 1, 2}, 29.0) == 3


def test_after_a_load_that_failed_there_is_a_pause_that_grows(clock: Clock) -> None:
    growth = Growth()
    for pause in (1.0, 2.0, 4.0):
        assert growth.first() == 0
        growth.begin(0)
        assert growth.first() is None  # it is on its way
        growth.left(0, ERROR)
        assert growth.first() is None and growth.failure is ERROR
        assert growth.one_more(100, 32, 4, {1}, clock.now) is None
        clock.now += pause - 0.1
        assert growth.first() is None
        clock.now += 0.2
    growth.begin(0)
    growth.joined(0)
    growth.left(0, None)  # it had nothing to do
    assert growth.first() == 0


def test_what_failed_beside_the_last_process_does_not_count() -> None:
    growth = Growth()
    growth.joined(0)
    growth.left(1, ERROR)
    growth.alone()
    assert growth.failure is None and growth.first() == 0


def test_what_is_out_of_reach_is_brought_up_again() -> None:
    growth = Growth()
    growth.begin(0)
    growth.restart()
    assert growth.first() == 0
