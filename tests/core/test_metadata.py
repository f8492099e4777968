"""Metadata of datasets and images: any JSON by key, set together, and nothing lost beside it."""

import asyncio
from typing import Any

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.metadata import MAX_KEYS, read_metadata
from tests.conftest import other_company
from tests.core.house import add_image

VALUES: dict[str, Any] = {
    "text": "7",
    "number": 7,
    "float": 1.0,
    "small": 0.1 + 0.2,
    "large": 10**40,
    "nothing": None,
    "logic": False,
    "list": [1, {"deep": ["\U0001f40b"]}],
    "empty": {},
}


async def kept(parts: Parts, principal: Principal, dataset_id: str) -> dict[str, Any]:
    entries = await parts.use_cases.metadata.entries(principal, dataset_id)
    return {entry.key: entry.value for entry in entries}


async def test_values_come_back_as_they_were(parts: Parts, principal: Principal) -> None:
    metadata = parts.use_cases.metadata
    dataset = await parts.use_cases.datasets.create(principal, "whales")
    await metadata.set_many(principal, dataset.id, VALUES)
    found = await kept(parts, principal, dataset.id)
    assert {key: repr(value) for key, value in found.items()} == {
        key: repr(value) for key, value in VALUES.items()
    }
    image = await add_image(parts, principal)
    changed = await metadata.set_many_of_image(principal, image.id, VALUES)
    assert repr(changed.metadata) == repr(VALUES)


async def test_what_is_not_named_stays(parts: Parts, principal: Principal) -> None:
    metadata = parts.use_cases.metadata
    dataset = await parts.use_cases.datasets.create(principal, "whales")
    await metadata.set_many(principal, dataset.id, {"a": 1, "b": 2})
    entries = await metadata.set_many(principal, dataset.id, {" b ": 3, "c": 4})
    assert [(one.key, one.value) for one in entries] == [("a", 1), ("b", 3), ("c", 4)]
    assert [one.updated_at is not None for one in entries] == [False, True, False]
    assert (await metadata.entry(principal, dataset.id, "b")).value == 3
    assert (await metadata.remove_many(principal, dataset.id, ["a", "c", "a"])).id == dataset.id
    assert await kept(parts, principal, dataset.id) == {"b": 3}
    image = await add_image(parts, principal)
    await metadata.set_many_of_image(principal, image.id, {"a": 1, "b": 2})
    changed = await metadata.set_of_image(principal, image.id, "b", [3])
    assert changed.metadata == {"a": 1, "b": [3]}
    left = await metadata.remove_many_of_image(principal, image.id, ["a"])
    assert left.metadata == {"b": [3]}
    assert (await parts.use_cases.images.get(principal, image.id)).metadata == {"b": [3]}


async def test_removals_are_of_all_or_none(parts: Parts, principal: Principal) -> None:
    metadata = parts.use_cases.metadata
    image = await add_image(parts, principal)
    await metadata.set_many(principal, image.dataset_id, {"a": 1})
    await metadata.set_many_of_image(principal, image.id, {"a": 1})
    for keys in (["a", "b"], ["b"], ["a\x00"], ["\ud800"]):
        with pytest.raises(NotFound):
            await metadata.remove_many(principal, image.dataset_id, keys)
        with pytest.raises(NotFound):
            await metadata.remove_many_of_image(principal, image.id, keys)
    assert await kept(parts, principal, image.dataset_id) == {"a": 1}
    assert (await parts.use_cases.images.get(principal, image.id)).metadata == {"a": 1}
    with pytest.raises(NotFound):
        await metadata.entry(principal, image.dataset_id, "b")


@pytest.mark.parametrize(
    "values",
    [
        {"": 1},
        {"  ": 1},
        {"x" * 256: 1},
        {"a\x00": 1},
        {"a": "\x00"},
        {"a": float("nan")},
        {"good": 1, "a": ["\ud800"]},
        {f"k{n}": n for n in range(MAX_KEYS + 1)},
    ],
)
async def test_what_is_refused(parts: Parts, principal: Principal, values: dict[str, Any]) -> None:
    metadata = parts.use_cases.metadata
    image = await add_image(parts, principal)
    with pytest.raises(InvalidInput):
        await metadata.set_many(principal, image.dataset_id, values)
    with pytest.raises(InvalidInput):
        await metadata.set_many_of_image(principal, image.id, values)
    assert await kept(parts, principal, image.dataset_id) == {}
    assert (await parts.use_cases.images.get(principal, image.id)).metadata == {}


async def test_many_who_set_keys_lose_none(parts: Parts, principal: Principal) -> None:
    metadata = parts.use_cases.metadata
    image = await add_image(parts, principal)
    await asyncio.gather(
        *(metadata.set_many(principal, image.dataset_id, {f"k{n % 5}": n}) for n in range(15)),
        *(metadata.set_of_image(principal, image.id, f"k{n}", n) for n in range(15)),
    )
    assert set(await kept(parts, principal, image.dataset_id)) == {f"k{n}" for n in range(5)}
    changed = await parts.use_cases.images.get(principal, image.id)
    assert changed.metadata == {f"k{n}": n for n in range(15)}


async def test_another_companys_are_not_there(parts: Parts, principal: Principal) -> None:
    metadata = parts.use_cases.metadata
    image = await add_image(parts, principal)
    await metadata.set_many(principal, image.dataset_id, {"a": 1})
    stranger = await other_company(parts)
    for attempt in (
        metadata.entries(stranger, image.dataset_id),
        metadata.set_many(stranger, image.dataset_id, {"a": 2}),
        metadata.remove(stranger, image.dataset_id, "a"),
        metadata.set_of_image(stranger, image.id, "a", 2),
        metadata.remove_of_image(stranger, image.id, "a"),
        metadata.set_of_image(principal, "no id", "a", 2),
    ):
        with pytest.raises(NotFound):
            await attempt
    async with parts.use_cases.database.read() as connection:
        theirs = await read_metadata(connection, stranger, [image.dataset_id])
        ours = await read_metadata(connection, principal, [image.dataset_id])
    assert theirs == {image.dataset_id: {}}
    assert ours == {image.dataset_id: {"a": 1}}
