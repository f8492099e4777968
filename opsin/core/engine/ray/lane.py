"""The lane of a runner in the cluster: batches gather while every process has enough."""

import logging
import os
import time
import uuid
from collections import deque
from functools import partial
from typing import Any

from opsin.core.contract.operations import _ignore
from opsin.core.engine.batching import Completed, Failure, Owner, RunnerQueue, Ticket
from opsin.core.engine.failures import as_opsin_error
from opsin.core.engine.lanes import Lane, Post
from opsin.core.engine.pool import CpuPool
from opsin.core.engine.ray.crew import Crew
from opsin.core.engine.ray.link import lost
from opsin.core.engine.ray.order import Fault, Told
from opsin.core.engine.ray.parcels import (
    item_of,
    not_packable,
    packed,
    started,
    unpacked_answers,
)
from opsin.core.engine.ray.shipments import (
    AT_ONCE,
    Replica,
    Shipment,
    free_among,
    parted,
    place_for,
)
from opsin.core.errors import OperationFailed, OpsinError

logger = logging.getLogger("opsin.engine")

_BACKLOG_SECONDS = 3.0
"""How long more must have waited than the processes have taken until another is brought up."""
_OURS = uuid.uuid4().hex[:12]
"""Tells this process's parcels from those of all others."""


