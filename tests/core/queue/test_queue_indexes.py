"""What every worker asks again and again is looked up in the queue's own indexes."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.queue.analysis_queue import AnalysisQueue
from tests.core.house import add_image, ask

QUEUE, LEASES = "ix_analyses_queue", "ix_analyses_leases"


class Asked:
    """The statements of a database, and how it carries them out."""

    def __init__(self, parts: Parts) -> None:
        self._database = parts.use_cases.database
        self._seen: list[tuple[str, Any]] = []
        engines = self._database._reader, self._database._writer
        self._engines = {id(one): one.sync_engine for one in engines}

    def listen(self) -> None:
        for engine in self._engines.values():
            event.listen(engine, "before_cursor_execute", self._note)

    def stop(self) -> None:
        for engine in self._engines.values():
            event.remove(engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        self._seen.append((statement, given))

    async def plans(self) -> list[str]:
        """How those that name analyses are carried out, where no table may be read whole."""
        seen, plans = self._seen.copy(), []
        for statement, given in seen:
            if "analyses" not in statement or statement.startswith(("INSERT", "EXPLAIN")):
                continue
            async with self._database.write() as transaction:
                connection = transaction.connection
                explain = "EXPLAIN QUERY PLAN "
                if not self._database.is_sqlite:
                    # A small table would be read whole, whatever its indexes.
                    await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
                    await connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
                    explain = "EXPLAIN "
                rows = await connection.exec_driver_sql(explain + statement, given)
                plans.append("\n".join(str(row[-1]) for row in rows))
        self._seen.clear()
        return plans


@pytest.fixture
async def asked(parts: Parts) -> AsyncIterator[Asked]:
    made = Asked(parts)
    made.listen()
    yield made
    made.stop()


@pytest.fixture
def queue(parts: Parts) -> AnalysisQueue:
    use_cases = parts.use_cases
    lease = timedelta(seconds=-1)  # lost as soon as it is claimed
    return AnalysisQueue(use_cases.database, use_cases.artifacts, lease=lease, max_attempts=3)


async def test_claims_use_the_index_of_the_queue(
    parts: Parts, principal: Principal, queue: AnalysisQueue, asked: Asked
) -> None:
    await ask(parts, principal, await add_image(parts, principal))
    await asked.plans()
    assert len((await queue.claim(1)).analyses) == 1
    looked, claimed = await asked.plans()
    assert QUEUE in looked
    assert QUEUE in claimed


async def test_leases_are_found_by_their_index(
    parts: Parts, principal: Principal, queue: AnalysisQueue, asked: Asked
) -> None:
    await ask(parts, principal, await add_image(parts, principal))
    claim = await queue.claim(1)
    await asked.plans()
    assert len(await queue.renew(claim.lease_id)) == 1
    (renewed,) = await asked.plans()
    assert LEASES in renewed
    assert await queue.recover() == 1
    looked, held, *_ = await asked.plans()
    assert LEASES in looked
    assert LEASES in held
