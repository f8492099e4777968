"""Clients that are slow, or gone before there is an answer, hold up nobody."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.compat.whales.making import archive, batch, manifest, picture, settings_of, single
from tests.compat.whales.slow_plugin import SOURCE as SLOW
from tests.compat.whales.slow_plugin import Gate
from tests.conftest import LiveServer, serve
from tests.core.working import until

SINGLE, BATCH = "/v1/predict-single", "/v1/predict-batch"


async def _value(live: LiveServer, name: str) -> float:
    """A number of `/metrics`."""
    text = (await live.client.get("/metrics")).text
    return float(next(line for line in text.splitlines() if line.startswith(name)).split()[-1])


def _form(live: LiveServer, path: str, form: dict[str, object]) -> bytes:
    """A whole request, as it goes over the wire."""
    request = live.client.build_request("POST", path, **form)  # type: ignore[arg-type]  # a form
    head = [f"POST {path} HTTP/1.1", *(f"{name}: {text}" for name, text in request.headers.items())]
    return "\r\n".join([*head, "", ""]).encode() + request.read()


@pytest.mark.parametrize("path", [SINGLE, BATCH])
async def test_who_hangs_up_is_worked_for_no_more(model: Path, tmp_path: Path, path: str) -> None:
    """The operation is held until the client has gone; only what had begun comes to its end."""
    settings = settings_of(tmp_path, manifest(model), disabled_plugins=("cetacean",))
    many = {f"{number}.png": picture(number) for number in range(40)}
    form = single(picture()) if path == SINGLE else batch(archive(many))
    with Gate() as gate:
        async with serve(settings, more_plugins=[SLOW]) as live:
            reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
            writer.write(_form(live, path, form))
            await writer.drain()
            await asyncio.to_thread(gate.began.wait, 60)
            assert gate.began.is_set()
            health = await live.client.get("/health")
            assert health.json()["status"] == "ok"
            writer.transport.abort()
            waiting = 'opsin_runner_queued{device="cpu",runner="operation \'identify_cetacean\'"}'

            async def forgotten() -> bool:
                return await _value(live, waiting) == 0

            await until(forgotten)
            gate.opens.set()
            assert reader.at_eof() or True
            assert gate.seen <= 2, "one at a time, and no other after the client had gone"
            after = await live.client.post(SINGLE, **single(picture(41)))
            assert after.status_code == 200
            export = (await live.client.get("/v1/export")).json()
            assert [one["image_ind"] for one in export["records"]] == ["whale.png"]


async def test_a_slow_client_is_waited_for_alone(model: Path, tmp_path: Path) -> None:
    async with serve(settings_of(tmp_path, manifest(model))) as live:
        whole = _form(live, SINGLE, single(picture()))
        reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
        step = len(whole) // 10
        for start in range(0, step * 9, step):
            writer.write(whole[start : start + step])
            await writer.drain()
            other = await live.client.post(SINGLE, **single(picture(1)))
            assert other.status_code == 200
        writer.write(whole[step * 9 :])
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_body_that_ends_too_early_leaves_nothing(model: Path, tmp_path: Path) -> None:
    async with serve(settings_of(tmp_path, manifest(model))) as live:
        whole = _form(live, BATCH, batch(archive({"a.png": picture()})))
        for part in (len(whole) // 2, len(whole) - 10):
            _, writer = await asyncio.open_connection("127.0.0.1", live.port)
            writer.write(whole[:part])
            await writer.drain()
            writer.transport.abort()
        answer = await live.client.post(BATCH, **batch(archive({"a.png": picture()})))
        assert [one["image_ind"] for one in answer.json()] == ["a.png"]
        assert (await live.client.get("/v1/export")).json()["count"] == 1


async def test_one_operation_that_stumbles_is_one_pictures_trouble(
    model: Path, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, manifest(model), disabled_plugins=("cetacean",))
    with Gate() as gate:
        gate.opens.set()
        gate.fails_on.add(picture_size := picture_sides(1))
        async with serve(settings, more_plugins=[SLOW]) as live:
            packed = archive({f"{number}.png": picture(number) for number in range(3)})
            found = (await live.client.post(BATCH, **batch(packed))).json()
            assert [one["rejection_reason"] for one in found] == [None, "corrupted_image", None]
            alone: httpx.Response = await live.client.post(SINGLE, **single(picture(1)))
            assert (alone.status_code, list(alone.json())) == (500, ["detail"])
            only = await live.client.post(BATCH, **batch(archive({"a.png": picture(1)})))
            assert only.status_code == 500, picture_size


def picture_sides(number: int) -> tuple[int, int]:
    """Height and width."""
    from tests.compat.whales.making import size_of

    width, height = size_of(picture(number))
    return height, width
