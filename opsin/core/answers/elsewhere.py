"""What one asker leaves to other processes, which compute it already."""

import asyncio
from collections.abc import Callable, Mapping

from opsin.core.answers.reservations import Reservation
from opsin.core.engine import Task

_WORTH_SECONDS = 0.05
"""What takes less is computed by whoever wants it: asking would cost more than it may save."""


class Elsewhere:
    """Tasks by their numbers; without a `reservation` there is nobody else.

    `batch_seconds` tells how long such a task takes, if that is known.
    """

    def __init__(
        self, reservation: Reservation | None, batch_seconds: Callable[[Task], float | None]
    ) -> None:
        self._reservation = reservation
        self._batch_seconds = batch_seconds
        self._seen: set[int] = set()
        self.has_new = False
        """Whether `leave_out` has reserved something, the last time it was asked."""
        self._awaited: dict[asyncio.Task[None], int] = {}

    @property
    def exists(self) -> bool:
        """Whether anything may be left to anybody."""
        return self._reservation is not None

    async def leave_out(self, asked: Mapping[int, tuple[Task, str]]) -> list[int]:
        """Reserve tasks, given with their result keys; gives those that others compute.

        Only these are waited for from now on.
        """
        self.has_new = False
        if self._reservation is None:
            return []
        new = [n for n in asked if n not in self._seen and self._is_worth_it(asked[n][0])]
        self._seen.update(new)
        keys = {number: (asked[number][0].task_id, asked[number][1]) for number in new}
        taken = await asyncio.gather(*(self._reservation.take(*keys[n]) for n in new))
        self.has_new = any(taken)
        left = [number for number, is_ours in zip(new, taken, strict=True) if not is_ours]
        for number in left:
            waiting = asyncio.ensure_future(self._reservation.take_when_free(*keys[number]))
            self._awaited[waiting] = number
        return left

    @property
    def awaited(self) -> list["asyncio.Future[None]"]:
        """What is waited for; call `returned` when any of it is done."""
        return list(self._awaited)

    def returned(self) -> list[int]:
        """Those that nobody else computes any more: stored, or to be made here."""
        done = [waiting for waiting in self._awaited if waiting.done()]
        return [self._awaited.pop(waiting) for waiting in done]

    def leave(self) -> None:
        """Wait for nothing any more."""
        for waiting in self._awaited:
            waiting.cancel()

    def _is_worth_it(self, task: Task) -> bool:
        if self._reservation is None or not self._reservation.is_worth_it(task.operation.name):
            return False
        seconds = self._batch_seconds(task)
        return seconds is None or seconds > _WORTH_SECONDS
