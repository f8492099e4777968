"""What readers give: images of a source, what it says of them, and what cannot be taken."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opsin.core.checked_annotations import CheckedAnnotations

_SHA256 = re.compile(r"[0-9a-f]{64}")
Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file of the source, from 1; without a line the file as a whole."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


class Refused(Exception):
    """Why one thing of a source is not taken; the rest is."""


def digest_in(value: Any) -> str | None:
    """A sha256 in hexadecimal, if it is one."""
    return value if isinstance(value, str) and _SHA256.fullmatch(value) else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is not taken, and why."""

    place: Place
    reason: str


@dataclass(slots=True)
class SourceAnalysis:
    """One analysis as it will be stored.

    `identity` is what it is known by when it is imported again: the same for the same content.
    """

    identity: str
    model_name: str
    model_version: str
    annotations: CheckedAnnotations
    status: str = "COMPLETED"
    provenance: dict[str, Any] = field(default_factory=dict)
    source_id: str | None = None
    """The id of an analysis of Opsin or VISTA that it was exported from."""
    operation: str | None = None
    parameters: dict[str, Any] | None = None
    error_message: str | None = None
    result_type: str | None = None
    result: Any = None
    summary: dict[str, Any] | None = None


class Refusals:
    """What is not taken: all are counted, the first thousand kept."""

    MOST = 1000

    def __init__(self) -> None:
        self.count = 0
        self.first: list[Refusal] = []

    def add(self, place: Callable[[], Place], reason: str) -> None:
        """`place` is asked only for those that are kept: to count lines takes its time."""
        self.count += 1
        if len(self.first) < self.MOST:
            self.first.append(Refusal(place(), reason))


@dataclass(slots=True)
class Findings:
    """What a reader tells beside its images."""

    refusals: Refusals = field(default_factory=Refusals)
    notes: Counter[str] = field(default_factory=Counter)
    """What is worth a word, and how often it was met."""


@dataclass(slots=True)
class SourceImage:
    """One image of a source: where its picture may be, and what reads its analyses."""

    place: Callable[[], Place]
    name: str
    """As the source calls it, for people."""
    read: Callable[[Size, int], Sequence[SourceAnalysis]]
    """Given the size of the picture and its EXIF orientation; runs on a thread.

    Raises Refused when nothing of it can be taken.
    """
    size_bytes: int = 0
    """Of the text that `read` parses."""
    paths: Sequence[str] = ()
    """Where its picture may be among the pictures, the likeliest first."""
    filename: str | None = None
    image_id: str | None = None
    sha256: str | None = None
    size: Size | None = None
    metadata: dict[str, Any] | None = None
