"""What an asker leaves to other processes: only what is worth waiting for."""

import asyncio

import pytest

from opsin.core.answers.elsewhere import Elsewhere
from opsin.core.answers.reservations import Reservation, Reservations
from opsin.core.contract import Params, Target
from opsin.core.engine import Task
from opsin.core.testing import FakeOperation
from tests.core.answers.test_reservations import Locks, number

A, B = "a" * 64, "b" * 64
TASK = Task("1", FakeOperation("slow"), Params(), Target.WHOLE_IMAGE)


@pytest.fixture
def locks() -> Locks:
    found = Locks()
    found.elsewhere.add(number(A))
    return found


@pytest.fixture
def reservation(locks: Locks) -> Reservation:
    return Reservations(locks).open()


async def test_what_another_process_computes_comes_back_when_it_is_done(
    locks: Locks, reservation: Reservation
) -> None:
    elsewhere = Elsewhere(reservation, lambda task: None)
    assert await elsewhere.leave_out({0: (TASK, A), 1: (TASK, B)}) == [0]
    assert len(elsewhere.awaited) == 1 and elsewhere.returned() == []
    assert await elsewhere.leave_out({1: (TASK, B)}) == []  # it is ours, and asked for once
    locks.elsewhere.clear()
    await asyncio.wait(elsewhere.awaited)
    assert elsewhere.returned() == [0] and elsewhere.awaited == []
    assert await elsewhere.leave_out({0: (TASK, A)}) == []
    assert locks.asked[0] == [number(A), number(B)]
    assert all(asked == [number(A)] for asked in locks.asked[1:])


async def test_what_is_quick_is_never_asked_for(locks: Locks, reservation: Reservation) -> None:
    quick = Elsewhere(reservation, lambda task: 0.01)
    assert await quick.leave_out({0: (TASK, A)}) == []
    assert await Elsewhere(None, lambda task: None).leave_out({0: (TASK, A)}) == []
    assert locks.asked == []


async def test_what_would_not_come_back_is_not_asked_for_again(
    locks: Locks, reservation: Reservation
) -> None:
    slow = Elsewhere(reservation, lambda task: 1.0)
    assert await slow.leave_out({0: (TASK, A)}) == [0]
    reservation.is_in_vain("slow")
    asked = len(locks.asked)
    assert await slow.leave_out({1: (TASK, A)}) == []
    assert len(locks.asked) == asked
    slow.leave()


async def test_who_leaves_waits_no_longer(locks: Locks, reservation: Reservation) -> None:
    elsewhere = Elsewhere(reservation, lambda task: None)
    await elsewhere.leave_out({0: (TASK, A)})
    (waiting,) = elsewhere.awaited
    elsewhere.leave()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert locks.held == []
