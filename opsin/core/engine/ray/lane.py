"""The lane of a runner in the cluster: batches gather while every process has enough."""

import logging
import time
import uuid
from collections.abc import Mapping
from functools import partial

from opsin.core.engine.batching import Batch, Completed, Failure, Owner, RunnerQueue, Ticket
from opsin.core.engine.failures import as_opsin_error
from opsin.core.engine.lane import Lane, Post
from opsin.core.engine.pool import CpuPool
from opsin.core.engine.ray.crew import Crew
from opsin.core.engine.ray.dispatch import Dispatch
from opsin.core.engine.ray.growth import Growth
from opsin.core.engine.ray.link import lost
from opsin.core.engine.ray.order import Fault, Told
from opsin.core.engine.ray.parcels import NotPackable, Ran, packed, unpacked_answers
from opsin.core.engine.ray.shipments import Replica, Shipment
from opsin.core.engine.ray.spans import tell
from opsin.core.errors import OperationFailed, OpsinError

logger = logging.getLogger("opsin.engine")


class RemoteLane(Lane):
    """Sends one runner's batches to the processes of its crew.

    A batch whose process ends is tried once more on another, by itself; if that one ends too, its
    halves are, so that only the item that ends processes fails.
    """

    def __init__(self, pool: CpuPool, post: Post, crew: Crew) -> None:
        super().__init__(pool, post)
        self._crew = crew
        self._queue: RunnerQueue
        self._dispatch = Dispatch()
        self._growth = Growth()
        self._lost = 0
        self._name = uuid.uuid4().hex
        """Tells its parcels from those of all others, of other engines in this process too."""

    def adopt(self, queue: RunnerQueue) -> None:
        super().adopt(queue)
        self._queue = queue
        self._crew.attach(self)  # it needs the queue

    @property
    def replicas(self) -> int:
        return len(self._dispatch.replicas)

    @property
    def lost(self) -> int:
        return self._lost

    def close(self, until: float) -> None:
        with self._changed:
            self._closing = True
            sent = self._dispatch.sent
            self._changed.wait_for(lambda: not sent, max(until - time.monotonic(), 0.0))
            sent.clear()
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
            self._growth.joined(number)
            self._dispatch.join(number, told, crew)
            self._wake()

    def left(self, crew: Crew, number: int, error: OpsinError | None, *, is_lost: bool) -> None:
        with self._changed:
            self._lost += is_lost
            if crew is self._crew:
                self._lack(number)
                self._growth.left(number, error)
        if error is not None:
            logger.warning("%s", error.message)
            if not self._dispatch.replicas:
                self._fail_all(error)

    def disconnected(self, crew: Crew) -> None:
        """Everything under way was lost through no fault of its own."""
        with self._changed:
            self._dispatch.lose(crew)
            if crew is self._crew:
                self._lack(*self._dispatch.replicas)
                self._growth.restart()

    def switch(self, crew: Crew, told: Told) -> None:
        """Send to another crew from now on; what is under way at the old one comes back yet."""
        with self._changed:
            self._crew = crew
            self._dispatch.replicas.clear()
            self._growth.alone()
            self._growth.restart()
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
            ended = replica if error is None else None
            if ended is not None and self._dispatch.replicas.get(ended.number) is ended:
                self._lack(ended.number)  # nothing more goes there until it has joined again
        if shipment is None or replica is None:
            return
        if error is not None:
            self._fail(shipment, error)
        elif parts := shipment.after_death(replica.number):
            for part in parts:
                self._send_again(part)
        else:
            what = self._queue.loaded.what
            self._fail(shipment, OperationFailed(f"{what} ended its process at this item, twice"))
        with self._changed:
            self._wake()

    def heard(self, number: int, texts: dict[int, str]) -> None:
        shipment, _ = self._dispatch.sent.get(number, (None, None))
        if shipment is None:
            return
        for place, text in texts.items():
            shipment.tickets[place].item.progress(text)

    # Now and then, on the source's thread.

    def follow(self) -> None:
        """Ask for the texts of those who are followed."""
        for number, (shipment, _) in tuple(self._dispatch.sent.items()):
            if shipment.followed:
                self._crew.link.ask(number)

    def tick(self) -> None:
        """Give up waiting, bring up more processes, send what had to wait."""
        now = time.monotonic()
        give_up: OpsinError | None = None
        wanted: int | None = None
        with self._changed:
            if not self._share.queues:  # released since the caller looked
                return
            crew, growth, dispatch = self._crew, self._growth, self._dispatch
            dispatch.drop_over(self._queue, now)
            waiting = self._queue.waiting + dispatch.waiting
            if there := dispatch.replicas.keys():
                most = crew.placement.replicas
                wanted = growth.one_more(waiting, dispatch.taken, most, there, now)
            elif not waiting:
                growth.alone_since = now  # nobody has waited for one yet
            else:
                give_up = growth.failure
                if now - growth.alone_since > crew.patience or crew.link.is_lost_for_long:
                    give_up = lost(self._queue.loaded.what)
                if not crew.link.is_lost:
                    wanted = growth.first()
            if wanted is not None:
                growth.begin(wanted)
            self._wake()
        if wanted is not None:  # without the lock, which who reads the answers needs
            crew.link.grow(crew.number, wanted)
        if give_up is not None:
            self._fail_all(give_up)

    def _lack(self, *numbers: int) -> None:
        replicas = self._dispatch.replicas
        had_some = bool(replicas)
        for number in numbers:
            replicas.pop(number, None)
        if replicas:
            return
        if had_some:
            self._growth.alone()
        else:
            self._growth.alone_since = time.monotonic()

    def _wake(self) -> None:
        while not self._closing and (work := self._next()) is not None:
            shipment, replica = work
            number = self._crew.link.number(self._crew)
            self._dispatch.begin(number, shipment, replica)
            self._pool.submit(partial(self._send, number, shipment, replica), first=True)

    def _next(self) -> tuple[Shipment, Replica] | None:
        """What to send now, and where; called with the lock held."""
        now = time.monotonic()
        shipment, replica = self._dispatch.next_again(now)
        if shipment is not None and replica is not None:
            return shipment, replica
        return self._dispatch.next_new(self._queue.waiting, replica, partial(self._batch, now))

    def _batch(self, now: float) -> Batch | None:
        while (queue := self._share.next()) is not None:
            if (batch := queue.take(now)) is not None:
                return batch
        return None

    def _send(self, number: int, shipment: Shipment, replica: Replica) -> None:
        """On the pool: what cannot be packed fails alone.

        It may have been taken back meanwhile, when the messenger ended: then it is another's.
        """
        if number not in self._dispatch.sent:
            return
        what, link = self._queue.loaded.what, replica.crew.link
        name = f"{self._name}-{number}"
        shipment.sent_at = time.monotonic()
        try:
            sent = packed(name, shipment.tickets, what, alone=shipment.is_suspect)
            shipment.followed = sent.followed
            crew, where = replica.crew.number, replica.number
            if link.send(number, crew, where, sent.parcel, name, sent.pictures):
                return
            if self._is_taken_back(number):
                self._send_again(shipment)
        except NotPackable as error:
            if self._is_taken_back(number):
                self._send_the_others(shipment, error.failures)
        except BaseException as error:
            if self._is_taken_back(number):
                self._fail(shipment, as_opsin_error(error, f"sending a batch to {what}"))

    def _send_the_others(self, shipment: Shipment, failures: Mapping[int, Failure]) -> None:
        tickets = shipment.tickets
        self._end([tickets[place] for place in failures], list(failures.values()))
        shipment.tickets = [one for n, one in enumerate(tickets) if n not in failures]
        if shipment.tickets:
            self._send_again(shipment)

    def _is_taken_back(self, number: int) -> bool:
        """Whether it was still under way: who takes it back sees to it, and nobody else."""
        with self._changed:
            return self._take_back(number)[0] is not None

    def _take_back(self, number: int) -> tuple[Shipment | None, Replica | None]:
        taken = self._dispatch.take_back(number)
        self._changed.notify_all()
        return taken

    def _send_again(self, shipment: Shipment, pause: float = 0.0) -> None:
        with self._changed:
            shipment.again_at = time.monotonic() + pause
            self._dispatch.again.append(shipment)
            self._wake()

    def _hand_out(self, shipment: Shipment, replica: Replica, runs: list[Ran]) -> None:
        what, now = self._queue.loaded.what, time.monotonic()
        for run in runs:
            if run.notes is not None:
                process, sent = replica.told.host, shipment.sent_at
                tell(run.notes, shipment.tickets, what, process, sent, now)
            with self._changed:
                self._queue.ran(len(run.places), run.seconds)
            self._post(shipment.completed(run, self._queue, replica.told, now))

    def _fail(self, shipment: Shipment, error: OpsinError) -> None:
        self._end(shipment.tickets, [Failure(error)] * len(shipment.tickets))

    def _fail_all(self, error: OpsinError) -> None:
        """Whatever waits is answered now."""
        with self._changed:
            again = self._dispatch.clear()
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
