"""Tasks that are being computed for whoever waits for them, be it one or many."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from opsin.core.answers.keys import ResultKey
from opsin.core.engine import Analyzed, Outcome, Task, TaskStatus
from opsin.core.engine.plan import OnOutcome
from opsin.core.errors import OpsinError
from opsin.core.imaging import ImageInfo

Call: TypeAlias = Callable[[Sequence[Task], OnOutcome], Awaitable[Analyzed]]
"""Has the engine run tasks on the picture."""


@dataclass(frozen=True, slots=True)
class NoOutcome:
    """There will be none: `error` for the whole, or None when who began left with the picture."""

    error: Exception | None = None


class Flight:
    """One task under way; `landed` gets what came of it, once."""

    def __init__(
        self, task: Task, key: ResultKey | None, company_id: str | None, asker: object
    ) -> None:
        loop = asyncio.get_running_loop()
        self.key = key
        self.company_id = company_id
        self.landed: asyncio.Future[Outcome | NoOutcome] = loop.create_future()
        self.computation: Computation | None = None
        self._listeners: list[tuple[object, Callable[[str], None]]] = []
        self.listen(asker, task.progress)
        # Only when somebody listens: a runner need not write text that nobody reads.
        self.task = replace(task, progress=self._tell) if task.progress else task

    @property
    def outcome(self) -> Outcome | None:
        """What came of it, so far as anything has."""
        answer = self.landed.result() if self.landed.done() else None
        return answer if isinstance(answer, Outcome) else None

    def listen(self, who: object, progress: Callable[[str], None] | None) -> None:
        """Have another asker hear the text written so far as well."""
        if progress is not None:
            self._listeners.append((who, progress))

    def forget(self, who: object) -> None:
        """That asker listens no more."""
        self._listeners = [listener for listener in self._listeners if listener[0] is not who]

    def land(self, answer: Outcome | NoOutcome) -> None:
        if not self.landed.done():
            self.landed.set_result(answer)

    def _tell(self, text: str) -> None:
        for _, progress in self._listeners:
            progress(text)


class Computation:
    """One call of the engine for some flights; goes on for as long as anybody waits.

    `lasts` is False when the picture is a file of the asker who began, and goes with it.  `ended`
    is called when nobody may join any more: all have landed, or will do so without an outcome.
    """

    def __init__(
        self,
        flights: Sequence[Flight],
        call: Call,
        ended: Callable[["Computation"], None],
        *,
        lasts: bool,
    ) -> None:
        self.flights = flights
        self.info: ImageInfo | None = None
        """The picture's, once all is done."""
        self._lasts = lasts
        self._ended = ended
        self._is_over = False
        self._askers = 0
        for flight in flights:
            flight.computation = self
        self._run = asyncio.ensure_future(self._carry_out(call))

    def join(self) -> None:
        """Somebody waits for some of its flights, and will `leave`."""
        self._askers += 1

    def leave(self, *, began: bool) -> None:
        """An asker has all it wanted, or waits no longer; `began` for the one who began."""
        self._askers -= 1
        if self._run.done() or (self._askers and (self._lasts or not began)):
            return
        self._end(NoOutcome())
        self._run.cancel()

    async def done(self) -> None:
        """Wait for its end, which is near once all flights have landed."""
        await asyncio.wait([self._run])

    async def _carry_out(self, call: Call) -> None:
        try:
            analyzed = await call([flight.task for flight in self.flights], self._heard)
        except Exception as error:
            if isinstance(error, OpsinError):  # its frames lead back here, and hold the picture
                error.__traceback__ = None
            self._end(NoOutcome(error))
            return
        except BaseException:  # cancelled, perhaps by the loop that ends
            self._end(NoOutcome())
            raise
        self.info = analyzed.info
        for number, outcome in enumerate(analyzed.outcomes):
            self._heard(number, outcome)
        self._end(NoOutcome())

    def _heard(self, number: int, outcome: Outcome) -> None:
        flight = self.flights[number]
        key = flight.key
        kept = outcome.status is TaskStatus.SUCCESS and key and key.allows(outcome.provenance)
        flight.land(replace(outcome, result_key=key.digest if key and kept else None))

    def _end(self, answer: NoOutcome) -> None:
        if not self._is_over:
            self._is_over = True
            self._ended(self)
        for flight in self.flights:
            flight.land(answer)
