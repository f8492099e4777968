"""How much a worker takes on: claims of about a second's work, pictures within a budget."""

import asyncio

import pytest

from opsin.core.queue.pacing import ByteBudget, Pace


def test_claims_grow_while_they_end_quickly_and_shrink_when_slow() -> None:
    pace = Pace(128)
    sizes = []
    for seconds in (0.1, 0.1, 0.1, 0.1, 1.0, 3.0, 3.0, 3.0, 3.0):
        pace.ended(pace.size, seconds)
        sizes.append(pace.size)
    assert sizes == [32, 64, 128, 128, 128, 64, 32, 16, 16]


def test_a_small_claim_says_nothing_of_speed() -> None:
    pace = Pace(128)
    pace.ended(1, 0.001)
    assert pace.size == 16


@pytest.mark.parametrize("most", [1, 3])
def test_the_setting_is_the_most(most: int) -> None:
    pace = Pace(most)
    for seconds in (0.0, 9.0, 9.0, 0.0):
        pace.ended(pace.size, seconds)
        assert pace.size == most


async def test_holders_fit_together_and_a_large_one_goes_alone() -> None:
    budget, held, most = ByteBudget(100), 0, []

    async def hold(size: int) -> None:
        nonlocal held
        async with budget.hold(size):
            held += size
            most.append(held)
            await asyncio.sleep(0.001)
            held -= size

    async with asyncio.timeout(20):
        await asyncio.gather(*(hold(size) for size in (40, 60, 1, 300, 100, 30, 30, 30, 30) * 5))
    assert max(most) == 300  # the large one, with nobody beside it
    assert all(size <= 100 or size == 300 for size in most)


async def test_those_who_leave_or_fail_make_room() -> None:
    budget = ByteBudget(10)

    async def hold(seconds: float) -> None:
        async with budget.hold(10):
            await asyncio.sleep(seconds)
            raise ValueError("failed")

    waiting = [asyncio.create_task(hold(90)) for _ in range(5)]
    await asyncio.sleep(0.01)
    for task in waiting:
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*waiting, return_exceptions=True)
    with pytest.raises(ValueError, match="failed"):
        await asyncio.wait_for(hold(0), 20)
    async with asyncio.timeout(20), budget.hold(10):
        pass
