"""An engine over fakes, with the few calls that its tests repeat."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from opsin.core.contract import Loadable, Operation, RegionFinder, Runner, TextEmbedder
from opsin.core.engine import Analyzed, Engine, Outcome, RunnerStatistics, Task, make_task
from opsin.core.imaging import DecodedImage, ImageInfo
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import (
    PluginHost,
    PluginInfo,
    RegisteredEmbedder,
    RegisteredFinder,
    RegisteredOperation,
)
from opsin.core.testing import FakeResult, Script

PLUGIN = PluginInfo("fakes", "1.2", None, "fakes", True, ())


def host_of(*parts: Loadable) -> PluginHost:
    """A host whose one plugin provides these operations, finders and text embedders."""
    return PluginHost(
        [PLUGIN],
        {p.name: RegisteredOperation(PLUGIN, p) for p in parts if isinstance(p, Operation)},
        {p.target: RegisteredFinder(PLUGIN, p) for p in parts if isinstance(p, RegionFinder)},
        text_embedders={
            p.operation: RegisteredEmbedder(PLUGIN, p) for p in parts if isinstance(p, TextEmbedder)
        },
    )


def decoded(width: int = 8, height: int = 6) -> DecodedImage:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels.flags.writeable = False
    info = ImageInfo("PNG", "image/png", width, height, "RGB", 1, 1, True, ())
    return DecodedImage(pixels, info)


def png(width: int = 8, height: int = 6) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return file.getvalue()


class Workbench:
    """One engine and its fakes."""

    def __init__(self, models: Path, *parts: Loadable, **options: Any) -> None:
        self._parts = parts
        self._begun: list[asyncio.Task[Analyzed]] = []
        self.host = host_of(*parts)
        self.models = ModelStore(models)
        self.engine = Engine(self.host, self.models, **{"device": "cpu", **options})

    def task(self, operation: str = "fake", mark: int = 0, **params: Any) -> Task:
        return make_task(self.host, str(mark), operation, {"mark": mark, **params})

    async def run(self, *tasks: Task, **options: Any) -> Analyzed:
        source = options.pop("source", None) or decoded()
        return await self.engine.analyze(source, tasks, **options)

    def begin(self, *tasks: Task, **options: Any) -> "asyncio.Task[Analyzed]":
        request = asyncio.ensure_future(self.run(*tasks, **options))
        self._begun.append(request)
        return request

    async def close(self) -> None:
        """Close the engine, whoever a failed test has left at a gate."""
        for part in self._parts:
            script = getattr(part, "script", None)
            if isinstance(script, Script):
                script.running.open()
                script.loading.open()
        await self.engine.close()
        await asyncio.gather(*self._begun, return_exceptions=True)

    async def occupy(self, script: Script, task: Task) -> "asyncio.Task[Analyzed]":
        """A request that sits inside `run`, its gate closed: its lane is busy from now on."""
        script.running.close()
        request = self.begin(task)
        await script.running.arrival()
        return request

    async def queued(self, items: int, name: str = "operation 'fake'") -> None:
        """Wait until so many items wait for the runner, and no thread is preparing any."""

        def settled() -> bool:
            queues = [slot.queue for slot in self.engine.runners if slot.queue]
            preparing = sum(queue.in_preparation for queue in queues)
            return self.statistics(name).queued == items and not preparing

        await until(settled)

    def statistics(self, name: str = "operation 'fake'") -> RunnerStatistics:
        never_asked = RunnerStatistics(name, None, 0, 0, 0, 0, 0.0, 0, 0)
        return {s.name: s for s in self.engine.statistics()}.get(name, never_asked)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop and the threads go on until the condition holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # other threads make it true
            await asyncio.sleep(0.001)


def result_of(outcome: Outcome) -> FakeResult:
    assert isinstance(outcome.result, FakeResult), outcome
    return outcome.result


def marks_of(analyzed: Analyzed) -> list[int]:
    return [result_of(outcome).mark for outcome in analyzed.outcomes]


def message_of(outcome: Outcome) -> str:
    assert outcome.error is not None, outcome
    return outcome.error.message


class Plain(Runner[Any, Any]):
    """A runner without preparation: `answer` is what `run` does."""

    def __init__(self, answer: Callable[[list[Any]], Any], max_batch: int = 16) -> None:
        self.answer = answer
        self.max_batch = max_batch

    def run(self, batch: Any) -> Any:
        return self.answer(batch)
