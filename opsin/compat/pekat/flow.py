"""The flow: which operations every picture goes through, in their order."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from opsin.compat.pekat.flow_file import FlowFile, FlowOperation, read_flow
from opsin.core.availability import Availability
from opsin.core.engine import Task, make_task
from opsin.core.errors import ConfigurationError, InvalidInput, OpsinError
from opsin.core.plugin_host import PluginHost

_SHOWN = frozenset({"bounding_box", "segmentation", "classification", "heatmap"})
"""Annotations that a context or its image has a place for."""
_LOOK_AGAIN = 5.0
"""Seconds after which it is looked anew what is available: weights may have arrived."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of the flow, as its file has it and as the engine takes it."""

    module_id: int
    given: FlowOperation
    task: Task


@dataclass(frozen=True, slots=True)
class Flow:
    """The steps, and what decides about the picture after them."""

    file: FlowFile
    steps: tuple[Step, ...]

    @property
    def tasks(self) -> list[Task]:
        return [step.task for step in self.steps]


class Flows:
    """The configured flow; without one, all that is available here and can be shown."""

    def __init__(
        self,
        configured: str | None,
        host: PluginHost,
        availability: Availability,
        *,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ConfigurationError for a flow that cannot be run as it is written."""
        self._host = host
        self._availability = availability
        self._most = most
        self._clock = clock
        self._configured = configured is not None
        self._flow = self._checked(read_flow(configured)) if configured else self._default()
        self._looked = clock()

    def current(self) -> Flow:
        if not self._configured and self._clock() - self._looked > _LOOK_AGAIN:
            self._flow, self._looked = self._default(), self._clock()
        return self._flow

    def _checked(self, file: FlowFile) -> Flow:
        if len(file.operations) > self._most:
            raise ConfigurationError(
                f"OPSIN_PEKAT_FLOW: {len(file.operations)} operations, where OPSIN_MAX_TASKS "
                f"allows {self._most}"
            )
        steps = []
        for number, given in enumerate(file.operations, start=1):
            try:
                task = make_task(self._host, str(number), given.operation, given.params)
            except OpsinError as error:
                raise ConfigurationError(
                    f"OPSIN_PEKAT_FLOW: operation {number} ({given.operation}): {error.message}"
                ) from None
            steps.append(Step(number, given, task))
        return Flow(file, tuple(steps))

    def _default(self) -> Flow:
        steps: list[Step] = []
        for registered in self._host.operations.values():
            if len(steps) == self._most:
                break
            operation = registered.operation
            if not _SHOWN.intersection(operation.result.annotation_types):
                continue
            try:
                task = make_task(self._host, str(len(steps) + 1), operation.name)
            except InvalidInput:  # it needs params that only an operator can choose
                continue
            if self._availability.reason(operation, task.target) is None:
                given = FlowOperation(operation=operation.name)
                steps.append(Step(len(steps) + 1, given, task))
        return Flow(FlowFile(operations=tuple(step.given for step in steps)), tuple(steps))
