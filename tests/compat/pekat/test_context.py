"""The context: every key that clients require, what the flow found, and what decides `result`."""

from collections.abc import Mapping
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from opsin.settings import Settings
from tests.compat.pekat.bright_plugin import RED
from tests.compat.pekat.conftest import FLOW, HEIGHT, WIDTH, Frame, pekat, png, scene
from tests.conftest import LiveServer


class Shape(BaseModel):
    height: int
    width: int


class Bare(BaseModel):
    """What the newest client's own description of a context allows with processing off."""

    model_config = ConfigDict(extra="forbid", strict=True)

    error: bool
    imageShape: Shape
    processing: Literal[False]
    processingTime: float
    save: bool


class Named(BaseModel):
    model_config = ConfigDict(strict=True)

    id: int
    confidence: int
    label: str
    color: str | None = None
    color_bgr: list[int] | None = None


class Source(BaseModel):
    modelId: int
    moduleId: int
    type: Literal["UNSUPERVISED", "SUPERVISED", "CLASSIFIER", "DETECTOR", "CODE"]


class Rectangle(BaseModel):
    model_config = ConfigDict(strict=True)

    x: float
    y: float
    width: float
    height: float
    rotate: float
    area: float | None = None
    classNames: list[Named]
    confidence: float
    id: int
    source: Source


class Full(BaseModel):
    """The same with processing on: all of these are required, others may be there."""

    model_config = ConfigDict(extra="allow", strict=True)

    error: bool
    imageShape: Shape
    processing: Literal[True]
    processingTime: float
    save: bool
    data: str
    completeTime: float
    errors: list[Any]
    stderr: str
    stdout: str
    globalData: dict[str, Any]
    operatorInput: dict[str, Any]
    production_mode: bool
    score: float
    threshold: float
    surfaceClasses: list[Named]
    angle: float | None
    detectedRectangles: list[Rectangle]
    lines: list[Any]
    result: bool


def flow_of(operations: list[Any], **more: Any) -> dict[str, Any]:
    return {"operations": operations, **more}


async def context_of(live: LiveServer, frame: Frame | None = None) -> dict[str, Any]:
    picture = png(scene() if frame is None else frame)
    answer = await live.client.post("/analyze_image", content=picture)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refused() -> Frame:
    """A picture that `refuse_red` fails on."""
    frame = scene()
    frame[0, 0] = RED[::-1]
    return frame


async def test_every_key_is_there(server: LiveServer) -> None:
    full = Full.model_validate(await context_of(server))
    assert (full.imageShape.width, full.imageShape.height) == (WIDTH, HEIGHT)
    assert full.result is True and full.production_mode is True and not full.model_extra
    assert 0 < full.processingTime <= full.completeTime < 60
    (rectangle,) = full.detectedRectangles
    assert rectangle.source == Source(modelId=0, moduleId=1, type="DETECTOR")
    assert rectangle.id == 1 and rectangle.area == 20 * 12
    assert [(named.label, named.confidence) for named in rectangle.classNames] == [("bright", 88)]
    assert [(named.label, named.confidence) for named in full.surfaceClasses] == [("dark", 100)]


async def test_a_label_has_one_id_and_one_colour(settings: Settings) -> None:
    flow = [*FLOW, {"operation": "find_bright"}]
    async with pekat(settings, flow) as live:
        full = Full.model_validate(await context_of(live))
    first, second = (found.classNames[0] for found in full.detectedRectangles)
    assert first == second and first.id != full.surfaceClasses[0].id
    assert first.color_bgr is not None
    blue, green, red = first.color_bgr
    assert first.color == f"#{red:02x}{green:02x}{blue:02x}"
    assert [found.source.moduleId for found in full.detectedRectangles] == [1, 4]
    assert [found.id for found in full.detectedRectangles] == [1, 2]


