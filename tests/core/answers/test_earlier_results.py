"""Stored results read back by their keys: which can be, and by which path of the database."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import PrivateAttr
from sqlalchemy import event, select, update

from opsin import LoadContext, Operation, Params, ProducedArtifact, Result, Runner
from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.answers.earlier_results import EarlierResults, is_restorable
from opsin.core.contract import Embedding, EmbeddingParams
from opsin.core.engine import Outcome, Provenance, TaskStatus, make_task
from opsin.core.testing import FakeOperation
from opsin.settings import Settings
from opsin.storage.tables import analyses, artifacts
from tests.core.engine.workbench import host_of
from tests.core.given_plugins import house_of
from tests.core.house import add_image, ask
from tests.core.stored import count
from tests.core.working import found
from tests.pictures import solid_png

PICTURE = solid_png(40, 30)


class Direction(Embedding):
    """A short vector."""


class Mapped(Result):
    """A result that keeps a file beside its JSON."""

    mean: float
    _file: bytes | None = PrivateAttr(default=None)

    def artifacts(self) -> Sequence[ProducedArtifact]:
        if self._file is None:
            return ()
        return (ProducedArtifact("map.bin", "application/octet-stream", self._file),)


class Counting(Operation[Any, Any]):
    """Gives what `make` makes of a picture's mean; counts."""

    version = "1"
    description = "For tests."

    def __init__(self, name: str, result: type[Result], make: Any, params: Any = Params) -> None:
        vars(self).update(name=name, result=result, params=params)
        self.runs = 0
        self.make = make

    def load(self, context: LoadContext) -> Runner[Any, Any]:
        operation = self

        class CountingRunner(Runner[Any, Any]):
            uses_device = False

            def run(self, batch: Sequence[Any]) -> Sequence[Any]:
                operation.runs += len(batch)
                return [operation.make(item) for item in batch]

        return CountingRunner()


def a_direction(item: Any) -> Direction:
    vector = tuple(np.linspace(0.1, 0.7, 384, dtype=np.float32).tolist())
    return Direction(dimensions=384, normalized=False, model_fingerprint="f", vector=vector)


def mapped(item: Any) -> Mapped:
    result = Mapped(mean=float(item.picture.mean()))
    result._file = b"the map"
    return result


@pytest.fixture
def operations() -> tuple[Counting, Counting]:
    return (
        Counting("a_direction", Direction, a_direction, EmbeddingParams),
        Counting("mapped", Mapped, mapped),
    )


@pytest.fixture
async def parts(
    settings: Settings, any_database_url: str, operations: tuple[Counting, Counting]
) -> AsyncIterator[Parts]:
    async with house_of(settings, *operations, database_url=any_database_url) as parts:
        yield parts


async def worked(parts: Parts, principal: Principal, operation: str) -> Any:
    image = await add_image(parts, principal)
    (asked,) = await ask(parts, principal, image, operation)
    await parts.worker.drain()
    (analysis,) = await found(parts, principal, [asked])
    return analysis


def forget(parts: Parts) -> None:
    parts.use_cases.answers.memory._kept.shrink(0)


async def test_a_vector_is_put_back_into_its_result(
    parts: Parts, principal: Principal, operations: tuple[Counting, Counting]
) -> None:
    first = await worked(parts, principal, "a_direction")
    assert "vector" not in first.result  # it is stored apart
    forget(parts)
    task = make_task(parts.use_cases.host, "t", "a_direction")
    image = await add_image(parts, principal)
    analyzed = await parts.use_cases.answers.analyze(
        b"never opened", [task], company_id=principal.company_id, content_sha256=image.sha256,
        info=(await parts.use_cases.engine.decode(PICTURE)).info,
    )  # fmt: skip
    (outcome,) = analyzed.outcomes
    assert outcome.result == a_direction(None)
    second = await worked(parts, principal, "a_direction")
    assert second.result == first.result and second.provenance["cached"]
    assert operations[0].runs == 1


async def test_a_result_with_files_is_taken_from_memory_only(
    parts: Parts, principal: Principal, operations: tuple[Counting, Counting]
) -> None:
    _, operation = operations
    await worked(parts, principal, "mapped")
    again = await worked(parts, principal, "mapped")
    assert again.provenance["cached"] and operation.runs == 1
    async with parts.use_cases.database.read() as connection:
        keys = (await connection.execute(select(analyses.c.result_key))).scalars().all()
    assert keys == [None, None]
    assert await count(parts.use_cases.database, artifacts) == 2  # each analysis has its file
    forget(parts)
    await worked(parts, principal, "mapped")
    assert operation.runs == 2


def outcome_of(result: Result) -> Outcome:
    operation = FakeOperation(result=Mapped)
    task = make_task(host_of(operation), "t", "fake")
    return Outcome(task, TaskStatus.SUCCESS, result, None, Provenance("p", None, "fake", "1"))


def test_which_results_come_back_as_they_are() -> None:
    class More(Mapped):
        more: int = 1

    plain, with_file = Mapped(mean=3.5), Mapped(mean=3.5)
    with_file._file = b"the map"
    assert is_restorable(outcome_of(plain))
    assert not is_restorable(outcome_of(with_file))
    assert not is_restorable(outcome_of(More(mean=1.0)))
    assert not is_restorable(replace(outcome_of(plain), result=None))


async def test_a_result_that_no_longer_fits_is_computed_again(
    parts: Parts, principal: Principal, operations: tuple[Counting, Counting]
) -> None:
    await worked(parts, principal, "a_direction")
    async with parts.use_cases.database.write() as transaction:
        await transaction.connection.execute(update(analyses).values(result={"old": True}))
    forget(parts)
    again = await worked(parts, principal, "a_direction")
    assert again.result["dimensions"] == 384 and operations[0].runs == 2


async def test_it_is_found_through_the_index(parts: Parts, principal: Principal) -> None:
    """However many companies and analyses there are of one key."""
    await worked(parts, principal, "a_direction")
    database = parts.use_cases.database
    told: list[str] = []
    statements: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        statements.append((statement, parameters))

    engine = database._reader.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    operation = parts.use_cases.host.operation("a_direction")
    many = {f"{number:064}": operation for number in range(600)}
    assert await EarlierResults(database).find(principal.company_id, many) == {}
    event.remove(engine, "before_cursor_execute", note)
    ((statement, parameters),) = [s for s in statements if "result_key" in s[0]]
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    async with database.read() as connection:
        if not database.is_sqlite:
            await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        rows = await connection.exec_driver_sql(explain + statement, parameters)
        told = [str(row) for row in rows]
    plan = "\n".join(told)
    assert plan.count("ix_analyses_result_key") >= 2, plan
    assert "SCAN analyses" not in plan and "Seq Scan on analyses" not in plan, plan
