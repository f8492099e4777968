"""Two streams in one order, read side by side: what belongs to a row, without a dictionary."""

from collections.abc import AsyncGenerator, AsyncIterator

from opsin.storage.snapshot import Rows


class Merged:
    """Rows in the order of their first column, taken a key after the other."""

    def __init__(self, groups: AsyncGenerator[Rows, None]) -> None:
        self._groups = groups
        self._rows: Rows = ()
        self._next = 0

    async def all(self) -> AsyncIterator[Rows]:
        """Every row, for the stream whose keys lead."""
        async for rows in self._groups:
            yield rows

    async def of(self, key: str) -> AsyncIterator[Rows]:
        """The rows with this key; keys that have rows must all be asked for, in their order."""
        while True:
            if self._next == len(self._rows):
                try:
                    self._rows, self._next = await anext(self._groups), 0
                except StopAsyncIteration:
                    return
            rows, start = self._rows, self._next
            end = start
            while end < len(rows) and rows[end][0] == key:
                end += 1
            if end > start:
                self._next = end
                yield rows[start:end]
            if end < len(rows):
                return

    async def aclose(self) -> None:
        await self._groups.aclose()
