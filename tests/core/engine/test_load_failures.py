"""The pause after loads that failed: it grows, has an end, and is forgotten with a success."""

import pytest

from opsin.core.engine import load_failures
from opsin.core.engine.load_failures import LONGEST_PAUSE, LoadFailures
from opsin.core.errors import OperationFailed

ERROR = OperationFailed("it cannot be loaded")


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(load_failures, "time", clock)
    return clock


def pause_of(failures: LoadFailures, clock: Clock) -> float:
    """How long the failure that was just told of is remembered."""
    begun = clock.now
    while failures.current is not None:
        clock.now += 0.5
    return clock.now - begun


def test_the_pause_doubles_until_it_is_the_longest(clock: Clock) -> None:
    failures = LoadFailures(1.0)
    assert failures.current is None
    pauses: list[float] = []
    for _ in range(8):
        failures.add(ERROR)
        assert failures.current is ERROR
        pauses.append(pause_of(failures, clock))
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE]


def test_what_fails_for_days_is_remembered_all_the_same(clock: Clock) -> None:
    failures = LoadFailures(1.0)
    for _ in range(5000):
        failures.add(ERROR)
    assert pause_of(failures, clock) == LONGEST_PAUSE


def test_a_success_forgets_them(clock: Clock) -> None:
    failures = LoadFailures(1.0)
    failures.add(ERROR)
    failures.add(ERROR)
    failures.clear()
    assert failures.current is None
    failures.add(ERROR)
    assert pause_of(failures, clock) == 1
