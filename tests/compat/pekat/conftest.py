"""Servers with the PEKAT API and a flow whose findings are known."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import pytest_asyncio

from opsin.settings import Settings
from tests.compat.pekat.bright_plugin import SOURCE
from tests.compat.pekat.sdks import old_sdk as old_sdk
from tests.conftest import LiveServer, serve, without_settings

Frame = npt.NDArray[np.uint8]

FLOW = [{"operation": "find_bright"}, {"operation": "judge_tone"}, {"operation": "heat_of_luma"}]
WIDTH, HEIGHT = 61, 40
BOX = {"x": 10.0, "y": 5.0, "width": 20.0, "height": 12.0}


def scene(width: int = WIDTH, height: int = HEIGHT) -> Frame:
    """BGR: dark, every pixel another, with one white box; no row is a multiple of four bytes."""
    frame = np.random.default_rng(3).integers(0, 100, (height, width, 3)).astype(np.uint8)
    frame[5:17, 10:30] = 255
    return frame


def png(frame: Frame) -> bytes:
    return encoded(frame, ".png")


def encoded(frame: Frame, ending: str) -> bytes:
    return cv2.imencode(ending, frame)[1].tobytes()


def pixels(image: bytes) -> Frame:
    """BGR, as the clients read an image."""
    read = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    assert read is not None
    return np.asarray(read, np.uint8)


@asynccontextmanager
async def pekat(
    settings: Settings, flow: Any = FLOW, **changes: object
) -> AsyncIterator[LiveServer]:
    """A server; settings by their names without `pekat_`, if they are this API's."""
    told = flow if isinstance(flow, str) or flow is None else json.dumps(flow)
    given: dict[str, object] = {"pekat_flow": told}
    for name, value in changes.items():
        given[name if name in Settings.model_fields else f"pekat_{name}"] = value
    async with serve(settings.model_copy(update=given), more_plugins=[SOURCE]) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    """The same for all tests of a module that asks nothing about what was sent before."""
    with pytest.MonkeyPatch.context() as patch:
        without_settings(patch)
        settings = Settings(data_dir=tmp_path_factory.mktemp("pekat"), worker=False)
    async with pekat(settings) as live:
        yield live


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[LiveServer]:
    """In dev mode, with the flow of three operations."""
    async with pekat(settings) as live:
        yield live
