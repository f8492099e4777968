"""Who sees single datasets reads these by their own indexes, whatever else the company has."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Table, event, insert, select

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.audit_log import NEWEST_FIRST, AuditFilter
from opsin.core.pages import PageRequest
from opsin.core.roles import Role, rights_of
from opsin.graphql.context import Context
from opsin.graphql.execution import OpsinSchema
from opsin.graphql.limits import Limits
from opsin.graphql.schema import build_schema
from opsin.graphql.wire import encode_json
from opsin.storage.event_log import EventFilter, NewEvent, last_position_in, read_events
from opsin.storage.ids import new_ids
from opsin.storage.tables import analyses, images

LIMITS = Limits(depth=40, fields=500, aliases=50, tokens=5000)
IMAGES = 24
NOW = datetime.now(UTC)
SLOW = ("Seq Scan", "SCAN images", "SCAN analyses", "SCAN events", "SCAN audit", "company_id_id")
"""What would look at the rows of other datasets."""


@pytest_asyncio.fixture
async def datasets(parts: Parts, principal: Principal) -> list[str]:
    """Four, with images that came to one after the other, and an analysis and event of each."""
    create = parts.use_cases.datasets.create
    made = [(await create(principal, f"dataset {n}")).id for n in range(4)]
    ids, of_analyses = new_ids(IMAGES), new_ids(IMAGES)
    places = [made[number % 4] for number in range(IMAGES)]
    image = {
        "company_id": principal.company_id, "filename": "a.png", "content_type": "image/png",
        "size_bytes": 1, "sha256": "0" * 64, "width": 1, "height": 1, "created_at": NOW,
        "taken_at": NOW,
    }  # fmt: skip
    analysis = {
        "company_id": principal.company_id, "external": True, "model_name": "yolo",
        "model_version": "1", "status": "COMPLETED", "available_at": NOW, "created_at": NOW,
        "updated_at": NOW,
    }  # fmt: skip
    async with parts.use_cases.database.write() as transaction:
        await transaction.connection.execute(
            insert(images),
            [image | {"id": i, "dataset_id": d} for i, d in zip(ids, places, strict=True)],
        )
        await transaction.connection.execute(
            insert(analyses),
            [
                analysis | {"id": a, "image_id": i, "dataset_id": d}
                for a, i, d in zip(of_analyses, ids, places, strict=True)
            ],
        )
        for identity, dataset_id in zip(of_analyses, places, strict=True):
            transaction.emit(
                NewEvent("analysis.queued", principal.company_id, dataset_id, analysis_id=identity)
            )
    return made


def narrow(principal: Principal, *seen: str) -> Principal:
    return replace(
        principal, rights=rights_of(frozenset(), [(one, Role.ADMIN.value) for one in seen])
    )


async def ask(parts: Parts, schema: OpsinSchema, caller: Principal, query: str) -> Any:
    context = Context(parts.use_cases, caller, "http://here", 1000)
    answer = await schema.execute(query, {}, context)
    assert not answer.errors, answer.errors
    return json.loads(encode_json(answer.data))


async def ids_in(parts: Parts, table: Table, seen: Sequence[str]) -> list[str]:
    """In the order in which they came."""
    statement = select(table.c.id).where(table.c.dataset_id.in_(seen)).order_by(table.c.id)
    async with parts.use_cases.database.read() as connection:
        return list((await connection.execute(statement)).scalars())


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("seen", [1, 3])
async def test_pages_go_through_all_datasets_in_order(
    parts: Parts, principal: Principal, datasets: list[str], compiled: bool, seen: int
) -> None:
    schema = build_schema(parts.use_cases.host, LIMITS, compiled=compiled)
    caller = narrow(principal, *datasets[:seen])
    for noun, table in (("images", images), ("analyses", analyses)):
        expected = await ids_in(parts, table, datasets[:seen])
        assert len(expected) == IMAGES * seen // 4
        for order in ("ASC", "DESC"):
            found, after = list[str](), ""
            for _ in range(IMAGES):
                page = (
                    await ask(
                        parts, schema, caller,
                        f"{{ {noun}(first: 4, orderBy: CREATED_{order}{after}) {{ nodes {{ id }} "
                        "totalCount pageInfo { hasNextPage hasPreviousPage endCursor } } }",
                    )
                )[noun]  # fmt: skip
                assert page["totalCount"] == len(expected)
                assert page["pageInfo"]["hasPreviousPage"] is bool(after)
                found += [one["id"] for one in page["nodes"]]
                if not page["pageInfo"]["hasNextPage"]:
                    break
                after = f', after: "{page["pageInfo"]["endCursor"]}"'
            assert found == (expected if order == "ASC" else expected[::-1])


async def test_events_of_some_datasets_come_in_order(
    parts: Parts, principal: Principal, datasets: list[str]
) -> None:
    wanted = EventFilter(principal.company_id, ("analysis.queued",))
    async with parts.use_cases.database.read() as connection:
        every = await read_events(connection, wanted, after=0, limit=100)
        for seen in (datasets[:1], datasets[1:3], []):
            expected = [one for one in every if one.dataset_id in seen]
            found, after = [], 0
            while some := await read_events(
                connection, wanted, after=after, limit=4, datasets=seen
            ):
                found += some
                after = some[-1].sequence
            assert found == expected
            end = await last_position_in(connection, principal.company_id, seen)
            # The datasets have told of themselves, too, when they were made.
            assert end >= max([one.sequence for one in expected], default=0)
            assert bool(end) is bool(seen)
        one = replace(wanted, dataset_id=datasets[0])
        assert await read_events(connection, one, after=0, limit=9, datasets=datasets[1:]) == []
        assert {e.dataset_id for e in await read_events(connection, one, after=0, limit=9)} == {
            datasets[0]
        }


async def test_a_stranger_with_the_same_datasets_finds_nothing(
    parts: Parts, principal: Principal, datasets: list[str]
) -> None:
    """The company stands in each statement, whatever datasets somebody claims to see."""
    stranger = (await parts.use_cases.access.ensure_company("other")).id
    caller = replace(narrow(principal, *datasets), company_id=stranger)
    for compiled in (True, False):
        schema = build_schema(parts.use_cases.host, LIMITS, compiled=compiled)
        for noun in ("images", "analyses"):
            found = await ask(
                parts, schema, caller, f"{{ {noun} {{ nodes {{ id }} totalCount }} eventCursor }}"
            )
            assert found == {noun: {"nodes": [], "totalCount": 0}, "eventCursor": "0" * 16}
    async with parts.use_cases.database.read() as connection:
        wanted = EventFilter(stranger)
        assert await read_events(connection, wanted, after=0, limit=9, datasets=datasets) == []
        assert await last_position_in(connection, stranger, datasets) == 0


class Statements:
    """What a house asks of its database, and how that carries it out."""

    def __init__(self, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
        self._database = parts.use_cases.database
        self.seen: list[tuple[str, Sequence[Any], bool]] = []
        reader = self._database.reader
        for name in ("fetch_text", "fetch_rows"):
            monkeypatch.setattr(reader, name, self._noting(getattr(reader, name)))

    def _noting(self, fetch: Any) -> Any:
        async def noted(statement: str, values: Sequence[Any]) -> Any:
            self.seen.append((statement, values, True))
            return await fetch(statement, values)

        return noted

    def note(self, _connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            self.seen.append((statement, values, False))

    async def plan(self) -> str:
        """Of the last one."""
        statement, values, is_compiled = self.seen[-1]
        explain = "EXPLAIN QUERY PLAN " if self._database.is_sqlite else "EXPLAIN "
        if is_compiled:
            rows = await self._database.reader.fetch_rows(explain + statement, values)
        else:
            async with self._database.write() as transaction:
                connection = transaction.connection
                if not self._database.is_sqlite:
                    # A small table would be read whole, whatever its indexes.
                    await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
                    await connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
                rows = list(await connection.exec_driver_sql(explain + statement, values))
        return "\n".join(str(row[-1]) for row in rows)


@pytest.fixture
async def statements(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Statements]:
    made = Statements(parts, monkeypatch)
    engine = parts.use_cases.database._reader.sync_engine
    event.listen(engine, "before_cursor_execute", made.note)
    yield made
    event.remove(engine, "before_cursor_execute", made.note)


@pytest.mark.parametrize("compiled", [True, False])
async def test_lists_use_the_index_of_the_dataset(
    parts: Parts, principal: Principal, datasets: list[str], statements: Statements, compiled: bool
) -> None:
    schema = build_schema(parts.use_cases.host, LIMITS, compiled=compiled)
    for caller in (narrow(principal, datasets[0]), narrow(principal, *datasets[:3])):
        for noun in ("images", "analyses"):
            for order in ("ASC", "DESC"):
                first = f"first: 2, orderBy: CREATED_{order}"
                page = f"{{ {noun}(%s) {{ edges {{ cursor }} pageInfo {{ endCursor }} }} }}"
                found = (await ask(parts, schema, caller, page % first))[noun]
                for arguments in (first, f'{first}, after: "{found["pageInfo"]["endCursor"]}"'):
                    await ask(parts, schema, caller, page % arguments)
                    plan = await statements.plan()
                    assert f"ix_{noun}_dataset_id_id" in plan, plan
                    assert not any(slow in plan for slow in SLOW), plan
        if compiled:
            for noun in ("images", "analyses"):
                await ask(parts, schema, caller, f"{{ {noun} {{ totalCount }} }}")
                plan = await statements.plan()
                assert f"ix_{noun}_dataset_id_id" in plan, plan
                assert not any(slow in plan for slow in SLOW), plan


async def test_the_log_is_read_by_the_index_of_the_dataset(
    parts: Parts, principal: Principal, datasets: list[str], statements: Statements
) -> None:
    schema = build_schema(parts.use_cases.host, LIMITS)
    wanted = EventFilter(principal.company_id, ("analysis.queued",))
    plans = []
    for seen in (datasets[:1], datasets[:3]):
        await ask(parts, schema, narrow(principal, *seen), "{ eventCursor }")
        plans.append(await statements.plan())
        async with parts.use_cases.database.read() as connection:
            await read_events(connection, wanted, after=1, limit=9, datasets=seen)
        plans.append(await statements.plan())
        await parts.use_cases.events.position_for(narrow(principal, *seen))
        plans.append(await statements.plan())
    async with parts.use_cases.database.read() as connection:
        one = replace(wanted, dataset_id=datasets[0])
        await read_events(connection, one, after=1, limit=9)
    plans.append(await statements.plan())
    for plan in plans:
        assert "ix_events_dataset_id_sequence" in plan, plan
        assert not any(slow in plan for slow in (*SLOW, "ix_events_company")), plan


async def test_the_audit_of_a_dataset_and_of_an_actor_have_an_index(
    parts: Parts, principal: Principal, datasets: list[str], statements: Statements
) -> None:
    asked = AuditFilter(dataset_id=datasets[0])
    request = PageRequest(5, None, NEWEST_FIRST)
    page = await parts.use_cases.audit_log.page(narrow(principal, datasets[0]), asked, request)
    assert [one.action for one in page.records] == ["dataset.create"]
    plan = await statements.plan()
    assert "ix_audit_entries_company_id_dataset_id_id" in plan, plan
    await parts.use_cases.audit_log.page(principal, AuditFilter(actor=datasets[0]), request)
    plan = await statements.plan()
    assert "ix_audit_entries_company_id_actor_id_id" in plan, plan
