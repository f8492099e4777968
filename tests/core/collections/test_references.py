"""References: the best classifier and the gallery of a company, current at every request."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event, update

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.collections import references as references_module
from opsin.core.collections.enrolment import NewMember
from opsin.core.collections.references import References
from opsin.core.contract import Classifier, Gallery, Input, ReferenceKind, ReferenceRequest, Target
from opsin.core.errors import Conflict, NotFound, StorageError
from opsin.settings import Settings
from opsin.storage.tables import classifiers
from tests.conftest import other_company
from tests.core.labelled import (
    FINGERPRINT,
    ColorEmbedding,
    enroll,
    labelled_house,
    new_collection,
    two_classes,
)

CLASSIFIER = ReferenceKind.CLASSIFIER
GALLERY = ReferenceKind.GALLERY
INPUT = Input("embed_color", Target.WHOLE_IMAGE, params={"normalize": False})


@pytest.fixture
async def parts(settings: Settings, any_database_url: str) -> AsyncIterator[Parts]:
    async with labelled_house(settings, database_url=any_database_url) as parts:
        yield parts


async def classifier(parts: Parts, principal: Principal, key: str = "whales") -> Classifier:
    found = await parts.use_cases.references.find(
        principal.company_id, ReferenceRequest(CLASSIFIER, key)
    )
    assert isinstance(found, Classifier)
    return found


async def gallery(parts: Parts, principal: Principal, key: str = "whales") -> Gallery:
    found = await parts.use_cases.references.find(
        principal.company_id, ReferenceRequest(GALLERY, key)
    )
    assert isinstance(found, Gallery)
    return found


# --- classifiers ----------------------------------------------------------------------------------


async def test_the_best_classifier_is_found(parts: Parts, principal: Principal) -> None:
    await new_collection(parts, principal, "5")
    await enroll(parts, principal, two_classes(), "5")
    report = await parts.use_cases.classifiers.train(principal, "5")
    document = report.best.candidate.document
    for key in ("5", "005", " +5 "):
        found = await classifier(parts, principal, key)
        assert found.collection == "5"
        assert found.digest == report.best.candidate.digest
        assert tuple(found.coefficients) == document.coefficients
        assert found.coefficients.dtype == np.float64 and not found.coefficients.flags.writeable
        assert found.intercept == document.intercept
        assert found.fingerprints == (FINGERPRINT,)
        assert found.inputs == (INPUT,)


@pytest.mark.parametrize("key", ["whales", "empty", "007", "", "\x00", "x" * 300])
async def test_what_is_not_there_is_said_as_it_was_sent(
    parts: Parts, principal: Principal, key: str
) -> None:
    await new_collection(parts, principal, "empty")
    with pytest.raises(NotFound) as raised:
        await classifier(parts, principal, key)
    assert raised.value.message == f"Classifier not found for collection_id {key}."


async def test_another_company_has_its_own(parts: Parts, principal: Principal) -> None:
    other = await other_company(parts)
    await new_collection(parts, principal)
    await enroll(parts, principal, two_classes())
    await parts.use_cases.classifiers.train(principal, "whales")
    assert await classifier(parts, principal)
    with pytest.raises(NotFound):
        await classifier(parts, other)
    await new_collection(parts, other)
    with pytest.raises(NotFound):
        await classifier(parts, other)
    with pytest.raises(NotFound):
        await gallery(parts, other)


async def test_it_is_read_once_and_again_when_retrained(
    settings: Settings, any_database_url: str
) -> None:
    async with labelled_house(settings, database_url=any_database_url) as parts:
        principal = await parts.use_cases.access.local()
        await new_collection(parts, principal)
        await enroll(parts, principal, two_classes(gap=6))
        await parts.use_cases.classifiers.train(principal, "whales")
        first = await classifier(parts, principal)
        assert await classifier(parts, principal) is first
        statements = counted(parts)
        assert await classifier(parts, principal) is first
        assert len([s for s in statements if s.startswith("SELECT")]) == 1
        # Another process with the same database.
        async with labelled_house(settings, database_url=any_database_url) as other:
            await enroll(other, principal, two_classes(gap=6, seed=1))
            report = await other.use_cases.classifiers.train(principal, "whales")
            assert report.best is report.new
        second = await classifier(parts, principal)
        assert second.digest == report.new.candidate.digest != first.digest


def counted(parts: Parts) -> list[str]:
    """The statements that are run from now on."""
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)

    for engine in {parts.use_cases.database._reader, parts.use_cases.database._writer}:
        event.listen(engine.sync_engine, "before_cursor_execute", note)
    return statements


async def test_a_damaged_one_is_never_used(parts: Parts, principal: Principal) -> None:
    await new_collection(parts, principal)
    await enroll(parts, principal, two_classes())
    await parts.use_cases.classifiers.train(principal, "whales")
    async with parts.use_cases.database.write() as transaction:
        await transaction.connection.execute(
            update(classifiers).values(document=classifiers.c.document + " ")
        )
    with pytest.raises(StorageError, match="damaged"):
        await classifier(parts, principal)


async def test_another_version_of_an_operation_is_a_conflict(
    settings: Settings, any_database_url: str
) -> None:
    async with labelled_house(settings, database_url=any_database_url) as parts:
        principal = await parts.use_cases.access.local()
        await new_collection(parts, principal)
        await enroll(parts, principal, two_classes())
        await parts.use_cases.classifiers.train(principal, "whales")
    changed = ColorEmbedding(version="2")
    async with labelled_house(settings, changed, database_url=any_database_url) as parts:
        for find in (classifier, gallery):
            with pytest.raises(Conflict, match=r"version 2 here.*version 1: embed and train anew"):
                await find(parts, principal)


# --- galleries ------------------------------------------------------------------------------------


async def test_a_gallery_has_unit_rows_labels_and_attributes(
    parts: Parts, principal: Principal
) -> None:
    await new_collection(parts, principal)
    await enroll(
        parts,
        principal,
        [
            NewMember("Ada", [[3.0, 4.0]], attributes={"species": "orca", "sex": "f"}),
            NewMember("Bob", [[0.0, 1e-20]]),
            NewMember("Ada", [[-1e30, 1e30]], attributes={"species": "killer whale"}),
        ],
    )
    found = await gallery(parts, principal)
    assert found.labels == ("Ada", "Bob", "Ada")
    half = np.sqrt(np.float32(0.5))
    assert np.allclose(found.vectors, np.array([[0.6, 0.8], [0, 1], [-half, half]]), atol=1e-7)
    assert np.abs(np.linalg.norm(found.vectors, axis=1) - 1).max() < 1e-6
    assert found.vectors.dtype == np.float32 and not found.vectors.flags.writeable
    assert found.attributes == {"Ada": {"species": "killer whale", "sex": "f"}}
    assert found.fingerprints == (FINGERPRINT,)
    assert found.inputs == (INPUT,)


async def test_a_gallery_without_members_is_none(parts: Parts, principal: Principal) -> None:
    with pytest.raises(NotFound, match="there is no collection 'whales'"):
        await gallery(parts, principal)
    await new_collection(parts, principal)
    with pytest.raises(NotFound, match="'whales' has no members"):
        await gallery(parts, principal)


async def test_a_gallery_is_loaded_once_until_its_members_change(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await new_collection(parts, principal)
    await enroll(parts, principal, [NewMember("Ada", [[1.0]])])
    reads = 0
    original = references_module.read_members  # type: ignore[attr-defined]  # imported there

    async def reading(*arguments: Any) -> Any:
        nonlocal reads
        reads += 1
        await asyncio.sleep(0.05)
        return await original(*arguments)

    monkeypatch.setattr(references_module, "read_members", reading)
    asked = [asyncio.ensure_future(gallery(parts, principal)) for _ in range(5)]
    await asyncio.sleep(0.01)
    asked[0].cancel()  # whoever gives up takes nothing from the others
    found = await asyncio.gather(*asked[1:])
    first = found[0]
    assert all(one is first for one in found) and reads == 1
    # Twice in one tick of the clock is still seen twice.
    await enroll(parts, principal, [NewMember("Bob", [[2.0]])])
    await enroll(parts, principal, [NewMember("Eve", [[3.0]])])
    second = await gallery(parts, principal)
    assert second.labels == ("Ada", "Bob", "Eve") and second.digest != first.digest
    await parts.use_cases.classifiers.of(principal, "whales")
    assert await gallery(parts, principal) is second
    assert reads == 2


async def test_what_is_kept_is_bounded(parts: Parts, principal: Principal) -> None:
    store = References(parts.use_cases.database, parts.use_cases.host, cache_bytes=1000)
    for key in "abc":
        await new_collection(parts, principal, key)
        rows = [NewMember("x", [[1.0] * 100])]  # 400 bytes
        await enroll(parts, principal, rows, key)

    async def find(key: str) -> Any:
        return await store.find(principal.company_id, ReferenceRequest(GALLERY, key))

    a, b = await find("a"), await find("b")
    assert await find("a") is a  # used last
    await find("c")
    assert await find("a") is a
    assert await find("b") is not b
    # One larger than all the room is kept while it is the last.
    await new_collection(parts, principal, "large")
    await enroll(parts, principal, [NewMember("x", [[1.0] * 1000])], "large")
    large = await find("large")
    assert await find("large") is large
    assert await find("a") is not a
