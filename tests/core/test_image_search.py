"""Searches by offset: names, types, senders and metadata, in whatever case, of one dataset."""

import io
from typing import Any

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.conditions import LONGEST_SUBSTRING
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.image_search import ImageSearch
from opsin.core.images import NewImage
from tests.conftest import other_company
from tests.pictures import solid_png

IMAGES: dict[str, tuple[dict[str, Any], str | None]] = {
    "Sea_1.PNG": ({"place": "Bergen", "depth": 40}, "Ann"),
    "sea21.png": ({"place": "Oslo", "note": "20% snow"}, "Änne"),
    "LÄND.png": ({"Bergen": "a key"}, None),
}


@pytest.fixture
async def dataset_id(parts: Parts, principal: Principal) -> str:
    """A dataset with the images, beside another one with the same."""
    ids = []
    for name in ("other", "searched"):
        dataset = await parts.use_cases.datasets.create(principal, name)
        ids.append(dataset.id)
        for filename, (metadata, sender) in IMAGES.items():
            new = NewImage(dataset.id, filename, metadata=metadata, uploaded_by=sender)
            await parts.use_cases.images.add(principal, new, io.BytesIO(solid_png()))
    return ids[-1]


async def found(parts: Parts, principal: Principal, dataset_id: str, **wanted: Any) -> list[str]:
    images = await parts.use_cases.image_searches.find(principal, dataset_id, ImageSearch(**wanted))
    return [image.filename for image in images]


@pytest.mark.parametrize(
    ("field", "value", "numbers"),
    [
        ("filename", "SEA", [0, 1]),
        ("filename", "_", [0]),
        ("filename", "%", []),
        ("filename", "länd", [2]),
        ("filename", "", [0, 1, 2]),
        ("content_type", "PNG", [0, 1, 2]),
        ("content_type", "jpeg", []),
        ("uploaded_by", "ÄNN", [1]),
        ("uploaded_by", "nn", [0, 1]),
        ("metadata", "berg", [0]),
        ("metadata", "20%", [1]),
        ("metadata", "place", []),
        ("place", "o", [1]),
        ("depth", "4", [0]),
        ("Bergen", "KEY", [2]),
        ("bergen", "key", []),
        ("nothing", "a", []),
        (None, "a", [0, 1, 2]),
        ("filename", "\x00", []),
        ("\x00", "a", []),
        ("place", "\ud800", []),
    ],
)
async def test_what_is_found(
    parts: Parts,
    principal: Principal,
    dataset_id: str,
    field: str | None,
    value: str,
    numbers: list[int],
) -> None:
    names = list(IMAGES)
    expected = [names[number] for number in numbers]
    assert await found(parts, principal, dataset_id, field=field, value=value) == expected


async def test_pages_and_deleted_images(
    parts: Parts, principal: Principal, dataset_id: str
) -> None:
    everything = list(IMAGES)
    assert await found(parts, principal, dataset_id) == everything
    page = {"skip": 1, "limit": 1}
    assert await found(parts, principal, dataset_id, **page) == everything[1:2]
    search = {"field": "metadata", "value": "e"}
    assert await found(parts, principal, dataset_id, **page, **search) == everything[2:]
    assert await found(parts, principal, dataset_id, limit=0) == []
    (first, *_) = await parts.use_cases.image_searches.find(principal, dataset_id, ImageSearch())
    await parts.use_cases.image_deletions.delete(principal, None, first.id, "out of focus")
    assert await found(parts, principal, dataset_id) == everything[1:]
    assert await found(parts, principal, dataset_id, include_deleted=True) == everything
    only = {"deleted_only": True, "include_deleted": True}
    assert await found(parts, principal, dataset_id, **only) == everything[:1]


async def test_what_is_refused(parts: Parts, principal: Principal, dataset_id: str) -> None:
    for field in ("filename", "metadata", "place"):
        longest = {"field": field, "value": "x" * LONGEST_SUBSTRING}
        assert await found(parts, principal, dataset_id, **longest) == []
        with pytest.raises(InvalidInput):
            longer = {"field": field, "value": "x" * (LONGEST_SUBSTRING + 1)}
            await found(parts, principal, dataset_id, **longer)
    stranger = await other_company(parts)
    for caller, identity in ((stranger, dataset_id), (principal, "no id")):
        with pytest.raises(NotFound):
            await found(parts, caller, identity)
