"""`classify` with embeddings that are there already: the same answer, without the embedding."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.engine import Outcome, make_task
from opsin.core.immediate import PictureSource
from opsin.core.records import Image
from opsin.core.testing import run_operation
from opsin.plugins.classify.plugin import Classify
from opsin.settings import Settings
from opsin.storage.blobs import content_key
from tests.conftest import other_company
from tests.core.answers.test_answers import only
from tests.core.house import add_image, ask
from tests.core.labelled import (
    ColorEmbedding,
    enroll,
    labelled_house,
    new_collection,
    two_classes,
)
from tests.core.stored import blob_store
from tests.core.working import found


@pytest.fixture
def embedding() -> ColorEmbedding:
    return ColorEmbedding()


@pytest.fixture
async def parts(
    settings: Settings, any_database_url: str, embedding: ColorEmbedding
) -> AsyncIterator[Parts]:
    async with labelled_house(settings, embedding, database_url=any_database_url) as parts:
        principal = await parts.use_cases.access.local()
        await trained(parts, principal)
        yield parts


async def trained(parts: Parts, principal: Principal) -> None:
    """Two collections, each with a classifier of its own."""
    for seed, key in enumerate(("whales", "ships")):
        await new_collection(parts, principal, key)
        await enroll(parts, principal, two_classes(30, dimensions=4, seed=seed), key)
        await parts.use_cases.classifiers.train(principal, key)


async def classified(parts: Parts, principal: Principal, image: Image, collection: str) -> Outcome:
    task = make_task(parts.use_cases.host, "t", "classify", {"collection_id": collection})
    source = PictureSource(image_id=image.id)
    return only(await parts.use_cases.immediate.analyze(principal, source, [task]))


async def worked(parts: Parts, principal: Principal, image: Image, *collections: str) -> None:
    """The embedding of an image for no collection, else its classification, stored."""
    for collection in collections:
        await ask(parts, principal, image, "classify", collection_id=collection)
    if not collections:
        await ask(parts, principal, image, "embed_color")
    assert await parts.worker.drain() == max(len(collections), 1)


async def test_a_stored_embedding_is_classified_without_its_picture(
    parts: Parts, principal: Principal, embedding: ColorEmbedding, settings: Settings
) -> None:
    image = await add_image(parts, principal)
    await worked(parts, principal, image)
    parts.use_cases.answers.memory._kept.shrink(0)
    await blob_store(settings).delete(content_key(image.sha256))  # nobody reads it again
    for collection in ("whales", "ships"):
        outcome = await classified(parts, principal, image, collection)
        provenance = outcome.provenance
        assert (provenance.cached, provenance.inputs_reused) == (False, True)
    assert embedding.seen == 1
    counts = parts.use_cases.answers.counts
    assert (counts.computed, counts.inputs) == (3, 2)
    # Once it is stored itself, it is that which is found.
    await worked(parts, principal, image, "whales")
    assert counts.computed == 3


async def test_the_probability_is_that_of_an_embedding_that_is_computed(
    parts: Parts, principal: Principal, embedding: ColorEmbedding
) -> None:
    image = await add_image(parts, principal)
    first = await classified(parts, principal, image, "whales")
    await worked(parts, principal, image)
    parts.use_cases.answers.memory._kept.shrink(0)
    again = await classified(parts, principal, image, "whales")
    assert embedding.seen == 1
    assert again.provenance.inputs_reused and not first.provenance.inputs_reused
    assert again.result == first.result
    task = again.task
    assert task.reference is not None
    async with parts.use_cases.images.opened(image) as content:
        picture = await parts.use_cases.engine.decode(content)
    vector = run_operation(embedding, picture.pixels)
    params = {"collection_id": "whales"}
    assert again.result == run_operation(
        Classify(), picture.pixels, params, inputs=[vector], reference=task.reference
    )


async def test_many_collections_take_one_embedding(
    parts: Parts, principal: Principal, embedding: ColorEmbedding
) -> None:
    image = await add_image(parts, principal)
    await worked(parts, principal, image, "whales", "ships")
    await worked(parts, principal, await add_image(parts, principal), "whales", "ships")
    assert embedding.seen == 1
    assert parts.use_cases.answers.counts.memory == 2


async def test_another_companys_classifier_takes_the_embedding_as_lent(
    parts: Parts, principal: Principal, embedding: ColorEmbedding
) -> None:
    await worked(parts, principal, await add_image(parts, principal))
    stranger = await other_company(parts)
    await trained(parts, stranger)
    image = await add_image(parts, stranger)
    first = await classified(parts, stranger, image, "whales")
    second = await classified(parts, stranger, image, "ships")
    assert [o.provenance.inputs_reused for o in (first, second)] == [False, True]
    assert first.provenance.timings.decode > 0
    assert embedding.seen == 1


async def test_an_embedding_of_another_version_is_not_taken(
    settings: Settings, any_database_url: str, embedding: ColorEmbedding
) -> None:
    changes = {"database_url": any_database_url}
    async with labelled_house(settings, embedding, **changes) as parts:
        principal = await parts.use_cases.access.local()
        image = await add_image(parts, principal)
        await worked(parts, principal, image)
    newer = ColorEmbedding(version="2")
    async with labelled_house(settings, newer, **changes) as parts:
        await trained(parts, principal)
        await classified(parts, principal, image, "whales")
    assert (embedding.seen, newer.seen) == (1, 1)


async def test_reuse_false_embeds_anew(
    parts: Parts, principal: Principal, embedding: ColorEmbedding
) -> None:
    image = await add_image(parts, principal)
    await worked(parts, principal, image, "whales")
    task = make_task(parts.use_cases.host, "t", "classify", {"collection_id": "whales"})
    fresh = replace(task, reuse=False)
    asked = await parts.use_cases.analyses.ask(principal, image.id, [fresh])
    await parts.worker.drain()
    (analysis,) = await found(parts, principal, asked)
    assert analysis.provenance is not None
    assert not analysis.provenance["cached"] and not analysis.provenance["inputs_reused"]
    assert embedding.seen == 2
