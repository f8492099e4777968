"""Answers before the engine: what was computed is taken again, what is being computed is shared."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from opsin.core.answers.asking import Asker
from opsin.core.answers.computations import Computation, Flight
from opsin.core.answers.content_digest import content_name, digest_of
from opsin.core.answers.earlier_results import EarlierResults
from opsin.core.answers.given_picture import GivenPicture
from opsin.core.answers.keys import KeyedTask, ResultKeys
from opsin.core.answers.memory import KeptResult, ResultMemory
from opsin.core.answers.reservations import Reservation
from opsin.core.engine import Analyzed, Engine, Outcome, Task
from opsin.core.engine.opening import Opener
from opsin.core.engine.plan import OnOutcome
from opsin.core.engine.steps import KnownInputs
from opsin.core.errors import DeadlineExceeded
from opsin.core.imaging import DecodedImage, DecodeOptions, ImageInfo, ImageLimits, Source

_DEFAULT_OPTIONS = DecodeOptions()


@dataclass(slots=True)
class AnswerCounts:
    """Tasks since the start, by how they were answered."""

    memory: int = 0
    """From results kept in memory."""
    stored: int = 0
    """From completed analyses."""
    shared: int = 0
    """Together with somebody who had asked already."""
    computed: int = 0
    """By the engine."""
    inputs: int = 0
    """Inputs that were there already for a task that was computed; not counted above."""


class Answers:
    """Stands between the doors and the engine, with the engine's way of being asked.

    A result that has a key is computed once: later askers get it from memory or from a completed
    analysis, simultaneous ones wait for the same computation; as their answer, or as an input of
    it.  What was made for another company is lent: its numbers only, and no sooner than computing
    them would have taken.
    """

    def __init__(
        self,
        engine: Engine,
        keys: ResultKeys,
        earlier: EarlierResults,
        limits: ImageLimits,
        *,
        memory_bytes: int,
    ) -> None:
        self.memory = ResultMemory(memory_bytes)
        self.earlier = earlier
        self.limits = limits
        self.flights: dict[str, Flight] = {}
        """What is being computed and may be shared, by key."""
        self.counts = AnswerCounts()
        self.engine = engine
        self._keys = keys

    async def analyze(
        self,
        source: Source | Opener | DecodedImage,
        tasks: Sequence[Task],
        *,
        company_id: str | None = None,
        content_sha256: str | None = None,
        info: ImageInfo | None = None,
        options: DecodeOptions = _DEFAULT_OPTIONS,
        deadline: float | None = None,
        priority: int = 0,
        on_outcome: OnOutcome | None = None,
        reservation: Reservation | None = None,
    ) -> Analyzed:
        """As `Engine.analyze`, which is asked for what nobody has computed yet.

        `company_id` is the asker's.  With `content_sha256`, of the encoded bytes, and `info`, what
        the decoded picture will be like, an `Opener` is not used unless something is computed that
        looks at the picture.  Pixels without `content_sha256` were never known by a name: all is
        computed.  With a `reservation`, for results that will be stored, what other processes
        compute is waited for.
        """
        if isinstance(source, DecodedImage):
            info = source.info
        if isinstance(source, DecodedImage) and content_sha256 is None:
            return await self.engine.analyze(
                source, tasks, deadline=deadline, priority=priority, on_outcome=on_outcome
            )
        async with _until(deadline):
            if not (content_sha256 or callable(source) or isinstance(source, DecodedImage)):
                content_sha256 = await digest_of(source, self.limits.max_bytes)
            picture = GivenPicture(source, options, content_sha256, info)
            run = partial(self._run, picture, _name(company_id, picture, tasks), priority)
            keyed: Sequence[KeyedTask] = ()
            if content_sha256 is not None:
                keyed = await self._keys.of(content_sha256, options, tasks)
            if not any(task.may_be_known for task in keyed):
                self.counts.computed += len(tasks)
                return await run(tasks, on_outcome, deadline=deadline)
            asker = Asker(self, company_id, picture, keyed, run, on_outcome, reservation)
            try:
                return await asker.answered()
            finally:
                asker.leave()

    async def _run(
        self,
        picture: GivenPicture,
        content: str | None,
        priority: int,
        tasks: Sequence[Task],
        on_outcome: OnOutcome | None,
        on_input: Callable[[Outcome], None] | None = None,
        *,
        known: Sequence[Outcome] = (),
        info: ImageInfo | None = None,
        deadline: float | None = None,
    ) -> Analyzed:
        return await self.engine.analyze(
            picture.source,
            tasks,
            content=content,
            options=picture.options,
            deadline=deadline,
            priority=priority,
            on_outcome=on_outcome,
            info=info,
            inputs=KnownInputs(known, on_input),
        )

    def ended(self, computation: Computation) -> None:
        """Nobody may join it any more; what it found is kept."""
        for flight in computation.flights:
            if flight.key is None:
                continue
            if self.flights.get(flight.key.digest) is flight:
                del self.flights[flight.key.digest]
            outcome = flight.outcome
            if outcome is None or outcome.result is None or computation.info is None:
                continue
            if outcome.result_key is not None:
                kept = KeptResult(outcome.result, outcome.provenance, computation.info)
                kept.given_to(flight.company_id)
                self.memory.put(outcome.result_key, kept)


def _name(company_id: str | None, picture: GivenPicture, tasks: Sequence[Task]) -> str | None:
    """The picture's name for the engine; None where all is to be done anew."""
    if picture.sha256 is None or not all(task.reuse for task in tasks):
        return None
    return content_name(company_id, picture.sha256)


@asynccontextmanager
async def _until(deadline: float | None) -> AsyncIterator[None]:
    """Raises DeadlineExceeded at that time of the loop's clock; what is shared goes on."""
    try:
        async with asyncio.timeout_at(deadline) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded("the deadline passed before all was done") from None
