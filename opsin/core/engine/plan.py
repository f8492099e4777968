"""The work on one picture: which regions and items its tasks need, and the outcome of each."""

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from opsin.core import tracing
from opsin.core.contract import Box, Item, Params, Picture, Region, Result, Target
from opsin.core.engine.batching import Answered, Completed, Failure, Owner, Ticket
from opsin.core.engine.failures import as_opsin_error, wrong_type
from opsin.core.engine.loading import described
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.placed import WHOLE, Placed, joined, place
from opsin.core.engine.progress import Progress
from opsin.core.engine.provenance import ModelUsed, Provenance, Timings
from opsin.core.engine.region_cache import RegionCache
from opsin.core.engine.request import Request
from opsin.core.engine.runners import Runners
from opsin.core.engine.slots import RunnerSlot
from opsin.core.engine.steps import Step
from opsin.core.engine.task import Analyzed, Outcome, TaskStatus
from opsin.core.errors import NotShown, OperationUnavailable, OpsinError, RegionNotFound
from opsin.core.regions import Finding, PictureRegions, RegionNeed, region_need

if TYPE_CHECKING:
    from opsin.core.imaging import DecodedImage

OnOutcome: TypeAlias = Callable[[int, Outcome], None]
"""Called on the event loop with a task's number and its outcome, as soon as there is one."""

_NO_PARAMS = Params()


class PicturePlan(Request[Analyzed]):
    """One request: from a picture's pixels to one outcome per task.

    `steps` are the tasks in order, then the inputs that are to be computed.  Each region is found
    once, each input computed once, and one future serves all tasks.  `content` names the pixels:
    regions of one name are found once for all requests.  `ended` is called for each step that has
    come to its end, `on_input` with the outcomes of inputs.
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
        *,
        deadline: float | None,
        priority: int,
        on_outcome: OnOutcome | None = None,
        on_input: Callable[[Outcome], None] | None = None,
        content: Hashable = None,
    ) -> None:
        super().__init__(future, len(steps), deadline=deadline, priority=priority)
        self.image: DecodedImage | None = None
        self._asked = steps[:tasks]
        self._unanswered = tasks
        self._steps = steps
        self._runners = runners
        self._region_cache = region_cache
        self._mailbox = mailbox
        self._ended = ended
        self._on_outcome = on_outcome
        self._on_input = on_input
        self._content = content
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
            placed = self._placed[step]
            region, note = placed.box, placed.note
            if not operation.uses_picture:
                region, note = _looked_at(step)
            if region is not None or note is not None:
                told = {"region": region, "note": joined(answer.note, note)}
                answer = answer.model_copy(update=told)
            self._settle(step, answer, completed)

    def _settle(
        self, step: Step, answer: Result | OpsinError, completed: Completed | None = None
    ) -> None:
        """A step has come to its end: tell the caller, and go on with what waited for it."""
        error = answer if isinstance(answer, OpsinError) else None
        result = None if isinstance(answer, OpsinError) else answer
        status = TaskStatus.SUCCESS if error is None else TaskStatus.ERROR
        if isinstance(error, NotShown):
            status = TaskStatus.SKIPPED
        provenance = self._provenance(step, completed)
        step.outcome = Outcome(step.task, status, result, error, provenance)
        self._placed.pop(step, None)
        self.missing -= 1
        self._ended()
        if step.number is not None:
            self._unanswered -= 1
            if self._on_outcome is not None:
                self._on_outcome(step.number, step.outcome)
        elif self._on_input is not None:
            self._on_input(step.outcome)
        if step.askers:
            self._go_on(step, error)
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

    def _provenance(self, step: Step, completed: Completed | None) -> Provenance:
        operation, placed = step.task.operation, self._placed.get(step)
        plugin = self._runners.of_task(step.task).plugin
        origin = None if completed is None else completed.origin
        models = () if origin is None else origin.models
        if placed is None:
            timings = Timings(decode=self._decode_seconds * 1000)
        else:
            timings = placed.timings(self._decode_seconds, completed)
            for target in placed.searched:
                models += self._finder_models.get(target, ())
        reused = False
        for needed in step.inputs:
            if needed.outcome is not None:
                made = needed.outcome.provenance
                models += tuple(model for model in made.models if model not in models)
                reused |= made.cached or made.inputs_reused
        return Provenance(
            plugin=plugin.name,
            plugin_version=plugin.version,
            operation=operation.name,
            operation_version=operation.version,
            device=None if origin is None else origin.device,
            models=models,
            timings=timings,
            batch_size=0 if completed is None else completed.batch_size,
            inputs_reused=reused,
        )


def _looked_at(step: Step) -> tuple[Box | None, str | None]:
    """Region and note of the first input that has any."""
    for needed in step.inputs:
        result = needed.result
        if result.region is not None or result.note is not None:
            return result.region, result.note
    return None, None
