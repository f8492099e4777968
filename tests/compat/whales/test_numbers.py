"""`/health` and `/metrics`: documented names, digits and order, and what a parser makes of it."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.compat.whales.making import archive, batch, manifest, picture, settings_of, single
from tests.conftest import serve
from tests.graphql.asking import image

DOCUMENTED = (
    *("uptime_seconds", "availability_percent", "requests_total", "errors_total"),
    *("predictions_total", "rejections_total", "latency_avg_ms", "cetacean_score_avg"),
)


def _values(text: str) -> dict[str, str]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return dict(line.rsplit(" ", 1) for line in lines)


async def test_documented_families_come_first(model: Path, tmp_path: Path) -> None:
    async with serve(settings_of(tmp_path, manifest(model))) as live:
        fresh = await live.client.get("/metrics")
        assert fresh.headers["content-type"] == "text/plain; charset=utf-8"
        names = [line.split()[0] for line in fresh.text.splitlines() if not line.startswith("#")]
        assert tuple(names[:8]) == DOCUMENTED
        values = _values(fresh.text)
        assert values["availability_percent"] == "100.000"
        assert (values["latency_avg_ms"], values["cetacean_score_avg"]) == ("0.00", "0.0000")
        assert (values["requests_total"], values["errors_total"]) == ("0", "0")
        assert len(values["uptime_seconds"].partition(".")[2]) == 1
        assert "rejections_by_reason{" not in fresh.text

        found = (await live.client.post("/v1/predict-single", **single(picture()))).json()
        packed = archive({"a.png": picture(1), "b.png": picture(1)[:-20]})
        many = (await live.client.post("/v1/predict-batch", **batch(packed))).json()
        assert (await live.client.get("/nowhere")).status_code == 404
        assert (await live.client.get("/v1/predict-single")).status_code == 405
        values = _values((await live.client.get("/metrics")).text)
        assert (values["requests_total"], values["errors_total"]) == ("5", "2")
        assert values["availability_percent"] == "60.000"
        assert (values["predictions_total"], values["rejections_total"]) == ("2", "1")
        assert values['rejections_by_reason{reason="corrupted_image"}'] == "1"
        mean = (found["cetacean_score"] + many[0]["cetacean_score"]) / 2
        assert abs(float(values["cetacean_score_avg"]) - mean) < 2e-4


async def test_a_parser_accepts_all_of_it(model: Path, tmp_path: Path) -> None:
    async with serve(settings_of(tmp_path, manifest(model))) as live:
        for _ in range(2):
            await live.client.post("/v1/predict-single", **single(picture()))
        await live.client.post("/v1/predict-single", **single(picture()[:-20]))
        await live.graphql("{ datasets { totalCount } }")
        text = (await live.client.get("/metrics")).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["requests"].type == families["rejections_by_reason"].type == "counter"
    assert families["latency_avg_ms"].type == "gauge"

    def value(name: str, **labels: str) -> float:
        found = [
            sample.value
            for family in families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert len(found) == 1, (name, labels, found)
        return found[0]

    assert value("opsin_http_responses_total", status="200", route="whales") == 3
    assert value("opsin_http_responses_total", status="200", route="graphql") == 1
    assert value("opsin_http_first_byte_seconds_count", route="whales") == 3
    assert value("opsin_http_first_byte_seconds_bucket", route="whales", le="+Inf") == 3
    assert value("opsin_answers_total", by="computed") >= 1
    assert value("opsin_answers_total", by="memory") == 1
    assert value("opsin_graphql_reads_total", way="compiled") == 1
    runner = "operation 'identify_cetacean'"
    assert value("opsin_runner_items_total", runner=runner) == 1
    assert value("opsin_runner_queued", runner=runner, device="cpu") == 0
    used, limit = (value(f"opsin_model_bytes{end}", device="cpu") for end in ("", "_limit"))
    assert 0 < used < limit
    assert value("opsin_analyses", status="queued") == value("opsin_oldest_queued_seconds") == 0
    assert value("opsin_pictures_total", pixels="made") >= 1
    assert value("opsin_regions_total", region="made") == 0


async def test_without_the_whales_api_the_documented_names_are_not_there(tmp_path: Path) -> None:
    async with serve(settings_of(tmp_path, None, compat=("vista",))) as live:
        text = (await live.client.get("/metrics")).text
        assert not any(f"\n{name} " in text for name in DOCUMENTED)
        assert "opsin_http_responses_total" in text
        for path in ("/v1/predict-single", "/predict-batch", "/v1/webhook/register"):
            assert (await live.client.post(path)).status_code == 404


async def test_health_tells_the_device_without_loading_anything(tmp_path: Path) -> None:
    async with serve(settings_of(tmp_path, None)) as live:
        found = (await live.client.get("/health")).json()
    assert list(found) == ["status", "device", "version"]
    assert (found["status"], found["device"]) == ("ok", "cpu")


async def test_the_depth_and_age_of_the_queue(model: Path, tmp_path: Path) -> None:
    async with serve(settings_of(tmp_path, None)) as live:
        stored = await image(live)
        await live.data(
            """mutation($id: ID!) { analyze(input: {imageId: $id, tasks: [
              {taskId: "1", operation: "dominant_colors"}]}) { id } }""",
            id=stored,
        )
        values = _values((await live.client.get("/metrics")).text)
    assert float(values['opsin_analyses{status="queued"}']) == 1
    assert float(values["opsin_oldest_queued_seconds"]) >= 0
