"""What a worker has in hand: what is no longer its own is left to others at once."""

import asyncio
from datetime import timedelta

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.answers.reservations import Reservations
from opsin.core.queue.analysis_queue import AnalysisQueue
from opsin.core.queue.claimed import Claimed
from tests.core.answers.test_reservations import A, B, Locks, number
from tests.core.house import add_image, ask


async def test_what_another_worker_has_taken_over_is_left_to_it(
    parts: Parts, principal: Principal
) -> None:
    use_cases = parts.use_cases
    queue = AnalysisQueue(
        use_cases.database, use_cases.artifacts, lease=timedelta(60), max_attempts=3
    )
    image = await add_image(parts, principal)
    lost, kept = await ask(parts, principal, image, "perceptual_hash", count=2)
    reservations = Reservations(locks := Locks())
    work = Claimed(await queue.claim(10), reservations.open())
    running = {one.id: asyncio.Event() for one in (lost, kept)}

    async def run(identity: str) -> None:
        running[identity].set()
        await asyncio.Event().wait()

    for one, digest in ((lost, A), (kept, B)):
        work.start([one], run(one.id))
        await running[one.id].wait()
        assert await work.reservation.take(one.id, digest)
    await work.keep(frozenset([kept.id]))
    assert locks.held == [number(B)]
    assert [one.id for one in await work.stop()] == [kept.id]
    assert locks.held == []
