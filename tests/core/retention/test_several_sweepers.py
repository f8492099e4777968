"""Several processes that remove what is not kept at the same moment: each thing goes once."""

import asyncio

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.retention import Removed
from opsin.settings import Settings
from tests.core.retention.kept import check_files, in_days, new_dataset
from tests.core.retention.test_killed import check_whole, filled, swept

_NEVER = 1_000_000


async def test_processes_that_sweep_together(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    kept = await filled(parts, principal, await new_dataset(parts, principal), 2)
    await filled(parts, principal, await new_dataset(parts, principal, 5, 6), 8)
    now = in_days(7)
    url = parts.database_url
    done = await asyncio.gather(*(swept(url, settings, now, _NEVER) for _ in range(3)))
    assert done == [True] * 3
    # Every event and every line of the log of deletions is there once.
    assert await check_whole(parts, settings) == Removed(files=8, results=8, images=0)
    await check_files(parts, settings)
    assert len(kept) == 2
