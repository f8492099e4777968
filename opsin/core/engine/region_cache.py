"""Found regions, shared by all requests on the same content: each is looked for once."""

import math
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from opsin.core.bounded_cache import BoundedCache, CacheCounts
from opsin.core.contract import Region
from opsin.core.engine.batching import Answered, Completed, Failure, Owner
from opsin.core.engine.failures import as_opsin_error
from opsin.core.engine.provenance import ModelUsed
from opsin.core.errors import OpsinError

if TYPE_CHECKING:
    from opsin.core.engine.slots import RunnerSlot

MOST_REGIONS = 20_000
"""Boxes kept; one takes about half a kilobyte with its key."""

Models = tuple[ModelUsed, ...]
Found = Callable[[Any, Models], None]
"""Called with a region, None or a Failure, and the models of the finder that was run."""
Search = Callable[[Owner, Answered], None]
"""Queues the search on behalf of an owner."""


class SharedSearch:
    """One search that several plans wait for: it owns the item, and is over when all are gone.

    Other threads read it, so that its tuple is replaced and never changed.  It has no deadline:
    who joins later may have more time than those before.
    """

    deadline = math.inf

    def __init__(self, finder: "RunnerSlot") -> None:
        self.finder = finder
        self.waiting: tuple[tuple[Owner, Found], ...] = ()

    @property
    def closed(self) -> bool:
        return all(owner.closed for owner, _ in self.waiting)

    @property
    def priority(self) -> int:
        return max((owner.priority for owner, _ in self.waiting), default=0)

    @property
    def place(self) -> str | None:
        """Where in a trace somebody asked for it."""
        places = (getattr(owner, "place", None) for owner, _ in self.waiting)
        return next((place for place in places if place is not None), None)

    def fail(self, error: OpsinError) -> None:
        for owner, _ in self.waiting:
            owner.fail(error)


class RegionCache:
    """Regions by content, finder and the box that was searched; lives on the event loop.

    "None found" is an answer too, a failure is not.  An answer counts only while the finder has
    the models in memory that gave it.
    """

    def __init__(self, limit: int = MOST_REGIONS) -> None:
        self._known: BoundedCache[Hashable, tuple[Region | None, Models]] = BoundedCache(limit)
        self._searches: dict[Hashable, SharedSearch] = {}
        self.counts = CacheCounts()

    def find(
        self, key: Hashable, finder: "RunnerSlot", owner: Owner, search_for: Search, found: Found
    ) -> None:
        """Call `found` on behalf of `owner`: at once, after a search under way, or a new one.

        What has no key (None) is searched for the owner alone.
        """
        if key is None:
            search_for(owner, lambda answer, completed: found(answer, _models_of(completed)))
            return
        known = self._known.get(key)
        in_memory = None if finder.queue is None else finder.queue.loaded.models
        if known is not None and known[1] == in_memory:
            self.counts.hits += 1
            found(*known)
            return
        search = self._searches.get(key)
        # What all have left is dropped by its lane at any moment, and never comes back.
        if search is not None and not search.closed:
            self.counts.shared += 1
            search.waiting = (*search.waiting, (owner, found))
            return
        self.counts.misses += 1
        search = self._searches[key] = SharedSearch(finder)
        search.waiting = ((owner, found),)

        def answered(answer: Any, completed: Completed | None) -> None:
            self._answered(key, search, answer, completed)

        search_for(search, answered)

    def leave(self, owner: Owner) -> None:
        """The owner is gone: a search that nobody else waits for is dropped."""
        for key, search in tuple(self._searches.items()):
            kept = tuple(entry for entry in search.waiting if entry[0] is not owner)
            if len(kept) == len(search.waiting):
                continue
            search.waiting = kept
            if not kept:
                del self._searches[key]
                search.finder.discard(search)

    def _answered(
        self, key: Hashable, search: SharedSearch, answer: Any, completed: Completed | None
    ) -> None:
        if self._searches.get(key) is search:
            del self._searches[key]
        models = _models_of(completed)
        if not isinstance(answer, Failure) and (answer is None or isinstance(answer, Region)):
            self._known.put(key, (answer, models), 1)
        for owner, found in search.waiting:
            if owner.closed:
                continue
            try:
                found(answer, models)
            except Exception as error:  # the others' answers must still reach them
                owner.fail(as_opsin_error(error, "the engine"))


def _models_of(completed: Completed | None) -> Models:
    return () if completed is None else completed.origin.models
