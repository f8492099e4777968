"""The memory of each device: who may load a runner there, and whose runner goes for it."""

import asyncio
import time
from collections.abc import Hashable, Sequence
from concurrent.futures import Future

from opsin.core.contract import SharedKey
from opsin.core.engine.holdings import (
    Holding,
    Need,
    Stage,
    Tenant,
    Usage,
    bytes_of_all,
    evictable,
    making_room,
)
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.memory_limit import MemoryLimit, readable
from opsin.core.errors import Cancelled, OperationUnavailable, OpsinError

PATIENCE = 5.0
"""Seconds that a load waits for a busy runner to become idle before it makes one take turns."""


class NoFreeRoom(OperationUnavailable):
    """Nobody waits for it, and others would have to go."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not loaded ahead: there is no room left for it")


class DeviceMemory:
    """Lets runners in as far as the limit of their device allows; lives on the event loop.

    Idle runners go first, those whose bytes have been idle for longest, and pinned ones never.
    A load that nobody waits for takes free room only.
    """

    def __init__(self, mailbox: Mailbox, limit: MemoryLimit, patience: float = PATIENCE) -> None:
        self._mailbox = mailbox
        self._limit = limit
        self._patience = patience
        self._limits: dict[str, int] = {}
        self._holdings: list[Holding] = []
        self._measured: dict[Tenant, tuple[Need, Usage]] = {}
        self._leaving: list[tuple[set[Holding], Future[None]]] = []
        """Who has to be gone before a load is tried once more."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_loop: asyncio.AbstractEventLoop | None = None
        self._is_short = False
        """Somebody waits for room, or a device has more than it may."""
        self._closed = False

    def reserve(self, tenant: Tenant, need: Need) -> Holding:
        """On a loading thread: wait for room.  OperationUnavailable when there never can be."""
        holding = Holding(tenant, need, need.device)
        self._limit_of(need.device)  # here, for it may ask torch
        self._mailbox.post(self._arrived, holding)
        holding.ready.result()
        return holding

    def evict_idle(self, holding: Holding) -> None:
        """On a loading thread, whose load did not fit after all: wait until all idle ones are gone.

        Others may use the device as well, and files say too little of what a model takes.
        """
        gone: Future[None] = Future()
        self._mailbox.post(self._clear, (holding.device, gone))
        gone.result()

    def release(self, holding: Holding) -> None:
        """From any thread: the runner is closed, or its load has failed."""
        self._mailbox.post(self._gone, holding)

    def publish(self, holding: Holding, usage: Usage, device: str) -> None:
        """It is loaded, and this is what it really takes.

        OperationUnavailable when that is too much: close it, and release the room.
        """
        holding.usage, holding.device = usage, device
        self._measured[holding.tenant] = holding.need, usage
        self._check_ever_fits(holding)
        holding.turn = max(self._patience, 2 * (time.monotonic() - holding.since))
        holding.enter(Stage.SERVING)
        self._mailbox.post(self._published, holding)

    def left(self) -> None:
        """Items have left a lane, so that a runner may be idle now."""
        if self._is_short:
            self.review()

    def review(self) -> None:
        """Something came, went or became idle: see who can be let in now."""
        if self._closed:
            return
        self._is_short = False
        for device in dict.fromkeys(holding.device for holding in self._holdings):
            self._trim(device)
            promised: list[Holding] = []
            for holding in self._on(device, Stage.WAITING):
                self._consider(holding, promised)
        if any(holding.stage is Stage.WAITING for holding in self._holdings):
            self._is_short = True
            self._look_again()

    def used(self) -> dict[str, tuple[int, int]]:
        """Bytes taken and bytes allowed, by device."""
        real = [holding for holding in self._holdings if holding.stage is not Stage.WAITING]
        return {
            device: (bytes_of_all(h for h in real if h.device == device), limit)
            for device, limit in dict(self._limits).items()  # a loading thread may add one
        }

    def close(self) -> None:
        """Nothing is loaded any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for holding in tuple(self._holdings):
            if holding.stage is Stage.WAITING:
                self._refuse(holding, Cancelled("the engine was closed"))
        for _, gone in self._leaving:
            gone.set_exception(Cancelled("the engine was closed"))
        self._leaving.clear()

    def _arrived(self, holding: Holding) -> None:
        self._holdings.append(holding)
        if self._closed:
            self._refuse(holding, Cancelled("the engine was closed"))
        self.review()

    def _published(self, _holding: Holding) -> None:
        # Not at once: its first items are to be in its queue.
        self.review()

    def _gone(self, holding: Holding) -> None:
        if holding in self._holdings:
            self._holdings.remove(holding)
        for leaving, gone in self._leaving:
            leaving.discard(holding)
            if not leaving:
                gone.set_result(None)
        self._leaving = [entry for entry in self._leaving if entry[0]]
        self.review()

    def _clear(self, message: "tuple[str, Future[None]]") -> None:
        device, gone = message
        if self._closed:
            gone.set_exception(Cancelled("the engine was closed"))
            return
        for idle in evictable(self._on(device, Stage.SERVING)):
            self._evict(idle)
        if leaving := set(self._on(device, Stage.LEAVING)):
            self._leaving.append((leaving, gone))
        else:
            gone.set_result(None)

    def _refuse(self, holding: Holding, error: OpsinError) -> None:
        self._holdings.remove(holding)
        self._resume_for(holding)
        holding.ready.set_exception(error)

    def _consider(self, holding: Holding, promised: list[Holding]) -> None:
        """Let it in, or promise it the room of those who leave, or make others leave for it."""
        holding.usage = self._expected(holding)
        try:
            self._check_ever_fits(holding)
        except OperationUnavailable as error:
            self._refuse(holding, error)
            return
        staying = [*self._on(holding.device, Stage.LOADING, Stage.SERVING), *promised]
        if not self._fits([*staying, holding]):
            if not holding.tenant.is_wanted:
                self._refuse(holding, NoFreeRoom(holding.need.what))
                return
            victims = self._victims(holding, staying, evictable(staying))
            if not victims:
                self._press(holding, staying)
                return
            if not all([self._evict(victim) for victim in victims]):
                return  # one has got work just now
        leaving = self._on(holding.device, Stage.LEAVING)
        staying = [*self._on(holding.device, Stage.LOADING, Stage.SERVING), *promised]
        if self._fits([*staying, *leaving, holding]):
            self._resume_for(holding)
            holding.enter(Stage.LOADING)
            holding.ready.set_result(None)
        else:
            promised.append(holding)

    def _press(self, holding: Holding, staying: Sequence[Holding]) -> None:
        """Have busy runners take turns with it, once each has had its own."""
        now = time.monotonic()
        if now - holding.since < self._patience:
            return
        candidates = evictable(staying) + [
            other
            for other in staying
            if other.is_movable and not other.is_idle and now - other.since >= other.turn
        ]
        for victim in self._victims(holding, staying, candidates):
            if not victim.is_idle and victim not in holding.retired:
                victim.tenant.retire()
                holding.retired.append(victim)

    def _resume_for(self, holding: Holding) -> None:
        for other in holding.retired:
            if other.stage is Stage.SERVING:
                other.tenant.resume()
        holding.retired.clear()

    def _victims(
        self, holding: Holding, staying: Sequence[Holding], candidates: Sequence[Holding]
    ) -> list[Holding]:
        """Which candidates have to go so that it fits; none when that would not do."""
        chosen, enough = making_room(staying, candidates, lambda rest: self._fits([*rest, holding]))
        return chosen if enough else []

    def _trim(self, device: str) -> None:
        """A runner turned out to be larger than its files: others go as soon as they are idle."""
        here = self._on(device, Stage.LOADING, Stage.SERVING)
        if not self._fits(here):
            victims, enough = making_room(here, evictable(here), self._fits)
            for victim in victims:
                self._evict(victim)
            self._is_short |= not enough

    def _evict(self, holding: Holding) -> bool:
        if not holding.tenant.evict():
            return False
        holding.enter(Stage.LEAVING)
        return True

    def _expected(self, holding: Holding) -> Usage:
        """What it will take: as last time, or its files, less the models that are here already."""
        need = holding.need
        known_need, known = self._measured.get(holding.tenant, (None, Usage()))
        if known_need == need:
            return known
        here = {
            (other.need.plugin, key[1:]): key
            for other in self._on(holding.device, Stage.LOADING, Stage.SERVING)
            for key in other.usage.shared
            if isinstance(key, SharedKey)
        }
        shared: dict[Hashable, int] = {}
        own = 0
        for model, size in need.models.items():
            if key := here.get((need.plugin, model)):
                shared[key] = size
            else:
                own += size
        return Usage(own, shared)

    def _check_ever_fits(self, holding: Holding) -> None:
        others = self._on(holding.device, Stage.LOADING, Stage.SERVING)
        pinned = [other for other in others if other.tenant.pinned and other is not holding]
        if self._fits([*pinned, holding]):
            return
        of_pinned = f", {readable(bytes_of_all(pinned))} of it for pinned ones" if pinned else ""
        raise OperationUnavailable(
            f"{holding.need.what} needs {readable(holding.usage.total)} of {holding.device} memory;"
            f" OPSIN_DEVICE_MEMORY allows {readable(self._limit_of(holding.device))}{of_pinned}"
        )

    def _fits(self, holdings: Sequence[Holding]) -> bool:
        """Whether the device, which is that of all of them, has room for these."""
        return not holdings or bytes_of_all(holdings) <= self._limit_of(holdings[0].device)

    def _limit_of(self, device: str) -> int:
        if device not in self._limits:
            self._limits[device] = self._limit.of(device)
        return self._limits[device]

    def _on(self, device: str, *stages: Stage) -> list[Holding]:
        return [h for h in self._holdings if h.device == device and h.stage in stages]

    def _look_again(self) -> None:
        """After a while: patience may have ended, and not every way to become idle is told of."""
        loop = asyncio.get_running_loop()
        if self._timer is None or self._timer_loop is not loop:
            self._timer_loop = loop
            self._timer = loop.call_later(self._patience, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self.review()
