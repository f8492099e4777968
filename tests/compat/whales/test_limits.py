"""So many predictions of an address in a minute, counted by all processes together."""

import asyncio
from pathlib import Path

import httpx

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.rate_limits import RateLimit, RateLimits
from tests.compat.whales.making import archive, batch, manifest, picture, settings_of, single
from tests.compat.whales.served import served
from tests.conftest import serve

TOO_MANY = "Превышен лимит запросов. Повторите позже."
PATH = "/v1/predict-single"


def _nothing() -> dict[str, object]:
    """A request that is let in and then refused, which counts."""
    return single(b"", "a", "image/png")


async def test_the_61st_request_is_refused(weights: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, manifest(weights), whales_rate_limit=60)
    async with serve(settings) as live:
        for number in range(60):
            path = (PATH, "/predict-single", "/v1/predict-batch")[number % 3]
            form = _nothing() if number % 3 < 2 else batch(b"")
            answer = await live.client.post(path, **form)
            assert answer.status_code == 400, (number, answer.text)
        for path in (PATH, "/predict-batch"):
            answer = await live.client.post(path, **_nothing())  # type: ignore[arg-type]  # a form
            assert answer.status_code == 429
            assert answer.content == f'{{"detail":"{TOO_MANY}"}}'.encode()
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        for path in ("/health", "/metrics", "/v1/drift-stats", "/v1/webhooks", "/v1/export"):
            assert (await live.client.get(path)).status_code == 200, path
        for metric in ("errors_total 62\n", "rejections_total 0\n"):
            assert metric in (await live.client.get("/metrics")).text
    # What counts is kept: a server that starts anew lets nobody in sooner, nor does another one.
    async with serve(settings) as live:
        answer = await live.client.post(PATH, **_nothing())  # type: ignore[arg-type]  # a form
        assert answer.status_code == 429


async def test_a_batch_is_one_request(weights: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, manifest(weights), whales_rate_limit=2)
    packed = archive({f"{number}.png": picture(number) for number in range(5)})
    async with serve(settings) as live:
        for expected in (200, 200, 429):
            answer = await live.client.post("/v1/predict-batch", **batch(packed))
            assert answer.status_code == expected


async def test_at_the_same_time_no_more_are_let_in(parts: Parts, principal: Principal) -> None:
    """Two processes, of each kind of database."""
    limit = RateLimit("test", 10, 60)
    database = parts.use_cases.database
    processes = [RateLimits(database), RateLimits(database)]
    asked = [processes[number % 2].enter(limit, "10.0.0.1") for number in range(30)]
    waits = await asyncio.gather(*asked)
    assert sum(wait is None for wait in waits) == 10
    assert all(0 < wait <= 60 for wait in waits if wait is not None)
    assert await processes[0].enter(limit, "10.0.0.2") is None
    assert await processes[0].enter(RateLimit("other", 1, 60), "10.0.0.1") is None


async def test_the_window_slides(parts: Parts) -> None:
    now = [1000.0]
    limits = RateLimits(parts.use_cases.database, clock=lambda: now[0])
    limit = RateLimit("test", 2, 60)
    assert await limits.enter(limit, "a") is None
    now[0] += 40
    assert await limits.enter(limit, "a") is None
    assert await limits.enter(limit, "a") == 20
    now[0] += 19.5
    assert await limits.enter(limit, "a") == 0.5, "a refused request does not count"
    now[0] += 0.5
    assert await limits.enter(limit, "a") is None
    assert await limits.enter(limit, "a") == 40
    assert await limits.sweep() == 0
    now[0] += 61
    assert await limits.sweep() == 1
    assert await limits.enter(limit, "a") is None


async def test_a_forwarded_address_counts_only_from_a_proxy_that_is_trusted(
    weights: Path, tmp_path: Path
) -> None:
    """By `opsin serve` itself, which alone knows the socket."""
    file = manifest(weights)
    for trusted, expected in ((None, [400, 429]), ("127.0.0.1", [400, 400])):
        more = {} if trusted is None else {"OPSIN_TRUSTED_PROXIES": trusted}
        folder = tmp_path / str(trusted)
        async with (
            served(folder, file, OPSIN_WHALES_RATE_LIMIT="1", **more) as url,
            httpx.AsyncClient(base_url=url, timeout=60) as client,
        ):
            found = [
                (
                    await client.post(
                        PATH,
                        headers={"x-forwarded-for": f"203.0.113.{number}"},
                        **_nothing(),  # type: ignore[arg-type]  # a form
                    )
                ).status_code
                for number in range(2)
            ]
        assert found == expected
