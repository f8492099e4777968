"""What travels: the items of a batch without their pixels, and the answers with what made them."""

import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from opsin.core.contract import Item
from opsin.core.engine.batching import Failure
from opsin.core.engine.failures import as_opsin_error
from opsin.core.engine.ray.order import Fault


@dataclass(frozen=True, slots=True)
class SentItem:
    """An item whose picture is a number among those of its parcel."""

    picture: int
    params: Any
    target: Any
    region: Any
    inputs: Any
    reference: Any
    priority: int
    followed: bool

    def item(self, pictures: Sequence[Any], progress: Any) -> Item[Any]:
        told = (progress,) if self.followed else ()
        picture = pictures[self.picture]
        return Item(
            picture, self.params, self.target, self.region, self.inputs, self.reference, *told
        )


@dataclass(frozen=True, slots=True)
class SentText:
    """A text to embed."""

    text: str
    priority: int


@dataclass(frozen=True, slots=True)
class Parcel:
    """Items of one batch; `name` is theirs alone in the whole cluster."""

    name: str
    items: list[SentItem | SentText]
    alone: bool
    """Nothing else may run beside it: one of its items may end the process."""


@dataclass(slots=True)
class Ran:
    """Answers that were made together."""

    places: list[int] = field(default_factory=list)
    """Which items of the parcel they are of."""
    answers: list[Any] = field(default_factory=list)
    """Results, or a `Fault` each."""
    shared_with: int = 0
    """Items of other parcels in the same batch."""
    age: float = 0.0
    """Seconds from the begin of the batch until the answers were sent."""
    seconds: float = 0.0
    ran: bool = True


def item_of(ticket: Any, pictures: dict[int, tuple[int, Any]], ignored: Any) -> Any:
    """The item of a ticket, ready to be pickled; its picture is put among `pictures`, by id."""
    item, priority = ticket.item, ticket.owner.priority
    if isinstance(item, str):
        return SentText(item, priority)
    place, _ = pictures.setdefault(id(item.picture), (len(pictures), item.picture))
    return SentItem(
        place,
        item.params,
        item.target,
        item.region,
        item.inputs,
        item.reference,
        priority,
        item.progress is not ignored,
    )


def packed(name: str, items: Sequence[Any], *, alone: bool) -> bytes:
    return pickle.dumps(Parcel(name, list(items), alone), protocol=5)


def not_packable(item: Any, what: str) -> Failure | None:
    """Why an item cannot travel: its params may hold whatever its plugin likes."""
    try:
        pickle.dumps(item, protocol=5)
    except Exception as error:
        return Failure(as_opsin_error(error, f"sending an item to {what}"))
    return None


def packed_answers(runs: Sequence[Ran], what: str) -> bytes:
    """The answers as bytes; one that cannot travel fails alone."""
    try:
        return pickle.dumps(list(runs), protocol=5)
    except Exception:
        for run in runs:
            run.answers = [_packable(answer, what) for answer in run.answers]
        return pickle.dumps(list(runs), protocol=5)


def unpacked_answers(reply: bytes) -> list[Ran]:
    """What `packed_answers` packed; only from a process of our own, for it is pickle."""
    runs: list[Ran] = pickle.loads(reply)
    return runs


def started(run: Ran) -> float:
    """When the batch began, in this process's monotonic seconds, the way back left out."""
    return time.monotonic() - run.age


def _packable(answer: Any, what: str) -> Any:
    try:
        pickle.dumps(answer, protocol=5)
    except Exception as error:
        return Fault.of(as_opsin_error(error, f"sending an answer of {what}"), what)
    return answer
