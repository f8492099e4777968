"""A worker whose operation hangs ends itself, and leaves what it had in hand as suspects."""

import asyncio

import pytest

from opsin.core.errors import OperationFailed
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.testing import FakeOperation, Script
from opsin.settings import Settings
from tests.core.given_plugins import house_of
from tests.core.house import add_image, ask
from tests.core.working import found, until_all, working


async def test_a_worker_that_is_stuck_ends_itself(settings: Settings) -> None:
    operation = FakeOperation(script=Script(latency=4))
    async with house_of(settings, operation, stuck_seconds=1) as parts:
        principal = await parts.use_cases.access.local()
        asked = await ask(parts, principal, await add_image(parts, principal), "fake", count=2)
        with pytest.raises(OperationFailed, match="one hangs"):
            async with asyncio.timeout(60):
                await parts.worker.run()
        # Not given back, as a worker that is stopped would: they may be the reason.
        assert {a.status for a in await found(parts, principal, asked)} == {
            AnalysisStatus.PROCESSING
        }


async def test_a_worker_that_is_slow_is_not_stuck(settings: Settings) -> None:
    operation = FakeOperation(script=Script(latency=0.3, max_batch=1))
    async with house_of(settings, operation, stuck_seconds=10) as parts:
        principal = await parts.use_cases.access.local()
        asked = await ask(parts, principal, await add_image(parts, principal), "fake", count=4)
        async with working(parts):
            await until_all(parts, principal, asked, seconds=60)
