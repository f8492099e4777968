"""Events are sent to a real receiver: which, in what order, signed, from where in the log."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks import WebhookVerificationError

from opsin.core.errors import LimitReached
from opsin.core.webhooks.ledger import Ledger
from opsin.core.webhooks.records import DeliveryStatus
from opsin.core.webhooks.schedule import Schedule
from opsin.core.webhooks.webhooks import WebhookChanges
from opsin.storage.event_log import NewEvent
from opsin.storage.tables import events
from tests.conftest import other_company
from tests.core.webhooks.conftest import KIND, Office
from tests.core.webhooks.receiving import Received


async def test_events_come_signed_and_in_order(office: Office) -> None:
    webhook, secret = await office.hook(kinds=[KIND, "image.created"])
    await office.tell(3, data={"status": "COMPLETED"})
    async with office.sending():
        await office.receiver.gets(3)
        await office.tell(2, "image.created")
        await office.tell(1, "image.deleted")
        await office.tell(1)
        received = await office.receiver.gets(6)
        deliveries = await office.until(webhook, lambda found: len(found) == 6)
    for request in received:
        StandardWebhook(secret).verify(request.body, request.headers)
    assert [one.payload["type"] for one in received] == [KIND] * 3 + ["image.created"] * 2 + [KIND]
    cursors = [one.cursor for one in received]
    assert cursors == sorted(set(cursors))
    assert received[0].payload == {
        "type": KIND,
        "timestamp": received[0].payload["timestamp"],
        "version": 1,
        "cursor": received[0].payload["cursor"],
        "data": {"status": "COMPLETED"},
    }
    assert [one.id for one in deliveries] == [one.id for one in received]
    assert {one.status for one in deliveries} == {DeliveryStatus.DELIVERED}
    assert office.receiver.connections == 1


async def test_a_webhook_is_told_of_its_own_company_dataset_and_kinds(office: Office) -> None:
    datasets = office.parts.use_cases.datasets
    mine = (await datasets.create(office.principal, "mine")).id
    other = (await datasets.create(office.principal, "other")).id
    await office.hook("/dataset", dataset_id=mine)
    await office.hook("/all")
    stranger = await other_company(office.parts)
    async with office.sending():
        async with office.parts.use_cases.database.write() as transaction:
            transaction.emit(NewEvent(KIND, stranger.company_id))
        await office.tell(1, dataset_id=other)
        await office.tell(1, "analysis.failed", dataset_id=mine)
        await office.tell(1, dataset_id=mine)
        everything = await office.receiver.gets(2, "/all")
        only = await office.receiver.gets(1, "/dataset")
    assert [one.payload["data"]["datasetId"] for one in everything] == [other, mine]
    assert [one.payload["data"]["datasetId"] for one in only] == [mine]
    assert len(office.receiver.received) == 3


async def test_of_many_made_at_once_a_company_keeps_as_many_as_it_may(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsin.core.webhooks.room.MAX_WEBHOOKS", 3)
    made = await asyncio.gather(*(office.hook() for _ in range(10)), return_exceptions=True)
    refused = [one for one in made if isinstance(one, BaseException)]
    assert [type(one) for one in refused] == [LimitReached] * 7
    assert len(await office.webhooks.listed(office.principal)) == 3


async def test_datasets_have_a_share_of_their_own(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever administers one dataset leaves the company, and other datasets, what is theirs."""
    for name, most in (("MAX_WEBHOOKS", 2), ("MAX_OF_DATASET", 3), ("MAX_OF_DATASETS", 4)):
        monkeypatch.setattr(f"opsin.core.webhooks.room.{name}", most)
    datasets = office.parts.use_cases.datasets
    one, other = [(await datasets.create(office.principal, name)).id for name in ("one", "other")]
    made = await asyncio.gather(
        *(office.hook(dataset_id=one) for _ in range(5)), return_exceptions=True
    )
    refused = [str(each) for each in made if isinstance(each, LimitReached)]
    assert refused == ["A dataset has at most 3 webhooks"] * 2
    for _ in range(2):
        await office.hook()
    with pytest.raises(LimitReached, match="at most 2 webhooks for all datasets"):
        await office.hook()
    await office.hook(dataset_id=other)
    with pytest.raises(LimitReached, match="datasets of a company have at most 4"):
        await office.hook(dataset_id=other)


