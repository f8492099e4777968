"""Small writes of many callers in one transaction: whoever comes while one runs joins the next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from opsin.storage.database import Database, Transaction

Item = TypeVar("Item")
Value = TypeVar("Value")
Write = Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Value | Exception]]]

MOST = 100
"""Items of one transaction."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item, Value]):
    item: Item
    told: "asyncio.Future[Value]"


class GroupCommit(Generic[Item, Value]):
    """Writes items in the order they come in; a caller hears of its own after the commit.

    `write` gives for each item its value, or the exception that is for its caller alone: then it
    has written nothing of that item.  Where it raises, nothing of the transaction is kept, and each
    item is written once more by itself, so that one which the database refuses fails alone.
    """

    def __init__(self, database: Database, write: Write[Item, Value]) -> None:
        self._database = database
        self._write = write
        self._waiting: list[_Waiting[Item, Value]] = []
        self._running: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> Value:
        """The item's value, once it is committed.

        A caller who leaves takes nothing back: its item may be written.
        """
        told: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, told))
        if self._running is None:
            # For all who wait, not for the one who came first.
            self._running = asyncio.create_task(self._run(), context=Context())
        return await told

    async def _run(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                try:
                    await self._commit(some)
                finally:
                    for one in some:
                        one.told.cancel()  # does nothing to those that were told
        finally:
            self._running = None
            for one in self._waiting:  # none, unless the process ends
                one.told.cancel()
            self._waiting.clear()

    async def _commit(self, some: Sequence[_Waiting[Item, Value]]) -> None:
        is_written = False
        try:
            async with self._database.write() as transaction:
                values = await self._write(transaction, [one.item for one in some])
                is_written = True
        except Exception as error:
            # An error of the commit itself leaves open whether it is kept: nobody tries again.
            if is_written or len(some) == 1 or _is_unreachable(error):
                _tell(some, [error] * len(some))
                return
        else:
            _tell(some, values)
            return
        for one in some:
            await self._commit([one])


def _tell(some: Sequence[_Waiting[Item, Value]], values: Sequence[Value | Exception]) -> None:
    for one, value in zip(some, values, strict=True):
        if one.told.done():
            continue  # its caller has left
        if isinstance(value, Exception):
            one.told.set_exception(value)
        else:
            one.told.set_result(value)


def _is_unreachable(error: Exception) -> bool:
    """Whether the database itself is the reason, so that another try would only wait as long."""
    cause = error.__cause__ or error
    if isinstance(cause, InterfaceError | OperationalError | OSError | TimeoutError):
        return True
    return isinstance(cause, DBAPIError) and cause.connection_invalidated
