"""What processes compute to store it, so that no two of them compute the same at once."""

import asyncio
import time
from collections.abc import Collection, Sequence

from opsin.core.gathering import Gathering
from opsin.core.patience import Pauses
from opsin.storage.key_locks import KeyLocks

_MOST = 256
"""Reservations of one process: those of PostgreSQL lie in a small table of the whole server."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5
_PATIENCE = 60.0
"""Seconds for which another process is waited for; then both compute."""


class Reservations:
    """Result keys that this process has reserved, by who holds them.

    They end with the process, and where they cannot be had each computes for itself: they save
    work, and nothing depends on them.
    """

    def __init__(self, locks: KeyLocks) -> None:
        self.in_vain: set[str] = set()
        """Operations whose results do not come back from where they are stored."""
        self._locks = locks
        self._holders: dict[str, set[Reservation]] = {}
        self._asking = Gathering[tuple[str, Reservation], bool](self._reserve)
        self._turn = asyncio.Lock()

    def open(self) -> "Reservation":
        """Somebody who may reserve, and will `close`."""
        return Reservation(self)

    async def take(self, digest: str, holder: "Reservation") -> bool:
        """Whether nobody in another process holds it; this holder does from now on."""
        asked = self._asking.ask((digest, holder), (digest, holder))
        return await asyncio.shield(asked)

    async def release(self, digests: Collection[str], holder: "Reservation") -> None:
        """Leave these to others, unless somebody else here holds them as well."""
        free = []
        for digest in digests:
            holders = self._holders.get(digest, set())
            holders.discard(holder)
            if not holders and self._holders.pop(digest, None) is not None:
                free.append(_number(digest))
        if free:
            await self._locks.release(free)

    async def release_all(self, holder: "Reservation") -> None:
        """Leave all that it holds, also what it was given after it had stopped asking."""
        await self.release([key for key, held in self._holders.items() if holder in held], holder)

    async def close(self) -> None:
        self._holders.clear()
        await self._locks.close()

    async def _reserve(self, asked: Sequence[tuple[str, "Reservation"]]) -> list[bool]:
        async with self._turn:
            new = dict.fromkeys(digest for digest, _ in asked if digest not in self._holders)
            wanted = list(new)[: max(_MOST - len(self._holders), 0)]
            unasked = new.keys() - set(wanted)
            numbers = [_number(digest) for digest in wanted]
            taken = await self._locks.take(numbers) if numbers else frozenset()
            for digest in wanted:
                if _number(digest) in taken:
                    self._holders[digest] = set()
            ours = []
            for digest, holder in asked:
                if digest in self._holders and not holder.is_closed:
                    self._holders[digest].add(holder)
                ours.append(digest in self._holders or digest in unasked)
            # Whoever asked may have gone meanwhile.
            left = [digest for digest in wanted if self._holders.get(digest) == set()]
            for digest in left:
                del self._holders[digest]
        if left:
            await self._locks.release([_number(digest) for digest in left])
        return ours


class Reservation:
    """One holder: what it computes for its tasks, until each result is stored or known to fail."""

    def __init__(self, reservations: Reservations) -> None:
        self._reservations = reservations
        self._held: dict[str, str] = {}
        self.is_closed = False
        self.waited_at = 0.0
        """When it last waited for another process, in monotonic seconds."""

    def is_worth_it(self, operation: str) -> bool:
        """Whether others could take what this process stores of that operation."""
        return operation not in self._reservations.in_vain

    def is_in_vain(self, operation: str) -> None:
        """A result of that operation turned out not to come back as it was."""
        self._reservations.in_vain.add(operation)

    async def take(self, task_id: str, digest: str) -> bool:
        """Whether this process computes it, for that task; False while another one does."""
        taken = await self._reservations.take(digest, self)
        if taken:
            self._held[task_id] = digest
        return taken

    async def take_when_free(self, task_id: str, digest: str) -> None:
        """Wait until nobody else computes it, which is when its result is stored if it has one.

        After a minute it is computed here, too.
        """
        pauses = Pauses(_FIRST_PAUSE, _LONGEST_PAUSE)
        until = time.monotonic() + _PATIENCE
        while True:
            self.waited_at = time.monotonic()
            if self.waited_at > until or await self.take(task_id, digest):
                return
            await pauses.wait()

    async def ended(self, task_ids: Collection[str]) -> None:
        """What came of these tasks is stored: others may look for it."""
        ended = {digest for id_ in task_ids if (digest := self._held.pop(id_, None)) is not None}
        if free := ended - set(self._held.values()):
            await self._reservations.release(free, self)

    async def close(self) -> None:
        """Leave everything to others."""
        self.is_closed = True
        self._held.clear()
        await self._reservations.release_all(self)


def _number(digest: str) -> int:
    """A lock's: 63 bits of the digest, which is hexadecimal."""
    return int(digest[:16], 16) >> 1
