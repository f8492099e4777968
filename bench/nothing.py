"""A plugin whose operation does nothing, to measure everything around it."""

from collections.abc import Iterable, Sequence
from typing import Any

from opsin import Item, LoadContext, Operation, Params, Result, Runner, hookimpl


class Nothing(Result):
    """What the operation that does nothing gives."""

    pixels: int


class NothingRunner(Runner[Params, Nothing]):
    """Counts pixels."""

    max_batch = 256
    uses_device = False

    def run(self, batch: Sequence[Item[Params]]) -> Sequence[Nothing]:
        return [Nothing(pixels=item.picture.shape[0] * item.picture.shape[1]) for item in batch]


class DoNothing(Operation[Params, Nothing]):
    """The operation itself."""

    name = "do_nothing"
    version = "1"
    description = "Does nothing, quickly."
    result = Nothing
    deterministic = False  # so that each is run: the queue is measured, not the kept answers

    def load(self, context: LoadContext) -> NothingRunner:
        return NothingRunner()


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    """The one operation."""
    return [DoNothing()]
