"""The work on one picture: which regions and items its tasks need, and the outcome of each."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from opsin.core.contract import Box, Item, MissingRegion, Params, Picture, Region, Target
from opsin.core.engine.batching import Completed, Failure, Ticket
from opsin.core.engine.failures import as_opsin_error
from opsin.core.engine.loading import RunnerSlot, described
from opsin.core.engine.provenance import ModelUsed, Provenance, Timings
from opsin.core.engine.task import Analyzed, Outcome, Task, TaskStatus
from opsin.core.errors import (
    DeadlineExceeded,
    InvalidInput,
    OperationFailed,
    OperationUnavailable,
    OpsinError,
)
from opsin.core.imaging import crop
from opsin.core.regions import Finding, PictureRegions, RegionNeed, region_need

if TYPE_CHECKING:
    from opsin.core.imaging import DecodedImage

_WHOLE = Finding()
_NO_PARAMS = Params()
_NOUNS = {Target.PROMINENT_PERSON: "person", Target.PROMINENT_FACE: "face"}


class Runners(Protocol):
    """Where a plan finds the runners it needs."""

    def of_task(self, task: Task) -> RunnerSlot: ...
    def finder(self, target: Target) -> RunnerSlot | None: ...
    def settled(self) -> None:
        """A task has its outcome, and no longer waits."""


class _Placed(NamedTuple):
    """What to remember of a task while its item is away."""

    region: Box | None = None
    note: str | None = None
    searched: tuple[Target, ...] = ()
    region_seconds: float = 0.0
    queued_at: float = 0.0


_NOT_PLACED = _Placed()


class PicturePlan:
    """One request: from a picture's pixels to one outcome per task; lives on the event loop.

    Each region is found once, and one future serves all tasks.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        runners: Runners,
        future: "asyncio.Future[Analyzed]",
        *,
        deadline: float,
        priority: int,
    ) -> None:
        self.tasks = tasks
        self.future = future
        self.deadline = deadline
        self.priority = priority
        self.closed = False
        """The caller has an answer or is gone: nothing more is to be run for it."""
        self.image: DecodedImage | None = None
        self._runners = runners
        self._outcomes: list[Outcome | None] = [None] * len(tasks)
        self.missing = len(tasks)
        """Tasks that have no outcome yet."""
        self._decode_seconds = 0.0
        self._begun = 0.0
        self._finder_models: dict[Target, tuple[ModelUsed, ...]] = {}

    @property
    def is_complete(self) -> bool:
        """Every task has its outcome: nothing of this plan waits anywhere."""
        return self.image is not None and not self.missing

    def decoded(self, answer: "DecodedImage | OpsinError", seconds: float) -> None:
        """What decoding gave, after so many seconds."""
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
        whole: list[int] = []
        needs: dict[RegionNeed, list[int]] = {}
        for index, task in enumerate(self.tasks):
            need = region_need(task.target, task.params.face_context)
            if need is None:
                whole.append(index)
                continue
            slot = self._runners.of_task(task)
            if failure := slot.failure():  # no region would help
                self._settle(index, failure)
            else:
                slot.warm()  # it loads while the region is looked for
                needs.setdefault(need, []).append(index)
        regions = PictureRegions(image.pixels, self._search)
        for need, indices in needs.items():
            regions.find(need, partial(self._place, indices))
        self._place(whole, _WHOLE)
        self._finish_if_done()

    def fail(self, error: OpsinError) -> None:
        """Give the caller an error for the whole, unless there is an answer already."""
        self.closed = True
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self) -> None:
        self.fail(DeadlineExceeded("the deadline passed before all tasks were done"))

    def _search(
        self, target: Target, picture: Picture, then: Callable[[Region | OpsinError | None], None]
    ) -> None:
        slot = self._runners.finder(target)
        if slot is None:
            then(OperationUnavailable(f"no plugin finds the region {target.value!r}"))
            return

        def searched(answer: Any, completed: Completed | None) -> None:
            if isinstance(answer, Failure):
                then(answer.error)
            elif answer is None or isinstance(answer, Region):
                if completed is not None:
                    self._finder_models[target] = completed.queue.loaded.models
                then(answer)
            else:
                then(_wrong_type(described(slot.loadable), answer, Region))

        item = Item(picture, _NO_PARAMS, target)
        slot.submit([Ticket(item, self, time.monotonic(), searched)])

    def _place(self, indices: list[int], finding: Finding) -> None:
        """Queue tasks whose region is known, those of one runner together."""
        assert self.image is not None  # `begin` has it
        now = time.monotonic()
        picture, region = self.image.pixels, finding.region
        part = picture if region is None else crop(picture, region.box)
        seconds = 0.0 if finding is _WHOLE else now - self._begun
        groups: dict[RunnerSlot, list[Ticket]] = {}
        for index in indices:
            task = self.tasks[index]
            crops = task.operation.crop
            box = region.box if region and crops else None
            placed = _Placed(box, finding.note, finding.searched, seconds, now)
            if finding.error is not None:
                self._settle(index, finding.error, placed)
                continue
            if region is None and finding is not _WHOLE:
                missing = task.operation.missing_region[task.target]
                noun = _NOUNS[task.target]
                if missing is MissingRegion.SKIP:
                    text = f"No prominent {noun} found for operation '{task.task_id}'."
                    self._settle(index, InvalidInput(text), placed, TaskStatus.SKIPPED)
                    continue
                if missing is MissingRegion.USE_WHOLE_IMAGE:
                    note = f"no prominent {noun} was found, the whole image was used"
                    placed = placed._replace(note=_joined(placed.note, note))
            item = Item(part if crops else picture, task.params, task.target, region)
            ticket = Ticket(item, self, now, partial(self._answered, index, placed))
            groups.setdefault(self._runners.of_task(task), []).append(ticket)
        for slot, tickets in groups.items():
            slot.submit(tickets)

    def _answered(
        self, index: int, placed: _Placed, answer: Any, completed: Completed | None
    ) -> None:
        operation = self.tasks[index].operation
        if isinstance(answer, Failure):
            self._settle(index, answer.error, placed, completed=completed)
        elif not isinstance(answer, operation.result):
            error = _wrong_type(described(operation), answer, operation.result)
            self._settle(index, error, placed, completed=completed)
        else:
            if placed.region is not None or placed.note is not None:
                note = _joined(answer.note, placed.note)
                answer = answer.model_copy(update={"region": placed.region, "note": note})
            self._settle(index, answer, placed, completed=completed)

    def _settle(
        self,
        index: int,
        answer: Any,
        placed: _Placed = _NOT_PLACED,
        status: TaskStatus = TaskStatus.ERROR,
        completed: Completed | None = None,
    ) -> None:
        provenance = self._provenance(index, placed, completed)
        error = answer if isinstance(answer, OpsinError) else None
        result = None if error else answer
        status = status if error else TaskStatus.SUCCESS
        self._outcomes[index] = Outcome(self.tasks[index], status, result, error, provenance)
        self.missing -= 1
        self._runners.settled()
        self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self.missing or self.future.done():
            return
        assert self.image is not None  # nothing is settled before `begin`
        outcomes = tuple(outcome for outcome in self._outcomes if outcome is not None)
        self.future.set_result(Analyzed(self.image.info, outcomes))

    def _provenance(self, index: int, placed: _Placed, completed: Completed | None) -> Provenance:
        task = self.tasks[index]
        plugin = self._runners.of_task(task).plugin
        models: tuple[ModelUsed, ...] = ()
        device, batch_size, queued, run = None, 0, 0.0, 0.0
        if completed is not None:
            loaded = completed.queue.loaded
            models, device = loaded.models, loaded.device
            queued, run = completed.started - placed.queued_at, completed.seconds
            batch_size = len(completed.tickets) if completed.ran else 0
        for target in placed.searched:
            models += self._finder_models.get(target, ())
        return Provenance(
            plugin=plugin.name,
            plugin_version=plugin.version,
            operation=task.operation.name,
            operation_version=task.operation.version,
            device=device,
            models=models,
            timings=Timings(
                decode=self._decode_seconds * 1000,
                region=placed.region_seconds * 1000,
                queued=queued * 1000,
                run=run * 1000,
            ),
            batch_size=batch_size,
        )


def _joined(*notes: str | None) -> str | None:
    return "; ".join(note for note in notes if note) or None


def _wrong_type(what: str, answer: object, expected: type) -> OperationFailed:
    return OperationFailed(
        f"{what} gave a {type(answer).__name__} where a {expected.__name__} was expected"
    )
