"""Webhooks by GraphQL, against a real server that sends to a real receiver."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from standardwebhooks import Webhook as StandardWebhook

from opsin.core.known_keys import KNOWN_SECONDS
from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.core.webhooks.receiving import NO_CONTENT, Receiver, receiving, status
from tests.core.working import until
from tests.graphql import asking
from tests.graphql.asking import codes
from tests.graphql.conftest import key_server

CREATE = """mutation($input: CreateWebhookInput!) { createWebhook(input: $input) {
  secret webhook { id url description events dataset { id } format parallel active pausedReason
    failingSince lastDeliveredAt previousSecretUntil cursor } } }"""
UPDATE = """mutation($input: UpdateWebhookInput!) { updateWebhook(input: $input) {
  id url description events parallel active pausedReason pausedAt cursor } }"""
READ = """query($id: ID!, $filter: WebhookDeliveryFilter) { webhook(id: $id) {
  active cursor lastDeliveredAt failingSince
  deliveries(filter: $filter) { totalCount nodes {
    id kind cursor status attemptCount statusCode error nextAttemptAt createdAt deliveredAt
    attempts { at statusCode error milliseconds answer } } } } }"""


class Service(NamedTuple):
    live: LiveServer
    receiver: Receiver

    async def create(self, events: list[str], path: str = "/", **more: Any) -> dict[str, Any]:
        given = {"url": self.receiver.url(path), "events": events} | more
        made: dict[str, Any] = (await self.live.data(CREATE, input=given))["createWebhook"]
        return made

    async def read(self, webhook_id: str, **filter: Any) -> dict[str, Any]:
        found: dict[str, Any] = (await self.live.data(READ, id=webhook_id, filter=filter))[
            "webhook"
        ]
        return found

    async def until(self, webhook_id: str, count: int, **filter: Any) -> list[dict[str, Any]]:
        """Wait for so many deliveries that the filter lets through."""
        async with asyncio.timeout(30):
            while True:
                found = (await self.read(webhook_id, **filter))["deliveries"]
                if len(found["nodes"]) == found["totalCount"] == count:
                    return list(found["nodes"])
                await asyncio.sleep(0.05)


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    async with receiving() as receiver:
        changes = {
            "webhooks": True,
            "webhook_allow": (f"127.0.0.1:{receiver.port}",),
            "webhook_retry_seconds": 0.05,
            "webhook_max_attempts": 2,
        }
        async with serve(settings.model_copy(update=changes)) as live:
            yield Service(live, receiver)


async def test_what_a_pipeline_tells_is_at_once_told_to_a_webhook(service: Service) -> None:
    live = service.live
    dataset_id = await asking.dataset(live)
    made = await service.create(
        ["IMAGE_CREATED", "ANALYSIS_ANNOTATED", "ANALYSIS_COMPLETED"],
        datasetId=dataset_id,
        description="the pipeline's watcher",
    )
    webhook = made["webhook"]
    assert webhook["dataset"] == {"id": dataset_id}
    assert (webhook["format"], webhook["parallel"], webhook["active"]) == ("standard", 1, True)
    await asking.image(live)  # of another dataset
    image_id = await asking.image(live, dataset_id)
    analysis_id = await asking.external(live, image_id)
    await live.data(asking.ADD_ANNOTATIONS, id=analysis_id, found=[asking.box()])
    await live.data(asking.FINALIZE, input={"analysisId": analysis_id})
    received = await service.receiver.gets(3)
    for request in received:
        StandardWebhook(made["secret"]).verify(request.body, request.headers)
    assert [one.payload["type"] for one in received] == [
        "image.created",
        "analysis.annotated",
        "analysis.completed",
    ]
    ids = {"datasetId": dataset_id, "imageId": image_id, "analysisId": analysis_id}
    assert received[2].payload["data"] == ids | {"status": "COMPLETED"}
    deliveries = await service.until(webhook["id"], 3)
    assert [one["id"] for one in deliveries] == [one.id for one in reversed(received)]
    assert [one["cursor"] for one in deliveries] == [
        one.payload["cursor"] for one in reversed(received)
    ]
    newest = deliveries[0]
    assert (newest["kind"], newest["status"]) == ("ANALYSIS_COMPLETED", "DELIVERED")
    assert (newest["attemptCount"], newest["statusCode"], newest["error"]) == (1, 204, None)
    assert newest["attempts"][0]["answer"] is None
    assert newest["nextAttemptAt"] is None and newest["deliveredAt"] >= newest["createdAt"]
    read = await service.read(webhook["id"], kind=["IMAGE_CREATED"])
    assert read["deliveries"]["totalCount"] == 1
    assert read["cursor"] == received[2].payload["cursor"]


async def test_what_failed_is_found_and_sent_again(service: Service) -> None:
    service.receiver.answers(status("500 Broken", body=b"out of paper"))
    made = await service.create(["DATASET_CREATED"])
    await asking.dataset(service.live)
    failed = (await service.until(made["webhook"]["id"], 1, status=["FAILED"]))[0]
    assert [one["answer"] for one in failed["attempts"]] == ["out of paper"] * 2
    assert failed["error"] == "the answer was 500"
    assert (await service.read(made["webhook"]["id"]))["failingSince"] is not None
    service.receiver.answers(NO_CONTENT)
    query = "mutation($id: ID!) { redeliver(id: $id) { id status } }"
    again = await service.live.data(query, id=failed["id"])
    assert again["redeliver"] == {"id": failed["id"], "status": "PENDING"}
    await service.until(made["webhook"]["id"], 1, status=["DELIVERED"])
    assert {one.id for one in service.receiver.received} == {failed["id"]}


async def test_a_webhook_is_changed_paused_and_deleted(service: Service) -> None:
    live, made = service.live, await service.create(["DATASET_CREATED"], parallel=3)
    identity = made["webhook"]["id"]
    given = {"id": identity, "url": service.receiver.url("/b"), "events": ["IMAGE_DELETED"]}
    given |= {"description": "another", "parallel": 1, "active": False}
    changed = (await live.data(UPDATE, input=given))["updateWebhook"]
    assert {name: changed[name] for name in given} == given
    assert changed["pausedReason"] == "paused by hand" and changed["pausedAt"]
    resumed = (await live.data(UPDATE, input={"id": identity, "active": True}))["updateWebhook"]
    assert (resumed["active"], resumed["pausedReason"]) == (True, None)
    assert resumed["url"] == given["url"]
    query = "mutation($id: ID!) { deleteWebhook(id: $id) { deletedId } }"
    assert (await live.data(query, id=identity))["deleteWebhook"] == {"deletedId": identity}
    assert codes(await live.graphql(query, id=identity)) == ["NOT_FOUND"]
    assert await live.data("{ webhooks { nodes { id } } }") == {"webhooks": {"nodes": []}}


async def test_a_webhook_is_tried_by_a_ping(service: Service) -> None:
    made = await service.create(["IMAGE_CREATED"])
    query = """mutation($id: ID!) { testWebhook(id: $id) {
      delivered statusCode error milliseconds answer } }"""
    good = (await service.live.data(query, id=made["webhook"]["id"]))["testWebhook"]
    assert good | {"milliseconds": 0} == {
        "delivered": True,
        "statusCode": 204,
        "error": None,
        "milliseconds": 0,
        "answer": None,
    }
    ping = service.receiver.received[0]
    StandardWebhook(made["secret"]).verify(ping.body, ping.headers)
    assert ping.payload["type"] == "webhook.ping"
    assert ping.payload["data"] == {"webhookId": made["webhook"]["id"]}
    service.receiver.answers(status("404 Not Found", body=b"who is this?"))
    bad = (await service.live.data(query, id=made["webhook"]["id"]))["testWebhook"]
    assert (bad["delivered"], bad["statusCode"], bad["answer"]) == (False, 404, "who is this?")
    assert (await service.read(made["webhook"]["id"]))["deliveries"]["totalCount"] == 0


async def test_a_secret_is_rotated(service: Service) -> None:
    made = await service.create(["IMAGE_CREATED"])
    query = """mutation($id: ID!, $hours: Int!) {
      rotateWebhookSecret(id: $id, overlapHours: $hours) {
        secret webhook { previousSecretUntil } } }"""
    identity = made["webhook"]["id"]
    rotated = (await service.live.data(query, id=identity, hours=2))["rotateWebhookSecret"]
    assert rotated["secret"].startswith("whsec_") and rotated["secret"] != made["secret"]
    assert rotated["webhook"]["previousSecretUntil"] is not None
    for hours in (-1, 721, 2**31 - 1):
        refused = await service.live.graphql(query, id=identity, hours=hours)
        assert codes(refused) == ["INVALID_INPUT"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"url": "https://10.0.0.1/"}, "ADDRESS_NOT_ALLOWED"),
        ({"url": "http://example.org/"}, "ADDRESS_NOT_ALLOWED"),
        ({"url": "nonsense"}, "INVALID_INPUT"),
        ({"events": []}, "INVALID_INPUT"),
        ({"parallel": 0}, "INVALID_INPUT"),
        ({"parallel": 17}, "INVALID_INPUT"),
        ({"description": "x" * 1001}, "INVALID_INPUT"),
        ({"datasetId": asking.NO_SUCH_ID}, "NOT_FOUND"),
        ({"events": ["NONSENSE"]}, "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_what_cannot_be_is_refused(
    service: Service, given: dict[str, Any], code: str
) -> None:
    whole = {"url": service.receiver.url(), "events": ["IMAGE_CREATED"]} | given
    assert codes(await service.live.graphql(CREATE, input=whole)) == [code]
    assert await service.live.data("{ webhooks { nodes { id } } }") == {"webhooks": {"nodes": []}}


async def test_there_is_an_end_to_how_many(service: Service) -> None:
    for _ in range(100):
        await service.create(["WEBHOOK_PAUSED"])
    given = {"url": service.receiver.url(), "events": ["WEBHOOK_PAUSED"]}
    assert codes(await service.live.graphql(CREATE, input=given)) == ["LIMIT_REACHED"]
    page = "{ webhooks(first: 60) { totalCount nodes { id } pageInfo { hasNextPage } } }"
    found = (await service.live.data(page))["webhooks"]
    assert (found["totalCount"], len(found["nodes"])) == (100, 60)
    assert found["pageInfo"]["hasNextPage"]


async def test_the_listing_says_why_a_webhook_is_silent(settings: Settings) -> None:
    """The key that it was made with is revoked: whoever administers the company takes it over."""
    async with receiving() as receiver:
        changes = {"webhooks": True, "webhook_allow": (f"127.0.0.1:{receiver.port}",)}
        async with key_server(settings.model_copy(update=changes)) as keys:
            live, headers = keys.live, keys.live.client.headers
            headers["x-api-key"] = keys.ours
            named = "mutation($name: String!) { createDataset(input: {name: $name}) { id } }"
            make = 'mutation { createApiKey(name: "robot") { key apiKey { id } } }'
            robot = (await live.data(make))["createApiKey"]
            headers["x-api-key"] = robot["key"]
            given = {"url": receiver.url(), "events": ["DATASET_CREATED"]}
            webhook_id = (await live.data(CREATE, input=given))["createWebhook"]["webhook"]["id"]
            await live.data(named, name="first")
            await receiver.gets(1)
            headers["x-api-key"] = keys.ours
            end = "mutation($id: ID!) { revokeApiKey(id: $id) { id } }"
            await live.data(end, id=robot["apiKey"]["id"])
            await asyncio.sleep(KNOWN_SECONDS)
            await live.data(named, name="second")
            read = """query($id: ID!) { webhook(id: $id) {
              active pausedReason accountId keyId } }"""

            async def is_silent() -> bool:
                return not (await live.data(read, id=webhook_id))["webhook"]["active"]

            await until(is_silent)
            assert (await live.data(read, id=webhook_id))["webhook"] == {
                "active": False,
                "pausedReason": "the key that it was made or last changed with has ended",
                "accountId": None,
                "keyId": robot["apiKey"]["id"],
            }
            assert len(receiver.received) == 1
            await live.data(UPDATE, input={"id": webhook_id, "active": True})
            again = (await receiver.gets(2))[1]
            assert again.payload["type"] == "dataset.created"
            found = (await live.data(read, id=webhook_id))["webhook"]
            mine = (await keys.parts.use_cases.access.authenticate(keys.ours)).key_id
            assert (found["active"], found["pausedReason"]) == (True, None)
            assert (found["accountId"], found["keyId"]) == (None, mine)
