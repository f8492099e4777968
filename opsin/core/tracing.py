"""Spans: what was done for a request, when, and inside of what; at no cost where nobody asks."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType, TracebackType
from typing import Literal, Protocol, TypeAlias

Value: TypeAlias = str | bool | int | float
Attributes: TypeAlias = Mapping[str, Value]
NONE: Attributes = MappingProxyType({})
Kind = Literal["internal", "server", "client", "producer", "consumer"]
Place: TypeAlias = str
"""Where in a trace something is: a W3C `traceparent`, which may cross threads and processes."""

NOWHERE: Place = ""
"""The parent of what begins a trace of its own, whatever is going on."""


class Span(Protocol):
    """Something that is being done."""

    def set(self, name: str, value: Value) -> None:
        """Say one thing more of it."""

    def fail(self, reason: str) -> None:
        """It did not work; the reason is one that anybody may read."""


class Tracer(Protocol):
    """What makes spans of what it is told."""

    def span(
        self,
        name: str,
        attributes: Attributes,
        kind: Kind,
        parent: Place | None,
        links: Iterable[Place],
    ) -> AbstractContextManager[Span]: ...

    def record(
        self,
        name: str,
        started: float,
        ended: float,
        attributes: Attributes,
        kind: Kind,
        parent: Place | None,
        links: Iterable[Place],
    ) -> Place | None: ...

    def place(self) -> Place | None: ...

    def close(self) -> None: ...


class _NoSpan:
    """The span of what nobody traces."""

    __slots__ = ()

    def __enter__(self) -> "Span":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None: ...

    def set(self, name: str, value: Value) -> None: ...

    def fail(self, reason: str) -> None: ...


NO_SPAN = _NoSpan()

tracer: Tracer | None = None
"""None where tracing is off; `use` changes it.  Busy code asks before it calls anything here."""


def use(new: Tracer | None) -> None:
    """Trace with this from now on; None: no more."""
    global tracer
    tracer = new


def span(
    name: str,
    attributes: Attributes = NONE,
    *,
    kind: Kind = "internal",
    parent: Place | None = None,
    links: Iterable[Place] = (),
) -> AbstractContextManager[Span]:
    """What is done inside of the `with` statement, within the current span or within `parent`."""
    if tracer is None:
        return NO_SPAN
    return tracer.span(name, attributes, kind, parent, links)


def part(
    name: str, attributes: Attributes = NONE, *, kind: Kind = "internal"
) -> AbstractContextManager[Span]:
    """As `span`, but nothing where there is no current one: it is too small for its own trace."""
    if tracer is None or tracer.place() is None:
        return NO_SPAN
    return tracer.span(name, attributes, kind, None, ())


def record(
    name: str,
    started: float,
    ended: float,
    attributes: Attributes = NONE,
    *,
    kind: Kind = "internal",
    parent: Place | None = None,
    links: Iterable[Place] = (),
) -> Place | None:
    """What was done between two times of the monotonic clock, seen afterwards; gives its place."""
    if tracer is None:
        return None
    return tracer.record(name, started, ended, attributes, kind, parent, links)


def place() -> Place | None:
    """Where we are, to be the `parent` or a link of a span elsewhere; None outside of any."""
    return None if tracer is None else tracer.place()


def is_kept(place: Place | None) -> bool:
    """Whether what is recorded there will be seen: the flag `sampled` of a `traceparent`."""
    return place is not None and bool(int(place[-2:], 16) & 1)
