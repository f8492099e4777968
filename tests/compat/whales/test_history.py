"""What follows from answers: records for export, drift, and events that webhooks are told."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.predictions import KEPT, Predicted, Prediction
from tests.compat.whales.making import archive, batch, manifest, picture, settings_of, single
from tests.conftest import LiveServer, other_company, serve
from tests.core.webhooks.receiving import receiving

PATH = "/v1/predict-single"
COLUMNS = [
    *("created_at", "image_ind", "class_animal", "id_animal", "probability", "is_cetacean"),
    *("cetacean_score", "rejected", "rejection_reason", "model_version", "bbox"),
]
_SHOWN = ["PREDICTION_REJECTED", "PREDICTION_BATCH_COMPLETED"]


async def test_an_empty_service(model: Path, tmp_path: Path) -> None:
    async with serve(settings_of(tmp_path, manifest(model))) as live:
        assert (await live.client.get("/v1/drift-stats")).content == (
            b'{"n":0,"alarms_total":0,"score_mean":0.0,"score_std":0.0,"probability_mean":0.0}'
        )
        assert (await live.client.get("/v1/export")).json() == {
            "count": 0,
            "since": None,
            "records": [],
        }
        table = await live.client.get("/v1/export?format=csv")
        assert table.text == ",".join(COLUMNS) + "\r\n"
        assert table.headers["content-type"].startswith("text/csv")
        assert "filename=whales_export.csv" in table.headers["content-disposition"]
        assert (await live.client.get("/v1/webhooks")).json() == {"webhooks": [], "count": 0}


async def test_answers_can_be_exported_and_drift_is_watched(model: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, manifest(model))
    async with serve(settings) as live:
        first = (await live.client.post(PATH, **single(picture(), "=кит.png"))).json()
        await live.client.post(PATH, **single(picture()[:-30], "broken.png"))
        middle = datetime.now(UTC)
        many = {"a.png": picture(1), "b.png": picture(2)}
        others = (await live.client.post("/v1/predict-batch", **batch(archive(many)))).json()
        drift = (await live.client.get("/v1/drift-stats")).json()
        scores = [one["cetacean_score"] for one in (first, *others)]
        mean = sum(scores) / 3
        assert drift == {
            "n": 3,
            "alarms_total": 0,
            "score_mean": pytest.approx(mean, abs=1e-4),
            "score_std": pytest.approx(
                (sum((score - mean) ** 2 for score in scores) / 3) ** 0.5, abs=1e-4
            ),
            "probability_mean": pytest.approx(
                sum(one["probability"] for one in (first, *others)) / 3, abs=1e-4
            ),
        }
    # A server that starts anew knows them still.
    async with serve(settings) as live:
        told = (await live.client.get("/v1/export", params={"format": "json"})).json()
        assert [one["image_ind"] for one in told["records"]] == [
            "=кит.png", "broken.png", "a.png", "b.png"
        ]  # fmt: skip
        record = told["records"][0]
        assert list(record) == COLUMNS
        assert {name: first[name] for name in COLUMNS[1:]} == {
            name: record[name] for name in COLUMNS[1:]
        }
        assert datetime.fromisoformat(record["created_at"]).tzinfo is not None
        table = (await live.client.get("/v1/export?format=csv")).text
        header, *rows = csv.reader(io.StringIO(table))
        assert header == COLUMNS
        assert [row[1] for row in rows] == ["'=кит.png", "broken.png", "a.png", "b.png"]
        assert dict(zip(COLUMNS, rows[1], strict=True))["rejection_reason"] == "corrupted_image"
        assert (rows[0][8], rows[0][7], json.loads(rows[0][10])) == ("", "False", record["bbox"])
        for since, count in (
            (middle.isoformat(), 2),
            (middle.isoformat().replace("+00:00", "Z"), 2),
            (middle.replace(tzinfo=None).isoformat(), 2),
            ((middle + timedelta(hours=1)).isoformat(), 0),
            ("2020-01-01", 4),
        ):
            told = (await live.client.get("/v1/export", params={"since": since})).json()
            assert (told["count"], len(told["records"]), told["since"]) == (count, count, since)
        spaced = await live.client.get(f"/v1/export?since={middle.isoformat()}")
        assert spaced.json()["count"] == 2, "a + that came as a space"
        wrong = await live.client.get("/v1/export?since=yesterday")
        assert (wrong.status_code, "Invalid ISO-8601" in wrong.json()["detail"]) == (400, True)
        wrong = await live.client.get("/v1/export?format=xml")
        assert (wrong.status_code, wrong.json()["detail"][0]["loc"]) == (422, ["query", "format"])


async def test_webhooks_are_told_by_the_shared_sender(model: Path, tmp_path: Path) -> None:
    async with receiving() as receiver:
        settings = settings_of(
            tmp_path,
            manifest(model, threshold=1.0),
            webhook_allow=(f"127.0.0.1:{receiver.port}",),
        )
        async with serve(settings) as live:
            asked = {
                "url": receiver.url("/whales"),
                "events": ["prediction_rejected", "batch_completed"],
            }
            made = await live.client.post("/v1/webhook/register", json=asked)
            assert made.status_code == 201, made.text
            told = made.json()
            assert len(told["webhook_id"]) == 32
            assert bytes.fromhex(told["webhook_id"])
            assert (told["status"], told["url"], told["events"]) == (
                "registered", asked["url"], asked["events"]
            )  # fmt: skip
            listed = (await live.client.get("/v1/webhooks")).json()
            assert listed["count"] == 1
            (one,) = listed["webhooks"]
            assert isinstance(one.pop("created_at"), float)
            assert one["webhook_id"] == told["webhook_id"]
            assert sorted(one["events"]) == sorted(asked["events"])
            await live.client.post(PATH, **single(picture(), "кот.png"))
            packed = archive({"a.png": picture(1), "b.png": picture(2)[:-20]})
            await live.client.post("/v1/predict-batch", **batch(packed))
            posted = await receiver.gets(4, "/whales")
            no_whale = "not_a_marine_mammal"
            assert [one.payload for one in posted] == [
                {"event": event, "webhook_id": told["webhook_id"], "data": data}
                for event, data in (
                    (
                        "prediction_rejected",
                        {"image_ind": "кот.png", "reason": no_whale},
                    ),
                    (
                        "prediction_rejected",
                        {"image_ind": "a.png", "reason": no_whale},
                    ),
                    ("prediction_rejected", {"image_ind": "b.png", "reason": "corrupted_image"}),
                    ("batch_completed", {"count": 2, "accepted": 0, "rejected": 2}),
                )
            ]
            for request in posted:
                Webhook(told["secret"]).verify(request.body, request.headers)
            shown = await live.data("{ webhooks { nodes { format events } } }")
            assert shown["webhooks"]["nodes"] == [
                {
                    "format": "whales",
                    "events": _SHOWN,
                }
            ]
            path = f"/v1/webhook/{told['webhook_id']}"
            gone = await live.client.delete(path)
            assert (gone.status_code, gone.content) == (204, b"")
            for unknown in (path, "/v1/webhook/nothing", f"/v1/webhook/{'0' * 32}"):
                answer = await live.client.delete(unknown)
                assert (answer.status_code, answer.json()) == (
                    404, {"detail": "webhook_id not found"}
                )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"url": "ftp://example.org", "events": ["batch_completed"]}, ["body", "url"]),
        ({"url": "nothing", "events": ["batch_completed"]}, ["body", "url"]),
        ({"events": ["batch_completed"]}, ["body", "url"]),
        ({"url": "https://example.org"}, ["body", "events"]),
        ({"url": "https://example.org", "events": []}, ["body", "events"]),
        ({"url": "https://example.org", "events": ["whale_seen"]}, ["body", "events", 0]),
        ({"url": "https://example.org", "events": ["batch_completed"] * 2}, ["body", "events"]),
        ({"url": "https://127.0.0.1/", "events": ["batch_completed"]}, ["body", "url"]),
        ({"url": "http://example.org/", "events": ["batch_completed"]}, ["body", "url"]),
        ([], ["body"]),
    ],
)
async def test_registrations_that_are_refused(
    live: LiveServer, asked: object, where: list[object]
) -> None:
    answer = await live.client.post("/v1/webhook/register", json=asked)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == where
    assert (await live.client.get("/v1/webhooks")).json()["count"] == 0


async def test_a_registration_that_is_no_json(live: LiveServer) -> None:
    for body in (b"{", b"[" * 30_000, b"\xff"):
        answer = await live.client.post("/v1/webhook/register", content=body)
        assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "json_invalid")
    answer = await live.client.post("/v1/webhook/register", content=b" " * 70_000)
    assert answer.status_code == 413


async def test_records_are_of_a_company_and_the_newest_are_kept(
    parts: Parts, principal: Principal
) -> None:
    predictions = parts.use_cases.predictions
    other = await other_company(parts)
    made = [Prediction(str(number), {"number": number}) for number in range(KEPT + 5)]
    await predictions.add(principal, Predicted("whales", made))
    awkward = Prediction("a\0b", {"name": "a\0b"}, "corrupted_image", (0.5, 0.25))
    await predictions.add(other, Predicted("whales", [awkward], is_batch=True, baseline=0.9))
    assert await predictions.sweep() == 5
    found = await predictions.newest(principal, "whales")
    assert [record["number"] for _, record in found] == list(range(5, KEPT + 5))
    ((_, record),) = await predictions.newest(other, "whales")
    assert record == {"name": "ab"}
    assert await predictions.newest(other, "others") == []
    assert (await predictions.drift(principal, "whales")).count == 0
    assert (await predictions.drift(other, "whales")).probability_mean == 0.25


async def test_drift_is_one_alarm_until_it_is_over(parts: Parts, principal: Principal) -> None:
    """Whether scores come one by one or together, and whoever writes them."""
    predictions = parts.use_cases.predictions

    async def add(score: float, count: int) -> int:
        made = [Prediction("a", {}, None, (score, 0.5))] * count
        await predictions.add(principal, Predicted("whales", made, baseline=0.9))
        return (await predictions.drift(principal, "whales")).alarms

    assert await add(0.7, 49) == 0, "too few to say anything"
    assert await add(0.7, 1) == 1
    assert await add(0.7, 100) == 1
    assert await add(1.0, 1000) == 1
    assert not (await predictions.drift(principal, "whales")).is_alarmed
    assert await add(0.75, 1000) == 2
    summary = await predictions.drift(principal, "whales")
    assert (summary.count, summary.is_alarmed) == (1000, True)
    assert summary.score_mean == pytest.approx(0.75)
    assert summary.score_deviation == pytest.approx(0, abs=1e-6)
