"""One asker: which of its tasks are known, which are under way, and which are to be computed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from opsin.core.answers.computations import Call, Computation, Flight, NoOutcome
from opsin.core.answers.earlier_results import EarlierResult
from opsin.core.answers.keys import ResultKey
from opsin.core.answers.memory import KeptResult
from opsin.core.engine import Analyzed, Outcome, Provenance, Task, TaskStatus
from opsin.core.engine.plan import OnOutcome
from opsin.core.errors import Cancelled, RegionNotFound
from opsin.core.imaging import DecodeOptions, ImageInfo, Source, probe

if TYPE_CHECKING:
    from opsin.core.answers.answers import Answers
    from opsin.core.contract import Result

Opener: TypeAlias = Callable[[], AbstractAsyncContextManager[Source]]
"""Reads a picture that stays readable, whoever leaves."""
Landed: TypeAlias = "asyncio.Future[Outcome | NoOutcome]"

LONGEST_WAIT = 10.0
"""Seconds for which a lent answer is held back at most."""


@dataclass(frozen=True, slots=True)
class GivenPicture:
    """A picture as a door gives it; `sha256` and `info` where they are known without opening it."""

    source: Source | Opener
    options: DecodeOptions
    sha256: str | None
    info: ImageInfo | None

    @property
    def lasts(self) -> bool:
        """Whether it can be read when the asker is gone: a file is closed by then."""
        return isinstance(self.source, bytes) or callable(self.source)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Source]:
        if callable(self.source):
            async with self.source() as source:
                yield source
        else:
            yield self.source


class Asker:
    """Gathers one outcome a task; `leave` in the end, whatever happens."""

    def __init__(
        self,
        answers: "Answers",
        company_id: str | None,
        picture: GivenPicture,
        tasks: Sequence[Task],
        keys: Sequence[ResultKey | None],
        run: Call,
        on_outcome: OnOutcome | None,
    ) -> None:
        self._answers = answers
        self._company_id = company_id
        self._picture = picture
        self._tasks = tasks
        self._keys = keys
        self._run = run
        self._on_outcome = on_outcome
        self._loop = asyncio.get_running_loop()
        self._asked = self._loop.time()
        self._info = picture.info
        self._open = dict.fromkeys(range(len(tasks)))
        """Tasks that are neither answered nor waited for."""
        self._outcomes: dict[int, Outcome] = {}
        self._waiting: dict[Landed, tuple[Flight | None, list[int]]] = {}
        self._read: Mapping[str, EarlierResult] = {}
        """What completed analyses had, by key."""
        self._alone: set[int] = set()
        """Tasks that have failed together with somebody else's, and are tried without them."""
        self._own: Computation | None = None
        self._joined: set[Computation] = set()
        self._timers: list[asyncio.TimerHandle] = []

    async def answered(self) -> Analyzed:
        """The outcomes in the tasks' order; raises as the engine does for the whole."""
        self._recall()
        await self._read_earlier()
        self._recall()  # while the database was asked, others may have begun or ended
        while self._open or self._waiting:
            self._compute()
            await self._wait()
            self._recall()
        outcomes = tuple(self._outcomes[n] for n in range(len(self._tasks)))
        info = await self._picture_info()
        for digest, earlier in self._read.items():
            kept = KeptResult(earlier.result, earlier.provenance, info)
            kept.given_to(earlier.company_id)
            kept.given_to(self._company_id)
            self._answers.memory.put(digest, kept)
        return Analyzed(info, outcomes)

    def leave(self) -> None:
        """Wait for nothing any more."""
        for timer in self._timers:
            timer.cancel()
        for flight, _ in self._waiting.values():
            if flight is not None:
                flight.forget(self)
        for computation in self._joined:
            computation.leave(began=computation is self._own)

    def _shared_key(self, number: int) -> ResultKey | None:
        """The key by which a task may be answered without being computed for it alone."""
        may_share = self._tasks[number].reuse and number not in self._alone
        return self._keys[number] if may_share else None

    def _recall(self) -> None:
        """Take what is in memory, join what is under way."""
        for number in tuple(self._open):
            key = self._shared_key(number)
            if key is None:
                continue
            if (kept := self._answers.memory.get(key.digest)) is not None:
                self._answers.counts.memory += 1
                self._info = self._info or kept.info
                is_own = self._company_id in kept.companies
                self._take(number, key, kept.result, kept.provenance, is_own=is_own)
            elif (flight := self._answers.flights.get(key.digest)) is not None:
                self._answers.counts.shared += 1
                self._wait_for(number, flight)

    async def _read_earlier(self) -> None:
        """Take what completed analyses have."""
        wanted = {key.digest: n for n in self._open if (key := self._shared_key(n))}
        operations = {digest: self._tasks[n].operation for digest, n in wanted.items()}
        self._read = await self._answers.earlier.find(self._company_id, operations)
        for number in tuple(self._open):
            key = self._shared_key(number)
            if key is not None and (earlier := self._read.get(key.digest)) is not None:
                self._answers.counts.stored += 1
                is_own = earlier.company_id == self._company_id
                self._take(number, key, earlier.result, earlier.provenance, is_own=is_own)

    def _compute(self) -> None:
        """Have the engine run what nobody else does, in one call."""
        flights: list[Flight] = []
        for number in tuple(self._open):
            shared = self._shared_key(number)
            flight = self._answers.flights.get(shared.digest) if shared else None
            if flight is not None:  # the same task twice
                self._answers.counts.shared += 1
            else:
                flight = Flight(self._tasks[number], self._keys[number], self._company_id, self)
                flights.append(flight)
                if shared is not None:
                    self._answers.flights[shared.digest] = flight
            self._wait_for(number, flight)
        if not flights:
            return
        self._answers.counts.computed += len(flights)
        lasts = self._picture.lasts
        self._own = Computation(flights, self._run, self._answers.ended, lasts=lasts)
        self._join(self._own)

    def _wait_for(self, number: int, flight: Flight) -> None:
        del self._open[number]
        if flight.landed in self._waiting:
            self._waiting[flight.landed][1].append(number)
            return
        self._waiting[flight.landed] = flight, [number]
        if flight.computation is not None:
            if flight.company_id == self._company_id:
                flight.listen(self, self._tasks[number].progress)
            self._join(flight.computation)

    def _join(self, computation: Computation) -> None:
        if computation not in self._joined:
            computation.join()
            self._joined.add(computation)

    async def _wait(self) -> None:
        """Until nothing is under way for this asker; what must be tried again is open then."""
        while self._waiting:
            done, _ = await asyncio.wait(self._waiting, return_when=asyncio.FIRST_COMPLETED)
            for landed in done:
                flight, numbers = self._waiting.pop(landed)
                for number in numbers:
                    self._landed(number, flight, landed.result())

    def _landed(self, number: int, flight: Flight | None, answer: "Outcome | NoOutcome") -> None:
        is_own = flight is None or flight.computation is self._own
        if isinstance(answer, Outcome) and (is_own or answer.status is not TaskStatus.ERROR):
            outcome = _for_task(self._tasks[number], answer)
            if flight is None:
                self._give(number, _as_if_now(outcome, self._loop.time() - self._asked))
            elif flight.company_id == self._company_id:
                self._give(number, outcome)
            else:
                self._lend(number, outcome)
            return
        error = answer.error if isinstance(answer, NoOutcome) else None
        if is_own:
            raise error or Cancelled("the computation was stopped")
        # Who began may have left with the picture; any failure may be the other's alone.
        self._open[number] = None
        if error is not None or isinstance(answer, Outcome):
            self._alone.add(number)

    def _take(
        self,
        number: int,
        key: ResultKey,
        result: "Result",
        provenance: Provenance,
        *,
        is_own: bool,
    ) -> None:
        """An answer from earlier."""
        del self._open[number]
        outcome = Outcome(
            self._tasks[number],
            TaskStatus.SUCCESS,
            result,
            None,
            replace(provenance, cached=is_own),
            key.digest,
        )
        if is_own:
            self._give(number, outcome)
        else:
            self._lend(number, outcome)

    def _lend(self, number: int, outcome: Outcome) -> None:
        """Give what another company has paid for, once computing it would have been done.

        How soon it comes must not tell that somebody else has this picture.
        """
        landed: Landed = self._loop.create_future()
        due = self._asked + min(_seconds(outcome.provenance), LONGEST_WAIT)
        self._timers.append(self._loop.call_at(due, landed.set_result, outcome))
        self._waiting[landed] = None, [number]

    def _give(self, number: int, outcome: Outcome) -> None:
        self._outcomes[number] = outcome
        if outcome.result_key is not None:
            kept = self._answers.memory.get(outcome.result_key)
            if kept is not None:
                kept.given_to(self._company_id)
        if self._on_outcome is not None:
            self._on_outcome(number, outcome)

    async def _picture_info(self) -> ImageInfo:
        """What the picture is like, read from its header where nobody knows."""
        if self._own is not None:
            await self._own.done()
        for computation in self._joined:
            self._info = self._info or computation.info
        if self._info is None:
            async with self._picture.open() as source:
                limits, options = self._answers.limits, self._picture.options
                self._info = await asyncio.to_thread(probe, source, limits, options)
        return self._info


def _for_task(task: Task, outcome: Outcome) -> Outcome:
    """The outcome as that of another asker's task, whose id its message may have."""
    error = outcome.error
    if isinstance(error, RegionNotFound):
        error = RegionNotFound(error.region, task.task_id)
    return replace(outcome, task=task, error=error)


def _as_if_now(outcome: Outcome, seconds: float) -> Outcome:
    """A lent outcome whose timings are those of a request that took so many seconds."""
    waited = max(seconds - _seconds(outcome.provenance), 0.0) * 1000
    timings = replace(outcome.provenance.timings, queued=waited)
    return replace(outcome, provenance=replace(outcome.provenance, timings=timings))


def _seconds(provenance: Provenance) -> float:
    """How long the steps of a computation took, without what it waited for others."""
    timings = provenance.timings
    return (timings.decode + timings.region + timings.inputs + timings.run) / 1000
