"""A target: one reader of foreign bytes, what it is begun with, and what it must never do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True)
class Target:
    """`run` takes any bytes; what it raises is a finding, as is taking seconds over a few bytes."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    """Valid inputs, and those that were findings once."""

    def corpus(self) -> list[bytes]:
        """The seeds, and what earlier runs kept because it reaches code that nothing else does."""
        kept = sorted((CORPUS / self.name).glob("*"))
        return [*self.seeds(), *(path.read_bytes() for path in kept)]


class Finding(AssertionError):
    """A reader gave something that it must not give."""


def check(holds: object, what: str) -> None:
    """A promise of a reader; holds also where Python leaves assertions out."""
    if not holds:
        raise Finding(what)
