"""What use cases show to somebody who sees one dataset: that one, and no trace of another."""

import asyncio
import io
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.collections.collections import NewCollection
from opsin.core.collections.inputs import NewInput
from opsin.core.engine import make_task
from opsin.core.errors import Conflict, Forbidden, NotFound, OpsinError
from opsin.core.exports.request import TargetKind
from opsin.core.image_search import ImageSearch
from opsin.core.images import NewImage
from opsin.core.immediate import PictureSource
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.roles import Role, rights_of
from opsin.core.similarity.similar_images import _datasets
from opsin.core.subjects import NewSubject
from opsin.core.webhooks.webhooks import NewWebhook
from opsin.storage.ids import new_id
from tests.pictures import solid_png


@dataclass
class Place:
    """A dataset and something of each kind in it."""

    dataset: str
    subject: str
    batch: str
    image: str
    analysis: str
    webhook: str


@pytest_asyncio.fixture
async def seen(parts: Parts, principal: Principal) -> Place:
    return await place_of(parts, principal, "seen")


@pytest_asyncio.fixture
async def hidden(parts: Parts, principal: Principal) -> Place:
    return await place_of(parts, principal, "hidden")


@pytest.fixture
def somebody(principal: Principal, seen: Place) -> Principal:
    return replace(principal, rights=rights_of(frozenset(), [(seen.dataset, Role.PIPELINE.value)]))


async def place_of(parts: Parts, principal: Principal, name: str) -> Place:
    use_cases = parts.use_cases
    dataset = await use_cases.datasets.create(principal, name)
    subject = await use_cases.subjects.create(principal, dataset.id, NewSubject(name))
    batch = await use_cases.batches.create(principal, dataset.id, subject.id, name=name)
    new = NewImage(dataset.id, f"{name}.png", subject_id=subject.id, batch_id=batch.id)
    image = await use_cases.images.add(principal, new, io.BytesIO(solid_png(40, 30)))
    analysis = await use_cases.analyses.tell(principal, NewExternalAnalysis(image.id, "yolo", "1"))
    found = [{"annotation_type": "box", "class_name": name, "data": {}}]
    await use_cases.annotations.add(principal, analysis.id, found)
    hook = NewWebhook("https://example.org/x", kinds=("image.created",), dataset_id=dataset.id)
    webhook, _ = await use_cases.webhooks.create(principal, hook)
    return Place(dataset.id, subject.id, batch.id, image.id, analysis.id, webhook.id)


async def test_one_thing_by_its_id(
    parts: Parts, somebody: Principal, seen: Place, hidden: Place
) -> None:
    use_cases = parts.use_cases
    reads = (
        lambda one: use_cases.datasets.get(somebody, one.dataset),
        lambda one: use_cases.subjects.get(somebody, None, one.subject),
        lambda one: use_cases.batches.get(somebody, one.batch),
        lambda one: use_cases.images.get(somebody, one.image),
        lambda one: use_cases.images.get(somebody, one.image, deleted=True),
        lambda one: use_cases.external_reads.analyses_of(somebody, one.image, skip=0, limit=9),
        lambda one: use_cases.webhooks.get(somebody, one.webhook),
        lambda one: use_cases.exports.find(somebody, TargetKind.DATASET, one.dataset),
        lambda one: use_cases.exports.find(somebody, TargetKind.IMAGE, one.image),
        lambda one: use_cases.exports.find(somebody, TargetKind.ANALYSIS, one.analysis),
        lambda one: use_cases.comments.listed(somebody, one.image),
        lambda one: use_cases.image_classes.listed(somebody, one.dataset),
        lambda one: use_cases.image_classes.classifications(somebody, one.image),
        lambda one: use_cases.image_deletions.listed(somebody, one.dataset, skip=0, limit=9),
        lambda one: use_cases.metadata.entries(somebody, one.dataset),
        lambda one: use_cases.image_searches.find(somebody, one.dataset, ImageSearch()),
        lambda one: use_cases.image_pages.page(somebody, dataset_id=one.dataset),
        lambda one: use_cases.image_pages.page(somebody, subject_id=one.subject),
        lambda one: use_cases.history.of_subject(somebody, one.dataset, one.subject),
        lambda one: use_cases.places.find(somebody, {"dataset": one.dataset}),
        lambda one: use_cases.places.find(
            somebody, {"dataset": one.dataset, "subject": one.subject, "batch": one.batch}
        ),
    )
    for read in reads:
        assert await read(seen) is not None
        with pytest.raises(NotFound):
            await read(hidden)
    for find in (
        lambda one: use_cases.analyses.find(somebody, one.analysis),
        lambda one: use_cases.external_reads.annotation_page(somebody, one.analysis),
        lambda one: use_cases.external_reads.annotation_page(somebody, one.analysis, limit=9),
    ):
        assert await find(seen) is not None and await find(hidden) is None


