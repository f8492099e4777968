"""The work on one picture: which regions and items its tasks need, and the outcome of each."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from opsin.core import tracing
from opsin.core.contract import Box, Item, Params, Picture, Region, Result, Target
from opsin.core.engine.batching import Answered, Completed, Failure, Owner, Ticket
from opsin.core.engine.failures import as_opsin_error, wrong_type
from opsin.core.engine.loading import described
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.outcomes import Made, outcome_of, with_region
from opsin.core.engine.placed import WHOLE, Placed, place
from opsin.core.engine.progress import Progress
from opsin.core.engine.provenance import ModelUsed
from opsin.core.engine.region_cache import RegionCache
from opsin.core.engine.request import Request
from opsin.core.engine.runners import Runners
from opsin.core.engine.slots import RunnerSlot
from opsin.core.engine.steps import Step
from opsin.core.engine.task import Analyzed, Outcome
from opsin.core.errors import OperationUnavailable, OpsinError, RegionNotFound
from opsin.core.imaging import DecodeOptions
from opsin.core.regions import Finding, PictureRegions, RegionNeed, region_need

if TYPE_CHECKING:
    from opsin.core.imaging import DecodedImage

OnOutcome: TypeAlias = Callable[[int, Outcome], None]
"""Called on the event loop with a task's number and its outcome, as soon as there is one."""

_NO_PARAMS = Params()


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms one picture is worked on."""

    options: DecodeOptions
    content: str | None = None
    """Names the encoded bytes: of one name, pixels and found regions are shared."""
    deadline: float | None = None
    """A time of the event loop's clock."""
    priority: int = 0
    on_outcome: OnOutcome | None = None
    on_input: Callable[[Outcome], None] | None = None
    """Called with the outcomes of inputs."""


