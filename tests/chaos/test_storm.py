"""One installation through one fault after the other: nothing lost, doubled, untold or left over.

The short form is for every run of the tests; `make chaos` asks for more, of more analyses.
"""

import json
from pathlib import Path

import pytest

from opsin.settings import Settings
from tests.chaos.forms import LONG, long_form
from tests.chaos.proxy import Mode
from tests.chaos.storm import Storm, storm

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(3000),
]


async def _each_fault(one: Storm, pause: float) -> None:
    await one.kill_worker()
    await one.during(one.store, Mode.ERRORS, "S3 answers 500", pause)
    await one.kill_node()
    await one.during(one.database, Mode.CUT, "network to PostgreSQL cut (reset)", pause)
    await one.crash_database()


async def test_a_short_storm(settings: Settings, tmp_path: Path) -> None:
    async with storm(settings, tmp_path) as (one, seen):
        await one.asking(600, lambda: _each_fault(one, 1.0))
        verdict = await one.judge(seen)
        assert verdict.begun_again > 0 and verdict.follower_losses > 0
        assert verdict.blobs > 60
        print(verdict, one.recovered)


@long_form
async def test_a_long_storm(settings: Settings, tmp_path: Path) -> None:
    async with storm(
        settings, tmp_path, seconds=0.004, workers=3, subscribers=4, failover=True
    ) as (one, seen):

        async def faults() -> None:
            for number in range(3):
                await _each_fault(one, 3.0)
                await one.during(one.store, Mode.CUT, "S3 down", 5.0)
                await one.during(one.store, Mode.SILENT, "S3 silent", 10.0)
                await one.slow(one.store, "S3 slow (0.3 s a piece)", 0.3, 5.0)
                await one.slow(one.database, "PostgreSQL slow (20 ms a piece)", 0.02, 5.0)
                await one.during(
                    one.database, Mode.SILENT, "network to PostgreSQL cut (silent)", 10.0
                )
                if number == 1:
                    await one.fail_over()

        await one.asking(LONG, faults)
        verdict = await one.judge(seen)
        print(verdict)
        print(json.dumps({k: [round(s, 2) for s in v] for k, v in one.recovered.items()}, indent=1))
