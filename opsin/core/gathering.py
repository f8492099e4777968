"""Many who ask at the same moment, and one answer to all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")


class Gathering(Generic[Item, Value]):
    """Loads together what is asked for in one turn of the event loop, equal keys once.

    `load` gives a value for each item, in order.  A load that has begun takes no more askers, so
    that a value is never older than the question.  A caller that is cancelled leaves the others be.
    """

    def __init__(self, load: Callable[[Sequence[Item]], Awaitable[Sequence[Value]]]) -> None:
        self._load = load
        self._asked: dict[Hashable, tuple[Item, asyncio.Future[Value]]] = {}
        self._loading: set[asyncio.Task[None]] = set()

    def ask(self, key: Hashable, item: Item) -> asyncio.Future[Value]:
        """The value to be; await it shielded, as others do."""
        if key not in self._asked:
            if not self._asked:
                task = asyncio.create_task(self._load_asked())
                self._loading.add(task)
                task.add_done_callback(self._loading.discard)
            self._asked[key] = item, asyncio.get_running_loop().create_future()
        return self._asked[key][1]

    async def _load_asked(self) -> None:
        asked, self._asked = list(self._asked.values()), {}
        try:
            values = await self._load([item for item, _ in asked])
        except Exception as error:
            for _, future in asked:
                future.set_exception(error)
                future.exception()  # whoever asked may have gone
        else:
            for (_, future), value in zip(asked, values, strict=True):
                future.set_result(value)
        finally:
            for _, future in asked:
                future.cancel()  # does nothing to those that are done
