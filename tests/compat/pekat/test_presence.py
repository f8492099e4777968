"""Who hangs up is worked for no more."""

import asyncio
from pathlib import Path

import pytest

from opsin.settings import Settings
from tests.compat.pekat.conftest import Frame, png, scene
from tests.compat.whales.slow_plugin import SOURCE, Gate
from tests.conftest import LiveServer, serve
from tests.core.working import until

WAITING = 'opsin_runner_queued{device="cpu",runner="operation \'identify_cetacean\'"}'
FLOW = '[{"operation": "identify_cetacean"}]'
ROUTES = ("/analyze_image", "/analyze_raw_image")


async def queued(live: LiveServer) -> float:
    """Pictures that wait for the operation."""
    lines = (await live.client.get("/metrics")).text.splitlines()
    return float(next(line for line in lines if line.startswith(WAITING)).split()[-1])


async def sent(live: LiveServer, path: str, frame: Frame) -> asyncio.StreamWriter:
    """A whole request, whose answer nobody has read."""
    body = png(frame) if path == "/analyze_image" else frame.tobytes()
    height, width = frame.shape[:2]
    head = (
        f"POST {path}?width={width}&height={height} HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write(head.encode() + body)
    await writer.drain()
    return writer


@pytest.mark.parametrize("path", ROUTES)
async def test_what_waits_is_dropped(settings: Settings, tmp_path: Path, path: str) -> None:
    """The operation is held by the first picture until those behind it are forgotten."""
    changes = {"pekat_flow": FLOW, "disabled_plugins": ("cetacean",), "data_dir": tmp_path}
    with Gate() as gate:
        async with serve(settings.model_copy(update=changes), more_plugins=[SOURCE]) as live:
            first = await sent(live, path, scene(31, 20))
            await asyncio.to_thread(gate.began.wait, 60)
            others = [await sent(live, path, scene(32 + n, 20)) for n in range(3)]

            async def wait() -> bool:
                return await queued(live) == len(others)

            async def forgotten() -> bool:
                return await queued(live) == 0

            await until(wait)
            for writer in (first, *others):
                writer.transport.abort()
            await until(forgotten)
            gate.opens.set()
            again = await live.client.post("/analyze_image", content=png(scene(50, 20)))
            assert again.status_code == 200
            assert gate.seen == 2, "the picture that was held, and the one after all of them"
