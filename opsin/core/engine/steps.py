"""What one picture's tasks come to: themselves, and the inputs they need, each of them once."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from opsin.core.contract import FaceContext, Input, Result, Target
from opsin.core.engine.failures import as_opsin_error
from opsin.core.engine.loading import described
from opsin.core.engine.task import Outcome, Task, make_task
from opsin.core.errors import (
    OperationFailed,
    OperationUnavailable,
    OpsinError,
    UnknownOperation,
)

if TYPE_CHECKING:
    from opsin.core.plugin_host import PluginHost

MOST_INPUTS = 64
"""That one operation may ask for."""
DEEPEST = 4
"""How many inputs may stand one behind the other."""


@dataclass(frozen=True, slots=True)
class KnownInputs:
    """Inputs that need not be computed, and who hears of the others.

    `outcomes` are those of successful tasks like the inputs; `computed` is called on the event loop
    with the outcome of every input that there was none for.
    """

    outcomes: Sequence[Outcome] = ()
    computed: Callable[[Outcome], None] | None = None


class Step:
    """A task that a caller asked for, or an input of such a task; equal inputs are one step."""

    __slots__ = ("askers", "error", "height", "inputs", "is_planned", "number", "outcome", "task")

    def __init__(self, task: Task, number: int | None = None) -> None:
        self.task = task
        self.number = number
        """Its place among the caller's tasks; None for a mere input."""
        self.error = task.error
        """Why it cannot be run, where that is known beforehand."""
        self.inputs: tuple[Step, ...] = ()
        self.askers: list[Step] = []
        """The steps that it is an input of."""
        self.height = 0
        """How many inputs stand one behind the other below it."""
        self.is_planned = False
        self.outcome: Outcome | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether anybody still waits for its outcome."""
        if self.outcome is not None:
            return False
        return self.number is not None or any(asker.outcome is None for asker in self.askers)

    @property
    def is_fresh(self) -> bool:
        """Whether somebody wants it, or what it is an input of, computed anew."""
        return not self.task.reuse or any(asker.is_fresh for asker in self.askers)

    @property
    def has_inputs(self) -> bool:
        """Whether every input is there, or none is needed."""
        return not self.inputs or all(needed.outcome is not None for needed in self.inputs)

    @property
    def result(self) -> Result:
        """What it found; only of a step that has succeeded."""
        assert self.outcome is not None and self.outcome.result is not None
        return self.outcome.result


def steps_of(
    host: "PluginHost", tasks: Sequence[Task], known: Sequence[Outcome] = ()
) -> list[Step]:
    """A step for each task, in order, and then one for every input that is to be computed.

    What is wrong with a task's inputs is the `error` of its step.  An input that is like the task
    of a `known` outcome has that outcome, unless somebody wants it computed anew.
    """
    steps = [Step(task, number) for number, task in enumerate(tasks)]
    planner = _Planner(host, steps)
    for step in steps:
        try:
            planner.plan(step, ())
        except OpsinError as error:
            step.error = as_opsin_error(error, "planning")  # without the frames that raised it
    reached = dict.fromkeys(steps)
    for step in steps:  # it grows meanwhile
        for needed in step.inputs:
            if needed in reached:
                continue
            reached[needed] = None
            outcome = None if needed.is_fresh else _outcome_of(needed.task, known)
            if outcome is None:
                steps.append(needed)
            else:
                needed.outcome, needed.askers = outcome, []
    return steps


def is_alike(one: Task, other: Task) -> bool:
    """Whether two tasks on one picture, neither of which has a reference, ask for the same."""
    return _place(one) == _place(other) and _chosen(one) == _chosen(other)


def _outcome_of(task: Task, known: Sequence[Outcome]) -> Outcome | None:
    return next((outcome for outcome in known if is_alike(task, outcome.task)), None)


class _Planner:
    """Finds the inputs of steps; equal ones are found again, also among the caller's tasks."""

    def __init__(self, host: "PluginHost", asked: Sequence[Step]) -> None:
        self._host = host
        self._asked = tuple(asked)
        self._known: dict[Hashable, list[Step]] | None = None

    def plan(self, step: Step, above: tuple[Step, ...]) -> None:
        """Give the step its inputs, and theirs; `above` are those it is an input of, in turn."""
        if step.is_planned or step.error is not None:
            return
        path = (*above, step)
        inputs: dict[Step, None] = {}
        for task in self._wanted(step.task):
            needed = self._step(task)
            if needed in path:
                names = " needs ".join(repr(s.task.operation.name) for s in (*path, needed))
                raise OperationFailed(f"the inputs of operations go round in a circle: {names}")
            if len(path) + needed.height > DEEPEST:
                what = described(path[0].task.operation)
                raise OperationFailed(f"{what} needs inputs of inputs more than {DEEPEST} deep")
            self.plan(needed, path)
            inputs[needed] = None
        step.inputs = tuple(inputs)
        for needed in inputs:
            needed.askers.append(step)
            step.height = max(step.height, needed.height + 1)
        step.is_planned = True

    def _wanted(self, task: Task) -> list[Task]:
        """The inputs of a task, as tasks; asks the plugin's code, which may do anything."""
        operation = task.operation
        try:
            request = operation.reference(task.params)
            if request is not None and task.reference is None:
                raise OperationUnavailable(
                    f"{operation.name} needs the {request.kind.value} "
                    f"{str(request.collection)[:60]!r}, and there is none here"
                )
            wanted = operation.inputs(task.params, task.reference)
            if not wanted:
                return []
            inputs = list(islice(wanted, MOST_INPUTS + 1))
            if len(inputs) > MOST_INPUTS:
                raise OperationFailed(f"{operation.name} asks for more than {MOST_INPUTS} inputs")
            return [self._task(task, needed) for needed in inputs]
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise as_opsin_error(error, described(operation)) from None

    def _task(self, asking: Task, needed: Input) -> Task:
        if not isinstance(needed, Input):
            raise TypeError(f"inputs gave a {type(needed).__name__}, not an Input")
        params = {
            **needed.params,
            "target": needed.target or asking.target,
            "face_context": needed.face_context or asking.params.face_context,
        }
        try:
            return make_task(self._host, asking.task_id, needed.operation, params)
        except UnknownOperation as error:  # the caller named one that is known
            message = f"{asking.operation.name} needs another operation: {error.message}"
            raise OperationUnavailable(message) from None

    def _step(self, task: Task) -> Step:
        """The step for an input: one that is equal, or a new one."""
        if self._known is None:
            self._known = {}
            for step in self._asked:
                # What was found for one reference is nobody's input: inputs have none.
                if step.task.reference is None:
                    self._known.setdefault(_place(step.task), []).append(step)
        alike = self._known.setdefault(_place(task), [])
        chosen = _chosen(task)
        for step in alike:
            if _chosen(step.task) == chosen:
                return step
        alike.append(Step(task))
        return alike[-1]


def _place(task: Task) -> Hashable:
    """Which operation looks where."""
    context: FaceContext | None = None
    if task.target is Target.PROMINENT_FACE:
        context = task.params.face_context
    return id(task.operation), task.target, context


def _chosen(task: Task) -> Mapping[str, Any]:
    """The params, but for those that say where to look."""
    return {name: v for name, v in task.params if name not in ("target", "face_context")}
