"""Tasks that are being computed for whoever waits for them, be it one or many."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from opsin.core.answers.keys import ResultKey
from opsin.core.engine import Analyzed, Outcome, Task, TaskStatus
from opsin.core.engine.plan import OnOutcome
from opsin.core.engine.steps import is_alike
from opsin.core.errors import OpsinError
from opsin.core.imaging import ImageInfo

Call: TypeAlias = Callable[
    [Sequence[Task], OnOutcome, Callable[[Outcome], None]], Awaitable[Analyzed]
]
"""Has the engine run tasks on the picture; the last is told of inputs that were computed."""


@dataclass(frozen=True, slots=True)
class NoOutcome:
    """There will be none: `error` for the whole, or None when who began left with the picture."""

    error: Exception | None = None


Landed: TypeAlias = "asyncio.Future[Outcome | NoOutcome]"


class Flight:
    """One task under way; `landed` gets what came of it, once.

    `waited` is how many seconds it waited for inputs before it was begun.
    """

    def __init__(
        self,
        task: Task,
        key: ResultKey | None,
        company_id: str | None,
        asker: object,
        waited: float = 0.0,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.key = key
        self.company_id = company_id
        self.landed: Landed = loop.create_future()
        self.computation: Computation | None = None
        self._waited = waited
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

    def computed(self, outcome: Outcome) -> None:
        """The engine is done with it; the outcome gets its key, if it is one to be kept."""
        made, key = outcome.provenance, self.key
        if self._waited:
            inputs = made.timings.inputs + self._waited * 1000
            made = replace(made, timings=replace(made.timings, inputs=inputs))
        is_kept = outcome.status is TaskStatus.SUCCESS and key is not None and key.allows(made)
        digest = key.digest if key is not None and is_kept else None
        self.land(replace(outcome, provenance=made, result_key=digest))

    def land(self, answer: Outcome | NoOutcome) -> None:
        if not self.landed.done():
            self.landed.set_result(answer)

    def _tell(self, text: str) -> None:
        for _, progress in self._listeners:
            progress(text)


class Computation:
    """One call of the engine for some flights; goes on for as long as anybody waits.

    `inputs` are flights that the others need, which the engine computes on its way.  `lasts` is
    False when the picture is a file of the asker who began, and goes with it.  `ended` is called
    when nobody may join any more: all have landed, or will do so without an outcome.
    """

    def __init__(
        self,
        flights: Sequence[Flight],
        inputs: Sequence[Flight],
        call: Call,
        ended: Callable[["Computation"], None],
        *,
        lasts: bool,
    ) -> None:
        self.flights = (*flights, *inputs)
        self.info: ImageInfo | None = None
        """The picture's, once all is done."""
        self._asked = flights
        self._inputs = inputs
        self._lasts = lasts
        self._ended = ended
        self._is_over = False
        self._askers = 0
        for flight in self.flights:
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
        """Wait for its end, which is near once all that was asked for has landed."""
        await asyncio.wait([self._run])

    async def _carry_out(self, call: Call) -> None:
        try:
            tasks = [flight.task for flight in self._asked]
            analyzed = await call(tasks, self._heard, self._heard_of_input)
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
        self._asked[number].computed(outcome)

    def _heard_of_input(self, outcome: Outcome) -> None:
        for flight in self._inputs:
            if is_alike(flight.task, outcome.task):
                flight.computed(outcome)

    def _end(self, answer: NoOutcome) -> None:
        if not self._is_over:
            self._is_over = True
            self._ended(self)
        for flight in self.flights:
            flight.land(answer)
