"""Receivers that fail, in every way: tried again with the same id, given up, paused, sent again."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from opsin.core.webhooks.records import Delivery, DeliveryStatus
from opsin.core.webhooks.schedule import Schedule
from opsin.core.webhooks.webhooks import WebhookChanges
from tests.core.webhooks.conftest import Office
from tests.core.webhooks.hand_clock import HandClock
from tests.core.webhooks.receiving import NO_CONTENT, Received, hang, status

PENDING, DELIVERED, FAILED = DeliveryStatus
BUSY = status("503 Busy", body=b"later\0, please")


async def test_what_is_not_taken_comes_again_before_what_follows(office: Office) -> None:
    webhook, _ = await office.hook()
    office.receiver.answers(BUSY, BUSY, NO_CONTENT)
    async with office.sending():
        await office.tell(3)
        received = await office.receiver.gets(5)
        deliveries = await office.until(
            webhook, lambda found: [one.status for one in found] == [DELIVERED] * 3
        )
    ids = [one.id for one in deliveries]
    assert [one.id for one in received] == [ids[0], ids[0], *ids]
    assert [one.attempt_count for one in deliveries] == [3, 1, 1]
    attempts = deliveries[0].attempts
    assert [one["status_code"] for one in attempts] == [503, 503, 204]
    assert [one["error"] for one in attempts] == ["the answer was 503"] * 2 + [None]
    assert attempts[0]["answer"] == "later, please"


async def test_an_event_that_is_never_taken_holds_the_others_up_for_three_tries(
    office: Office,
) -> None:
    webhook, _ = await office.hook()
    refused: list[str] = []

    async def take_all_but_the_first(request: Received, writer: asyncio.StreamWriter) -> None:
        refused[:] = refused or [request.id]
        writer.write(BUSY if request.id == refused[0] else NO_CONTENT)

    office.receiver.answers(take_all_but_the_first)
    schedule = Schedule(
        first=timedelta(milliseconds=5), longest=timedelta(milliseconds=50), max_attempts=6
    )
    async with office.sending(office.sender(schedule)):
        await office.tell(4)
        deliveries = await office.until(
            webhook, lambda found: [one.status for one in found] == [FAILED] + [DELIVERED] * 3
        )
    order = [one.id for one in office.receiver.received]
    assert order[:4] == [refused[0]] * 3 + [deliveries[1].id]
    assert order.count(refused[0]) == deliveries[0].attempt_count == 6


async def test_a_refusal_steps_aside_at_once(office: Office) -> None:
    webhook, _ = await office.hook()
    office.receiver.answers(status("400 Bad"), NO_CONTENT)
    slow = Schedule(first=timedelta(hours=1), chance=lambda: 1.0)
    async with office.sending(office.sender(slow)):
        await office.tell(3)
        deliveries = await office.until(webhook, lambda found: len(found) == 3)
    assert [one.status for one in deliveries] == [PENDING, DELIVERED, DELIVERED]
    assert [one.id for one in office.receiver.received] == [one.id for one in deliveries]


async def test_what_was_given_up_can_be_sent_again(office: Office) -> None:
    webhook, _ = await office.hook()
    office.receiver.answers(status("500 Broken"))
    schedule = Schedule(first=timedelta(milliseconds=5), max_attempts=2)
    async with office.sending(office.sender(schedule)):
        await office.tell()
        failed = await office.until(webhook, lambda found: [o.status for o in found] == [FAILED])
        office.receiver.answers(NO_CONTENT)
        again = await office.webhooks.redeliver(office.principal, failed[0].id)
        assert again.status is PENDING
        delivered = await office.until(
            webhook, lambda found: [one.status for one in found] == [DELIVERED]
        )
    assert {one.id for one in office.receiver.received} == {delivered[0].id}
    assert delivered[0].attempt_count == 3


async def test_gone_pauses_the_webhook_and_loses_nothing(office: Office) -> None:
    webhook, _ = await office.hook()
    await office.hook("/watch", ["webhook.paused"])
    office.receiver.answers(status("410 Gone"), NO_CONTENT)
    async with office.sending():
        await office.tell(2)
        told = (await office.receiver.gets(1, "/watch"))[0]
        paused = await office.webhooks.get(office.principal, webhook.id)
        assert not paused.active
        assert paused.paused_reason == "the receiver answered 410: it wants no more events"
        assert told.payload["data"] == {
            "webhookId": webhook.id,
            "reason": paused.paused_reason,
        }
        assert len(office.receiver.at("/")) == 1
        await office.webhooks.change(office.principal, webhook.id, WebhookChanges(active=True))
        received = await office.receiver.gets(3)
        await office.until(webhook, lambda f: [o.status for o in f] == [DELIVERED] * 2)
    assert received[1].id == received[0].id != received[2].id


@pytest.mark.parametrize("code", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_redirects_are_not_followed(office: Office, code: str) -> None:
    webhook, _ = await office.hook()
    office.receiver.answers(status(code, f"Location: {office.receiver.url('/there')}"))
    async with office.sending():
        await office.tell()
        found = await office.until(webhook, lambda found: bool(found))
    assert office.receiver.at("/there") == []
    assert found[0].attempts[0]["error"] == (
        f"the answer was {code[:3]}; redirects are not followed"
    )


async def test_who_hangs_does_not_hold_up_who_answers(office: Office) -> None:
    slow, _ = await office.hook("/slow")
    quick, _ = await office.hook("/quick")
    office.receiver.answers(hang, path="/slow")
    sender = office.sender(poster=office.poster(timeout=1.0), concurrency=2)
    async with office.sending(sender):
        await office.tell(20)
        await office.until(quick, lambda found: len(found) == 20)
        hung = await office.until(slow, lambda found: bool(found and found[0].attempt_count))
    assert hung[0].attempts[0]["error"] == "no answer within 1 s"
    assert hung[0].attempts[0]["status_code"] is None


async def drip(head: bytes, writer: asyncio.StreamWriter) -> None:
    for byte in head:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.2)


async def test_an_answer_that_drips_has_as_little_time(office: Office) -> None:
    webhook, _ = await office.hook()

    async def slow_head(_request: Received, writer: asyncio.StreamWriter) -> None:
        await drip(NO_CONTENT, writer)

    async def slow_body(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        await drip(b"x" * 1000, writer)

    office.receiver.answers(slow_head, slow_body)
    async with office.sending(office.sender(poster=office.poster(timeout=1.0))):
        await office.tell()
        found = await office.until(
            webhook, lambda found: bool(found and found[0].status is DELIVERED)
        )
    assert found[0].attempts[0]["error"] == "no answer within 1 s"
    assert found[0].attempts[1]["status_code"] == 200


async def test_of_a_huge_answer_little_is_read(office: Office) -> None:
    webhook, _ = await office.hook()
    sent = 0

    async def huge(_request: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 500 Broken\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x" * 1_000_000)
            sent += 1_000_000
            await writer.drain()

    office.receiver.answers(huge, NO_CONTENT)
    async with office.sending():
        await office.tell()
        found = await office.until(
            webhook, lambda found: bool(found and found[0].status is DELIVERED)
        )
    assert sent < 100_000_000
    assert found[0].attempts[0]["answer"] == "x" * 300


async def test_a_connection_that_was_closed_meanwhile_is_no_failure(office: Office) -> None:
    webhook, _ = await office.hook()

    async def close_after(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(NO_CONTENT)
        await writer.drain()
        writer.close()

    office.receiver.answers(close_after)
    async with office.sending():
        for _ in range(3):
            before = await office.deliveries(webhook)
            await office.tell()
            found = await office.until(webhook, partial(is_longer, before))
    assert [one.attempt_count for one in found] == [1, 1, 1]


def is_longer(before: list[Delivery], found: list[Delivery]) -> bool:
    return len(found) > len(before)


def has_attempts(count: int, found: list[Delivery]) -> bool:
    return bool(found) and found[0].attempt_count == count


async def test_retries_wait_longer_each_time_and_as_the_receiver_asks(office: Office) -> None:
    webhook, _ = await office.hook()
    office.receiver.answers(
        BUSY, BUSY, BUSY, BUSY, status("429 Slow down", "Retry-After: 5000"), NO_CONTENT
    )
    clock = HandClock()
    schedule = Schedule(first=timedelta(seconds=10), chance=lambda: 1.0)
    async with office.sending(office.sender(schedule, clock=clock)):
        await office.tell()
        for count, wait in enumerate((10, 20, 40, 80, 5000), start=1):
            found = await office.until(webhook, partial(has_attempts, count))
            due = found[0].next_attempt_at
            assert due is not None
            assert due - clock.now() == timedelta(seconds=wait)
            clock.move(timedelta(seconds=wait - 1))
            await asyncio.sleep(0.1)
            assert len(office.receiver.received) == count
            clock.move(timedelta(seconds=1))
        await office.until(webhook, lambda found: found[0].status is DELIVERED)


async def test_a_receiver_that_is_dead_for_long_is_paused(office: Office) -> None:
    webhook, _ = await office.hook()
    await office.hook("/watch", ["webhook.paused"])
    office.receiver.answers(BUSY)
    clock = HandClock()
    async with office.sending(office.sender(Schedule(chance=lambda: 1.0), clock=clock)):
        await office.tell(50)
        await office.receiver.gets(1)
        while not office.receiver.at("/watch"):
            clock.move(timedelta(minutes=20))
            await asyncio.sleep(0.02)
        paused = await office.until_webhook(webhook, lambda one: not one.active)
        assert paused.paused_reason is not None
        assert paused.paused_reason.startswith("nothing could be delivered since ")
        assert paused.paused_reason.endswith("the last attempt: the answer was 503")
        office.receiver.answers(NO_CONTENT)
        await office.webhooks.change(office.principal, webhook.id, WebhookChanges(active=True))
        while {o.status for o in await office.deliveries(webhook)} != {DELIVERED}:
            clock.move(timedelta(hours=1))
            await asyncio.sleep(0.02)
        await office.until(webhook, lambda found: len(found) == 50)


@pytest.mark.parametrize("late", [status("410 Gone"), status("503 Busy", "Retry-After: 3600")])
async def test_what_the_address_before_says_does_not_count(office: Office, late: bytes) -> None:
    """The owner gives another address while an attempt at the old one is under way."""
    webhook, _ = await office.hook("/old")
    release = asyncio.Event()

    async def wait(_request: Received, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(late)

    office.receiver.answers(wait, path="/old")
    async with office.sending():
        await office.tell()
        await office.receiver.gets(1, "/old")
        changes = WebhookChanges(url=office.receiver.url("/new"))
        await office.webhooks.change(office.principal, webhook.id, changes)
        release.set()
        await office.until(webhook, lambda found: bool(found and found[0].attempts))
        now = await office.webhooks.get(office.principal, webhook.id)
        assert (now.active, now.failures, now.blocked_until) == (True, 0, None)
        await office.tell()
        await office.receiver.gets(1, "/new")


async def test_at_another_address_nothing_waits_as_the_one_before_asked(office: Office) -> None:
    webhook, _ = await office.hook("/old")
    office.receiver.answers(status("503 Busy", "Retry-After: 3600"), path="/old")
    async with office.sending():
        await office.tell(2)
        await office.until_webhook(webhook, lambda found: found.blocked_until is not None)
        changes = WebhookChanges(url=office.receiver.url("/new"))
        await office.webhooks.change(office.principal, webhook.id, changes)
        await office.receiver.gets(2, "/new")
    assert len(office.receiver.at("/old")) == 1


async def test_a_webhook_that_is_deleted_in_mid_flight_is_told_nothing_more(
    office: Office,
) -> None:
    webhook, _ = await office.hook()
    release = asyncio.Event()

    async def wait(_request: Received, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(NO_CONTENT)

    office.receiver.answers(wait)
    sender = office.sender()
    async with office.sending(sender):
        await office.tell(3)
        await office.receiver.gets(1)
        await office.webhooks.delete(office.principal, webhook.id)
        await office.until_gone(sender, webhook)
        release.set()
        await office.hook("/other")
        await office.tell(2)
        await office.receiver.gets(2, "/other")
    assert len(office.receiver.at("/")) == 1
    assert await office.deliveries(webhook) == []
