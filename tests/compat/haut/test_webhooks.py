"""Webhooks of datasets: configured as documented, signed, proven, merged by batch, tried again."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from sqlalchemy import select

from opsin.compat.haut.deliveries import Deliveries, area_results
from opsin.compat.haut.notifications import KINDS
from opsin.compat.haut.numbers import Algorithms
from opsin.compat.haut.results import Results
from opsin.compat.haut.webhooks import NAME
from opsin.core.access import Principal
from opsin.core.webhooks.formats import Outgoing
from opsin.core.webhooks.records import DeliveryStatus
from opsin.settings import Settings
from opsin.storage.event_log import EventFilter, read_events
from opsin.storage.webhooks import webhook_deliveries, webhooks
from tests.compat.haut.flow import DETECTOR, REDNESS, V2, attach, id_of, large_portrait, results
from tests.compat.haut.world import (
    ABSENT,
    Haut,
    Person,
    base64_text,
    fault,
    haut_server,
    haut_settings,
)
from tests.core.webhooks.receiving import Receiver, hang, receiving, status
from tests.pictures import noise_jpeg

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Office:
    """A server that may send to the receiver."""

    haut: Haut
    receiver: Receiver

    @property
    def person(self) -> Person:
        return self.haut.ours

    async def hooked(self, path: str, *numbers: int, **fields: Any) -> tuple[str, dict[str, Any]]:
        """A dataset with an application and a webhook: its path, and what was answered."""
        dataset = await self.person.dataset()
        await attach(self.person, dataset, enabled_algorithms=list(numbers or (DETECTOR,)))
        body = {"url": self.receiver.url(path), **fields}
        return dataset, await self.person.made(f"{dataset}/webhooks/", body)

    async def photo(self, dataset: str, **fields: Any) -> str:
        """The path of a photo in a batch of its own."""
        batch = await self.person.batch(await self.person.subject(dataset))
        return await self.person.image(batch, **fields)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(any_module_settings: Settings) -> AsyncIterator[Office]:
    async with receiving() as receiver:
        changed: dict[str, object] = {
            "worker": True,
            "webhooks": True,
            "webhook_allow": (f"127.0.0.1:{receiver.port}",),
            "webhook_retry_seconds": 0.1,
            "webhook_seconds": 2.0,
        }
        async with haut_server(haut_settings(any_module_settings, **changed)) as haut:
            yield Office(haut, receiver)


# --- what is sent ---------------------------------------------------------------------------------


async def test_the_payload_of_a_portrait(office: Office) -> None:
    """The union of what is documented, signed with the secret; its addresses need no token."""
    path = "/portrait"
    dataset, made = await office.hooked(path, DETECTOR, REDNESS, 42)
    assert made["secret_key"] and made["method"] == "post" and made["enabled"] is True
    image = await office.photo(dataset, b64data=base64_text(large_portrait()))
    (received,) = await office.receiver.gets(1, path, SECONDS)
    told = received.payload
    subject_path = image.partition("/batches/")[0]
    assert {k: v for k, v in told.items() if k not in ("area_results", "images")} == {
        "event": "photo_calculated_by_app",
        "image_id": id_of(image),
        "batch_id": image.strip("/").split("/")[9],
        "subject_id": id_of(subject_path),
        "subject_name": "My subject name",
        "dataset_id": id_of(dataset),
        "company_id": office.person.company_id,
        "application_name": "Face Skin Metrics 2.0",
        "application_id": V2,
        "application_run_id": (await results(office.person, image, 3))[0]["application_run_id"],
    }
    keys = {"area_name", "name", "value", "tech_name", "widget_type", "widget_meta", "sub_metrics"}
    assert all(set(one) == keys for one in told["area_results"])
    faces = {o["tech_name"] for o in told["area_results"] if o["area_name"] == "face"}
    assert faces == {"redness_score", "ita_score"}
    listed = await office.person.get(f"{image}/results/")
    assert told["area_results"] == area_results(listed)
    for name in ("original", "restored"):
        answer = await office.haut.client.get(told["images"][name]["signed_url"])
        assert answer.status_code == 200 and answer.content.startswith(b"\xff\xd8"), name
    signed = hmac.new(made["secret_key"].encode(), received.body, "sha256").hexdigest()
    assert received.headers["x-signature"] == signed
    assert received.headers["content-type"] == "application/json"
    await asyncio.sleep(0.5)
    assert len(office.receiver.at(path)) == 1, "it is fired once"


async def test_a_receiver_that_is_asked_by_get(office: Office) -> None:
    """Flat keys in the query behind what is there; the signature is of them."""
    dataset, made = await office.hooked(
        "/get?x=1",
        method="get",
        authorization="query",
        authorization_key="auth_key",
        authorization_value="p&ss wörd",
    )
    image = await office.photo(dataset)
    received = await _one(office.receiver, "/get")
    query = parse_qs(urlsplit(received.path).query)
    assert query["x"] == ["1"] and query["auth_key"] == ["p&ss wörd"]
    assert query["image_id"] == [id_of(image)] and "area_results" not in query
    assert query["event"] == ["photo_calculated_by_app"]
    assert received.body == b""
    told = urlsplit(received.path).query.removeprefix("x=1&").partition("&auth_key=")[0]
    signed = hmac.new(made["secret_key"].encode(), told.encode(), "sha256").hexdigest()
    assert received.headers["x-signature"] == signed


async def test_proofs_in_the_header(office: Office) -> None:
    proofs = {
        "basic": ({"authorization_key": "user", "authorization_value": "p:w"}, "Basic {}"),
        "bearer": ({"authorization_value": "a-token"}, "Bearer a-token"),
    }
    for name, (fields, header) in proofs.items():
        dataset, made = await office.hooked(f"/{name}", authorization=name, **fields)
        assert made["authorization_value"] == fields["authorization_value"]
        await office.photo(dataset)
        received = await _one(office.receiver, f"/{name}")
        pair = base64.b64encode(b"user:p:w").decode()
        assert received.headers["authorization"] == header.format(pair)


async def test_the_proof_is_not_readable_in_the_database(office: Office) -> None:
    secret = "a very secret value"
    dataset, _ = await office.hooked("/sealed", authorization="bearer", authorization_value=secret)
    statement = select(webhooks).where(webhooks.c.dataset_id == id_of(dataset))
    async with office.haut.parts.use_cases.database.read() as connection:
        row = (await connection.execute(statement)).one()
    assert secret not in json.dumps([str(value) for value in row])
    (listed,) = await office.person.get(f"{dataset}/webhooks/")
    assert secret not in json.dumps(listed) and listed["authorization_value"] is None
    assert "secret_key" not in listed


async def test_one_call_for_a_batch(office: Office) -> None:
    """Three sides of a face, finished one after the other: told of once, with all three."""
    path = "/merged"
    dataset, _ = await office.hooked(path, merge_webhooks=True)
    batch = await office.person.batch(await office.person.subject(dataset))
    sides = [
        id_of(await office.person.image(batch, side_id=side, b64data=_picture(side)))
        for side in (1, 2, 3)
    ]
    (received,) = await office.receiver.gets(1, path, SECONDS)
    told = received.payload
    assert {one["image_id"] for one in told["photos"]} == set(sides)
    assert told["image_id"] in sides and told["batch_id"] == id_of(batch)
    assert all(one["images"]["original"]["signed_url"] for one in told["photos"])
    await asyncio.sleep(4)
    assert len(office.receiver.at(path)) == 1


async def test_of_a_photo_that_was_deleted_nobody_is_told(office: Office) -> None:
    """With the batch that is left of it, too; written here, so that no moment decides."""
    dataset, _ = await office.hooked("/deleted", merge_webhooks=True, enabled=False)
    batch = await office.person.batch(await office.person.subject(dataset))
    photos = [
        await office.person.image(batch, side_id=side, b64data=_picture(side)) for side in (1, 2)
    ]
    for photo in photos:
        await results(office.person, photo, 1)
    use_cases, company_id = office.haut.parts.use_cases, office.person.company_id
    (webhook,) = [
        one
        for one in await use_cases.webhooks.listed(Principal(company_id, "a test"), format=NAME)
        if one.dataset_id == id_of(dataset)
    ]
    wanted = EventFilter(company_id, KINDS, id_of(dataset))
    async with use_cases.database.read() as connection:
        finished = await read_events(connection, wanted, after=0, limit=10)
    written = Deliveries(
        use_cases, Results(use_cases, Algorithms(use_cases)), settle=timedelta(0)
    ).write

    async def told() -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        sent = [await written(Outgoing(webhook, one, ABSENT, now, ("secret",))) for one in finished]
        return [json.loads(one.body) for one in sent if one is not None]

    (whole,) = await told()
    assert {one["image_id"] for one in whole["photos"]} == {id_of(photo) for photo in photos}
    (last,) = [photo for photo in photos if id_of(photo) == whole["image_id"]]
    # By another API, and so that it may come back: here it is no more.
    reader = Principal(company_id, "a test")
    await use_cases.image_deletions.delete(
        reader, None, id_of(last), "a reason that is long enough"
    )
    assert (await office.person.ask("GET", last)).status_code == 404
    (rest,) = await told()
    (kept,) = set(photos) - {last}
    assert [one["image_id"] for one in rest["photos"]] == [rest["image_id"]] == [id_of(kept)]
    assert (await office.person.ask("DELETE", kept)).status_code == 200
    assert await told() == []


async def test_without_merging_each_photo_is_told_of(office: Office) -> None:
    path = "/each"
    dataset, _ = await office.hooked(path)
    batch = await office.person.batch(await office.person.subject(dataset))
    sides = {
        id_of(await office.person.image(batch, side_id=side, b64data=_picture(side)))
        for side in (1, 2, 3)
    }
    received = await office.receiver.gets(3, path, SECONDS)
    assert {one.payload["image_id"] for one in received} == sides
    assert all("photos" not in one.payload for one in received)


async def test_only_the_dataset_of_the_webhook(office: Office) -> None:
    path = "/only"
    dataset, _ = await office.hooked(path)
    other = await office.person.dataset()
    await attach(office.person, other, enabled_algorithms=[DETECTOR])
    await results(office.person, await office.photo(other), 1)
    mine = await office.photo(dataset)
    (received,) = await office.receiver.gets(1, path, SECONDS)
    assert received.payload["image_id"] == id_of(mine)


# --- receivers that are in trouble ----------------------------------------------------------------


async def test_what_fails_is_sent_again_three_times(office: Office) -> None:
    """With the same id; then it is given up, and can be inspected."""
    path = "/broken"
    office.receiver.answers(status("500 Broken"), path=path)
    dataset, made = await office.hooked(path)
    await office.photo(dataset)
    received = await office.receiver.gets(4, path, SECONDS)
    assert len({one.headers["webhook-id"] for one in received}) == 1
    assert len({one.body for one in received}) <= 4
    delivery = await _ended(office, made["id"])
    assert (delivery.status, delivery.attempt_count) == (DeliveryStatus.FAILED.value, 4)
    assert {one["status_code"] for one in delivery.attempts} == {500}
    office.receiver.answers(status("204 No Content"), path=path)
    principal = Principal(office.person.company_id, "somebody")
    await office.haut.parts.use_cases.webhooks.redeliver(principal, delivery.id)
    await office.receiver.gets(5, path, SECONDS)


async def test_any_success_is_one(office: Office) -> None:
    path = "/accepted"
    office.receiver.answers(status("202 Accepted"), path=path)
    dataset, made = await office.hooked(path)
    await office.photo(dataset)
    await office.receiver.gets(1, path, SECONDS)
    delivery = await _ended(office, made["id"])
    assert (delivery.status, delivery.attempt_count) == (DeliveryStatus.DELIVERED.value, 1)


async def test_redirects_are_not_followed_and_those_who_hang_are_left(office: Office) -> None:
    redirect = status("302 Found", f"Location: {office.receiver.url('/target')}")
    for path, first in (("/moved", redirect), ("/hangs", hang)):
        office.receiver.answers(first, status("204 No Content"), path=path)
        dataset, made = await office.hooked(path)
        await office.photo(dataset)
        await office.receiver.gets(2, path, SECONDS)
        delivery = await _ended(office, made["id"])
        assert delivery.status == DeliveryStatus.DELIVERED.value
        assert delivery.attempts[0]["error"], "the first attempt failed"
    assert office.receiver.at("/target") == []


# --- configuring ----------------------------------------------------------------------------------


async def test_a_dataset_has_one_webhook(office: Office) -> None:
    """Configured once more it is changed; its secret is told once."""
    person = office.person
    dataset, made = await office.hooked("/first", merge_webhooks=True)
    path = f"{dataset}/webhooks/"
    body = {"url": office.receiver.url("/second"), "method": "get", "enabled": False}
    again = await person.made(path, body)
    assert (again["id"], again["secret_key"]) == (made["id"], None)
    (listed,) = await person.get(path)
    assert listed["url"].endswith("/second") and listed["method"] == "get"
    assert (listed["enabled"], listed["merge_webhooks"]) == (False, False)
    await results(person, await office.photo(dataset), 1)
    await person.made(path, body | {"enabled": True, "method": "post"})
    await office.photo(dataset)
    await office.receiver.gets(1, "/second", SECONDS)
    assert office.receiver.at("/first") == []
    answer = await person.ask("DELETE", path)
    assert (answer.status_code, answer.json()) == (200, {})
    assert await person.get(path) == []
    fault(await person.ask("DELETE", path), 404)


async def test_of_those_who_configure_together_all_have_the_same_one(office: Office) -> None:
    dataset = await office.person.dataset()
    body = {"url": office.receiver.url("/together")}
    made = await asyncio.gather(
        *(office.person.made(f"{dataset}/webhooks/", body) for _ in range(8))
    )
    assert len({one["id"] for one in made}) == 1
    assert len([one for one in made if one["secret_key"]]) == 1


async def test_a_webhook_that_is_off_from_the_start(office: Office) -> None:
    dataset, made = await office.hooked("/off", enabled=False)
    assert made["enabled"] is False
    (listed,) = await office.person.get(f"{dataset}/webhooks/")
    assert listed["enabled"] is False


@pytest.mark.parametrize(
    ("fields", "attr"),
    [
        ({"url": None}, "url"),
        ({"url": ""}, "url"),
        ({"url": "no url"}, "url"),
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "https://user:word@example.com/"}, "url"),
        ({"url": "http://example.com/"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://169.254.169.254/"}, "url"),
        ({"url": "https://[::1]/"}, "url"),
        ({"url": "https://example.com:22/"}, "url"),
        ({"url": "https://example.com/" + "x" * 2048}, "url"),
        ({"method": "put"}, "method"),
        ({"authorization": "digest"}, "authorization"),
        ({"authorization": "bearer"}, "authorization_value"),
        ({"authorization": "query", "authorization_value": "v"}, "authorization_key"),
        ({"authorization": "bearer", "authorization_value": "v" * 129}, "authorization_value"),
        ({"authorization": "bearer", "authorization_value": "a\r\nb: c"}, "authorization_value"),
        ({"authorization": "bearer", "authorization_value": "wörd"}, "authorization_value"),
        (
            {"authorization": "basic", "authorization_key": "a:b", "authorization_value": "c"},
            "authorization_key",
        ),
        ({"enabled": "perhaps"}, "enabled"),
    ],
)
async def test_what_cannot_be_configured(office: Office, fields: dict[str, Any], attr: str) -> None:
    dataset = await office.person.dataset()
    body = {"url": "https://example.com/hook"} | fields
    answer = await office.person.ask("POST", f"{dataset}/webhooks/", json=body)
    assert fault(answer, 400)["attr"] == attr
    assert await office.person.get(f"{dataset}/webhooks/") == []


async def test_another_companys_dataset(office: Office) -> None:
    dataset = await office.person.dataset()
    theirs = office.haut.theirs
    for method in ("GET", "POST", "DELETE"):
        fault(await theirs.ask(method, f"{dataset}/webhooks/", json={}), 403)
    fault(await office.person.ask("GET", f"{dataset[:-36]}{ABSENT}/webhooks/"), 404)


async def _one(receiver: Receiver, path: str) -> Any:
    """The one request to a path, whatever its query."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = [one for one in receiver.received if urlsplit(one.path).path == path]
            if found:
                (received,) = found
                return received
            await asyncio.sleep(0.05)


async def _ended(office: Office, webhook_id: str) -> Any:
    """The webhook's one delivery, when nothing more is tried."""
    table = webhook_deliveries
    statement = select(table).where(table.c.webhook_id == webhook_id, table.c.status != "PENDING")
    async with asyncio.timeout(SECONDS):
        while True:
            async with office.haut.parts.use_cases.database.read() as connection:
                row = (await connection.execute(statement)).first()
            if row is not None:
                return row
            await asyncio.sleep(0.05)


def _picture(seed: int) -> str:
    return base64_text(noise_jpeg(seed=seed))
