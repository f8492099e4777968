"""The dashboard and the alert rules: each expression is PromQL, and of metrics that there are."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.graphql.asking import image

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "opsin.json"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
GUIDE = DEPLOY.parent / "docs" / "observability.md"
SCRAPED = {"job", "instance", "process"}
"""Labels that Prometheus adds, and that of several processes of one server."""


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """With what they are called in the files."""
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "5m").replace("$job", ".*")
            yield panel["title"], text
    for rule in alerts():
        yield rule["alert"], rule["expr"]


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def parts_of(expression: Any) -> Iterator[Any]:
    """The expression and all that it is made of."""
    yield expression
    for name in ("expr", "lhs", "rhs", "param", "vector_selector", "args"):
        inner = getattr(expression, name, None)
        for one in inner if isinstance(inner, list) else [inner]:
            if one is not None and not isinstance(one, str | int | float):
                yield from parts_of(one)


async def measured(live: LiveServer, hook: str) -> dict[str, set[str]]:
    """After an analysis, a subscription and a webhook."""
    stored = await image(live)
    await live.data(
        """mutation($url: String!) { createWebhook(input: {
          url: $url, events: [ANALYSIS_COMPLETED]}) { webhook { id } } }""",
        url=hook,
    )
    await live.data(
        """mutation($id: ID!) { analyze(input: {imageId: $id, tasks: [
          {taskId: "1", operation: "dominant_colors"}]}) { id } }""",
        id=stored,
    )
    await live.data("{ datasets { totalCount } }")
    async with (
        asyncio.timeout(60),
        connect(live.websocket_url, subprotocols=[Subprotocol("graphql-transport-ws")]),
    ):
        while True:
            text = (await live.client.get("/metrics")).text
            if re.search(r'webhook_attempts_total\{outcome="\w+"\} [1-9]', text):
                break
            await asyncio.sleep(0.1)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def test_every_expression_is_of_metrics_that_there_are(settings: Settings) -> None:
    listening = await asyncio.start_server(_accepted, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    changes = {
        "worker": True,
        "webhooks": True,
        "webhook_allow": (f"127.0.0.1:{port}",),
        "record_stateless": True,
    }
    async with listening, serve(settings.model_copy(update=changes)) as live:
        # Of those that wait there is a family only while some do.
        there = {"opsin_queue_depth": {"status", "operation", "urgency"}}
        there |= {"opsin_queue_oldest_seconds": {"operation", "urgency"}}
        there |= await measured(live, f"http://127.0.0.1:{port}/hook")
    count = 0
    for title, text in expressions():
        expression = promql_parser.parse(text)
        labels: set[str] = set(SCRAPED)
        for part in parts_of(expression):
            if isinstance(part, promql_parser.VectorSelector):
                assert part.name in there, (title, part.name)
                assert_has(title, {one.name for one in part.matchers.matchers}, there[part.name])
                labels |= there[part.name]
                count += 1
        for part in parts_of(expression):
            if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
                assert_has(title, set(part.modifier.labels), labels)
    assert count > 80


def assert_has(title: str, wanted: set[str], present: set[str]) -> None:
    assert wanted <= present | SCRAPED, (title, wanted - present)


async def _accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


def test_the_dashboard_is_whole() -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + column, place["y"] + line)
            for column in range(place["w"])
            for line in range(place["h"])
        }
        assert not cells & taken and max(column for column, _ in cells) < 24, panel["title"]
        taken |= cells
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_every_label_of_a_legend_is_one_that_its_expression_keeps() -> None:
    for panel in panels():
        for target in panel["targets"]:
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                kept = re.findall(r"by \(([^)]*)\)", target["expr"])
                assert not kept or any(label in one for one in kept), (panel["title"], label)


def test_every_alert_says_what_it_means_and_the_guide_what_to_do() -> None:
    guide = GUIDE.read_text("utf-8")
    for rule in alerts():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}
        assert f"`{rule['alert']}`" in guide
    documented = set(re.findall(r"`(Opsin[A-Z]\w+)`", guide))
    assert documented == {rule["alert"] for rule in alerts()}