class RemoteLane(Lane):
    """Sends one runner's batches to the processes of its crew.

    A batch whose process ends is tried once more on another, by itself; if that one ends too, its
    halves are, so that only the item that ends processes fails.
    """

    def __init__(self, pool: CpuPool, post: Post, crew: Crew) -> None:
        super().__init__(pool, post)
        self._crew = crew
        self._queue: RunnerQueue
        self._replicas: dict[int, Replica] = {}
        self._sent: dict[int, tuple[Shipment, Replica]] = {}
        self._again: deque[Shipment] = deque()
        self._lost = 0
        self._growing: set[int] = set()
        self._backlog_since: float | None = None
        self._alone_since = time.monotonic()
        """Since when somebody has waited though there was no process at all."""

    def adopt(self, queue: RunnerQueue) -> None:
        super().adopt(queue)
        self._queue = queue
        self._crew.attach(self)  # it needs the queue

    @property
    def replicas(self) -> int:
        return len(self._replicas)

    @property
    def lost(self) -> int:
        return self._lost

    def close(self, until: float) -> None:
        with self._changed:
            self._closing = True
            self._changed.wait_for(lambda: not self._sent, max(until - time.monotonic(), 0.0))
            self._sent.clear()
        for queue in self._share.queues:
            queue.loaded.close()

    def discard(self, queue: RunnerQueue, owner: Owner) -> None:
        with self._changed:
            queue.discard(owner)

    def _close_soon(self, queue: RunnerQueue) -> None:
        # On the pool, with the crew's end that comes of it: the connection may be busy.
        self._pool.submit(queue.loaded.close, first=True)

    # What the crew tells, on the link's thread.

    def joined(self, crew: Crew, number: int, told: Told) -> None:
        with self._changed:
            if crew is not self._crew:
                return
            self._growing.discard(number)
            self._replicas[number] = Replica(number, told, crew)
            self._wake()

    def left(self, crew: Crew, number: int, error: OpsinError | None, *, is_lost: bool) -> None:
        with self._changed:
            self._lost += is_lost
            self._growing.discard(number)
            if crew is self._crew:
                self._replicas.pop(number, None)
                self._note_alone()
        if error is not None:
            logger.warning("%s", error.message)
            if not self._replicas:
                self._fail_all(error)

    def disconnected(self, crew: Crew) -> None:
        """Everything under way was lost through no fault of its own."""
        with self._changed:
            lost = [entry[0] for entry in self._sent.values() if entry[1].crew is crew]
            for number in [n for n, (_, replica) in self._sent.items() if replica.crew is crew]:
                del self._sent[number]
            self._again.extendleft(reversed(lost))
            if crew is self._crew:
                self._replicas.clear()
                self._growing.clear()
                self._note_alone()

    def switch(self, crew: Crew, told: Told) -> None:
        """Send to another crew from now on; what is under way at the old one comes back yet."""
        with self._changed:
            self._crew = crew
            self._replicas.clear()
            self._growing.clear()
            loaded = self._queue.loaded
            loaded.device, loaded.models = told.device, told.models
        crew.attach(self)

    def answered(self, number: int, reply: bytes) -> None:
        with self._changed:
            shipment, replica = self._take_back(number)
        if shipment is None or replica is None:
            return
        if not reply:
            self._send_again(shipment, pause=0.2)
            return
        try:
            runs = unpacked_answers(reply)
            if isinstance(runs, Fault):
                raise runs.error()
            self._hand_out(shipment, replica, runs)
        except Exception as error:
            self._fail(shipment, as_opsin_error(error, self._queue.loaded.what))
        with self._changed:
            self._wake()

    def failed(self, number: int, error: OpsinError | None) -> None:
        with self._changed:
            shipment, replica = self._take_back(number)
            if error is None and replica is not None:
                # Nothing more goes there until it has joined again.
                if self._replicas.get(replica.number) is replica:
                    del self._replicas[replica.number]
                self._note_alone()
        if shipment is None or replica is None:
            return
        if error is not None:
            self._fail(shipment, error)
        elif shipment.deaths == 0:
            shipment.deaths, shipment.after = 1, replica.number
            self._send_again(shipment)
        elif len(shipment.tickets) == 1:
            what = self._queue.loaded.what
            self._fail(shipment, OperationFailed(f"{what} ended its process at this item, twice"))
        else:
            half = len(shipment.tickets) // 2
            for part in (shipment.tickets[:half], shipment.tickets[half:]):
                self._send_again(Shipment(part, 1, replica.number))
        with self._changed:
            self._wake()

    def heard(self, number: int, texts: dict[int, str]) -> None:
        shipment, _ = self._sent.get(number, (None, None))
        if shipment is None:
            return
        for place, text in texts.items():
            shipment.tickets[place].item.progress(text)

    # Now and then, on the source's thread.

    def follow(self) -> None:
        """Ask for the texts of those who are followed."""
        for number, (shipment, _) in tuple(self._sent.items()):
            if shipment.followed:
                self._crew.link.ask(number)

    def tick(self) -> None:
        """Give up waiting, bring up more processes, send what had to wait."""
        now = time.monotonic()
        give_up, wanted = False, None
        with self._changed:
            if not self._share.queues:  # released since the caller looked
                return
            crew = self._crew
            self._drop_over(now)
            waiting = self._queue.waiting + sum(len(one.tickets) for one in self._again)
            if self._replicas:
                wanted = self._one_more(waiting, now)
            elif not waiting:
                self._alone_since = now  # nobody has waited for one yet
            else:
                late = now - self._alone_since > crew.start_seconds
                give_up = late or crew.link.is_lost_for_long
                if 0 not in self._growing and not crew.link.is_lost:
                    wanted = 0
            if wanted is not None:
                self._growing.add(wanted)
            self._wake()
        if wanted is not None:  # without the lock, which who reads the answers needs
            crew.link.grow(crew.number, wanted)
        if give_up:
            self._fail_all(lost(self._queue.loaded.what))

    def _note_alone(self) -> None:
        if not self._replicas:
            self._alone_since = time.monotonic()

    def _one_more(self, waiting: int, now: float) -> int | None:
        """The number of another process to bring up, once work has piled up for long."""
        taken = sum(replica.told.max_batch for replica in self._replicas.values()) * AT_ONCE
        if waiting <= taken or self._growing:
            self._backlog_since = None
            return None
        if self._backlog_since is None:
            self._backlog_since = now
        elif now - self._backlog_since > _BACKLOG_SECONDS:
            self._backlog_since = None
            free = set(range(self._crew.placement.replicas)) - set(self._replicas)
            return min(free, default=None)
        return None

    def _wake(self) -> None:
        while not self._closing and (work := self._next()) is not None:
            shipment, replica = work
            replica.shipments.append(shipment)
            number = self._crew.link.number(self._crew)
            self._sent[number] = shipment, replica
            self._pool.submit(partial(self._send, number, shipment, replica), first=True)

    def _next(self) -> tuple[Shipment, Replica] | None:
        """What to send now, and where; called with the lock held."""
        now = time.monotonic()
        kept_free: Replica | None = None
        for shipment in tuple(self._again):
            if shipment.again_at > now:
                continue
            replica = place_for(shipment, self._replicas.values(), kept_free)
            if replica is not None and not (shipment.is_suspect and replica.shipments):
                self._again.remove(shipment)
                return shipment, replica
            if shipment.is_suspect:  # nothing more goes there until it is empty
                kept_free = replica
        replica = free_among(self._replicas.values(), kept_free)
        # While it runs one, the next need not travel before it is worth the way.
        runs = replica is not None and replica.shipments
        if replica is not None and runs and self._queue.waiting < replica.told.max_batch // 2:
            return None
        while replica is not None and (queue := self._share.next()) is not None:
            batch = queue.take(now)
            if batch is not None:
                now_sent, later = parted(batch.tickets)
                if later:
                    self._again.appendleft(Shipment(later))
                return Shipment(now_sent), replica
        return None

    def _send(self, number: int, shipment: Shipment, replica: Replica) -> None:
        """On the pool: what cannot be packed fails alone.

        It may have been taken back meanwhile, when the messenger ended: then it is another's.
        """
        if number not in self._sent:
            return
        what = self._queue.loaded.what
        name = f"{_OURS}-{os.getpid()}-{number}"
        pictures: dict[int, tuple[int, Any]] = {}
        try:
            items = [item_of(ticket, pictures, _ignore) for ticket in shipment.tickets]
            shipment.followed = any(getattr(item, "followed", False) for item in items)
            try:
                parcel = packed(name, items, alone=shipment.is_suspect)
            except Exception:
                self._send_the_others(number, shipment, items, what)
                return
            link = replica.crew.link
            found = [picture for _, picture in pictures.values()]
            if link.send(number, replica.crew.number, replica.number, parcel, name, found):
                return
            if self._is_taken_back(number):
                self._send_again(shipment)
        except BaseException as error:
            if self._is_taken_back(number):
                self._fail(shipment, as_opsin_error(error, f"sending a batch to {what}"))

    def _send_the_others(
        self, number: int, shipment: Shipment, items: list[Any], what: str
    ) -> None:
        if not self._is_taken_back(number):
            return
        good, bad, failures = [], [], []
        for ticket, item in zip(shipment.tickets, items, strict=True):
            failure = not_packable(item, what)
            if failure is None:
                good.append(ticket)
            else:
                bad.append(ticket)
                failures.append(failure)
        self._end(bad, failures)
        if good:
            shipment.tickets = good
            self._send_again(shipment)

    def _is_taken_back(self, number: int) -> bool:
        """Whether it was still under way: who takes it back sees to it, and nobody else."""
        with self._changed:
            return self._take_back(number)[0] is not None

    def _take_back(self, number: int) -> tuple[Shipment | None, Replica | None]:
        shipment, replica = self._sent.pop(number, (None, None))
        if shipment is not None and replica is not None and shipment in replica.shipments:
            replica.shipments.remove(shipment)
        self._changed.notify_all()
        return shipment, replica

    def _send_again(self, shipment: Shipment, pause: float = 0.0) -> None:
        with self._changed:
            shipment.again_at = time.monotonic() + pause
            self._again.append(shipment)
            self._wake()

    def _drop_over(self, now: float) -> None:
        """Forget items that nobody waits for, of those that have been sent before."""
        for shipment in tuple(self._again):
            kept = [ticket for ticket in shipment.tickets if not ticket.is_over(now)]
            self._queue.running -= len(shipment.tickets) - len(kept)
            shipment.tickets = kept
            if not kept:
                self._again.remove(shipment)

    def _hand_out(self, shipment: Shipment, replica: Replica, runs: list[Any]) -> None:
        for run in runs:
            tickets = [shipment.tickets[place] for place in run.places]
            answers = [
                Failure(answer.error()) if isinstance(answer, Fault) else answer
                for answer in run.answers
            ]
            with self._changed:
                self._queue.ran(len(tickets), run.seconds)
            self._post(
                Completed(
                    self._queue,
                    tickets,
                    answers,
                    started(run),
                    run.seconds,
                    run.ran,
                    run.shared_with,
                    replica.told,
                )
            )

    def _fail(self, shipment: Shipment, error: OpsinError) -> None:
        self._end(shipment.tickets, [Failure(error)] * len(shipment.tickets))

    def _fail_all(self, error: OpsinError) -> None:
        """Whatever waits is answered now."""
        with self._changed:
            again = [ticket for shipment in self._again for ticket in shipment.tickets]
            self._again.clear()
            waiting = self._queue.clear()
        self._end(again, [Failure(error)] * len(again))
        self._post_failures(waiting, [Failure(error)] * len(waiting))

    def _end(self, tickets: list[Ticket], failures: list[Failure]) -> None:
        """Items that were taken out of the queue leave without having been run."""
        with self._changed:
            self._queue.running -= len(tickets)
        self._post_failures(tickets, failures)

    def _post_failures(self, tickets: list[Ticket], failures: list[Failure]) -> None:
        if tickets:
            now = time.monotonic()
            self._post(Completed(self._queue, tickets, failures, now, ran=False))
