"""The published Python clients, old and new, in every mode, against a live server."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opsin.settings import Settings
from tests.compat.pekat.conftest import BOX, HEIGHT, WIDTH, pekat, png, scene
from tests.compat.pekat.sdks import OLD_VERSION, session
from tests.conftest import LiveServer

KINDS = ("context", "image", "annotated_image", "heatmap")


def write_pictures(folder: Path) -> None:
    (folder / "scene.png").write_bytes(png(scene()))
    (folder / "wide.png").write_bytes(png(scene(131, 52)))


def ask(live: LiveServer, folder: Path, calls: list[dict[str, Any]], **client: Any) -> Any:
    return {"port": live.port, "folder": str(folder), "client": client, "calls": calls}


def check(answer: dict[str, Any], kind: str, image: Path) -> None:
    context = answer["context"]
    assert context["processing"] is True and context["error"] is False
    assert context["imageShape"] == {"height": HEIGHT, "width": WIDTH}
    (found,) = context["detectedRectangles"]
    assert {side: found[side] for side in BOX} == BOX
    assert [found["classNames"][0]["label"], found["confidence"]] == ["bright", 87.5]
    assert [named["label"] for named in context["surfaceClasses"]] == ["dark"]
    assert answer["has_image"] is (kind != "context")
    if kind == "context":
        return
    shown, sent = np.load(image), scene()
    assert shown.shape == sent.shape
    if kind == "image":
        assert (shown == sent).all()
    elif kind == "heatmap":
        assert shown[10, 20].tolist() == [255, 255, 255] and shown[30, 50].max() < 255
    else:
        assert (shown != sent).any()


@pytest.mark.parametrize("in_body", [True, False])
@pytest.mark.parametrize("shares_memory", [False, True])
async def test_the_newest_client_in_every_mode(
    settings: Settings, tmp_path: Path, in_body: bool, shares_memory: bool
) -> None:
    write_pictures(tmp_path)
    calls = [
        {"file": "scene.png", "as": way, "response_type": kind, "data": "line 7"}
        for way in ("array", "path", "bytes")
        for kind in KINDS
    ]
    async with pekat(settings, shared_memory=shares_memory) as live:
        asked = ask(live, tmp_path, calls, context_in_body=in_body)
        about, *answers = await session("sdk_session.py", asked)
    assert about["shared_memory"] is shares_memory
    assert tuple(int(part) for part in about["version"].split(".")) >= (2, 3, 3)
    for number, (call, answer) in enumerate(zip(calls, answers, strict=True)):
        check(answer, call["response_type"], tmp_path / f"answer{number}.npy")
        assert answer["context"]["data"] == "line 7"


@pytest.mark.parametrize("in_body", [True, False])
async def test_the_old_client_in_every_mode_with_its_key(
    settings: Settings, tmp_path: Path, old_sdk: Path, in_body: bool
) -> None:
    write_pictures(tmp_path)
    # This version has no response type "image", and takes no bytes.
    calls = [
        {"file": "scene.png", "as": way, "response_type": kind}
        for way in ("array", "path")
        for kind in ("context", "annotated_image", "heatmap")
    ]
    async with pekat(settings, api_key="secret-1") as live:
        asked = ask(live, tmp_path, calls, context_in_body=in_body, api_key="secret-1")
        about, *answers = await session("sdk_session.py", asked, old_sdk)
        wrong = ask(live, tmp_path, calls, context_in_body=in_body, api_key="secret-2")
        _, *refused = await session("sdk_session.py", wrong, old_sdk)
    assert about["version"] == OLD_VERSION
    for number, (call, answer) in enumerate(zip(calls, answers, strict=True)):
        check(answer, call["response_type"], tmp_path / f"answer{number}.npy")
        assert answer["context"]["data"] == ""
    assert len(refused) == len(calls)
    for answer in refused:  # as a dictionary, and not as an exception
        assert answer["context"] == {"error": True, "message": "invalid or missing api_key"}


async def test_arrays_of_other_shapes_in_shared_memory(settings: Settings, tmp_path: Path) -> None:
    write_pictures(tmp_path)
    calls = [
        {"file": file, "as": way, "response_type": "image"}
        for file, way in (
            *[("scene.png", "array"), ("scene.png", "array"), ("wide.png", "array")],
            *[("scene.png", "grey"), ("scene.png", "array")],
        )
    ]
    async with pekat(settings, shared_memory=True) as live:
        about, *answers = await session("sdk_session.py", ask(live, tmp_path, calls))
    assert about["shared_memory"] is True
    shown = [np.load(tmp_path / f"answer{number}.npy") for number in range(len(answers))]
    assert [image.shape for image in shown[:3]] == [(40, 61, 3), (40, 61, 3), (52, 131, 3)]
    assert (shown[2] == scene(131, 52)).all() and (shown[4] == scene()).all()
    assert (shown[3] == shown[3][..., :1]).all() and shown[3].std() > 0


async def test_the_newest_client_cannot_send_a_key_and_is_told(
    settings: Settings, tmp_path: Path
) -> None:
    write_pictures(tmp_path)
    calls = [{"file": "scene.png", "as": "path", "response_type": kind} for kind in KINDS]
    async with pekat(settings, api_key="secret-1") as live:
        _, *answers = await session("sdk_session.py", ask(live, tmp_path, calls))
    for answer in answers:
        assert answer["context"] == {"error": True, "message": "invalid or missing api_key"}
        assert answer["has_image"] is False


@pytest.mark.parametrize("in_body", [True, False])
async def test_a_context_too_large_for_headers_and_switched_off_processing(
    settings: Settings, tmp_path: Path, in_body: bool
) -> None:
    write_pictures(tmp_path)
    calls = [{"file": "scene.png", "as": "path", "response_type": kind} for kind in KINDS]
    flow = [{"operation": "find_bright", "params": {"copies": 400}}]
    async with pekat(settings, flow) as live:
        asked = ask(live, tmp_path, calls, context_in_body=in_body)
        _, *large = await session("sdk_session.py", asked)
    async with pekat(settings, process=False) as live:
        asked = ask(live, tmp_path, calls, context_in_body=in_body)
        _, *bare = await session("sdk_session.py", asked)
    for call, answer in zip(calls, large, strict=True):
        assert len(answer["context"]["detectedRectangles"]) == 400
        assert answer["has_image"] is (in_body and call["response_type"] != "context")
    for answer in bare:
        assert answer["has_image"] is False
        assert set(answer["context"]) == {
            *("error", "imageShape", "processingTime", "save", "processing")
        }
        assert answer["context"]["processing"] is False
