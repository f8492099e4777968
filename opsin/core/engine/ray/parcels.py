"""What travels: the items of a batch without their pixels, and the answers with what made them."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opsin.core.contract import Item
from opsin.core.contract.operations import _ignore
from opsin.core.engine.batching import Failure, Ticket
from opsin.core.engine.failures import as_opsin_error
from opsin.core.engine.ray.order import Fault
from opsin.core.engine.ray.spans import Notes, traced_among


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
    traced: tuple[int, ...] = ()
    """The places of the items of which is to be told what was done for them."""


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
    notes: Notes | None = None
    """What was done for the items that are traced; None where none is."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A parcel that is ready to be sent."""

    parcel: bytes
    pictures: list[Any]
    followed: bool
    """Somebody wants to hear how far an item has come."""


class NotPackable(Exception):
    """Some items cannot travel: their params may hold whatever their plugin likes."""

    def __init__(self, failures: Mapping[int, Failure]) -> None:
        super().__init__()
        self.failures = failures
        """Why, by the place of the item."""


def packed(name: str, tickets: Sequence[Ticket], what: str, *, alone: bool) -> Packed:
    """The tickets' items under a name; raises NotPackable."""
    pictures: dict[int, tuple[int, Any]] = {}
    items = [_item_of(ticket, pictures) for ticket in tickets]
    followed = any(isinstance(item, SentItem) and item.followed for item in items)
    parcel = Parcel(name, items, alone, traced_among(tickets))
    try:
        told = pickle.dumps(parcel, protocol=5)
    except Exception:
        raise NotPackable(_failures(items, what)) from None
    return Packed(told, [picture for _, picture in pictures.values()], followed)


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


def _packable(answer: Any, what: str) -> Any:
    try:
        pickle.dumps(answer, protocol=5)
    except Exception as error:
        return Fault.of(as_opsin_error(error, f"sending an answer of {what}"), what)
    return answer


def _item_of(ticket: Ticket, pictures: dict[int, tuple[int, Any]]) -> SentItem | SentText:
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
        item.progress is not _ignore,
    )


def _failures(items: Sequence[SentItem | SentText], what: str) -> dict[int, Failure]:
    failures = {}
    for place, item in enumerate(items):
        try:
            pickle.dumps(item, protocol=5)
        except Exception as error:
            failures[place] = Failure(as_opsin_error(error, f"sending an item to {what}"))
    return failures