async def test_processing_switched_off(settings: Settings) -> None:
    async with pekat(settings, process=False) as live:
        for kind in ("context", "image", "annotated_image", "heatmap"):
            for switch in ("", "&context_in_body"):
                answer = await live.client.post(
                    f"/analyze_image?response_type={kind}{switch}", content=png(scene())
                )
                bare = Bare.model_validate(answer.json())
                assert (bare.imageShape.width, bare.imageShape.height) == (WIDTH, HEIGHT)
                assert answer.headers["content-type"] == "application/json"
                assert "imagelen" not in answer.headers and "context" not in answer.headers
        raw = f"/analyze_raw_image?width={WIDTH}&height={HEIGHT}"
        Bare.model_validate((await live.client.post(raw, content=scene().tobytes())).json())
        assert (await live.client.post("/analyze_image", content=b"none")).status_code == 400
        assert (await live.client.get("/last_image")).status_code == 404


async def test_an_operation_that_fails_is_told_and_is_no_pass(settings: Settings) -> None:
    flow = [{"operation": "refuse_red"}, {"operation": "find_bright"}]
    async with pekat(settings, flow) as live:
        fine = Full.model_validate(await context_of(live))
        failed = Full.model_validate(await context_of(live, refused()))
    assert fine.result is True and fine.error is False and fine.errors == []
    assert failed.result is False and failed.error is True
    (error,) = failed.errors
    assert error.startswith("refuse_red: ") and "red is refused" in error
    assert len(failed.detectedRectangles) == 1


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ({"count": "bright", "at_most": 0}, False),
        ({"count": "bright", "at_most": 1}, True),
        ({"count": "bright", "at_least": 2}, False),
        ({"count": "*", "at_least": 2, "at_most": 2}, True),
        ({"count": "dark", "at_least": 1}, True),
        ({"count": "nothing", "at_most": 0}, True),
        ({"value": "bright.copies", "at_least": 1}, True),
        ({"value": "bright.copies", "at_most": 0.5}, False),
        ({"value": "bright.ratio", "at_least": 0.09, "at_most": 0.11}, True),
        ({"value": "imageShape.width", "at_least": 62}, False),
    ],
)
async def test_rules_decide(settings: Settings, rule: Mapping[str, Any], holds: bool) -> None:
    steps = [{"operation": "find_bright", "key": "bright"}, {"operation": "judge_tone"}]
    async with pekat(settings, flow_of(steps, rules=[{"count": "*", "at_least": 0}, rule])) as live:
        full = Full.model_validate(await context_of(live))
    assert full.result is holds and full.errors == [] and full.error is False


@pytest.mark.parametrize("value", ["bright.nothing", "bright", "bright.bbox", "data", "a.b.c"])
async def test_a_rule_that_cannot_be_judged_does_not_hold(settings: Settings, value: str) -> None:
    flow = flow_of(
        [{"operation": "find_bright", "key": "bright"}], rules=[{"value": value, "at_least": 0}]
    )
    async with pekat(settings, flow) as live:
        full = Full.model_validate(await context_of(live))
    assert full.result is False and value in full.errors[0]


@pytest.mark.parametrize(("threshold", "fine"), [(0.05, False), (0.5, True)])
async def test_the_score_of_the_picture(settings: Settings, threshold: float, fine: bool) -> None:
    score = {"value": "bright.ratio", "threshold": threshold}
    flow = flow_of([{"operation": "find_bright", "key": "bright"}], score=score)
    async with pekat(settings, flow) as live:
        full = Full.model_validate(await context_of(live))
    assert full.result is fine and full.threshold == threshold
    assert full.score == pytest.approx(240 / (WIDTH * HEIGHT))


async def test_what_is_no_number_in_json_becomes_null(settings: Settings) -> None:
    flow = flow_of([{"operation": "find_bright", "key": "bright", "type": "UNSUPERVISED"}])
    dark = scene() // 4
    async with pekat(settings, flow) as live:
        answer = await live.client.post("/analyze_image", content=png(dark))
        found = await context_of(live)
    assert answer.json()["bright"]["ratio"] is None and b"NaN" not in answer.content
    assert found["bright"]["bbox"] == [10, 5, 20, 12]
    assert found["detectedRectangles"][0]["source"]["type"] == "UNSUPERVISED"
