"""Batches that are deleted, and images whose place is: hidden at once, gone in parts."""

import io
import json
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import select

from opsin.assembly import Parts
from opsin.core import removal as removal_module
from opsin.core.access import Principal
from opsin.core.errors import NotFound
from opsin.core.images import NewImage
from opsin.core.removal import Removal
from opsin.graphql.context import Context
from opsin.graphql.limits import Limits
from opsin.graphql.schema import build_schema
from opsin.graphql.wire import encode_json
from opsin.settings import Settings
from opsin.storage.audit import audit_entries
from opsin.storage.tables import batches, images
from tests.conftest import other_company
from tests.core.retention.kept import add, check_files, compute, rows, told
from tests.core.retention.subjects import subject_with_images
from tests.core.stored import count
from tests.pictures import solid_png


async def test_batches_go_with_their_images(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    use_cases = parts.use_cases
    subject, theirs = await subject_with_images(parts, principal, count=3)
    kept = await add(
        parts, principal, await use_cases.datasets.get(principal, subject.dataset_id), 99
    )
    batch_id = theirs[0].batch_id or ""
    with pytest.raises(NotFound):
        await use_cases.batches.delete(await other_company(parts), batch_id)
    with pytest.raises(NotFound):
        await use_cases.batches.delete(principal, batch_id, subject_id=kept.id)
    assert (await use_cases.batches.delete(principal, batch_id)).id == batch_id
    with pytest.raises(NotFound):
        await use_cases.batches.get(principal, batch_id)
    assert (await rows(parts)).images == 1
    dataset = await use_cases.datasets.get(principal, subject.dataset_id)
    kinds = Counter(await told(parts, dataset))
    assert (kinds["batch.deleted"], kinds["image.deleted"], kinds["subject.deleted"]) == (1, 3, 0)
    await check_files(parts, settings)


async def test_a_batch_that_was_half_removed_is_removed_whole(
    parts: Parts, principal: Principal, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_cases = parts.use_cases
    subject, theirs = await subject_with_images(parts, principal, count=5)
    batch_id = theirs[0].batch_id or ""
    monkeypatch.setattr(removal_module, "_WITH_THE_ANSWER", timedelta(0))
    await use_cases.batches.delete(principal, batch_id)
    # It is hidden at once, nothing comes in any more, and nobody deletes it again.
    assert (await rows(parts)).images == 5
    new = NewImage(subject.dataset_id, "late.png", batch_id=batch_id)
    for refused in (
        use_cases.batches.get(principal, batch_id),
        use_cases.batches.delete(principal, batch_id),
        use_cases.images.add(principal, new, io.BytesIO(solid_png())),
        use_cases.images.get(principal, theirs[0].id),
    ):
        with pytest.raises(NotFound):
            await refused
    dataset = await use_cases.datasets.get(principal, subject.dataset_id)
    listed, total = await use_cases.batches.page(principal, dataset.id, skip=0, limit=9)
    assert (listed, total) == ([], 0)
    removal = Removal(use_cases.database, parts.sweep, images_at_once=2)
    assert await removal.finish(older_than=timedelta(hours=1)) == 0
    assert await removal.finish() == 5
    assert await removal.finish() == 0
    assert await count(use_cases.database, batches) == 0
    # The batch is told of when nothing is in it any more.
    kinds = await told(parts, dataset)
    assert kinds[-6:] == ["image.deleted"] * 5 + ["batch.deleted"]
    found, _ = await use_cases.image_deletions.listed(principal, dataset.id, skip=0, limit=9)
    assert {(one.action.value, one.reason) for one in found} == {
        ("hard_delete", "its batch was deleted")
    }
    async with use_cases.database.read() as connection:
        noted = select(audit_entries.c.details).where(audit_entries.c.action == "batch.delete")
        assert list((await connection.execute(noted)).scalars()) == [{"images": 5}]
    await check_files(parts, settings)


@pytest.mark.parametrize("what", ["dataset", "subject", "batch"])
async def test_images_of_what_is_deleted_are_not_found_by_their_ids(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Though their rows are still there."""
    use_cases = parts.use_cases
    subject, (image, away) = await subject_with_images(parts, principal, count=2)
    other, (kept,) = await subject_with_images(parts, principal, count=1)
    await use_cases.image_deletions.delete(principal, None, away.id, "it is out of focus")
    monkeypatch.setattr(removal_module, "_WITH_THE_ANSWER", timedelta(0))
    schemas = [
        build_schema(use_cases.host, Limits(40, 500, 50, 5000), compiled=compiled)
        for compiled in (True, False)
    ]

    async def shown(identity: str) -> list[bool]:
        asked = (
            f'{{ found: image(id: "{identity}", deleted: INCLUDED) {{ id }} }}',
            f'{{ found: node(id: "{identity}") {{ id }} }}',
        )
        found = []
        for schema in schemas:
            for document in asked:
                context = Context(use_cases, principal, "http://here", 1000)
                answer = await schema.execute(document, {}, context)
                assert not answer.errors, answer.errors
                found.append(json.loads(encode_json(answer.data))["found"] is not None)
        return found

    made = await compute(parts, principal, image)
    file = await use_cases.artifacts.find(principal, made.id, "mask.png")
    assert file is not None and await use_cases.artifacts.by_id(file.id) == file
    assert await shown(image.id) == [True] * 4
    assert await shown(away.id) == [True, False] * 2
    match what:
        case "dataset":
            await use_cases.datasets.delete(principal, subject.dataset_id)
        case "subject":
            await use_cases.subjects.delete(principal, subject.dataset_id, [subject.id])
        case "batch":
            await use_cases.batches.delete(principal, image.batch_id or "")
    assert (await rows(parts)).images == 3
    for one in (image, away):
        assert await shown(one.id) == [False] * 4
        assert await use_cases.images.find(principal, one.id) is None
        assert await use_cases.owners.company_of(images, one.id) is None
        for refused in (
            use_cases.images.get(principal, one.id, deleted=True),
            use_cases.images.by_id(one.id),
            use_cases.images.delete(principal, one.id),
            use_cases.image_deletions.restore(principal, None, one.id),
        ):
            with pytest.raises(NotFound):
                await refused
    with pytest.raises(NotFound):
        await use_cases.artifacts.by_id(file.id)
    assert await shown(kept.id) == [True] * 4
    assert (await use_cases.images.by_id(kept.id)).id == kept.id
    assert await use_cases.subjects.find(principal, None, other.id) is not None
