"""`/metrics`: what the server counts, as Prometheus reads it; of all its processes at once."""

import asyncio
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from opsin.core.backlog import Backlog
from opsin.core.errors import StorageError
from opsin.core.request_counts import RequestCounts
from opsin.web.collectors import Figures, backlog_families
from opsin.web.siblings import Siblings, Told

_FRESH_SECONDS = 1.0
"""However often somebody asks, the database is asked this seldom."""
_PATIENCE_SECONDS = 2.0
_PROCESS = "process"
"""The label that says which of several processes has counted."""


class Documented(Protocol):
    """Families of one API whose documents name them, with no label that they do not have."""

    def numbers(self) -> Mapping[str, float]:
        """What is added up over the processes."""

    def text(self, numbers: Mapping[str, float], requests: RequestCounts) -> str:
        """The families as text, of the sums."""


class Metrics:
    """Route `/metrics`: the documented families of the APIs, then Opsin's own.

    With `siblings` each series says which process has counted it: the counters of one that was
    replaced begin anew, as those of a server do that was started again.  What the database says is
    told once.  The type is the one that the documented families always had; it means the text
    format.
    """

    def __init__(
        self,
        figures: Figures,
        backlog: Callable[[], Awaitable[Backlog]] | None = None,
        documented: Sequence[Documented] = (),
        siblings: Siblings | None = None,
    ) -> None:
        self._figures = figures
        self._read_backlog = backlog
        self._documented = documented
        self._siblings = siblings
        self._backlog: Backlog | None = None
        self._read_at = float("-inf")

    def routes(self) -> list[BaseRoute]:
        return [Route("/metrics", self.metrics)]

    @asynccontextmanager
    async def told_to_siblings(self) -> AsyncIterator[None]:
        """Meanwhile the other processes may ask for what this one has counted."""
        if self._siblings is None:
            yield
            return
        async with self._siblings.serving(
            self._told, lambda left: {"documented": self._summed(left)}
        ):
            yield

    async def metrics(self, _request: Request) -> Response:
        """The text; a process that does not answer is left out, and so is a database."""
        others: Mapping[str, Told] = {}
        left: Sequence[Told] = ()
        if self._siblings is None:
            await self._look()
            families = list(self._figures.families())
        else:
            others, _ = await asyncio.gather(self._siblings.ask(), self._look())
            left = self._siblings.left()
            families = _merged(
                {self._siblings.name: list(self._figures.families())}
                | {name: [_read(one) for one in told["families"]] for name, told in others.items()}
            )
        if self._backlog is not None:
            families += backlog_families(self._backlog)
        registry = CollectorRegistry()
        registry.register(_Collected(families))
        documented = self._documented_text([*others.values(), *left])
        return Response(documented.encode() + generate_latest(registry), media_type="text/plain")

    def _told(self) -> Told:
        families = [_written(family) for family in self._figures.families()]
        return {"families": families, "documented": self._numbers()}

    def _numbers(self) -> list[dict[str, float]]:
        """Of the requests, then of each API."""
        requests = self._figures.requests
        counted: dict[str, float] = {
            "total": requests.total,
            "errors": requests.errors,
            "seconds": requests.seconds,
        }
        return [counted, *(dict(one.numbers()) for one in self._documented)]

    def _summed(self, others: Iterable[Told]) -> list[dict[str, float]]:
        """The numbers of this process and of others."""
        sums = self._numbers()
        for told in others:
            # One that serves nothing, such as a worker, has nothing to add.
            for total, numbers in zip(sums, told.get("documented", ()), strict=False):
                for name, number in numbers.items():
                    total[name] = total.get(name, 0) + number
        return sums

    def _documented_text(self, others: Iterable[Told]) -> str:
        if not self._documented:
            return ""
        counted, *by_api = self._summed(others)
        requests = RequestCounts(
            total=int(counted["total"]),
            errors=int(counted["errors"]),
            seconds=counted["seconds"],
            started=self._figures.requests.started,
        )
        return "".join(
            one.text(numbers, requests)
            for one, numbers in zip(self._documented, by_api, strict=True)
        )

    async def _look(self) -> None:
        """At the database, unless that was just done; one that is down leaves it out."""
        if self._read_backlog is None or time.monotonic() - self._read_at < _FRESH_SECONDS:
            return
        self._read_at = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                self._backlog = await self._read_backlog()
        except (StorageError, TimeoutError):
            self._backlog = None


class _Collected(Collector):
    """Families that are there already."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def _written(family: Metric) -> list[Any]:
    samples = [[one.name, one.labels, one.value] for one in family.samples]
    return [family.name, family.documentation, family.type, samples]


def _read(written: Sequence[Any]) -> Metric:
    name, text, kind, samples = written
    family = Metric(name, text, kind)
    for sample in samples:
        family.add_sample(*sample)
    return family


def _merged(by_process: Mapping[str, Sequence[Metric]]) -> list[Metric]:
    """Each family once, its series labelled by the process that has counted."""
    merged: dict[str, Metric] = {}
    for process, families in by_process.items():
        for family in families:
            whole = merged.get(family.name)
            if whole is None:
                whole = merged[family.name] = Metric(family.name, family.documentation, family.type)
            for one in family.samples:
                whole.add_sample(one.name, {**one.labels, _PROCESS: process}, one.value)
    return list(merged.values())
