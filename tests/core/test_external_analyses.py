"""Analyses told from outside by many at once: each as if it had been alone."""

import asyncio
from datetime import timedelta

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.errors import Conflict, IllegalTransition, LimitReached, NotFound
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.once import Once, Repeated
from opsin.core.records import Analysis
from opsin.storage.event_log import EventFilter, read_events
from tests.conftest import other_company
from tests.core.house import add_image, ask

PROCESSING, COMPLETED, FAILED = (
    AnalysisStatus.PROCESSING,
    AnalysisStatus.COMPLETED,
    AnalysisStatus.FAILED,
)


def new(image_id: str, version: str = "1") -> NewExternalAnalysis:
    return NewExternalAnalysis(image_id, "yolo", version)


async def kinds(parts: Parts, principal: Principal, analysis_id: str) -> list[str]:
    """What the log tells of an analysis."""
    wanted = EventFilter(principal.company_id, analysis_id=analysis_id)
    async with parts.use_cases.database.read() as connection:
        found = await read_events(connection, wanted, after=0, limit=100)
    return [event.kind for event in found]


async def test_an_image_never_has_more_than_it_may(parts: Parts, principal: Principal) -> None:
    one, other = await add_image(parts, principal), await add_image(parts, principal)
    tell = parts.use_cases.analyses.tell
    outcomes = await asyncio.gather(
        *(tell(principal, new(image.id), most=10) for _ in range(16) for image in (one, other)),
        return_exceptions=True,
    )
    made = [outcome for outcome in outcomes if isinstance(outcome, Analysis)]
    assert sorted(a.image_id for a in made) == sorted([one.id, other.id] * 10)
    assert {type(o) for o in outcomes if not isinstance(o, Analysis)} == {LimitReached}
    for image in (one, other):
        found, total = await parts.use_cases.external_reads.analyses_of(
            principal, image.id, skip=0, limit=100
        )
        assert total == 10
        assert {a.id for a in found} == {a.id for a in made if a.image_id == image.id}
    assert [await kinds(parts, principal, a.id) for a in made] == [["analysis.queued"]] * 20
    # Whoever sets no limit is not held to one.
    assert (await tell(principal, new(one.id))).status is AnalysisStatus.QUEUED


async def test_each_caller_reaches_its_own_images_only(parts: Parts, principal: Principal) -> None:
    stranger = await other_company(parts)
    ours, theirs = await add_image(parts, principal), await add_image(parts, stranger)
    tell = parts.use_cases.analyses.tell
    callers = [(principal, ours), (principal, theirs), (stranger, ours), (stranger, theirs)]
    outcomes = await asyncio.gather(
        *(tell(caller, new(image.id)) for caller, image in callers),
        tell(principal, new("none")),
        tell(principal, new("01980000-0000-7000-8000-000000000000")),
        return_exceptions=True,
    )
    refused = [isinstance(outcome, NotFound) for outcome in outcomes]
    assert refused == [False, True, True, False, True, True]
    mine, its = outcomes[0], outcomes[3]
    assert isinstance(mine, Analysis)
    assert isinstance(its, Analysis)
    assert (mine.company_id, its.company_id) == (principal.company_id, stranger.company_id)

    steps = [(principal, mine), (principal, its), (stranger, mine), (stranger, its)]
    moved = await asyncio.gather(
        *(
            parts.use_cases.analyses.update_status(caller, one.id, PROCESSING)
            for caller, one in steps
        ),
        return_exceptions=True,
    )
    assert [isinstance(one, NotFound) for one in moved] == [False, True, True, False]


async def test_one_named_request_makes_one(parts: Parts, principal: Principal) -> None:
    image = await add_image(parts, principal)
    once = Once("a" * 64, timedelta(days=1))

    async def tell() -> str:
        try:
            made = await parts.use_cases.analyses.tell(principal, new(image.id), most=10, once=once)
        except Repeated as repeated:
            return repeated.told
        return made.id

    told = await asyncio.gather(*(tell() for _ in range(8)))
    assert len({*told, await tell()}) == 1
    _, total = await parts.use_cases.external_reads.analyses_of(
        principal, image.id, skip=0, limit=1
    )
    assert total == 1


async def test_steps_of_one_analysis_at_once_follow_each_other(
    parts: Parts, principal: Principal
) -> None:
    image = await add_image(parts, principal)
    analyses = parts.use_cases.analyses
    made = await analyses.tell(principal, new(image.id))
    outcomes = await asyncio.gather(
        analyses.update_status(principal, made.id, PROCESSING),
        analyses.update_status(principal, made.id, PROCESSING),
        analyses.finalize(principal, made.id, COMPLETED, summary={"boxes": 1.50}),
        analyses.finalize(principal, made.id, FAILED),
        analyses.finalize(principal, made.id, COMPLETED, summary={"boxes": 2}),
        return_exceptions=True,
    )
    states = [one.status if isinstance(one, Analysis) else type(one) for one in outcomes]
    assert states == [PROCESSING, PROCESSING, COMPLETED, IllegalTransition, COMPLETED]
    read = await analyses.find(principal, made.id)
    assert read == outcomes[4] == outcomes[2]  # what is returned is what is stored
    assert read is not None
    assert read.summary == {"boxes": 1.5}
    assert await kinds(parts, principal, made.id) == [
        "analysis.queued",
        "analysis.processing",
        "analysis.completed",
    ]


async def test_different_steps_at_once_change_only_their_own(
    parts: Parts, principal: Principal
) -> None:
    image = await add_image(parts, principal)
    analyses = parts.use_cases.analyses
    made = [await analyses.tell(principal, new(image.id)) for _ in range(4)]
    ours = (await ask(parts, principal, image))[0]
    outcomes = await asyncio.gather(
        analyses.update_status(principal, made[0].id, PROCESSING),
        analyses.finalize(principal, made[1].id, FAILED, error_message="out of film"),
        analyses.finalize(principal, made[2].id, COMPLETED, summary={"n": 1}),
        analyses.update_status(principal, made[3].id, AnalysisStatus.CANCELLED, "never mind"),
        analyses.update_status(principal, ours.id, PROCESSING),
        return_exceptions=True,
    )
    assert isinstance(outcomes[4], Conflict)
    for one in outcomes[:4]:
        assert isinstance(one, Analysis), one
        assert await analyses.find(principal, one.id) == one
    last = outcomes[3]
    assert isinstance(last, Analysis)
    assert (last.error_message, last.started_at, last.summary) == ("never mind", None, None)
