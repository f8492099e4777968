"""Other forms of requests than the standard one, as the doors of legacy APIs add them."""

import asyncio
import hashlib
import hmac

import pytest

from opsin.core.errors import InvalidInput
from opsin.core.webhooks.formats import Format, Outgoing, WebhookRequest
from opsin.core.webhooks.records import DeliveryStatus
from opsin.core.webhooks.schedule import Schedule
from opsin.core.webhooks.webhooks import NewWebhook, WebhookChanges
from tests.core.webhooks.conftest import KIND, QUICK, Office
from tests.core.webhooks.receiving import NO_CONTENT, status


async def legacy(outgoing: Outgoing) -> WebhookRequest | None:
    """Signed in a way of its own; only what has a name is told, all by GET if that is asked for."""
    name = outgoing.event.data.get("name")
    if name is None:
        return None
    options = outgoing.webhook.options or {}
    body = f"name={name}".encode()
    signature = hmac.new(outgoing.secrets[0].encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-signature": signature, "authorization": f"Bearer {options['token']}"}
    if options.get("method") == "get":
        return WebhookRequest(b"", headers, "GET", f"{outgoing.webhook.url}?{body.decode()}")
    return WebhookRequest(body, headers)


@pytest.fixture
async def with_legacy(office: Office) -> Office:
    office.webhooks.formats.add(Format("legacy", legacy, kinds=("legacy.batch",), max_attempts=2))
    return office


async def test_a_format_writes_body_headers_method_and_query(with_legacy: Office) -> None:
    office = with_legacy
    kinds = [KIND, "legacy.batch"]
    webhook, secret = await office.hook(
        kinds=kinds, format="legacy", options={"token": "theirs", "method": "post"}
    )
    async with office.sending():
        await office.tell(2)  # nothing to say about them
        await office.tell(1, data={"name": "first"})
        posted = (await office.receiver.gets(1))[0]
        changes = WebhookChanges(options={"token": "theirs", "method": "get"})
        await office.webhooks.change(office.principal, webhook.id, changes)
        async with asyncio.timeout(30):
            while not office.receiver.at("/?name=second"):
                await office.tell(1, "legacy.batch", data={"name": "second"})
                await asyncio.sleep(0.1)
    expected = hmac.new(secret.encode(), b"name=first", hashlib.sha256).hexdigest()
    assert (posted.body, posted.headers["x-signature"]) == (b"name=first", expected)
    got = office.receiver.at("/?name=second")[0]
    assert (got.body, got.headers["authorization"]) == (b"", "Bearer theirs")
    assert [one.id for one in await office.webhooks.listed(office.principal, format="legacy")] == [
        webhook.id
    ]
    assert await office.webhooks.listed(office.principal, format="standard") == []


async def test_a_format_may_be_less_patient(with_legacy: Office) -> None:
    webhook, _ = await with_legacy.hook(format="legacy", options={"token": "theirs"})
    with_legacy.receiver.answers(status("500 Broken"))
    async with with_legacy.sending():
        await with_legacy.tell(1, data={"name": "a"})
        found = await with_legacy.until(
            webhook, lambda found: bool(found) and found[0].status is DeliveryStatus.FAILED
        )
    assert found[0].attempt_count == 2


async def test_a_format_of_no_door_here_is_left_to_others(with_legacy: Office) -> None:
    legacy_one, _ = await with_legacy.hook(format="legacy", options={"token": "theirs"})
    standard, _ = await with_legacy.hook("/standard")
    sender = with_legacy.sender(QUICK)
    with_legacy.webhooks.formats._known.pop("legacy")
    async with with_legacy.sending(sender):
        await with_legacy.tell(1, data={"name": "a"})
        await with_legacy.receiver.gets(1, "/standard")
        assert sender.webhook_ids == {standard.id}
    with pytest.raises(InvalidInput):
        await with_legacy.hook(format="legacy")
    assert with_legacy.receiver.at("/") == []
    assert (await with_legacy.webhooks.get(with_legacy.principal, legacy_one.id)).active


async def test_a_format_that_breaks_fails_its_own_deliveries_only(office: Office) -> None:
    async def broken(outgoing: Outgoing) -> WebhookRequest:
        raise RuntimeError(outgoing.delivery_id)

    office.webhooks.formats.add(Format("broken", broken))
    webhook, _ = await office.hook("/broken", format="broken")
    other, _ = await office.hook("/other")
    office.receiver.answers(NO_CONTENT)
    async with office.sending(office.sender(Schedule(first=QUICK.first, max_attempts=2))):
        await office.tell()
        await office.until(other, lambda found: len(found) == 1)
        found = await office.until(
            webhook, lambda found: bool(found) and found[0].status is DeliveryStatus.FAILED
        )
    assert (
        found[0].attempts[0]["error"] == "the payload could not be made; the server's log says why"
    )


async def test_kinds_must_be_known(with_legacy: Office) -> None:
    url = with_legacy.receiver.url()
    for kinds in ([], ["nonsense"], ["legacy.batch"]):
        with pytest.raises(InvalidInput):
            await with_legacy.webhooks.create(with_legacy.principal, NewWebhook(url, kinds))
    doubled = NewWebhook(url, ["image.created", KIND, KIND])
    made, _ = await with_legacy.webhooks.create(with_legacy.principal, doubled)
    assert made.kinds == [KIND, "image.created"]