async def test_lists_and_counts(
    parts: Parts, principal: Principal, somebody: Principal, seen: Place, hidden: Place
) -> None:
    use_cases = parts.use_cases
    found, total = await use_cases.datasets.page(somebody)
    assert ([one.id for one in found], total) == ([seen.dataset], 1)
    listed = await use_cases.datasets.listed([somebody], skip=0, limit=9)
    assert [one.id for one, _ in listed] == [seen.dataset]
    both = await use_cases.datasets.listed([somebody, principal], skip=0, limit=9)
    assert {one.id for one, _ in both} == {seen.dataset, hidden.dataset}
    many = await use_cases.analyses.find_many(somebody, [seen.analysis, hidden.analysis])
    assert set(many) == {seen.analysis}
    everywhere = NewWebhook("https://example.org/all", kinds=("image.created",))
    await use_cases.webhooks.create(principal, everywhere)
    assert [one.id for one in await use_cases.webhooks.listed(somebody)] == [seen.webhook]
    newest = await use_cases.image_pages.newest_of_subjects(
        somebody, [seen.subject, hidden.subject]
    )
    assert newest == {seen.subject: seen.image}
    assert await use_cases.run_results.of_images(somebody, [seen.image, hidden.image]) == []
    assert await use_cases.runs.of_datasets(somebody, [hidden.dataset]) == {hidden.dataset: []}
    assert await use_cases.predictions.newest(somebody, "whales") == []
    # The log goes on for them where they hear of something.
    end = await use_cases.events.position_for(principal)
    assert await use_cases.events.position_for(somebody) < end
    assert end == await use_cases.events.position(principal.company_id)


async def test_what_is_the_companys(
    parts: Parts, principal: Principal, somebody: Principal
) -> None:
    use_cases = parts.use_cases
    new = NewCollection("whales", [NewInput("embed_dino_v2")])
    await use_cases.collections.create(principal, new)
    assert [one.key for one in await use_cases.collections.every(principal)] == ["whales"]
    assert await use_cases.collections.every(somebody) == []
    assert await use_cases.collections.find(somebody, "whales") is None
    with pytest.raises(NotFound):
        await use_cases.classifiers.of(somebody, "whales")
    assert await use_cases.role_grants.members(somebody) == []
    assert await use_cases.api_keys.listed(somebody) == []


async def test_pipelines_tell_of_their_dataset_only(
    parts: Parts, principal: Principal, somebody: Principal, seen: Place, hidden: Place
) -> None:
    """Also in the one transaction that they share with somebody who sees all."""
    use_cases = parts.use_cases
    tell = use_cases.analyses.tell
    made = await asyncio.gather(
        *(
            tell(caller, NewExternalAnalysis(place.image, "yolo", "2"))
            for place in (hidden, seen)
            for caller in (somebody, principal)
        ),
        return_exceptions=True,
    )
    assert [type(one) is NotFound for one in made] == [True, False, False, False]
    steps = await asyncio.gather(
        *(
            use_cases.analyses.update_status(caller, place.analysis, AnalysisStatus.PROCESSING)
            for place in (hidden, seen)
            for caller in (somebody, principal)
        ),
        return_exceptions=True,
    )
    assert [type(one) is NotFound for one in steps] == [True, False, False, False]
    assert not any(isinstance(one, OpsinError) for one in (*made[1:], *steps[1:]))
    with pytest.raises(NotFound):
        await use_cases.annotations.add(somebody, hidden.analysis, [])
    with pytest.raises(NotFound):  # before anything is said of what they may
        await use_cases.images.delete(somebody, hidden.image)
    with pytest.raises(Forbidden):
        await use_cases.images.delete(somebody, seen.image)


def test_where_like_pictures_are_looked_for(somebody: Principal, principal: Principal) -> None:
    (mine,) = somebody.rights.readable or ()
    other = new_id()
    assert _datasets(principal, None) is None
    assert _datasets(principal, other.upper()) == (other,) and _datasets(principal, "x") == ()
    assert _datasets(somebody, None) == (mine,) and _datasets(somebody, mine) == (mine,)
    assert _datasets(somebody, other) == _datasets(somebody, "x") == ()


async def test_near_duplicates_are_of_their_dataset(
    parts: Parts, somebody: Principal, seen: Place
) -> None:
    with pytest.raises(Conflict):  # it is seen, and has no hashes yet
        await parts.use_cases.near_duplicates.of(
            somebody, seen.image, "perceptual_hash", most=5, max_distance=10
        )


async def test_a_collection_is_used_by_those_who_see_it(
    parts: Parts, somebody: Principal, principal: Principal, seen: Place
) -> None:
    use_cases = parts.use_cases
    task = make_task(use_cases.host, "1", "classify", {"collection_id": "whales"})
    with pytest.raises(NotFound):
        await use_cases.analyses.ask(somebody, seen.image, [task])
    assert await use_cases.analyses.ask(principal, seen.image, [task])
    answered = await use_cases.immediate.analyze(
        somebody, PictureSource(image_id=seen.image), [task]
    )
    assert isinstance(answered.outcomes[0].error, NotFound)
