"""`identify_cetacean` as another plugin may have it: one picture at a time, when a test says so."""

import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from pydantic import Field

from opsin import Box, Item, LoadContext, Operation, Params, Result, Runner, hookimpl
from opsin.core.plugin_host import PluginSource

SOURCE = PluginSource("slow", "tests.compat.whales.slow_plugin")


class Gate:
    """Holds the operation back while it is in force and does not open."""

    current: "Gate | None" = None

    def __init__(self) -> None:
        self.began, self.opens = threading.Event(), threading.Event()
        self.fails_on: set[tuple[int, int]] = set()
        self.seen = 0

    def __enter__(self) -> Self:
        Gate.current = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.opens.set()
        Gate.current = None


class SlowParams(Params):
    gallery: str | None = None
    candidates: int = Field(default=5, ge=1)


class SlowIdentification(Result):
    is_cetacean: bool | None = True
    cetacean_score: float | None = 0.75
    rejection_reason: str | None = None
    individual: str | None = None
    species: str | None = None
    probability: float | None = None
    candidates: tuple[str, ...] = ()
    box: Box | None = None


class SlowRunner(Runner[SlowParams, SlowIdentification]):
    max_batch = 1
    uses_device = False

    def run(self, batch: Sequence[Item[SlowParams]]) -> Sequence[SlowIdentification]:
        gate = Gate.current
        assert gate is not None
        gate.seen += 1
        gate.began.set()
        gate.opens.wait(60)
        if batch[0].picture.shape[:2] in gate.fails_on:
            raise ValueError("this one is not liked")
        return [SlowIdentification() for _ in batch]


class SlowIdentify(Operation[SlowParams, SlowIdentification]):
    name = "identify_cetacean"
    version = "1"
    description = "Waits."
    params = SlowParams
    result = SlowIdentification

    def load(self, context: LoadContext) -> SlowRunner:
        return SlowRunner()


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [SlowIdentify()]
