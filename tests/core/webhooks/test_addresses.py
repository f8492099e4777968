"""Webhooks go to public addresses by TLS, unless the operator allows more."""

import ssl
from pathlib import Path

import pytest

from opsin.core.errors import AddressNotAllowed, InvalidInput, OpsinError
from opsin.core.webhooks.formats import WebhookRequest
from opsin.core.webhooks.posting import Answer, Poster
from opsin.core.webhooks.records import DeliveryStatus
from opsin.core.webhooks.webhooks import NewWebhook, WebhookChanges
from tests.core.loopback import TLS, answer, resolving, running
from tests.core.test_addresses import certificate
from tests.core.webhooks.conftest import Office
from tests.core.webhooks.receiving import receiving, status

NOT_ALLOWED = "the URL leads to an address or port that is not allowed"
_TLS_FAILED = "TLS failed: the certificate or the protocol is not accepted"
REQUEST = WebhookRequest(b"{}", {"content-type": "application/json"})


async def attempt(poster: Poster, url: str) -> Answer:
    lane = poster.lane()
    try:
        return await lane.post(url, REQUEST)
    finally:
        lane.rest()
        await poster.close()


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://10.0.0.1/", AddressNotAllowed),
        ("https://169.254.169.254/latest", AddressNotAllowed),
        ("https://[::1]/", AddressNotAllowed),
        ("https://127.0.0.1/", AddressNotAllowed),
        ("https://[::ffff:10.0.0.1]/", AddressNotAllowed),
        ("https://example.org:22/", AddressNotAllowed),
        ("http://example.org/", AddressNotAllowed),
        ("ftp://example.org/", InvalidInput),
        ("https://", InvalidInput),
        ("https://user:password@example.org/", InvalidInput),
        ("https://example.org:0/", InvalidInput),
        ("nonsense", InvalidInput),
        ("https://example.org/" + "a" * 2048, InvalidInput),
    ],
)
async def test_what_could_never_be_sent_to_is_refused(
    office: Office, url: str, error: type[OpsinError]
) -> None:
    webhook, _ = await office.hook()
    with pytest.raises(error):
        await office.webhooks.create(office.principal, NewWebhook(url, ["image.created"]))
    with pytest.raises(error):
        await office.webhooks.change(office.principal, webhook.id, WebhookChanges(url=url))
    stored = await office.webhooks.listed(office.principal)
    assert [one.url for one in stored] == [office.receiver.url()]


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "::1", "169.254.169.254"])
async def test_a_name_that_leads_to_a_private_address_is_not_connected_to(address: str) -> None:
    poster = Poster(timeout=5, resolver=resolving([address]), ssl_context=TLS)
    got = await attempt(poster, "https://hooks.example/")
    assert (got.status, got.error) == (None, NOT_ALLOWED)


async def test_a_name_that_changes_is_checked_at_each_connection() -> None:
    async with receiving() as receiver:
        host = f"hooks.example:{receiver.port}"
        poster = Poster(
            timeout=5,
            allow=[f"127.0.0.1:{receiver.port}"],
            plain_http=True,
            resolver=resolving(["127.0.0.1"], ["10.0.0.1"]),
        )
        receiver.answers(status("200 OK", "Connection: close"))
        lane = poster.lane()
        first = await lane.post(f"http://{host}/", REQUEST)
        second = await lane.post(f"http://{host}/", REQUEST)
        lane.rest()
        assert (first.status, first.error) == (200, None)
        assert (second.status, second.error) == (None, NOT_ALLOWED)
        assert len(receiver.received) == 1
        assert receiver.received[0].headers["host"] == host


async def test_an_unknown_name_a_closed_port_and_a_broken_answer_are_told(
    unused_tcp_port: int,
) -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    got = await attempt(Poster(timeout=5, resolver=unknown, ssl_context=TLS), "https://a.example/")
    assert got.error == "no connection could be made"
    allow = [f"127.0.0.1:{unused_tcp_port}"]
    got = await attempt(Poster(timeout=5, allow=allow), f"http://127.0.0.1:{unused_tcp_port}/")
    assert got.error == "no connection could be made"
    async with receiving() as receiver:
        receiver.answers(b"this is no HTTP\r\n\r\n")
        poster = Poster(timeout=5, allow=[f"127.0.0.1:{receiver.port}"])
        got = await attempt(poster, receiver.url())
        assert got.error == "the connection was lost before there was an answer"


async def test_tls_verifies_the_name_although_the_address_is_connected_to(tmp_path: Path) -> None:
    pem = certificate(tmp_path, "hooks.example")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    async with running(serving) as server:
        server.answers["/"] = answer(b"taken")
        allow = [f"127.0.0.1:{server.port}"]
        for host, trusted, error in (
            ("hooks.example", ssl.create_default_context(cafile=pem), None),
            ("other.example", ssl.create_default_context(cafile=pem), _TLS_FAILED),
            ("hooks.example", TLS, _TLS_FAILED),
        ):
            poster = Poster(
                timeout=5, allow=allow, resolver=resolving(["127.0.0.1"]), ssl_context=trusted
            )
            got = await attempt(poster, f"https://{host}:{server.port}/")
            assert got.error == error
        assert len(server.requests) == 1


async def test_a_redirect_into_the_intranet_is_an_answer_and_no_more(office: Office) -> None:
    webhook, _ = await office.hook()
    office.receiver.answers(status("302 Found", "Location: http://127.0.0.1/secret"))
    async with office.sending():
        await office.tell()
        found = await office.until(webhook, lambda found: bool(found))
    assert found[0].status is DeliveryStatus.PENDING
    assert found[0].attempts[0]["status_code"] == 302