async def test_it_begins_at_the_end_of_the_log_or_after_a_cursor(office: Office) -> None:
    await office.tell(3)
    async with office.parts.use_cases.database.read() as connection:
        log = list((await connection.execute(select(events.c.sequence))).scalars())
    await office.hook("/new")
    await office.hook("/second", after=log[0])
    async with office.sending():
        await office.tell()
        new = await office.receiver.gets(1, "/new")
        second = await office.receiver.gets(3, "/second")
    assert [one.cursor for one in second[:2]] == log[1:]
    assert new[0].cursor == second[2].cursor > log[-1]


async def test_a_paused_webhook_goes_on_where_it_stopped_or_from_a_cursor(office: Office) -> None:
    webhook, _ = await office.hook()
    sender = office.sender()
    async with office.sending(sender):
        await office.tell()
        await office.receiver.gets(1)
        await office.webhooks.change(office.principal, webhook.id, WebhookChanges(active=False))
        await office.until_gone(sender, webhook)
        await office.tell(2)
        await office.hook("/reader")
        await office.tell()
        await office.receiver.gets(1, "/reader")
        assert len(office.receiver.at("/")) == 1
        paused = await office.webhooks.get(office.principal, webhook.id)
        assert (paused.active, paused.paused_reason) == (False, "paused by hand")
        await office.webhooks.change(office.principal, webhook.id, WebhookChanges(active=True))
        received = await office.receiver.gets(4)
        end = await office.parts.use_cases.events.position()
        replay = WebhookChanges(after=received[2].cursor)
        await office.webhooks.change(office.principal, webhook.id, replay)
        received = await office.receiver.gets(5)
    assert [one.cursor for one in received] == [
        *sorted({one.cursor for one in received}),
        received[3].cursor,
    ]
    assert received[4].id == received[3].id
    assert received[4].cursor <= end


async def test_both_secrets_sign_for_as_long_as_they_overlap(office: Office) -> None:
    webhook, old = await office.hook()
    async with office.sending():
        await office.tell()
        first = (await office.receiver.gets(1))[0]
        _, new = await office.webhooks.rotate(office.principal, webhook.id, timedelta(hours=1))
        second = await signed_with(office, new)
        _, newest = await office.webhooks.rotate(office.principal, webhook.id, timedelta(0))
        third = await signed_with(office, newest)
    assert [is_signed(one, old) for one in (first, second, third)] == [True, True, False]
    assert [is_signed(one, new) for one in (first, second, third)] == [False, True, False]


def is_signed(request: Received, secret: str) -> bool:
    try:
        StandardWebhook(secret).verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True


async def signed_with(office: Office, secret: str) -> Received:
    """Events until one is signed with this secret; the sender hears of it within a second."""
    async with asyncio.timeout(30):
        while True:
            before = len(office.receiver.received)
            await office.tell()
            newest = (await office.receiver.gets(before + 1))[-1]
            if is_signed(newest, secret):
                return newest


async def test_several_attempts_at_once_lose_nothing(office: Office) -> None:
    webhook, _ = await office.hook(parallel=8)
    async with office.sending(office.sender(Schedule())):
        await office.tell(60)
        received = await office.receiver.gets(60)
        await office.until(webhook, lambda found: len(found) == 60)
    assert len({one.id for one in received}) == len(received) == 60
    stored = await office.webhooks.get(office.principal, webhook.id)
    assert stored.position == max(one.cursor for one in received)


async def test_a_large_backlog_is_sent_from_the_log(office: Office) -> None:
    webhook, _ = await office.hook(parallel=4)
    async with office.parts.use_cases.database.write() as transaction:
        for _ in range(1300):
            transaction.emit(NewEvent(KIND, office.principal.company_id))
    async with office.sending(office.sender(kept=100)):
        received = await office.receiver.gets(1300, seconds=60)
        await office.until_webhook(webhook, lambda one: one.position == received[-1].cursor)
    assert len({one.id for one in received}) == 1300


async def test_what_has_ended_is_forgotten_in_time(office: Office) -> None:
    webhook, _ = await office.hook()
    async with office.sending():
        await office.tell(6)
        await office.until(webhook, lambda found: len(found) == 6)
    before = await office.deliveries(webhook)
    ledger = Ledger(office.parts.use_cases.database, lease=timedelta(seconds=1))
    long_ago = before[0].created_at - timedelta(days=1)
    assert await ledger.sweep(webhook.id, before=long_ago, kept=4) == 2
    assert await office.deliveries(webhook) == before[2:]
    soon = before[-1].updated_at + timedelta(days=1)
    assert await ledger.sweep(webhook.id, before=soon, kept=4) == 4
