"""Numbers of operations' versions: given once, never again, in whichever process."""

import asyncio

import pytest

from opsin.core.applications.operation_numbers import OperationNumbers
from opsin.core.errors import ConfigurationError
from opsin.storage.database import Database


@pytest.fixture
async def numbers(any_database_url: str) -> OperationNumbers:
    return OperationNumbers(Database(any_database_url))


@pytest.fixture(autouse=True)
async def closed(numbers: OperationNumbers) -> object:
    yield
    await numbers._database.close()


async def test_each_version_has_its_own(numbers: OperationNumbers) -> None:
    one = await numbers.number_of("skin_redness", "1")
    two = await numbers.number_of("skin_redness", "2")
    other = await numbers.number_of("skin_tone", "1")
    assert (one, two, other) == (1000, 1001, 1002)
    assert await numbers.number_of("skin_redness", "1") == one
    assert [await numbers.operation_of(n) for n in (one, two, other)] == [
        "skin_redness",
        "skin_redness",
        "skin_tone",
    ]
    assert await numbers.all() == [
        (one, "skin_redness", "1"),
        (two, "skin_redness", "2"),
        (other, "skin_tone", "1"),
    ]


async def test_a_reserved_number_is_that_of_the_first_version(numbers: OperationNumbers) -> None:
    numbers.reserve({30: "skin_redness", 40: "face_areas"})
    assert await numbers.operation_of(30) == "skin_redness"
    assert await numbers.number_of("skin_redness", "3") == 30
    later = await numbers.number_of("skin_redness", "4")
    assert later >= 1000
    assert await numbers.number_of("face_areas", "1") == 40
    assert await numbers.all() == [
        (30, "skin_redness", "3"),
        (40, "face_areas", "1"),
        (later, "skin_redness", "4"),
    ]


async def test_another_process_gives_the_same(
    numbers: OperationNumbers, any_database_url: str
) -> None:
    """Also one whose door has reserved others since: what was given stays."""
    numbers.reserve({30: "skin_redness"})
    assert await numbers.number_of("skin_redness", "1") == 30
    mine = await numbers.number_of("skin_tone", "1")
    other = OperationNumbers(Database(any_database_url))
    try:
        other.reserve({30: "skin_pores", 31: "skin_tone"})
        assert await other.number_of("skin_redness", "1") == 30
        assert await other.number_of("skin_tone", "1") == mine
        assert await other.number_of("skin_pores", "1") >= 1000
        assert await other.operation_of(30) == "skin_redness"
    finally:
        await other._database.close()


async def test_all_who_ask_at_once_get_the_same(
    numbers: OperationNumbers, any_database_url: str
) -> None:
    numbers.reserve({7: "reserved"})
    others = [OperationNumbers(Database(any_database_url)) for _ in range(3)]
    for other in others:
        other.reserve({7: "reserved"})
    try:
        versions = [("reserved", "1"), ("reserved", "2"), ("own", "1")]
        given = await asyncio.gather(
            *(one.number_of(*version) for one in [numbers, *others] for version in versions * 4)
        )
    finally:
        for other in others:
            await other._database.close()
    by_version = {version: set(given[n::3]) for n, version in enumerate(versions)}
    assert all(len(found) == 1 for found in by_version.values()), by_version
    assert 7 in by_version["reserved", "1"] | by_version["reserved", "2"]
    assert len({frozenset(found) for found in by_version.values()}) == 3


async def test_numbers_that_nobody_has(numbers: OperationNumbers) -> None:
    for number in (-1, 0, 5, 10**6, 2**40):
        assert await numbers.operation_of(number) is None


@pytest.mark.parametrize("wanted", [{0: "a"}, {1000: "a"}, {1: "a", 2: "a"}])
async def test_what_cannot_be_reserved(numbers: OperationNumbers, wanted: dict[int, str]) -> None:
    with pytest.raises(ConfigurationError, match="cannot be reserved"):
        numbers.reserve(wanted)


async def test_a_number_is_reserved_once(numbers: OperationNumbers) -> None:
    numbers.reserve({1: "a"})
    for again in ({1: "b"}, {2: "a"}):
        with pytest.raises(ConfigurationError):
            numbers.reserve(again)
