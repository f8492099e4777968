"""Many askers of several companies at once, who fail, leave and want things anew at random."""

import asyncio
import io
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from opsin.core.access import Principal
from opsin.core.answers import asking, needed_inputs
from opsin.core.contract import Input, Item
from opsin.core.engine import Task, TaskStatus, make_task
from opsin.core.errors import OpsinError
from opsin.core.immediate import PictureSource
from opsin.core.testing import FakeOperation, FakeResult, Script
from opsin.settings import Settings
from tests.conftest import other_company
from tests.core.answers.test_answers import now
from tests.core.engine.workbench import until
from tests.core.given_plugins import house_of
from tests.core.house import add_image, ask
from tests.pictures import solid_png

PICTURES = [solid_png(8 + n, 6) for n in range(3)]
MARKS = 3


class Moody:
    """Fails now and then, and always for the last mark."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def __call__(self, item: Item[Any]) -> BaseException | None:
        if item.params.mark == MARKS - 1:
            return ValueError(f"no {item.params.mark}")
        return MemoryError() if self.random.random() < 0.05 else None


def chain(seed: int) -> list[FakeOperation]:
    """Operations of which each needs the one before, and one that needs several."""

    def fake(name: str, *inputs: str, **declared: Any) -> FakeOperation:
        def needed(params: Any, reference: Any) -> list[Input]:
            return [Input(name, params={"mark": params.mark}) for name in inputs]

        script = Script(latency=0.001, fails=Moody(seed), uses_device=len(inputs) % 2 == 0)
        more = {"deterministic": True, "inputs": needed, "uses_picture": not inputs}
        return FakeOperation(name, script, **{**more, **declared})

    return [
        fake("a"),
        fake("b", "a"),
        fake("c", "b"),
        fake("d", "c", "a", "moody"),
        fake("moody", "a", deterministic=False),
    ]


async def request(parts: Any, principals: list[Principal], pick: random.Random) -> str:
    """One request at random; what came of it, which is checked."""
    names = pick.sample(["a", "b", "c", "d", "moody"], pick.choice([1, 1, 2, 3]))
    reuse = pick.random() < 0.9
    tasks: list[Task] = []
    for name in names:
        task = make_task(parts.use_cases.host, name, name, {"mark": pick.randrange(MARKS)})
        tasks.append(replace(task, reuse=reuse or pick.random() < 0.5))
    content = pick.choice(PICTURES)
    file = io.BytesIO(content)
    source: Any = content if pick.random() < 0.7 else PictureSource(file=file)
    running = asyncio.ensure_future(now(parts, pick.choice(principals), source, *tasks))
    if pick.random() < 0.2:
        await asyncio.sleep(pick.random() * 0.03)
        running.cancel()
    try:
        analyzed = await running
    except asyncio.CancelledError:
        return "left"
    except OpsinError as error:
        return type(error).__name__
    finally:
        file.close()
    for outcome, task in zip(analyzed.outcomes, tasks, strict=True):
        assert outcome.task is task
        mark = task.params.model_dump()["mark"]
        if outcome.status is TaskStatus.SUCCESS:
            assert isinstance(outcome.result, FakeResult)
            inputs = {"a": 0, "d": 3}.get(task.operation.name, 1)
            assert outcome.result.mark == mark
            assert outcome.result.seen_inputs == (mark,) * inputs
            assert (analyzed.info.width, outcome.result.width) == (outcome.result.width,) * 2
        else:
            assert outcome.error is not None
            assert "failed: " in outcome.error.message, outcome.error
    return "answered"


@pytest.mark.parametrize("seed", range(3))
async def test_everybody_gets_an_answer_and_nothing_stays(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    for module in (asking, needed_inputs):  # a while, in which much happens
        monkeypatch.setattr(module, "seconds_held_back", lambda provenance: 0.01)
    pick = random.Random(seed)
    async with house_of(settings, *chain(seed), result_cache_bytes=20_000) as parts:
        principals = [await parts.use_cases.access.local()]
        principals += [await other_company(parts, name) for name in ("one", "two")]
        images = [await add_image(parts, principals[0], picture) for picture in PICTURES]
        answers: Counter[str] = Counter()
        async with asyncio.timeout(90):
            for image in images:
                for name in ("a", "c", "d"):
                    await ask(parts, principals[0], image, name, mark=pick.randrange(2))
                draining = asyncio.create_task(parts.worker.drain())
                crowd = [request(parts, principals, pick) for _ in range(60)]
                answers.update(await asyncio.gather(*crowd))
                await draining
        assert answers["answered"] > 100 and answers["left"]
        assert set(answers) <= {"answered", "left"}
        house = parts.use_cases.answers
        await until(lambda: not house.flights)
        await until(lambda: not parts.use_cases.engine._requests.are_open)
        assert parts.use_cases.engine._requests.admission.accepted == 0
        counts = house.counts
        assert counts.inputs and counts.memory and counts.shared
