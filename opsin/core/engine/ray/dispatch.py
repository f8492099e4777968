"""What of one runner's items is on its way to which process, and what goes next, where."""

from collections import deque
from collections.abc import Callable

from opsin.core.engine.batching import Batch, RunnerQueue, Ticket
from opsin.core.engine.ray.crew import Crew
from opsin.core.engine.ray.order import Told
from opsin.core.engine.ray.shipments import (
    AT_ONCE,
    Replica,
    Shipment,
    free_among,
    parted,
    place_for,
)


class Dispatch:
    """Pure bookkeeping, guarded by the lane that owns it."""

    def __init__(self) -> None:
        self.replicas: dict[int, Replica] = {}
        self.sent: dict[int, tuple[Shipment, Replica]] = {}
        self.again: deque[Shipment] = deque()
        """What has to be sent once more."""

    @property
    def waiting(self) -> int:
        """Items that have to be sent once more."""
        return sum(len(shipment.tickets) for shipment in self.again)

    @property
    def taken(self) -> int:
        """Items that the processes have room for at once."""
        return sum(replica.told.max_batch for replica in self.replicas.values()) * AT_ONCE

    def join(self, number: int, told: Told, crew: Crew) -> None:
        self.replicas[number] = Replica(number, told, crew)

    def lose(self, crew: Crew) -> None:
        """What is under way at a crew has to be sent once more."""
        lost = [number for number, (_, replica) in self.sent.items() if replica.crew is crew]
        self.again.extendleft(reversed([self.sent.pop(number)[0] for number in lost]))

    def begin(self, number: int, shipment: Shipment, replica: Replica) -> None:
        replica.shipments.append(shipment)
        self.sent[number] = shipment, replica

    def take_back(self, number: int) -> tuple[Shipment | None, Replica | None]:
        """What was sent as that number, which is no longer under way; None if it was not."""
        shipment, replica = self.sent.pop(number, (None, None))
        if shipment is not None and replica is not None and shipment in replica.shipments:
            replica.shipments.remove(shipment)
        return shipment, replica

    def next_again(self, now: float) -> tuple[Shipment | None, Replica | None]:
        """What to send once more, and where; else None and the process to keep free for it."""
        kept_free: Replica | None = None
        for shipment in tuple(self.again):
            if shipment.again_at > now:
                continue
            replica = place_for(shipment, self.replicas.values(), kept_free)
            if replica is not None and not (shipment.is_suspect and replica.shipments):
                self.again.remove(shipment)
                return shipment, replica
            if shipment.is_suspect:  # nothing more goes there until it is empty
                kept_free = replica
        return None, kept_free

    def next_new(
        self, waiting: int, kept_free: Replica | None, take: Callable[[], Batch | None]
    ) -> tuple[Shipment, Replica] | None:
        """A batch that `take` gives, and where to send it, if some process has room."""
        replica = free_among(self.replicas.values(), kept_free)
        # While it runs one, the next need not travel before it is worth the way.
        if replica is None or (replica.shipments and waiting < replica.told.max_batch // 2):
            return None
        batch = take()
        if batch is None:
            return None
        now_sent, later = parted(batch.tickets)
        if later:
            self.again.appendleft(Shipment(later))
        return Shipment(now_sent), replica

    def drop_over(self, queue: RunnerQueue, now: float) -> None:
        """Forget items that nobody waits for, of those that have been sent before."""
        for shipment in tuple(self.again):
            kept = [ticket for ticket in shipment.tickets if not ticket.is_over(now)]
            queue.running -= len(shipment.tickets) - len(kept)
            shipment.tickets = kept
            if not kept:
                self.again.remove(shipment)

    def clear(self) -> list[Ticket]:
        """All that has to be sent once more, which then has not."""
        tickets = [ticket for shipment in self.again for ticket in shipment.tickets]
        self.again.clear()
        return tickets
