"""Cuts any number of findings into requests that a server takes, without holding them all."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from opsin.client.annotations import Annotation, Finding
from opsin.client.errors import InvalidFinding
from opsin.client.signing import encode

MOST_BYTES = 8 * 2**20
"""Of one request, as far as whole findings allow; servers refuse large bodies."""

_NAMES = tuple(member.name for member in fields(Annotation))


@dataclass(frozen=True, slots=True)
class Chunk:
    """The JSON of some findings, of which the first is number `start` of all."""

    start: int
    texts: tuple[bytes, ...]

    def body(self) -> bytes:
        return b'{"annotations":[' + b",".join(self.texts) + b"]}"

    def finding(self, place: int) -> dict[str, Any] | None:
        """The one at this place of the chunk, as it was sent."""
        if not 0 <= place < len(self.texts):
            return None
        found: dict[str, Any] = json.loads(self.texts[place])
        return found


class Chunker:
    """Takes findings one by one and gives a chunk whenever one is full."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._start = 0
        self._texts: list[bytes] = []
        self._size = 0

    @property
    def taken(self) -> int:
        return self._start + len(self._texts)

    def push(self, finding: Finding) -> Iterator[Chunk]:
        """The chunks that this finding completes: the one before it, its own, or none."""
        text = self._encoded(finding)
        if self._texts and self._size + len(text) > MOST_BYTES:
            yield self._cut()
        self._texts.append(text)
        self._size += len(text)
        if len(self._texts) >= self._most:
            yield self._cut()

    def rest(self) -> Iterator[Chunk]:
        if self._texts:
            yield self._cut()

    def _cut(self) -> Chunk:
        chunk = Chunk(self._start, tuple(self._texts))
        self._start, self._texts, self._size = self.taken, [], 0
        return chunk

    def _encoded(self, finding: Finding) -> bytes:
        given = as_dictionary(finding)
        try:
            return encode(given)
        except (TypeError, ValueError) as error:  # NaN, or what is no JSON
            reason = str(error)
            if "Out of range" in reason:  # as the json module puts it
                reason = "NaN and infinity are no JSON"
            raise InvalidFinding(self.taken, reason, given) from None


def chunks(findings: Iterable[Finding], most: int) -> Iterator[Chunk]:
    """All findings, `most` at a time."""
    chunker = Chunker(most)
    for finding in findings:
        yield from chunker.push(finding)
    yield from chunker.rest()


def as_dictionary(finding: Finding) -> dict[str, Any]:
    """The fields that are given; the server's defaults for the others."""
    if isinstance(finding, Mapping):
        return dict(finding)
    values = ((name, getattr(finding, name)) for name in _NAMES)
    return {name: value for name, value in values if value is not None}
