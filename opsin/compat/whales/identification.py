"""From a picture to its detection, by the operations that are there."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opsin.compat.whales.detections import Detection, corrupted, identified, screened
from opsin.compat.whales.masks import Masks
from opsin.compat.whales.options import WhalesOptions
from opsin.core.access import Principal
from opsin.core.engine import Task, make_task
from opsin.core.errors import (
    InvalidImage,
    NotFound,
    OperationUnavailable,
    OpsinError,
    Overloaded,
    UnknownOperation,
)
from opsin.core.imaging import DecodeOptions, ImageInfo
from opsin.core.immediate import PictureSource
from opsin.core.predictions import Prediction
from opsin.core.use_cases import UseCases

IDENTIFY, SCREEN = "identify_cetacean", "screen_cetacean"
DECODING = DecodeOptions(apply_orientation=False)
"""As the pixels are stored: the service that the API is from did not turn pictures."""

_LOOK_AGAIN = 5.0
"""Seconds after which it is looked anew what is available: weights may have arrived."""
_NONE_HERE = "no operation of this server tells whales and dolphins: the plugin is switched off"
_PATIENCE = 60.0
"""Seconds in which a picture of an archive waits for a place in the engine."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One picture's answer, and its score where a gate has given one."""

    detection: Detection
    score: float | None = None

    def prediction(self, record: dict[str, Any]) -> Prediction:
        """What is kept of it."""
        one = self.detection
        measured = None if self.score is None else (self.score, one.probability)
        return Prediction(one.image_ind, record, one.rejection_reason, measured)


class Identifier:
    """Asks for the whole pipeline, or for the gate alone where nothing can be identified with."""

    def __init__(
        self,
        use_cases: UseCases,
        options: WhalesOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._use_cases = use_cases
        self._options = options
        self._clock = clock
        self._masks = Masks(use_cases, options.mask)
        self._looked = -_LOOK_AGAIN
        self._task: Task | OpsinError | None = None

    def check(self) -> None:
        """Raises OperationUnavailable where no picture could be answered."""
        self._current()

    async def single(self, principal: Principal, name: str, source: PictureSource) -> Answered:
        """The answer with its mask; InvalidImage is for damaged images alone an answer.

        Raises OperationUnavailable, Overloaded and whatever the operation failed with.
        """
        answered, info = await self._answered(principal, name, source, priority=0)
        found = answered.detection
        if info is None or found.rejected:
            return answered
        mask = await self._masks.of(principal, source, info)
        return Answered(found.model_copy(update={"mask": mask}), answered.score)

    async def one_of_many(self, principal: Principal, name: str, content: bytes) -> Answered:
        """The answer without a mask, for one picture of an archive; waits while others are many."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE
        source = PictureSource(content=content, filename=name)
        while True:
            try:
                # Whoever sends one picture waits for it alone, and goes first.
                answered, _ = await self._answered(principal, name, source, priority=-1)
                return answered
            except Overloaded as error:
                if loop.time() + error.retry_after > until:
                    raise
                await asyncio.sleep(error.retry_after)

    def damaged(self, name: str) -> Answered:
        """The answer for an image that cannot be read."""
        return Answered(corrupted(name, self._options.model_version))

    async def _answered(
        self, principal: Principal, name: str, source: PictureSource, *, priority: int
    ) -> tuple[Answered, ImageInfo | None]:
        task = self._current()
        try:
            analyzed = await self._use_cases.immediate.analyze(
                principal, source, [task], options=DECODING, priority=priority
            )
        except InvalidImage:
            return self.damaged(name), None
        (outcome,) = analyzed.outcomes
        if outcome.error is not None:
            raise _told(outcome.error)
        found: Any = outcome.result
        version = self._options.model_version
        if task.operation.name == SCREEN:
            detection = screened(name, found, analyzed.info, version)
        else:
            rows = self._options.candidates
            detection = identified(name, found, analyzed.info, version, rows)
        return Answered(detection, found.cetacean_score), analyzed.info

    def _current(self) -> Task:
        """What is asked of every picture; raises why there is nothing to ask."""
        if self._task is None or self._clock() - self._looked > _LOOK_AGAIN:
            self._looked = self._clock()
            try:
                self._task = self._chosen()
            except OpsinError as error:
                self._task = error.with_traceback(None)
        if isinstance(self._task, OpsinError):
            raise OperationUnavailable(self._task.message)
        return self._task

    def _chosen(self) -> Task:
        host, availability = self._use_cases.host, self._use_cases.availability
        params = {"candidates": max(1, self._options.candidates), "gallery": self._options.gallery}
        try:
            whole = make_task(host, "1", IDENTIFY, params)
        except UnknownOperation:
            raise OperationUnavailable(_NONE_HERE) from None
        reason = availability.reason(whole.operation, whole.target)
        if reason is None:
            return whole
        try:
            gate = make_task(host, "1", SCREEN)
        except UnknownOperation:  # the manifest has no gate: nothing would have looked
            raise OperationUnavailable(reason) from None
        no_gate = availability.reason(gate.operation, gate.target)
        if no_gate is not None:
            raise OperationUnavailable(no_gate)
        return gate


def _told(error: OpsinError) -> OpsinError:
    """A gallery that is not there is the operator's mistake, not the client's."""
    if isinstance(error, NotFound):
        return OperationUnavailable(error.message)
    return error
