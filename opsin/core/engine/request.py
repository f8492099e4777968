"""One request to the engine: who waits for it, until when, and how many items it still has."""

import asyncio
import math
from typing import Generic, TypeVar

from opsin.core import tracing
from opsin.core.errors import DeadlineExceeded, OpsinError

Answer = TypeVar("Answer")


class Request(Generic[Answer]):
    """The owner of items, whose future gets an answer or an error for the whole.

    Lives on the event loop.
    """

    def __init__(
        self,
        future: "asyncio.Future[Answer]",
        items: int,
        *,
        deadline: float | None,
        priority: int,
    ) -> None:
        self.future = future
        self.deadline = math.inf if deadline is None else deadline
        self.priority = priority
        self.place = None if tracing.tracer is None else tracing.tracer.place()
        """Where in a trace it was asked."""
        self.missing = items
        """Items that have not come to their end yet."""
        self.closed = False
        """The caller has an answer or is gone: nothing more is to be run for it."""

    @property
    def is_complete(self) -> bool:
        """Every item has come to its end: nothing of this request waits anywhere."""
        return not self.missing

    def fail(self, error: OpsinError) -> None:
        """Give the caller an error for the whole, unless there is an answer already."""
        self.closed = True
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self) -> None:
        self.fail(DeadlineExceeded("the deadline passed before all was done"))