class PicturePlan(Request[Analyzed]):
    """One request: from a picture's pixels to one outcome per task.

    `steps` are the tasks in order, then the inputs that are to be computed.  Each region is found
    once, each input computed once, and one future serves all tasks.  Regions of one content are
    found once for all requests.  `ended` is called for each step that has come to its end.
    """

    def __init__(
        self,
        tasks: int,
        steps: Sequence[Step],
        runners: Runners,
        region_cache: RegionCache,
        mailbox: Mailbox,
        future: "asyncio.Future[Analyzed]",
        ended: Callable[[], None],
        terms: Terms,
    ) -> None:
        super().__init__(future, len(steps), deadline=terms.deadline, priority=terms.priority)
        self.image: DecodedImage | None = None
        self._asked = steps[:tasks]
        self._unanswered = tasks
        self._steps = steps
        self._runners = runners
        self._region_cache = region_cache
        self._mailbox = mailbox
        self._ended = ended
        self._on_outcome = terms.on_outcome
        self._on_input = terms.on_input
        self._content = None if terms.content is None else (terms.content, terms.options)
        self._placed: dict[Step, Placed] = {}
        self._decode_seconds = 0.0
        self._begun = 0.0
        self._finder_models: dict[Target, tuple[ModelUsed, ...]] = {}

    @property
    def is_complete(self) -> bool:
        return self.image is not None and not self.missing

    def decoded(self, answer: "DecodedImage | OpsinError", seconds: float) -> None:
        """What decoding gave, after so many seconds."""
        if self.place is not None:
            now = time.monotonic()
            tracing.record("decode", now - seconds, now, parent=self.place)
        if self.closed:
            return
        if isinstance(answer, OpsinError):
            self.fail(answer)
            return
        try:
            self.begin(answer, seconds)
        except Exception as error:  # nobody else would tell the caller
            self.fail(as_opsin_error(error, "planning the tasks"))

    def begin(self, image: "DecodedImage", decode_seconds: float) -> None:
        """Queue all that can be queued; searches first, for other items wait for them."""
        self.image = image
        self._decode_seconds = decode_seconds
        self._begun = time.monotonic()
        whole: list[Step] = []
        needs: dict[RegionNeed, list[Step]] = {}
        for step in self._steps:
            if not step.is_wanted:  # who asked for it has failed already
                continue
            if step.error is not None:
                self._settle(step, step.error)
                continue
            task = step.task
            need = None
            if task.operation.uses_picture:
                need = region_need(task.target, task.params.face_context)
            if need is not None or step.inputs:
                slot = self._runners.of_task(task)
                if failure := slot.failure():  # neither a region nor inputs would help
                    self._settle(step, failure)
                    continue
                slot.warm()  # it loads while they are looked for
            (whole if need is None else needs.setdefault(need, [])).append(step)
        regions = PictureRegions(image.pixels, self._search)
        for need, steps in needs.items():
            regions.find(need, partial(self._place, steps))
        self._place(whole, WHOLE)
        self._finish_if_done()

    def _search(
        self,
        target: Target,
        picture: Picture,
        inside: Box,
        then: Callable[[Region | OpsinError | None], None],
    ) -> None:
        slot = self._runners.finder(target)
        if slot is None:
            then(OperationUnavailable(f"no plugin finds the region {target.value!r}"))
            return

        def found(answer: Any, models: tuple[ModelUsed, ...]) -> None:
            if isinstance(answer, Failure):
                then(answer.error)
            elif answer is None or isinstance(answer, Region):
                self._finder_models[target] = models
                then(answer)
            else:
                then(wrong_type(described(slot.loadable), answer, Region))

        def search_for(owner: Owner, answered: Answered) -> None:
            item = Item(picture, _NO_PARAMS, target)
            slot.submit([Ticket(item, owner, time.monotonic(), answered)])

        place = None if self._content is None else (self._content, id(slot), inside)
        self._region_cache.find(place, slot, self, search_for, found)

    def _place(self, steps: Sequence[Step], finding: Finding) -> None:
        """The region of these steps is known: queue those whose inputs are there."""
        assert self.image is not None  # `begin` has it
        now = time.monotonic()
        ready: list[Step] = []
        for step in steps:
            if not step.is_wanted:
                continue
            placed = place(step.task, finding, self.image.pixels, self._begun, now)
            self._placed[step] = placed
            if placed.error is not None:
                self._settle(step, placed.error)
            elif step.has_inputs:
                ready.append(step)
        self._queue(ready, now)

    def _queue(self, steps: Sequence[Step], now: float) -> None:
        """Queue steps that have all they need, those of one runner together."""
        groups: dict[RunnerSlot, list[Ticket]] = {}
        for step in steps:
            task, placed = step.task, self._placed[step]
            placed.queued_at = now
            item = Item(
                placed.part,
                task.params,
                task.target,
                placed.region,
                tuple(needed.result for needed in step.inputs),
                task.reference,
                *self._progress(step),
            )
            ticket = Ticket(item, self, now, partial(self._answered, step))
            groups.setdefault(self._runners.of_task(task), []).append(ticket)
        for slot, tickets in groups.items():
            slot.submit(tickets)

    def _progress(self, step: Step) -> tuple[Progress, ...]:
        """How its item tells followers; empty when there are none."""
        hear = step.task.progress
        if hear is None:
            return ()

        def wrote(text: str) -> None:
            if step.outcome is None and not self.closed:
                hear(text)

        return (Progress(self._mailbox, wrote),)

    def _answered(self, step: Step, answer: Any, completed: Completed | None) -> None:
        operation = step.task.operation
        if isinstance(answer, Failure):
            self._settle(step, answer.error, completed)
        elif not isinstance(answer, operation.result):
            error = wrong_type(described(operation), answer, operation.result)
            self._settle(step, error, completed)
        else:
            self._settle(step, with_region(answer, step, self._placed[step]), completed)

    def _settle(
        self, step: Step, answer: Result | OpsinError, completed: Completed | None = None
    ) -> None:
        """A step has come to its end: tell the caller, and go on with what waited for it."""
        placed = self._placed.pop(step, None)
        made = Made(
            self._runners.of_task(step.task).plugin,
            self._decode_seconds,
            placed,
            self._finder_models,
            completed,
        )
        step.outcome = outcome_of(step, answer, made)
        self.missing -= 1
        self._ended()
        if step.number is not None:
            self._unanswered -= 1
            if self._on_outcome is not None:
                self._on_outcome(step.number, step.outcome)
        elif self._on_input is not None:
            self._on_input(step.outcome)
        if step.askers:
            self._go_on(step, step.outcome.error)
        self._finish_if_done()

    def _go_on(self, step: Step, error: OpsinError | None) -> None:
        """The step was an input: what waited for it alone is queued, or fails as it did."""
        askers, step.askers = step.askers, []  # a cycle would keep results for a while
        ready = []
        for asker in askers:
            if not asker.is_wanted:
                continue
            if isinstance(error, RegionNotFound):
                self._settle(asker, RegionNotFound(error.region, asker.task.task_id))
            elif error is not None:
                self._settle(asker, error)
            elif asker.has_inputs and asker in self._placed:
                ready.append(asker)
        self._queue(ready, time.monotonic())

    def _finish_if_done(self) -> None:
        if self._unanswered or self.future.done():
            return
        assert self.image is not None  # nothing is settled before `begin`
        outcomes = tuple(step.outcome for step in self._asked if step.outcome is not None)
        self.future.set_result(Analyzed(self.image.info, outcomes))
