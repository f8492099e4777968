"""For plugin authors and our own tests: try an operation without a server; fakes without a model.

result = run_operation(Brightness(), np.zeros((4, 4, 3), np.uint8), {"scale": 2})
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from opsin.core.contract import (
    Box,
    Item,
    LoadContext,
    Operation,
    Params,
    Picture,
    Reference,
    Region,
    RegionFinder,
    Result,
    Runner,
    Target,
)
from opsin.core.engine.placed import blank, joined
from opsin.core.errors import TargetNotSupported
from opsin.core.imaging import crop

R = TypeVar("R", bound=Result)


def run_operation(
    operation: Operation[Any, R],
    picture: Picture,
    params: Params | Mapping[str, Any] | None = None,
    *,
    region: Box | Region | None = None,
    context: LoadContext | None = None,
    inputs: Sequence[Result] = (),
    reference: Reference | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> R:
    """Load the operation, run it on one picture and close it, as the engine would.

    `region` stands for what a region finder found (a `Region` may have landmarks), `inputs` for the
    results of the operations it asks for, in their order, `reference` for the stored one;
    `progress` hears what it writes.
    Whatever the operation raises comes through as it is, and so does pydantic's ValidationError
    for params that do not fit.
    """
    if not isinstance(params, Params):
        params = operation.params.model_validate(dict(params or {}))
    target = params.target or operation.default_target
    if target not in operation.targets:
        raise TargetNotSupported(f"{operation.name} has no target {target.value!r}")
    wanted = operation.reference(params)
    assert wanted is None or reference is not None, f"{operation.name} needs a reference: {wanted}"
    needed = [needed.operation for needed in operation.inputs(params, reference)]
    assert len(inputs) == len(needed), f"{operation.name} needs the results of {needed}"
    found = None
    if region is not None and operation.uses_picture:
        height, width = picture.shape[:2]
        found = region if isinstance(region, Region) else Region(region, 1.0)
        found = replace(found, box=found.box.clipped(width, height))
        if operation.crop:
            picture = crop(picture, found.box)
    if not operation.uses_picture:
        picture = blank(*picture.shape[:2])
    runner = operation.load(context or LoadContext("cpu", acceleration=operation.acceleration))
    try:
        item = Item(picture, params, target, found, tuple(inputs), reference, progress)
        prepared = runner.prepare(item)
        hash(runner.batch_key(prepared))
        outputs = [runner.encode(output) for output in runner.run([prepared])]
    finally:
        runner.close()
    assert len(outputs) == 1, f"run returned {len(outputs)} outputs for a batch of one item"
    (result,) = outputs
    expected = operation.result
    assert isinstance(result, expected), f"{result!r} is not a {expected.__name__}"
    if not operation.uses_picture:
        seen = next((i for i in inputs if i.region is not None or i.note is not None), Result())
        told = {"region": seen.region, "note": joined(result.note, seen.note)}
        return result.model_copy(update=told)
    return result.model_copy(update={"region": found.box}) if found and operation.crop else result


class FakeParams(Params):
    """`mark` tells items apart; `key` keeps them from sharing a batch."""

    mark: int = 0
    key: int = 0


class FakeResult(Result):
    """What the runner saw of its item."""

    mark: int
    width: int
    height: int
    batch_size: int
    seen_region: Box | None = None
    seen_inputs: tuple[int, ...] = ()
    """The marks of its inputs."""
    seen_reference: str | None = None
    """The digest of its reference."""


class Script:
    """How a fake behaves, and what was done with it; one for all the runners it loads.

    `fails` gives the exception for an item, `load_fails` those of the next loads.
    """

    def __init__(
        self,
        *,
        latency: float = 0.0,
        max_batch: int = 16,
        uses_device: bool = True,
        fails: Callable[[Item[Any]], BaseException | None] = lambda item: None,
        load_fails: Iterable[BaseException] = (),
    ) -> None:
        self.latency = latency
        self.max_batch = max_batch
        self.uses_device = uses_device
        self.fails = fails
        self.load_fails = list(load_fails)
        self.batches: list[list[Item[Any]]] = []
        self.threads: set[str] = set()
        """The names of the threads that ran a batch."""
        self.loads = self.closes = 0
        self.loading, self.running = Gate(), Gate()

    @property
    def marks(self) -> list[list[int]]:
        """The batches so far, as the marks of their items."""
        return [[item.params.mark for item in batch] for batch in self.batches]

    def load(self) -> None:
        self.loads += 1
        self.loading.enter()
        if self.load_fails:
            raise self.load_fails.pop(0)

    def run(self, batch: Sequence[Item[Any]]) -> None:
        self.threads.add(threading.current_thread().name)
        self.batches.append(list(batch))
        self.running.enter()
        time.sleep(self.latency)
        for item in batch:
            if error := self.fails(item):
                raise error


class Gate:
    """Stops a thread on its way until a test lets it go; open unless closed."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._arrived = threading.Event()

    def close(self) -> None:
        """Hold whoever comes from now on."""
        self._arrived.clear()
        self._open.clear()

    def open(self) -> None:
        """Let go who is held, and who comes later."""
        self._open.set()

    def enter(self) -> None:
        self._arrived.set()
        if not self._open.wait(timeout=30):
            raise TimeoutError("a gate was never opened again")

    async def arrival(self) -> None:
        """Wait until somebody has come since the gate was closed."""
        assert await asyncio.to_thread(self._arrived.wait, 30), "nobody came to the gate"


