"""Claims of analyses that runs have asked for: an image's work stays together."""

from datetime import timedelta

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.queue.analysis_queue import AnalysisQueue
from opsin.core.records import Dataset
from tests.core.applications.conftest import dataset as dataset
from tests.core.applications.conftest import parts as parts
from tests.core.applications.conftest import script as script
from tests.core.applications.house import SAMPLE, add, asked_of, keys_by_image
from tests.core.house import ask

ALL = ["first", "second", "other"]


def queue_of(parts: Parts) -> AnalysisQueue:
    use_cases = parts.use_cases
    lease = timedelta(seconds=60)
    return AnalysisQueue(use_cases.database, use_cases.artifacts, lease=lease, max_attempts=3)


async def test_a_claim_ends_with_a_whole_image(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
    made = await add(parts, principal, dataset, 4)
    queue = queue_of(parts)
    first = await queue.claim(4)
    assert keys_by_image(first.analyses) == {image.id: ALL for image in made[:2]}
    assert first.images.keys() == {image.id for image in made[:2]}
    second = await queue.claim(1)
    assert keys_by_image(second.analyses) == {made[2].id: ALL}
    assert {one.attempts for one in second.analyses} == {1}
    assert await queue.renew(second.lease_id) == {one.id for one in second.analyses}
    third = await queue.claim(100)
    assert keys_by_image(third.analyses) == {made[3].id: ALL}


async def test_what_others_ask_of_the_image_is_claimed_as_ever(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
    (image,) = await add(parts, principal, dataset)
    others = await ask(parts, principal, image, "quick", count=3)
    queue = queue_of(parts)
    claim = await queue.claim(1)
    assert [one.id for one in claim.analyses] == [one.id for one in await asked_of(parts, run.id)]
    claim = await queue.claim(2)
    assert [one.id for one in claim.analyses] == [one.id for one in others[:2]]


async def test_what_has_ended_or_must_wait_is_left(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
    await add(parts, principal, dataset)
    asked = await asked_of(parts, run.id)
    await parts.use_cases.analyses.cancel(principal, asked[1].id)
    claim = await queue_of(parts).claim(1)
    assert [one.id for one in claim.analyses] == [asked[0].id, asked[2].id]
