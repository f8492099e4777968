"""Results in memory: how large they are, and what goes first."""

import sys
from enum import Enum

import numpy as np
import pytest
from pydantic import BaseModel, PrivateAttr

from opsin.core.answers.memory import KeptResult, ResultMemory, size_of
from opsin.core.contract import Result
from opsin.core.engine import Provenance
from opsin.core.imaging import ImageInfo

INFO = ImageInfo("PNG", "image/png", 1, 1, "RGB", 1, 1, True, ())


class Kind(Enum):
    ONE = "one"


class Inner(BaseModel):
    name: str
    kind: Kind = Kind.ONE


class Large(Result):
    text: str = ""
    vector: tuple[float, ...] = ()
    parts: tuple[Inner, ...] = ()
    _file: bytes | None = PrivateAttr(default=None)


def with_file(size: int) -> Large:
    result = Large()
    result._file = bytes(size)
    return result


@pytest.mark.parametrize(
    ("result", "least", "most"),
    [
        (Large(text="x" * 10_000), 10_000, 12_000),
        (Large(vector=tuple(float(n) for n in range(1_000))), 32_000, 34_000),
        (with_file(50_000), 50_000, 52_000),
        (Large(parts=tuple(Inner(name="n" * 100) for _ in range(100))), 15_000, 80_000),
    ],
)
def test_a_result_is_as_large_as_what_it_holds(result: Large, least: int, most: int) -> None:
    assert least <= size_of(result) <= most


def test_arrays_and_things_that_hold_themselves() -> None:
    assert size_of(np.zeros(1_000)) >= 8_000
    assert size_of(np.zeros((1_000, 4))[::2]) >= 16_000

    class Knot:
        def __init__(self) -> None:
            self.me = self

    assert sys.getsizeof(Knot()) < size_of(Knot()) < 10_000


def kept(result: Result) -> KeptResult:
    return KeptResult(result, Provenance("p", None, "o", "1"), INFO)


def test_it_stays_within_its_bytes() -> None:
    memory = ResultMemory(100_000)
    for number in range(50):
        memory.put(str(number), kept(Large(text="x" * 10_000)))
        assert memory.size <= 100_000
    assert [n for n in range(50) if memory.get(str(n))] == list(range(43, 50))
    memory.put("huge", kept(Large(text="x" * 200_000)))
    assert memory.get("huge") is None and memory.get("49") is not None


def test_nothing_is_kept_in_no_bytes() -> None:
    memory = ResultMemory(0)
    memory.put("a", kept(Large()))
    assert memory.get("a") is None


def test_companies_are_remembered_up_to_a_number() -> None:
    one = kept(Large())
    for number in range(1_000):
        one.given_to(str(number))
    assert len(one.companies) < 100 and "0" in one.companies
