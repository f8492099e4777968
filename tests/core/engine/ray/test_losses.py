"""What is lost between two ends: nothing is sent twice, forgotten, or blamed for it."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from opsin.core.engine.pool import CpuPool
from opsin.core.engine.ray.link import Link
from opsin.core.engine.ray.messenger import Messenger
from opsin.core.engine.ray.runner_actor import RunnerActor
from opsin.core.engine.ray.shelf import Shelf
from opsin.core.engine.ray.wire import Answered, Failed, Send, Wire
from tests.core.engine.ray.conftest import Bench, MakeBench
from tests.core.engine.ray.remote_fakes import Told
from tests.core.engine.ray.test_crews import until
from tests.core.engine.ray.test_faults import messenger_of, process_of, statistics


class BusyPool:
    """Does nothing until it may go on."""

    def __init__(self, pool: CpuPool) -> None:
        self._pool = pool
        self.waiting: list[Callable[[], None]] = []
        self._is_busy = True

    def submit(self, work: Callable[[], None], *, first: bool = False) -> None:
        if self._is_busy:
            self.waiting.append(work)
        else:
            self._pool.submit(work, first=first)

    def go_on(self) -> None:
        self._is_busy = False
        for work in self.waiting:
            self._pool.submit(work)


async def test_what_was_about_to_be_sent_when_the_messenger_ended_is_sent_once(
    over_ray: MakeBench,
) -> None:
    bench = over_ray()
    await process_of(bench)
    lane = _lane(bench)
    lane._pool = busy = BusyPool(lane._pool)
    answers = asyncio.ensure_future(
        bench.told(*[bench.task(mark, key=mark) for mark in range(6)], seconds=110)
    )
    await until(lambda: busy.waiting)
    os.kill(messenger_of(bench), signal.SIGKILL)
    await until(lambda: statistics(bench).replicas == 0)
    busy.go_on()
    told = await answers
    assert [one.mark for one in told] == list(range(6))
    assert (statistics(bench).running, statistics(bench).items) == (0, 7)
    assert not lane._dispatch.sent
    assert not any(one.shipments for one in lane._dispatch.replicas.values())


async def test_after_a_long_pause_the_next_item_waits_for_its_process(over_ray: MakeBench) -> None:
    bench = over_ray(idle_seconds=1.0)
    await process_of(bench)
    await until(lambda: statistics(bench).replicas == 0)
    lane: Any = _lane(bench)
    lane._growth.alone_since = then = -1e9  # as if it had been gone for years
    await until(lambda: lane._growth.alone_since > then)
    (told,) = await bench.told(bench.task(1))
    assert isinstance(told, Told), told


class Heard:
    """Notes that it was told of the loss."""

    losses = 0

    def disconnected(self) -> None:
        self.losses += 1


def test_a_closed_crew_hears_that_its_last_shipments_are_lost() -> None:
    link, shipper = Link(None, "x"), Heard()
    link.number(shipper)  # type: ignore[arg-type]  # of a shipper, it is told of losses only
    link.number(shipper)  # type: ignore[arg-type]  # likewise
    link._lose()
    link._lose()  # they were lost once
    assert shipper.losses == 1


def test_what_was_lost_is_not_sent_to_the_next_messenger() -> None:
    link, shipper = Link(None, "x"), Heard()
    number = link.number(shipper)  # type: ignore[arg-type]  # as above
    link._lose()
    ours, theirs = (Wire(end) for end in socket.socketpair())
    link._wire = ours
    link._connected()
    assert not link.send(number, 1, 0, b"parcel", "name", [])
    assert not theirs.poll(0)
    ours.close()
    theirs.close()


class FullStore:
    """What the messenger asks of Ray, with an object store that is full at first."""

    ObjectRef = str
    is_full = True

    def put(self, picture: Any) -> str:
        if self.is_full:
            raise MemoryError("the object store is full")
        return f"an object of {picture.shape}"


def test_a_picture_that_could_not_be_stored_is_there_for_the_next_batch() -> None:
    ours, theirs = (Wire(end) for end in socket.socketpair())
    messenger, sent = Messenger(theirs), []
    messenger._ray = store = FullStore()

    class Process:
        """Takes whatever it is given."""

        def remote(self, *given: Any) -> "Process":
            sent.append(given)
            return self

        def future(self) -> Any:
            return self

        def add_done_callback(self, then: Any) -> None: ...

    process: Any = Process()
    process.run = process.handle = process
    fleet: Any = Process()
    fleet.replicas = {0: process}
    messenger._fleets[1] = fleet
    shelf, picture = Shelf(), np.zeros((2000, 1000, 3), np.uint8)

    def ship(number: int, replica: int = 0) -> None:
        how, goes_along, _ = shelf.put(picture)
        ours.send(Send(number, 1, replica, b"parcel", "name", [how]), [picture] * goes_along)
        messenger._send(theirs.read())

    shipping = threading.Thread(target=ship, args=(1,))  # more than a socket takes at once
    shipping.start()
    shipping.join(30)
    failed = ours.read()
    assert isinstance(failed, Failed) and failed.fault is not None
    store.is_full = False
    ship(2)
    assert sent == [(b"parcel", [("large", 0)], [], "an object of (2000, 1000, 3)")]
    ship(3, replica=7)  # one that has left meanwhile: nothing is said against the items
    assert ours.read() == Answered(3) and ours.blob() == b""
    ours.close()
    theirs.close()


async def test_a_process_of_another_version_ends_and_can_be_sought_elsewhere() -> None:
    actor = RunnerActor("0.0.0", b"", 60.0)
    ended = threading.Event()
    actor._end = ended.set  # type: ignore[method-assign]  # there is no Ray here to end it
    assert b"OperationUnavailable" in await actor.load()
    await until(ended.is_set)


def _lane(bench: Bench) -> Any:
    (slot,) = [slot for slot in bench.engine.runners if slot.queue is not None]
    return slot._lane
