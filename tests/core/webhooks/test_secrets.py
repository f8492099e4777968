"""A webhook's secret: shown once, stored nowhere, useless with another server's key."""

import logging
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook as StandardWebhook

from opsin.core.webhooks.signing import Secrets
from opsin.core.webhooks.webhooks import WebhookChanges
from opsin.storage.event_log import read_events
from opsin.storage.tables import metadata
from tests.core.webhooks.conftest import SECRET, Office


@pytest.fixture(autouse=True)
async def everything_is_logged(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    caplog.set_level(logging.DEBUG)
    yield


async def test_a_secret_is_in_no_row_no_log_and_no_text(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    webhook, secret = await office.hook()
    async with office.sending():
        await office.tell()
        request = (await office.receiver.gets(1))[0]
        await office.webhooks.ping(office.principal, webhook.id)
    StandardWebhook(secret).verify(request.body, request.headers)
    stored = []
    async with office.parts.use_cases.database.read() as connection:
        for table in metadata.sorted_tables:
            stored += [str(row) for row in await connection.execute(select(table))]
        stored += [str(one) for one in await read_events(connection, None, after=0, limit=1000)]
    text = "\n".join([*stored, caplog.text, repr(webhook), request.body.decode()])
    assert webhook.url in text  # so it is a text that would have it
    assert secret not in text
    assert secret.removeprefix("whsec_") not in text


async def test_with_another_key_of_the_server_nothing_is_sent(office: Office) -> None:
    webhook, _ = await office.hook()
    sender = office.sender(secret=b"another secret of another server, long enough")
    async with office.sending(sender):
        await office.tell()
        paused = await office.until_webhook(webhook, lambda one: not one.active)
    assert paused.paused_reason is not None
    assert "OPSIN_SECRET_KEY" in paused.paused_reason
    assert office.receiver.received == []
    await office.webhooks.change(office.principal, webhook.id, WebhookChanges(active=True))
    async with office.sending():
        await office.receiver.gets(1)


def test_secrets_differ_by_webhook_salt_and_server() -> None:
    here, there = Secrets(SECRET), Secrets(SECRET + b".")
    made = {here.of("a", "1"), here.of("a", "2"), here.of("b", "1"), there.of("a", "1")}
    assert len(made) == 4
    assert here.of("a", "1") == Secrets(SECRET).of("a", "1")
