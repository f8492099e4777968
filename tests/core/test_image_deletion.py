"""Deletion of images: hidden with a reason, restored or gone for good, and every step told of."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from opsin.assembly import Parts
from opsin.core import image_deletion
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.errors import BlobNotFound, Conflict, Gone, InvalidInput, NotFound
from opsin.core.images import NewImage
from opsin.core.records import Image
from opsin.settings import Settings
from opsin.storage.tables import events
from tests.conftest import other_company
from tests.core.house import add_image
from tests.core.retention.kept import check_files, compute, rows, tell
from tests.pictures import solid_png

REASON = "it is out of focus"
NO_SUCH_ID = "01890000-0000-7000-8000-000000000000"


async def told(parts: Parts, principal: Principal, image: Image) -> list[str]:
    """What the list says of an image, oldest first."""
    found, total = await parts.use_cases.image_deletions.listed(
        principal, image.dataset_id, skip=0, limit=100
    )
    assert total == len(found)
    return [one.action.value for one in reversed(found) if one.image_id == image.id]


async def logged(parts: Parts, image: Image) -> list[str]:
    statement = select(events.c.kind).where(events.c.image_id == image.id)
    async with parts.use_cases.database.read() as connection:
        return list((await connection.execute(statement.order_by(events.c.sequence))).scalars())


async def test_hidden_and_shown_again(parts: Parts, principal: Principal) -> None:
    deletions, images = parts.use_cases.image_deletions, parts.use_cases.images
    image = await add_image(parts, principal)
    analysis = await parts.use_cases.analyses.tell(
        principal, NewExternalAnalysis(image.id, "yolo", "1")
    )
    hidden = await deletions.delete(principal, image.dataset_id, image.id, f"  {REASON} ")
    assert hidden.deleted_at is not None
    assert (hidden.deleted_by, hidden.deletion_reason) == (principal.name, REASON)
    assert hidden.pending_hard_delete_at == hidden.deleted_at + timedelta(days=60)
    assert await images.find(principal, image.id) is None
    assert (await images.get(principal, image.id, deleted=True)).id == image.id
    assert await parts.use_cases.analyses.find(principal, analysis.id) == analysis
    with pytest.raises(Conflict):
        await deletions.delete(principal, None, image.id, REASON)
    shown = await deletions.restore(principal, None, image.id, "a mistake")
    assert (shown.deleted_at, shown.deleted_by, shown.deletion_reason) == (None, None, None)
    assert shown.pending_hard_delete_at is None
    assert await deletions.restore(principal, None, image.id) == shown
    assert await told(parts, principal, image) == ["soft_delete", "restore"]
    found, _ = await deletions.listed(principal, image.dataset_id, skip=0, limit=1)
    assert (found[0].actor, found[0].reason) == (principal.name, "a mistake")
    assert await logged(parts, image) == [
        "image.created",
        "analysis.queued",
        "image.deleted",
        "image.created",
    ]


@pytest.mark.parametrize("reason", ["", "too short", " " * 20, "with a NUL \x00 in it"])
async def test_reasons_that_are_refused(parts: Parts, principal: Principal, reason: str) -> None:
    image = await add_image(parts, principal)
    with pytest.raises(InvalidInput):
        await parts.use_cases.image_deletions.delete(principal, None, image.id, reason)
    assert await parts.use_cases.images.find(principal, image.id) == image
    assert await told(parts, principal, image) == []
    await parts.use_cases.image_deletions.delete(principal, None, image.id, REASON)
    with pytest.raises(InvalidInput):
        await parts.use_cases.image_deletions.restore(principal, None, image.id, "a\x00b")


async def test_by_force_the_file_goes_at_once(parts: Parts, principal: Principal) -> None:
    deletions, images = parts.use_cases.image_deletions, parts.use_cases.images
    image = await add_image(parts, principal)
    twin = await images.add(
        principal, NewImage(image.dataset_id, "twin.png"), io.BytesIO(solid_png(40, 30))
    )
    await deletions.delete(principal, None, image.id, REASON)
    forced = await deletions.delete(principal, None, image.id, REASON, force=True)
    assert forced.storage_deleted
    # The twin has the same bytes.
    assert await images.content(twin) == solid_png(40, 30)
    await deletions.delete(principal, None, twin.id, REASON, force=True)
    with pytest.raises(BlobNotFound):
        await images.content(twin)
    for one in (image, twin):
        with pytest.raises(Conflict):
            await deletions.restore(principal, None, one.id)
        with pytest.raises(Conflict):
            await deletions.delete(principal, None, one.id, REASON, force=True)
    assert await told(parts, principal, image) == ["soft_delete", "force_delete"]


async def test_by_force_what_was_made_of_it_goes_too(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    """A cut-out face is the picture again; who has equal bytes keeps them."""
    image, twin = [await add_image(parts, principal) for _ in range(2)]
    await compute(parts, principal, image)
    await tell(parts, principal, image, b"both")
    await compute(parts, principal, twin, b"both")
    await parts.use_cases.image_deletions.delete(principal, None, image.id, REASON, force=True)
    left = await rows(parts)
    assert (left.images, left.analyses, left.artifacts) == (2, 3, 1)
    await check_files(parts, settings)


async def test_after_its_time_it_is_gone(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_deletion, "_AT_ONCE", 2)
    deletions = parts.use_cases.image_deletions
    images = [await add_image(parts, principal) for _ in range(5)]
    kept = await add_image(parts, principal)
    for image in images:
        await deletions.delete(principal, None, image.id, REASON)
    assert await deletions.purge() == 0
    assert await deletions.purge(datetime.now(UTC) + timedelta(days=61)) == 5
    for image in images:
        with pytest.raises(Gone):
            await deletions.restore(principal, None, image.id)
        assert await told(parts, principal, image) == ["soft_delete", "hard_delete"]
    assert await parts.use_cases.images.find(principal, kept.id) == kept


async def test_for_good_is_told_of_as_well(parts: Parts, principal: Principal) -> None:
    image = await add_image(parts, principal)
    await parts.use_cases.images.delete(principal, image.id)
    assert await told(parts, principal, image) == ["hard_delete"]
    found, _ = await parts.use_cases.image_deletions.listed(
        principal, image.dataset_id, skip=0, limit=1
    )
    assert (found[0].actor, found[0].filename) == (principal.name, image.filename)
    with pytest.raises(Gone):
        await parts.use_cases.image_deletions.restore(principal, None, image.id)


async def test_another_companys_are_not_there(parts: Parts, principal: Principal) -> None:
    deletions = parts.use_cases.image_deletions
    image, other = await add_image(parts, principal), await add_image(parts, principal)
    purged = await add_image(parts, principal)
    await parts.use_cases.images.delete(principal, purged.id)
    stranger = await other_company(parts)
    for attempt in (
        deletions.delete(stranger, None, image.id, REASON),
        deletions.delete(stranger, image.dataset_id, image.id, REASON),
        deletions.delete(principal, other.dataset_id, image.id, REASON),
        deletions.delete(principal, None, NO_SUCH_ID, REASON),
        deletions.delete(principal, None, "no id", REASON),
        deletions.restore(stranger, None, image.id),
        deletions.restore(stranger, None, purged.id),
        deletions.restore(principal, other.dataset_id, image.id),
        deletions.listed(stranger, image.dataset_id, skip=0, limit=1),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await parts.use_cases.images.find(principal, image.id) == image