class FakeRunner(Runner[FakeParams, FakeResult]):
    """Answers each item with what it saw, batching as a real runner does."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.max_batch = script.max_batch
        self.uses_device = script.uses_device

    def batch_key(self, prepared: Item[FakeParams]) -> int:
        return prepared.params.key

    def run(self, batch: Sequence[Item[FakeParams]]) -> Sequence[FakeResult]:
        self.script.run(batch)
        return [
            FakeResult(
                mark=item.params.mark,
                width=item.picture.shape[1],
                height=item.picture.shape[0],
                batch_size=len(batch),
                seen_region=item.region.box if item.region else None,
                seen_inputs=tuple(getattr(found, "mark", 0) for found in item.inputs),
                seen_reference=item.reference.digest if item.reference else None,
            )
            for item in batch
        ]

    def close(self) -> None:
        self.script.closes += 1


class FakeOperation(Operation[FakeParams, FakeResult]):
    """An operation without a model.

    `declared` are other attributes of an operation (`crop`, `missing_region`, `requires`, ...);
    `inputs=lambda params, reference: [...]` and `reference=lambda params: ...` stand for methods.
    """

    description = "Answers with what it saw."
    version = "1"
    params = FakeParams
    result = FakeResult
    deterministic = False  # it tells of its batch; with `deterministic=True` it is not run again

    def __init__(
        self,
        name: str = "fake",
        script: Script | None = None,
        runner: Callable[[Script], Runner[Any, Any]] = FakeRunner,
        **declared: Any,
    ) -> None:
        self.script = script or Script()
        self._runner = runner
        # Real operations declare these in the class; fakes differ by instance.
        vars(self).update(declared, name=name)

    def load(self, context: LoadContext) -> Runner[FakeParams, FakeResult]:
        self.script.load()
        return self._runner(self.script)


class FakeFinderRunner(Runner[Params, Region | None]):
    """Gives the same box, or none, for every picture."""

    def __init__(self, script: Script, box: Box | None) -> None:
        self.script = script
        self.max_batch = script.max_batch
        self._region = Region(box, 0.9) if box else None

    def run(self, batch: Sequence[Item[Params]]) -> Sequence[Region | None]:
        self.script.run(batch)
        return [self._region] * len(batch)


class FakeFinder(RegionFinder):
    """A region finder that finds `box`, in pixels of the picture it is given."""

    version = "1"

    def __init__(
        self, target: Target, box: Box | None, script: Script | None = None, **declared: Any
    ) -> None:
        self.script = script or Script()
        self._box = box
        vars(self).update(declared, name=f"fake_{target.value}", target=target)

    def load(self, context: LoadContext) -> Runner[Params, Region | None]:
        self.script.load()
        return FakeFinderRunner(self.script, self._box)
