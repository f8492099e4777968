"""What an asker's tasks need first: what is known of it, what is waited for, what is computed."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from opsin.core.answers.computations import Computation, Flight, Landed
from opsin.core.answers.earlier_results import EarlierResult
from opsin.core.answers.keys import KeyedTask, ResultKey
from opsin.core.answers.lending import may_be_lent, seconds_held_back
from opsin.core.engine import Outcome, Provenance, TaskStatus

if TYPE_CHECKING:
    from opsin.core.answers.answers import Answers
    from opsin.core.contract import Result


@dataclass(frozen=True, slots=True)
class Needs:
    """What the inputs of one task come to: none of them is waited for."""

    known: Sequence[Outcome] = ()
    """`cached` are those of the asker's company; the others are lent to it."""
    computed: Sequence[KeyedTask] = ()


_NO_NEEDS = Needs()


class _Awaited(NamedTuple):
    """An input that is on its way; without a flight it is lent, and held back."""

    task: KeyedTask
    landed: Landed
    flight: Flight | None


class NeededInputs:
    """Finds the inputs of one asker's tasks in memory, in completed analyses and under way.

    While one is waited for nothing is held, neither a picture nor a place in a queue: who computes
    it may need just that.  `join` is called with each computation that is waited for.
    """

    def __init__(
        self, answers: "Answers", company_id: str | None, join: Callable[[Computation], None]
    ) -> None:
        self._answers = answers
        self._company_id = company_id
        self._join = join
        self._loop = asyncio.get_running_loop()
        self._asked = self._loop.time()
        self._earlier: Mapping[str, EarlierResult] = {}
        self._known: dict[str, Outcome] = {}
        self._waited: dict[str, float] = {}
        """Seconds from the question until an input that was waited for was there."""
        self._awaited: dict[str, _Awaited] = {}
        self._in_vain: set[str] = set()
        """Those that were waited for and did not come; they are computed here."""
        self._timers: list[asyncio.TimerHandle] = []

    async def read_earlier(self, tasks: Iterable[KeyedTask]) -> None:
        """See which inputs of these tasks completed analyses have, unless they are known anyway."""
        self._earlier = await self._answers.earlier.find(
            self._company_id,
            {
                needed.key.digest: needed.task.operation
                for task in tasks
                if task.task.reuse
                for needed in _below(task)
                if needed.key is not None and self._kept(needed.key) is None
            },
        )

    @property
    def from_earlier(self) -> dict[str, EarlierResult]:
        """What was taken from completed analyses, by key."""
        return {key: earlier for key, earlier in self._earlier.items() if key in self._known}

    def of(self, task: KeyedTask) -> Needs | None:
        """What there is of a task's inputs; None while some of them are waited for."""
        if not task.inputs:
            return _NO_NEEDS
        if not task.task.reuse:
            return Needs(computed=list(_below(task)))
        known: list[Outcome] = []
        computed: list[KeyedTask] = []
        is_waiting = False
        for needed in _below(task, self._is_computed):
            if needed.key is not None:
                self._look_for(needed, needed.key)
            if self._is_computed(needed):
                computed.append(needed)
            elif (outcome := self._known.get(_digest(needed))) is not None:
                known.append(outcome)
            else:
                is_waiting = True
        return None if is_waiting else Needs(known, computed)

    def waited(self, task: KeyedTask) -> float:
        """Seconds for which the inputs of a task were waited for before anything was begun."""
        below = _below(task, self._is_computed)
        return max((self._waited.get(_digest(needed), 0.0) for needed in below), default=0.0)

    @property
    def awaited(self) -> list[Landed]:
        """What is waited for; call `note_arrivals` when any of it is done."""
        return [one.landed for one in self._awaited.values()]

    def note_arrivals(self) -> bool:
        """Whether anything that was waited for has come, or is waited for no longer."""
        arrived = [digest for digest, one in self._awaited.items() if one.landed.done()]
        for digest in arrived:
            self._arrived(digest, self._awaited.pop(digest))
        return bool(arrived)

    def leave(self) -> None:
        """Wait for nothing any more."""
        for timer in self._timers:
            timer.cancel()

    def _is_computed(self, needed: KeyedTask) -> bool:
        """Whether it is neither known nor waited for, so far as it was looked for."""
        digest = _digest(needed)
        return digest not in self._known and digest not in self._awaited

    def _kept(self, key: ResultKey) -> object:
        """What is in memory or under way."""
        kept = self._answers.memory.get_for(key.digest, self._company_id)
        return kept or self._answers.flights.get(key.digest)

    def _look_for(self, needed: KeyedTask, key: ResultKey) -> None:
        """Take what is there, wait for what is under way elsewhere."""
        digest = key.digest
        if digest in self._known or digest in self._awaited or digest in self._in_vain:
            return
        kept = self._answers.memory.get_for(digest, self._company_id)
        if kept is not None:
            is_own = kept.is_of(self._company_id)
            self._take(needed, digest, kept.result, kept.provenance, is_own=is_own)
        elif (earlier := self._earlier.get(digest)) is not None:
            is_own = earlier.company_id == self._company_id
            self._take(needed, digest, earlier.result, earlier.provenance, is_own=is_own)
        else:
            flight = self._answers.flights.get(digest)
            # One without a computation is about to begin, together with this.
            if flight is not None and flight.computation is not None:
                self._join(flight.computation)
                self._awaited[digest] = _Awaited(needed, flight.landed, flight)

    def _take(
        self,
        needed: KeyedTask,
        digest: str,
        result: "Result",
        provenance: Provenance,
        *,
        is_own: bool,
    ) -> None:
        made = replace(provenance, cached=is_own)
        outcome = Outcome(needed.task, TaskStatus.SUCCESS, result, None, made, digest)
        if is_own:
            self._know(digest, outcome)
        else:
            self._lend(needed, digest, outcome)

    def _lend(self, needed: KeyedTask, digest: str, outcome: Outcome) -> None:
        """Another company's comes once computing it would have been done."""
        landed: Landed = self._loop.create_future()
        due = self._asked + seconds_held_back(outcome.provenance)
        self._timers.append(self._loop.call_at(due, landed.set_result, outcome))
        self._awaited[digest] = _Awaited(needed, landed, None)

    def _arrived(self, digest: str, awaited: _Awaited) -> None:
        outcome, flight = awaited.landed.result(), awaited.flight
        if not isinstance(outcome, Outcome) or outcome.status is not TaskStatus.SUCCESS:
            self._in_vain.add(digest)
            return
        outcome = replace(outcome, task=awaited.task.task)
        is_own = flight is not None and flight.company_id == self._company_id
        if flight is None or is_own:
            self._waited[digest] = self._loop.time() - self._asked
            made = replace(outcome.provenance, cached=is_own)
            self._know(digest, replace(outcome, provenance=made))
        elif may_be_lent(outcome.provenance):
            self._lend(awaited.task, digest, outcome)
        else:
            self._in_vain.add(digest)

    def _know(self, digest: str, outcome: Outcome) -> None:
        self._known[digest] = outcome
        self._answers.counts.inputs += 1
        if (kept := self._answers.memory.get(digest)) is not None:
            kept.given_to(self._company_id)


def _digest(task: KeyedTask) -> str:
    """That of its key; empty, as none is, without one."""
    return "" if task.key is None else task.key.digest


def _below(
    task: KeyedTask, goes_on: Callable[[KeyedTask], bool] = lambda needed: True
) -> Iterator[KeyedTask]:
    """What a task needs, each once, and what that needs in turn where `goes_on` says so."""
    seen: set[KeyedTask] = set()
    todo = list(task.inputs)
    for needed in todo:  # it grows meanwhile
        if needed not in seen:
            seen.add(needed)
            yield needed
            if goes_on(needed):
                todo += needed.inputs
