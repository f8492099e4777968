"""One asker: which of its tasks are known, which are under way, and which are to be computed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from opsin.core.answers.computations import Computation, Flight, Landed, NoOutcome
from opsin.core.answers.earlier_results import EarlierResult
from opsin.core.answers.elsewhere import Elsewhere
from opsin.core.answers.given_picture import GivenPicture
from opsin.core.answers.keys import KeyedTask, ResultKey
from opsin.core.answers.lending import as_if_now, may_be_lent, seconds_held_back
from opsin.core.answers.memory import KeptResult
from opsin.core.answers.needed_inputs import NeededInputs, Needs
from opsin.core.answers.reservations import Reservation
from opsin.core.engine import Analyzed, Outcome, Provenance, TaskStatus
from opsin.core.engine.plan import OnOutcome
from opsin.core.errors import Cancelled, RegionNotFound
from opsin.core.imaging import ImageInfo, probe

if TYPE_CHECKING:
    from opsin.core.answers.answers import Answers
    from opsin.core.contract import Result
    from opsin.core.engine import Task

Run: TypeAlias = Callable[..., Awaitable[Analyzed]]


class Asker:
    """Gathers one outcome a task; `leave` in the end, whatever happens.

    `run` has the engine run tasks on the picture, as a `Call` does, with what is known.
    """

    def __init__(
        self,
        answers: "Answers",
        company_id: str | None,
        picture: GivenPicture,
        tasks: Sequence[KeyedTask],
        run: Run,
        on_outcome: OnOutcome | None,
        reservation: Reservation | None = None,
    ) -> None:
        self._answers = answers
        self._company_id = company_id
        self._picture = picture
        self._tasks = tasks
        self._run = run
        self._on_outcome = on_outcome
        self._loop = asyncio.get_running_loop()
        self._asked = self._loop.time()
        self._info = picture.info
        self._open = dict.fromkeys(range(len(tasks)))
        """Tasks that are neither answered nor waited for."""
        self._outcomes: dict[int, Outcome] = {}
        self._waiting: dict[Landed, tuple[Flight | None, list[int]]] = {}
        self._read: dict[str, EarlierResult] = {}
        """What completed analyses had, by key."""
        self._alone: set[int] = set()
        """Tasks that have failed together with somebody else's, and are tried without them."""
        self._inputs = NeededInputs(answers, company_id, self._join)
        self._elsewhere = Elsewhere(reservation, answers.engine.batch_seconds)
        self._own: set[Computation] = set()
        self._joined: set[Computation] = set()
        self._timers: list[asyncio.TimerHandle] = []

    async def answered(self) -> Analyzed:
        """The outcomes in the tasks' order; raises as the engine does for the whole."""
        self._recall()
        await self._read_earlier()
        self._recall()  # while the database was asked, others may have begun or ended
        await self._inputs.read_earlier(self._tasks[number] for number in self._open)
        self._recall()
        while self._open or self._waiting or self._elsewhere.awaited:
            if self._elsewhere.exists:
                await self._leave_to_others()
            self._compute()
            await self._wait()
            self._recall()
        outcomes = tuple(self._outcomes[n] for n in range(len(self._tasks)))
        info = await self._picture_info()
        for digest, earlier in (*self._read.items(), *self._inputs.from_earlier.items()):
            kept = KeptResult(earlier.result, earlier.provenance, info)
            kept.given_to(earlier.company_id)
            kept.given_to(self._company_id)
            self._answers.memory.put(digest, kept)
        return Analyzed(info, outcomes)

    def leave(self) -> None:
        """Wait for nothing any more."""
        for timer in self._timers:
            timer.cancel()
        self._inputs.leave()
        self._elsewhere.leave()
        for flight, _ in self._waiting.values():
            if flight is not None:
                flight.forget(self)
        for computation in self._joined:
            computation.leave(began=computation in self._own)

    def _shared_key(self, number: int) -> ResultKey | None:
        """The key by which a task may be answered without being computed for it alone."""
        task = self._tasks[number]
        return task.key if task.task.reuse and number not in self._alone else None

    def _recall(self) -> None:
        """Take what is in memory, join what is under way."""
        for number in tuple(self._open):
            key = self._shared_key(number)
            if key is None:
                continue
            kept = self._answers.memory.get_for(key.digest, self._company_id)
            if kept is not None:
                self._answers.counts.memory += 1
                self._info = self._info or kept.info
                is_own = kept.is_of(self._company_id)
                self._take(number, key, kept.result, kept.provenance, is_own=is_own)
            elif (flight := self._answers.flights.get(key.digest)) is not None:
                self._answers.counts.shared += 1
                self._wait_for(number, flight)

    async def _read_earlier(self) -> None:
        """Take what completed analyses have."""
        wanted = {key.digest: n for n in self._open if (key := self._shared_key(n))}
        operations = {digest: self._tasks[n].task.operation for digest, n in wanted.items()}
        found = await self._answers.earlier.find(self._company_id, operations)
        self._read |= found
        for number in tuple(self._open):
            key = self._shared_key(number)
            if key is not None and (earlier := found.get(key.digest)) is not None:
                self._answers.counts.stored += 1
                is_own = earlier.company_id == self._company_id
                self._take(number, key, earlier.result, earlier.provenance, is_own=is_own)

    async def _leave_to_others(self) -> None:
        """Wait for what other processes compute."""
        asked = {
            number: (self._tasks[number].task, key.digest)
            for number in self._open
            if (key := self._shared_key(number)) and key.digest not in self._answers.flights
        }
        for number in await self._elsewhere.leave_out(asked):
            del self._open[number]
        if self._elsewhere.has_new:  # what was stored before it was reserved is there now
            await self._read_earlier()
        self._recall()  # meanwhile others may have begun or ended

    def _compute(self) -> None:
        """Have the engine run what nobody else does and what need not wait, in one call."""
        flights: list[Flight] = []
        needs: list[tuple[KeyedTask, Needs]] = []
        for number in tuple(self._open):
            task, shared = self._tasks[number], self._shared_key(number)
            needed = self._inputs.of(task)
            if needed is None:
                continue
            flight = self._answers.flights.get(shared.digest) if shared else None
            if flight is not None:  # the same task twice
                self._answers.counts.shared += 1
            else:
                is_fresh = not task.task.reuse
                flight = self._begin(task, is_fresh=is_fresh, is_shared=shared is not None)
                flights.append(flight)
                needs.append((task, needed))
            self._wait_for(number, flight)
        if not flights:
            return
        self._answers.counts.computed += len(flights)
        known = [outcome for _, needed in needs for outcome in needed.known]
        computation = Computation(
            flights,
            self._begin_inputs(flights, needs),
            # With a lent input the picture is decoded, as it is where the input is computed.
            partial(self._run, known=known, info=None if _has_lent(known) else self._info),
            self._answers.ended,
            lasts=self._picture.lasts,
        )
        self._own.add(computation)
        self._join(computation)

    def _begin(self, task: KeyedTask, *, is_fresh: bool, is_shared: bool) -> Flight:
        waited = 0.0 if is_fresh else self._inputs.waited(task)
        flight = Flight(task.task, task.key, self._company_id, self, waited)
        if is_shared and task.key is not None:
            self._answers.flights[task.key.digest] = flight
        return flight

    def _begin_inputs(
        self, asked: Iterable[Flight], needs: Iterable[tuple[KeyedTask, Needs]]
    ) -> list[Flight]:
        """Flights for the inputs that are computed as well, so that others find them."""
        begun = {flight.key.digest for flight in asked if flight.key}
        flights: list[Flight] = []
        for task, needed in needs:
            is_fresh = not task.task.reuse
            for one in needed.computed:
                if one.key is not None and one.key.digest not in begun:
                    begun.add(one.key.digest)
                    is_shared = not is_fresh and one.key.digest not in self._answers.flights
                    flights.append(self._begin(one, is_fresh=is_fresh, is_shared=is_shared))
        return flights

    def _wait_for(self, number: int, flight: Flight) -> None:
        del self._open[number]
        if flight.landed in self._waiting:
            self._waiting[flight.landed][1].append(number)
            return
        self._waiting[flight.landed] = flight, [number]
        if flight.computation is not None:
            if flight.company_id == self._company_id:
                flight.listen(self, self._tasks[number].task.progress)
            self._join(flight.computation)

    def _join(self, computation: Computation) -> None:
        if computation not in self._joined:
            computation.join()
            self._joined.add(computation)

    async def _wait(self) -> None:
        """Until an input is there, or nothing is under way and what failed is to be tried again."""
        while under_way := self._under_way():
            await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for landed in [one for one in self._waiting if one.done()]:
                flight, numbers = self._waiting.pop(landed)
                for number in numbers:
                    self._landed(number, flight, landed.result())
            returned = self._elsewhere.returned()
            if returned:
                self._open |= dict.fromkeys(returned)
                await self._read_earlier()
            if self._inputs.note_arrivals() or returned:
                return

    def _under_way(self) -> "list[asyncio.Future[Any]]":
        return [*self._waiting, *self._inputs.awaited, *self._elsewhere.awaited]

    def _landed(self, number: int, flight: Flight | None, answer: Outcome | NoOutcome) -> None:
        is_own = flight is None or flight.computation in self._own
        if isinstance(answer, Outcome) and (is_own or answer.status is not TaskStatus.ERROR):
            outcome = _for_task(self._tasks[number].task, answer)
            if flight is None:
                self._give(number, as_if_now(outcome, self._loop.time() - self._asked))
                return
            if flight.company_id == self._company_id:
                self._give(number, outcome)
                return
            if may_be_lent(outcome.provenance):
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
        task, made = self._tasks[number].task, replace(provenance, cached=is_own)
        outcome = Outcome(task, TaskStatus.SUCCESS, result, None, made, key.digest)
        if is_own:
            self._give(number, outcome)
        else:
            self._lend(number, outcome)

    def _lend(self, number: int, outcome: Outcome) -> None:
        """Give what another company has paid for, once computing it would have been done."""
        landed: Landed = self._loop.create_future()
        due = self._asked + seconds_held_back(outcome.provenance)
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
        for computation in self._own:
            await computation.done()
        for computation in self._joined:
            self._info = self._info or computation.info
        if self._info is None:
            async with self._picture.open() as source:
                limits, options = self._answers.limits, self._picture.options
                self._info = await asyncio.to_thread(probe, source, limits, options)
        return self._info


def _has_lent(known: Sequence[Outcome]) -> bool:
    return any(not outcome.provenance.cached for outcome in known)


def _for_task(task: "Task", outcome: Outcome) -> Outcome:
    """The outcome as that of another asker's task, whose id its message may have."""
    error = outcome.error
    if isinstance(error, RegionNotFound):
        error = RegionNotFound(error.region, task.task_id)
    return replace(outcome, task=task, error=error)
