"""What a client has to do, without doing it: requests to send, pauses to make, answers to read.

Everything the client can do is a generator of these steps.  `Client` and `AsyncClient` carry them
out, each in its own way, so that signing, retries and the reading of answers exist once.
"""

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar
from urllib.parse import quote


class Body(Protocol):
    """Bytes that can be read from their beginning as often as need be."""

    size: int

    def pieces(self) -> Iterator[bytes]:
        """All of them."""

    def chunks(self) -> Iterator[bytes]:
        """The same on their way to the server, which is told to who wants to know."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it goes out; `url` is absolute."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Body = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    def json(self) -> Any:
        """The body as JSON, or None for anything else."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request and give its answer.

    With `receive`, the body of a good answer goes there piece by piece and not into the answer;
    `begin` is called before the first piece.
    """

    request: Request
    begin: Callable[[], None] | None = None
    receive: Callable[[bytes], None] | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Something that takes a while and must not hold up others, such as reading a file."""

    run: Callable[[], Any]


class NoAnswer(Exception):
    """The connection failed; `was_sent` says whether the server may have got the request."""

    def __init__(self, reason: str, *, was_sent: bool) -> None:
        super().__init__(reason)
        self.was_sent = was_sent


T = TypeVar("T")
Steps: TypeAlias = Generator[Send | Pause | Work, Any, T]
"""Yields steps, gets what each of them gives or the exception that it raises, and returns a T."""


def path_part(identity: str) -> str:
    """An id as a part of a path: whatever it is, it leads nowhere else."""
    return quote(str(identity), safe="")
