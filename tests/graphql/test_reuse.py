"""Asking for the same again: the answer from before, unless the caller wants it computed anew."""

import asyncio
import base64
from typing import Any

from tests.conftest import LiveServer, serve
from tests.graphql.asking import image
from tests.pictures import noise_jpeg

NOW = """mutation($input: AnalyzeImageInput!) { analyzeImage(input: $input) {
  picture { width height format notes orientation orientationApplied frames }
  outcomes {
    status provenance annotations { data } result { ... on ImageQuality { noise } } } } }"""
LATER = "mutation($input: AnalyzeInput!) { analyze(input: $input) { id } }"
READ = """query($id: ID!) { analysis(id: $id) {
  status provenance result { ... on ImageQuality { noise } } } }"""
TASKS = [{"operation": "image_quality"}]


async def now(door: LiveServer, **given: Any) -> Any:
    """The picture and the one outcome."""
    answer = (await door.data(NOW, input={"tasks": TASKS, **given}))["analyzeImage"]
    (outcome,) = answer["outcomes"]
    assert outcome["status"] == "SUCCESS", outcome
    return answer["picture"], outcome


async def later(door: LiveServer, image_id: str, **given: Any) -> Any:
    """The analysis, once the worker has ended it."""
    (asked,) = (await door.data(LATER, input={"imageId": image_id, "tasks": TASKS, **given}))[
        "analyze"
    ]
    async with asyncio.timeout(20):
        while True:
            analysis = (await door.data(READ, id=asked["id"]))["analysis"]
            if analysis["status"] not in ("QUEUED", "PROCESSING"):
                assert analysis["status"] == "COMPLETED", analysis
                return analysis
            await asyncio.sleep(0.02)


async def test_an_answer_is_taken_again_unless_it_is_wanted_anew(live: LiveServer) -> None:
    encoded = base64.b64encode(noise_jpeg()).decode()
    asked = [await now(live, base64=encoded, **more) for more in ({}, {}, {"reuse": False})]
    pictures, (first, again, anew) = zip(*asked, strict=True)
    assert [o["provenance"]["cached"] for o in (first, again, anew)] == [False, True, False]
    assert again == {**first, "provenance": {**first["provenance"], "cached": True}}
    assert anew["result"] == first["result"]
    assert pictures[0] == pictures[1] == pictures[2]


async def test_a_queued_analysis_too(live: LiveServer) -> None:
    image_id = await image(live)
    first, again, anew = [
        await later(live, image_id, **more) for more in ({}, {"reuse": True}, {"reuse": False})
    ]
    assert [a["provenance"]["cached"] for a in (first, again, anew)] == [False, True, False]
    assert first["result"] == again["result"] == anew["result"]
    picture, outcome = await now(live, imageId=image_id)
    assert outcome["provenance"]["cached"] and outcome["result"] == first["result"]
    assert (picture["format"], picture["width"], picture["height"]) == ("PNG", 32, 24)


async def test_after_a_restart_the_stored_picture_is_told_of_as_before(
    live: LiveServer, settings: Any
) -> None:
    image_id = await image(live, base64=base64.b64encode(noise_jpeg()).decode())
    before = await now(live, imageId=image_id, reuse=False)
    await later(live, image_id)
    async with serve(settings) as restarted:
        picture, outcome = await now(restarted, imageId=image_id)
    assert picture == before[0]
    assert outcome["result"] == before[1]["result"] and outcome["provenance"]["cached"]
    assert outcome["annotations"] == before[1]["annotations"]
