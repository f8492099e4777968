"""The audit: written with the deed, changed by nobody, read by administrators, kept as long."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from opsin.assembly import Parts
from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.audit_log import NEWEST_FIRST, AuditEntry, AuditFilter, AuditLog
from opsin.core.errors import Forbidden, NotFound
from opsin.core.pages import PageRequest
from opsin.core.request_context import request_id
from opsin.core.roles import Permission, Rights
from opsin.core.subjects import NewSubject
from opsin.storage.audit import audit_entries, audit_horizon
from opsin.storage.database import Database
from opsin.storage.ids import least_id, new_id
from tests.conftest import other_company
from tests.core.house import add_image

READ_ONLY = Rights(frozenset({Permission.READ}))


async def _entries(parts: Parts, **wanted: object) -> list[AuditEntry]:
    """All of every company, oldest first."""
    found = AuditFilter(**wanted)  # type: ignore[arg-type]  # names and values of a test
    return list(await parts.use_cases.audit_log.read(found, limit=10_000))


async def _page(
    parts: Parts, caller: Principal, first: int = 100, after: str | None = None, **wanted: object
) -> list[str]:
    """The actions on a page of the caller's."""
    asked = AuditFilter(**wanted)  # type: ignore[arg-type]  # names and values of a test
    request = PageRequest(first, after, NEWEST_FIRST)
    page = await parts.use_cases.audit_log.page(caller, asked, request)
    return [entry.action for entry in page.records]


async def _insert(database: Database, company_id: str, moment: datetime, count: int = 1) -> None:
    """Entries of another time, ids and all."""
    base = least_id(moment)
    rows = [
        {
            "id": f"{base[:19]}{new_id()[19:]}",
            "company_id": company_id,
            "action": "dataset.create",
            "actor_kind": "dev",
            "actor_name": "somebody",
            "details": {},
            "created_at": moment,
        }
        for _ in range(count)
    ]
    async with database.write() as transaction:
        await transaction.connection.execute(insert(audit_entries), rows)


# --- written --------------------------------------------------------------------------------------


async def test_an_entry_says_who_did_what_to_what(parts: Parts, principal: Principal) -> None:
    token = request_id.set("request-1")
    try:
        made = await parts.use_cases.datasets.create(principal, "whales")
    finally:
        request_id.reset(token)
    (entry,) = await _entries(parts, action=("dataset.create",))
    assert (entry.actor_kind, entry.actor_name) == ("dev", principal.name)
    assert (entry.subject_kind, entry.subject_id, entry.dataset_id) == ("dataset", made.id, made.id)
    assert (entry.company_id, entry.details) == (principal.company_id, {"name": "whales"})
    assert entry.request_id == "request-1"
    assert timedelta(0) <= datetime.now(UTC) - entry.created_at < timedelta(minutes=5)


async def test_what_is_not_done_is_not_noted(parts: Parts, principal: Principal) -> None:
    before = await _entries(parts)
    with pytest.raises(NotFound):
        await parts.use_cases.datasets.delete(principal, new_id())
    with pytest.raises(ZeroDivisionError):
        async with parts.use_cases.database.write() as transaction:
            audit.note(transaction, principal, "dataset.create", ("dataset", new_id()))
            raise ZeroDivisionError
    assert await _entries(parts) == before


async def test_of_many_there_is_one_line(parts: Parts, principal: Principal) -> None:
    cases = parts.use_cases
    dataset = await cases.datasets.create(principal, "whales")
    ids = [
        (await cases.subjects.create(principal, dataset.id, NewSubject(f"{n}"))).id
        for n in range(3)
    ]
    await cases.subjects.clear(principal, dataset.id, ids)
    (entry,) = await _entries(parts, action=("subject.clear",))
    assert entry.subject_id is None
    assert entry.details == {"count": 3, "ids": sorted(ids)}


async def test_what_retention_removes_is_noted_as_its_own(
    parts: Parts, principal: Principal
) -> None:
    """One line for the images of a dataset, by Opsin itself."""
    cases = parts.use_cases
    image = await add_image(parts, principal)
    past = cases.image_deletions
    await past.delete(principal, None, image.id, "it is blurred, alas")
    assert await past.purge(datetime.now(UTC) + timedelta(days=4000)) == 1
    (entry,) = await _entries(parts, action=("image.hard_delete",))
    assert (entry.actor_kind, entry.actor_name) == ("opsin", "retention")
    assert entry.subject_id == image.id


