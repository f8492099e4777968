"""Raw frames: what their length says they are, and how they become pixels."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import shared_memory
from pathlib import Path

import numpy as np
import pytest

from opsin.compat.pekat.shared_memory import attached
from opsin.core.errors import InvalidImage
from opsin.settings import Settings
from tests.compat.pekat.conftest import HEIGHT, WIDTH, Frame, pekat, pixels, scene
from tests.conftest import LiveServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZE = f"width={WIDTH}&height={HEIGHT}"


def padded(frame: Frame) -> bytes:
    """Rows that begin at multiples of four bytes, with noise between them."""
    row = frame.reshape(len(frame), -1)
    rest = np.full((len(frame), -row.shape[1] % 4), 77, np.uint8)
    return np.hstack([row, rest]).tobytes()


def with_alpha(frame: Frame) -> bytes:
    return np.dstack([frame, np.full(frame.shape[:2], 9, np.uint8)]).tobytes()


@contextmanager
def shared(content: bytes, more: int = 0) -> Iterator[shared_memory.SharedMemory]:
    """Memory with this content, as a client makes it and in the end removes it."""
    memory = shared_memory.SharedMemory(create=True, size=len(content) + more)
    try:
        assert memory.buf is not None
        memory.buf[: len(content)] = content
        yield memory
    finally:
        memory.close()
        memory.unlink()  # raises when the server has done it


async def shown(live: LiveServer, frame: bytes, query: str = SIZE) -> Frame:
    """The picture that the server took the frame for."""
    answer = await live.client.post(
        f"/analyze_raw_image?response_type=image&{query}", content=frame
    )
    assert answer.status_code == 200, answer.text
    return pixels(answer.content)


async def test_bgr_padded_bgra_and_grey(shared_server: LiveServer) -> None:
    frame = scene()
    for body in (frame.tobytes(), padded(frame), with_alpha(frame)):
        assert (await shown(shared_server, body) == frame).all()
    grey = frame[..., 1]
    assert (await shown(shared_server, grey.tobytes()) == grey[..., None]).all()


async def test_a_length_with_two_meanings_is_the_first(shared_server: LiveServer) -> None:
    # 4 x 3: three bytes a pixel need no padding, so it is the same; 1 x n: BGR before padded rows.
    frame = scene(4, 30)
    assert (await shown(shared_server, frame.tobytes(), "width=4&height=30") == frame).all()
    column = scene(11, 30)[:, 10:11]
    assert (await shown(shared_server, column.tobytes(), "width=1&height=30") == column).all()
    # As long as padded BGR and as BGRA: for one column both are four bytes a row.
    both = with_alpha(column)
    assert (await shown(shared_server, both, "width=1&height=30") == column).all()


@pytest.mark.parametrize("switch", ["bayer", "bayer=", "bayer=1", "bayer=true"])
async def test_bayer_has_red_at_its_corner(shared_server: LiveServer, switch: str) -> None:
    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[::2, ::2] = 255
    colours = await shown(shared_server, mosaic.tobytes(), f"width=8&height=8&{switch}")
    assert (colours[2:6, 2:6] == [0, 0, 255]).all()


@pytest.mark.parametrize("switch", ["bayer=0", "bayer=false", "bayer=no"])
async def test_bayer_can_be_switched_off(shared_server: LiveServer, switch: str) -> None:
    grey = scene(8, 8)[..., 0]
    answer = await shown(shared_server, grey.tobytes(), f"width=8&height=8&{switch}")
    assert (answer == grey[..., None]).all()


@pytest.mark.parametrize(
    ("query", "size", "says"),
    [
        (SIZE, 3 * WIDTH * HEIGHT - 1, "7,320 bytes (BGR)"),
        (SIZE, 0, "not 0"),
        ("width=61", 10, "height must be given"),
        ("width=&height=40", 10, "width must be given"),
        ("width=-61&height=40", 10, "width must be given"),
        ("width=0&height=40", 0, "width must be given"),
        ("width=6.1&height=40", 10, "width must be given"),
        ("width=%D9%A6&height=40", 10, "width must be given"),
        (f"width={'9' * 5000}&height=40", 10, "width must be given"),
        ("width=999999999&height=1", 10, "999,999,999 (grey)"),
        ("width=40000&height=1", 120_000, "a side may have"),
        (f"{SIZE}&bayer", 3 * WIDTH * HEIGHT, "Bayer"),
    ],
)
async def test_frames_that_are_none(
    shared_server: LiveServer, query: str, size: int, says: str
) -> None:
    answer = await shared_server.client.post(f"/analyze_raw_image?{query}", content=bytes(size))
    assert answer.status_code == 400
    assert answer.json()["error"] is True and says in answer.json()["message"], answer.text


async def test_shared_memory_is_read_and_left(settings: Settings) -> None:
    frame = scene()
    with shared(frame.tobytes()) as memory:
        path = f"/analyze_image_shared_memory?{SIZE}&name={memory.name}&response_type=image"
        async with pekat(settings, shared_memory=True) as live:
            assert (await live.client.get("/version")).text == "3.18.0"
            for _ in range(2):
                answer = await live.client.post(path)
                assert (pixels(answer.content) == frame).all()
            grey = await live.client.post(path.replace("width=61", "width=183"))
            assert pixels(grey.content).shape == (HEIGHT, 3 * WIDTH, 3)
            small = await live.client.post(path.replace("width=61", "width=6100"))
            assert small.status_code == 400
        assert memory.buf is not None and bytes(memory.buf[: frame.nbytes]) == frame.tobytes()


async def test_whole_pages_of_shared_memory(settings: Settings) -> None:
    """Some systems give whole pages: what is beyond the picture does not count."""
    frame = scene()
    with shared(frame.tobytes(), more=1000) as memory:
        path = f"/analyze_image_shared_memory?{SIZE}&name={memory.name}&response_type=image"
        async with pekat(settings, shared_memory=True) as live:
            answer = await live.client.post(path)
        assert (pixels(answer.content) == frame).all()


async def test_memory_that_shrinks_while_it_is_read() -> None:
    with shared(bytes(10_000)) as memory, attached(memory.name) as read:
        assert read.size >= 10_000 and read.read(0, 10_000).nbytes == 10_000
        os.truncate(f"/dev/shm/{memory.name}", 5_000)
        with pytest.raises(InvalidImage, match="shrunk"):
            read.read(0, 10_000)


async def test_names_of_no_shared_memory(settings: Settings) -> None:
    async with pekat(settings, shared_memory=True) as live:
        for name in ("", "nothing", "..", "../etc/passwd", "a/b", "%00", "x" * 300):
            answer = await live.client.post(f"/analyze_image_shared_memory?{SIZE}&name={name}")
            assert answer.status_code == 400 and answer.json()["error"] is True, name


@pytest.fixture
def no_memory(tmp_path: Path) -> Iterator[list[str]]:
    """Names of a pipe and of a link where shared memory is shown."""
    secret = tmp_path / "secret"
    secret.write_bytes(scene().tobytes())
    paths = [Path("/dev/shm", f"opsin-test-{kind}-{os.getpid()}") for kind in ("pipe", "link")]
    os.mkfifo(paths[0])
    paths[1].symlink_to(secret)
    yield [path.name for path in paths]
    for path in paths:
        path.unlink()


async def test_a_pipe_and_a_link_are_no_shared_memory(
    settings: Settings, no_memory: list[str]
) -> None:
    async with pekat(settings, shared_memory=True) as live:
        for name in no_memory:
            answer = await live.client.post(f"/analyze_image_shared_memory?{SIZE}&name={name}")
            assert answer.status_code == 400


async def test_shared_memory_is_off_unless_asked_for(shared_server: LiveServer) -> None:
    version = await shared_server.client.get("/version")
    assert version.status_code == 404 and version.json()["error"] is True
    answer = await shared_server.client.post(f"/analyze_image_shared_memory?{SIZE}&name=x")
    assert answer.status_code == 404 and answer.json()["error"] is True
