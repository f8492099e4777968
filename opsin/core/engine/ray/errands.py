"""A parcel in the hands of the process that it was sent to: its tickets, what became of each."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from opsin.core import tracing
from opsin.core.engine.batching import Completed, Failure, Ticket
from opsin.core.engine.ray.order import Fault
from opsin.core.engine.ray.parcels import Parcel, Ran, SentText
from opsin.core.engine.ray.spans import Notebook
from opsin.core.errors import OpsinError


class Errands:
    """Lives on the process's event loop; `done` has a result once every item has an answer."""

    def __init__(self, sent: Parcel, pictures: Sequence[Any], notebook: Notebook) -> None:
        self.texts: dict[int, str] = {}
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answers: dict[int, tuple[Any, Completed | None]] = {}
        self._expected = len(sent.items)
        self._notebook = notebook
        self._traced = {place: f"{sent.name}:{place}" for place in sent.traced}
        now = time.monotonic()
        self.tickets = []
        for place, one in enumerate(sent.items):
            item: Any
            if isinstance(one, SentText):
                item = one.text
            else:
                item = one.item(pictures, partial(self.texts.__setitem__, place))
            failed, traced = partial(self._failed, place), self._traced.get(place)
            owner = _Errand(one.priority, failed, traced)
            self.tickets.append(Ticket(item, owner, now, partial(self._answered, place)))

    def begin(self, what: str, received: float) -> None:
        """They are about to be queued; the parcel was there at a time of the monotonic clock."""
        if self._traced and tracing.tracer is not self._notebook:
            tracing.use(self._notebook)  # from the first on that is traced
        now = time.monotonic()
        for traced in self._traced.values():
            self._notebook.expect(traced)
            tracing.record(f"receive for {what}", received, now, parent=traced)

    def end(self) -> list[Ran]:
        """The answers, by the batch that they were made in."""
        now = time.monotonic()
        runs: dict[int, Ran] = {}
        for place, (answer, completed) in self._answers.items():
            run = runs.setdefault(id(completed), Ran())
            run.places.append(place)
            if isinstance(answer, Failure):
                answer = Fault.of(answer.error, "the operation")
            run.answers.append(answer)
            if completed is None:
                run.ran = False
            else:
                run.age, run.seconds = now - completed.started, completed.seconds
                run.ran = completed.ran
                run.shared_with = len(completed.tickets)
            if (traced := self._traced.get(place)) is not None:
                run.notes = {**(run.notes or {}), place: self._notebook.taken(traced, now)}
        for run in runs.values():
            run.shared_with = max(run.shared_with - len(run.places), 0)
        return list(runs.values())

    def _answered(self, place: int, answer: Any, completed: Completed | None) -> None:
        self._answers[place] = answer, completed
        if len(self._answers) == self._expected and not self.done.done():
            self.done.set_result(None)

    def _failed(self, place: int, error: OpsinError) -> None:
        self._answered(place, Failure(error), None)


class _Errand:
    """Whose item a ticket is."""

    closed = False
    deadline = float("inf")

    def __init__(
        self, priority: int, fail: Callable[[OpsinError], None], place: tracing.Place | None
    ) -> None:
        self.priority = priority
        self.fail = fail
        self.place = place


def picture_of(kind: str, which: Any, small: Sequence[Any], large: Sequence[Any]) -> Any:
    """The picture of an entry of a parcel's layout."""
    if kind == "blank":
        from opsin.core.engine.placed import blank

        return blank(*which)
    return small[which] if kind == "small" else large[which]