async def test_reports_and_exports_are_noted(parts: Parts, principal: Principal) -> None:
    from opsin.core.exports.request import ExportFormat, TargetKind

    image = await add_image(parts, principal)
    exports = parts.use_cases.exports
    mine = await exports.find(principal, TargetKind.DATASET, image.dataset_id)
    linked = await exports.by_id(TargetKind.DATASET, image.dataset_id)
    for target in (mine, linked):
        async for _ in exports.stream(target, ExportFormat.NDJSON):
            pass
    found = await _entries(parts, action=("dataset.export",), dataset_id=image.dataset_id)
    assert [entry.actor_kind for entry in found] == ["dev", "link"]
    assert found[0].details == {"format": "ndjson"}


# --- kept by the database -------------------------------------------------------------------------


async def test_no_line_is_changed_or_removed(parts: Parts, principal: Principal) -> None:
    await parts.use_cases.datasets.create(principal, "whales")
    before = await _entries(parts)
    statements = [
        update(audit_entries).values(actor_name="nobody"),
        delete(audit_entries),
        delete(audit_entries).where(audit_entries.c.id == before[-1].id),
    ]
    if parts.use_cases.database.is_sqlite:
        copied = "INSERT OR REPLACE INTO audit_entries SELECT * FROM audit_entries"
        statements.append(text(copied))  # type: ignore[arg-type]  # a statement all the same
        async with parts.use_cases.database.read() as connection:
            # A row has no second name, such as SQLite's own number, by which it could be replaced.
            with pytest.raises(DBAPIError, match="no such column: rowid"):
                await connection.execute(text("SELECT rowid FROM audit_entries"))
    else:
        statements.append(text("TRUNCATE audit_entries"))  # type: ignore[arg-type]  # as above
    for statement in statements:
        with pytest.raises(DBAPIError, match="append-only"):
            async with parts.use_cases.database.write() as transaction:
                await transaction.connection.execute(statement)
    assert await _entries(parts) == before


async def test_the_horizon_never_goes_back(parts: Parts) -> None:
    """Else lines could be written that seem to have been there, and the last one be moved."""
    now = datetime.now(UTC)
    database = parts.use_cases.database
    async with database.write() as transaction:
        await transaction.connection.execute(insert(audit_horizon).values(id=1, kept_from=now))
    back = update(audit_horizon).values(kept_from=now - timedelta(days=1))
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.write() as transaction:
            await transaction.connection.execute(back)


async def test_old_lines_go_after_their_time(parts: Parts, principal: Principal) -> None:
    database = parts.use_cases.database
    now = datetime.now(UTC)
    await _insert(database, principal.company_id, now - timedelta(days=40), count=1200)
    await _insert(database, principal.company_id, now - timedelta(days=20))
    kept = await _entries(parts, since=now - timedelta(days=30))
    assert await AuditLog(database).sweep(now) == 0  # for ever, as nothing else is said
    log = AuditLog(database, days=30)
    assert await log.sweep(now) == 1200
    left = await _entries(parts)
    told = [entry for entry in left if entry.action == "audit.expire"]
    assert sum(entry.details["count"] for entry in told) == 1200
    assert {(entry.actor_kind, entry.company_id) for entry in told} == {
        ("opsin", principal.company_id)
    }
    assert [entry for entry in left if entry not in told] == kept
    assert await log.sweep(now) == 0
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.write() as transaction:
            await transaction.connection.execute(delete(audit_entries))


async def test_two_may_remove_old_lines_at_once(parts: Parts, principal: Principal) -> None:
    database = parts.use_cases.database
    now = datetime.now(UTC)
    await _insert(database, principal.company_id, now - timedelta(days=40), count=30)
    log = AuditLog(database, days=30)
    await log.sweep(now - timedelta(days=25))  # the horizon is there
    counts = await asyncio.gather(log.sweep(now), log.sweep(now))
    assert sum(counts) == 30


# --- read -----------------------------------------------------------------------------------------


