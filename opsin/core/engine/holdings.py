"""What runners take of a device's memory, and which of them make room: pure bookkeeping."""

import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol, TypeAlias

from opsin.core.contract import Acceleration


class Tenant(Protocol):
    """Whose runner takes the memory; asked on the event loop only."""

    @property
    def pinned(self) -> bool: ...
    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for it to be loaded."""

    @property
    def idle_seconds(self) -> float | None:
        """How long it has had nothing to do; None while it has."""

    def evict(self) -> bool:
        """Give the runner up, which then leaves; False when it has something to do after all."""

    def retire(self) -> None:
        """Begin nothing new, so as to be idle soon."""

    def resume(self) -> None:
        """Go on: nobody needs the memory any more."""


ModelPart: TypeAlias = tuple[str, str, str, str, Acceleration]
"""Role, name, fingerprint, device and acceleration: a `SharedKey` but for its module."""


@dataclass(frozen=True, slots=True)
class Need:
    """What is known of a runner before it is loaded; `what` names it in messages."""

    what: str
    plugin: str
    device: str
    models: Mapping[ModelPart, int]
    """The bytes of each model's files."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of a runner: its own, and by key those of models that others may use as well."""

    own: int = 0
    shared: Mapping[Hashable, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.own + sum(self.shared.values())


class Stage(Enum):
    WAITING = auto()
    LOADING = auto()
    SERVING = auto()
    LEAVING = auto()


@dataclass(eq=False, slots=True)
class Holding:
    """The room of one runner, from the wish to load it until it is closed."""

    tenant: Tenant
    need: Need
    device: str
    usage: Usage = Usage()
    stage: Stage = Stage.WAITING
    since: float = field(default_factory=time.monotonic)
    """When the stage began."""
    turn: float = 0.0
    """Seconds that it serves before it has to make room, however busy it is."""
    ready: "Future[None]" = field(default_factory=Future)
    retired: "list[Holding]" = field(default_factory=list)
    """Who was told to begin nothing new for its sake."""

    def enter(self, stage: Stage) -> None:
        self.stage, self.since = stage, time.monotonic()

    @property
    def is_movable(self) -> bool:
        return self.stage is Stage.SERVING and not self.tenant.pinned

    @property
    def is_idle(self) -> bool:
        return self.tenant.idle_seconds is not None


def bytes_of_all(holdings: Iterable[Holding]) -> int:
    """Bytes that they take together; a model that several share counts once."""
    shared: dict[Hashable, int] = {}
    own = 0
    for holding in holdings:
        own += holding.usage.own
        for key, size in holding.usage.shared.items():
            shared[key] = max(size, shared.get(key, 0))
    return own + sum(shared.values())


def evictable(holdings: Iterable[Holding]) -> list[Holding]:
    """The idle ones that are not pinned, the greatest waste of memory first."""
    waste = {
        holding: holding.usage.total * seconds
        for holding in holdings
        if holding.is_movable and (seconds := holding.tenant.idle_seconds) is not None
    }
    return sorted(waste, key=waste.__getitem__, reverse=True)


def making_room(
    all_of_them: Sequence[Holding],
    candidates: Sequence[Holding],
    fits: Callable[[Sequence[Holding]], bool],
) -> tuple[list[Holding], bool]:
    """The candidates, the first rather than the last, whose going makes the others fit.

    And whether it does: else they are all the candidates.
    """
    chosen: list[Holding] = []
    staying = list(all_of_them)
    for candidate in candidates:
        if fits(staying):
            break
        chosen.append(candidate)
        staying.remove(candidate)
    if not fits(staying):
        return chosen, False
    for candidate in reversed(chosen):  # a large one may have made a small one needless
        if fits([*staying, candidate]):
            chosen.remove(candidate)
            staying.append(candidate)
    return chosen, True
