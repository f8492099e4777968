"""Several senders, and senders that die: each delivery once, or again with the same id."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import update

from opsin.core.errors import StorageError
from opsin.core.webhooks.ledger import Ledger
from opsin.core.webhooks.records import DeliveryStatus
from opsin.settings import Settings
from opsin.storage.webhooks import webhooks
from tests.core.webhooks.conftest import SECRET, Office, opened
from tests.core.webhooks.receiving import NO_CONTENT, Received, hang
from tests.processes import Marks, opsin

DELIVERED = DeliveryStatus.DELIVERED


async def test_two_senders_send_everything_once(office: Office, settings: Settings) -> None:
    hooks = [(await office.hook(f"/{n}", parallel=1 + n % 2))[0] for n in range(6)]
    async with (
        opened(settings, office.parts.database_url, office.receiver) as other,
        office.sending(office.sender(), other.sender()),
    ):
        await office.tell(15)
        await other.tell(15)
        for hook in hooks:
            await office.until(hook, lambda found: len(found) == 30)
    for n in range(6):
        ids = Counter(one.id for one in office.receiver.at(f"/{n}"))
        assert len(ids) == 30
        assert set(ids.values()) == {1}


async def test_a_sender_that_stops_hands_its_webhooks_on_at_once(office: Office) -> None:
    webhook, _ = await office.hook()
    for count in (1, 2, 3):
        async with office.sending():
            await office.tell()
            received = await office.receiver.gets(count)
    assert len({one.id for one in received}) == len(office.receiver.received) == 3
    assert (await office.webhooks.get(office.principal, webhook.id)).failures == 0


async def test_what_is_no_longer_ours_is_not_written(office: Office) -> None:
    """A sender was asleep for so long that another has taken its webhook."""
    webhook, _ = await office.hook()
    seen = asyncio.Event()
    go_on = asyncio.Event()

    async def wait(_request: Received, writer: asyncio.StreamWriter) -> None:
        seen.set()
        await go_on.wait()
        writer.write(NO_CONTENT)

    office.receiver.answers(wait, NO_CONTENT)
    sender = office.sender()
    async with office.sending(sender):
        await office.tell()
        await seen.wait()
        thief = Ledger(office.parts.use_cases.database, lease=sender.lease)
        async with office.parts.use_cases.database.write() as transaction:
            await transaction.connection.execute(update(webhooks).values(lease_id=None))
        assert await thief.claim(["standard"]) == [webhook.id]
        go_on.set()
        await office.until_gone(sender, webhook)
        assert await office.deliveries(webhook) == []
        await thief.release()
        await office.until(webhook, lambda found: [one.status for one in found] == [DELIVERED])
    assert len({one.id for one in office.receiver.received}) == 1


async def test_a_database_that_is_down_for_a_moment_loses_no_delivery(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook, _ = await office.hook()
    failed, write = 0, Ledger.write

    async def fail_twice(self: Ledger, ended: object) -> None:
        nonlocal failed
        failed += 1
        if failed <= 2:
            raise StorageError("the database could not do this now; try again")
        await write(self, ended)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(Ledger, "write", fail_twice)
    async with office.sending():
        await office.tell(5)
        await office.until(webhook, lambda found: [o.status for o in found] == [DELIVERED] * 5)
    assert len(office.receiver.received) == 5


@pytest.mark.chaos
async def test_after_a_kill_another_sender_goes_on_with_the_same_ids(
    office: Office, tmp_path: Path
) -> None:
    """`opsin webhooks` is killed while a receiver has its request and has not answered."""
    webhook, _ = await office.hook()
    office.receiver.answers(NO_CONTENT, NO_CONTENT, hang, NO_CONTENT)
    marks = Marks(tmp_path, 0)
    settings = {
        "database_url": office.parts.database_url,
        "data_dir": tmp_path / "elsewhere",
        "webhook_allow": f"127.0.0.1:{office.receiver.port}",
        "webhook_seconds": 2,
        "secret_key": SECRET.decode(),
    }
    with opsin(tmp_path, "webhooks", marks=marks, **settings) as first:
        await first.prints("sending")
        await office.tell(4)
        hung = (await office.receiver.gets(3, seconds=60))[2]
        first.kill()
    with opsin(tmp_path, "webhooks", marks=marks, **settings) as second:
        await second.prints("sending")
        deliveries = await office.until(
            webhook, lambda found: [one.status for one in found] == [DELIVERED] * 4
        )
        assert await second.stop() == 0
    sent = Counter(one.id for one in office.receiver.received)
    assert list(sent) == [one.id for one in deliveries]
    assert sent[hung.id] >= 2
    assert SECRET.decode() not in second.output()