async def test_it_is_read_by_administrators_of_the_company(
    parts: Parts, principal: Principal
) -> None:
    await parts.use_cases.datasets.create(principal, "whales")
    stranger = await other_company(parts)
    assert await _page(parts, principal) == ["dataset.create", "company.create"]
    assert await _page(parts, stranger) == ["company.create"]
    for rights in (READ_ONLY, Rights(frozenset(Permission) - {Permission.ADMIN}), Rights()):
        with pytest.raises(Forbidden):
            await _page(parts, replace(principal, rights=rights))


async def test_of_one_dataset_by_its_own_administrators(parts: Parts, principal: Principal) -> None:
    cases = parts.use_cases
    mine, other = [await cases.datasets.create(principal, name) for name in ("mine", "other")]
    every = frozenset(Permission)
    caller = replace(principal, rights=Rights(datasets={mine.id: every}))
    assert await _page(parts, caller, dataset_id=mine.id) == ["dataset.create"]
    with pytest.raises(Forbidden):
        await _page(parts, caller)
    with pytest.raises(NotFound):
        await _page(parts, caller, dataset_id=other.id)
    reader = replace(principal, rights=Rights(READ_ONLY.company, {mine.id: READ_ONLY.company}))
    with pytest.raises(Forbidden):
        await _page(parts, reader, dataset_id=mine.id)


async def test_filters(parts: Parts, principal: Principal) -> None:
    cases = parts.use_cases
    key, _ = await cases.api_keys.create(principal, "robot")
    robot = Principal(principal.company_id, "robot", key.id)
    made = await cases.datasets.create(robot, "whales")
    image = await add_image(parts, principal)
    (entry,) = await _entries(parts, actor=key.id)
    assert (entry.actor_kind, entry.actor_id, entry.key_id) == ("key", key.id, key.id)
    assert await _page(parts, principal, actor="robot") == ["dataset.create"]
    assert await _page(parts, principal, actor=key.id) == ["dataset.create"]
    assert await _page(parts, principal, actor=new_id()) == []
    assert await _page(parts, principal, key=key.id) == ["dataset.create"]
    assert await _page(parts, principal, key=new_id()) == []
    assert await _page(parts, principal, actor="rob\x00ot") == []
    assert await _page(parts, principal, subject=made.id) == ["dataset.create"]
    assert await _page(parts, principal, subject=image.id) == ["image.create"]
    assert await _page(parts, principal, action=("image.create", "key.create")) == [
        "image.create",
        "key.create",
    ]
    assert await _page(parts, principal, dataset_id=image.dataset_id) == [
        "image.create",
        "dataset.create",
    ]
    assert await _page(parts, principal, dataset_id="none") == []
    assert await _page(parts, principal, until=entry.created_at) == ["key.create", "company.create"]
    since = await _page(parts, principal, since=entry.created_at)
    assert since == ["image.create", "dataset.create", "dataset.create"]
    total = await cases.audit_log.total(principal, AuditFilter(action=("dataset.create",)))
    assert total == 2


async def test_pages_lie_side_by_side(parts: Parts, principal: Principal) -> None:
    for number in range(5):
        await parts.use_cases.datasets.create(principal, f"{number}")
    log, found, after = parts.use_cases.audit_log, list[AuditEntry](), None
    while True:
        page = await log.page(principal, AuditFilter(), PageRequest(2, after, NEWEST_FIRST))
        found += page.records
        if not page.has_next:
            break
        after = page.cursors[-1]
    assert found == (await _entries(parts))[::-1]


async def test_no_secret_is_noted(parts: Parts, principal: Principal) -> None:
    """A key's text, and an address that may hold a token."""
    from opsin.core.webhooks.webhooks import NewWebhook

    _, text_of_key = await parts.use_cases.api_keys.create(principal, "robot")
    url = "https://user:hunter2@8.8.8.8/told?token=hunter2"
    url = url.replace("user:hunter2@", "")
    _, secret = await parts.use_cases.webhooks.create(principal, NewWebhook(url, ["image.created"]))
    async with parts.use_cases.database.read() as connection:
        rows = (await connection.execute(select(audit_entries))).all()
    told = str(rows)
    assert "8.8.8.8" in told
    for hidden in (text_of_key.rpartition("_")[2], "hunter2", secret):
        assert hidden not in told
