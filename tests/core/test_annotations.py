"""Annotations: in order, all or none, only what can be stored, only of external analyses."""

from typing import Any

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.annotations import LISTING, AnnotationFilter
from opsin.core.conditions import expressions
from opsin.core.errors import Conflict, InvalidInput, NotFound, TooLarge
from opsin.core.pages import PageRequest, read_page
from opsin.core.records import Analysis, StoredAnnotation
from opsin.storage.event_log import EventFilter, read_events
from tests.conftest import other_company
from tests.core.house import add_image, ask


def box(**more: Any) -> dict[str, Any]:
    return {"annotation_type": "bounding_box", "data": {"bbox": [1, 2, 3, 4]}} | more


@pytest.fixture
async def analysis(parts: Parts, principal: Principal) -> Analysis:
    """An external analysis."""
    image = await add_image(parts, principal)
    new = NewExternalAnalysis(image.id, "yolo", "8.1", {"threshold": 0.5})
    return await parts.use_cases.analyses.tell(principal, new)


async def stored(
    parts: Parts, analysis: Analysis, wanted: AnnotationFilter | None = None
) -> list[StoredAnnotation]:
    conditions = expressions(LISTING.table, (wanted or AnnotationFilter()).conditions())
    own = LISTING.table.c.analysis_id == analysis.id
    async with parts.use_cases.database.read() as connection:
        page = await read_page(connection, LISTING, [own, *conditions], PageRequest(5000))
    return list(page.records)


async def test_order_is_that_of_insertion(
    parts: Parts, principal: Principal, analysis: Analysis
) -> None:
    for start in (0, 300, 301):
        many = [box(class_name=f"c{n}") for n in range(start, start + 300 if start != 300 else 301)]
        await parts.use_cases.annotations.add(principal, analysis.id, many)
    names = [annotation.class_name for annotation in await stored(parts, analysis)]
    assert names == [f"c{n}" for n in range(601)]


async def test_values_come_back_exactly(
    parts: Parts, principal: Principal, analysis: Analysis
) -> None:
    given = box(
        class_name="Käfer \U0001f41e",
        confidence=0.1 + 0.2,
        storage_path="ml_outputs/a/mask.png",
        ordering=-5,
    ) | {"data": {"z": 1.5e-300, "a": [None, True, {"deep": [1]}], "": "\u2028"}}
    await parts.use_cases.annotations.add(principal, analysis.id, [given])
    (found,) = await stored(parts, analysis)
    assert {name: getattr(found, name) for name in given} == given
    assert list(found.data) == ["z", "a", ""]


@pytest.mark.parametrize(
    ("bad", "names"),
    [
        (box(confidence=1.1), "confidence"),
        (box(confidence=float("nan")), "confidence"),
        (box(annotation_type="ab"), "annotation_type"),
        (box(annotation_type="x" * 51), "annotation_type"),
        (box(class_name="x" * 256), "class_name"),
        (box(class_name="a\x00b"), "NUL"),
        (box(data=[1]), "data"),
        (box(data=None), "data"),
        (box(data={"x": float("inf")}), "infinite"),
        (box(data={"x": ["\x00"]}), "NUL"),
        (box(ordering=2**31), "ordering"),
        (box(colour="red"), "colour"),
        ({"annotation_type": "bounding_box"}, "data"),
        ("text", "annotation"),
    ],
)
async def test_one_bad_among_a_thousand_stores_nothing(
    parts: Parts, principal: Principal, analysis: Analysis, bad: Any, names: str
) -> None:
    many: list[Any] = [box() for _ in range(1000)]
    many[700] = bad
    with pytest.raises(InvalidInput, match=f"annotation 700: .*{names}"):
        await parts.use_cases.annotations.add(principal, analysis.id, many)
    assert await stored(parts, analysis) == []


async def test_an_empty_request_tells_nothing(
    parts: Parts, principal: Principal, analysis: Analysis
) -> None:
    assert (await parts.use_cases.annotations.add(principal, analysis.id, []))[1] == 0
    await parts.use_cases.annotations.add(principal, analysis.id, [box(), box()])
    wanted = EventFilter(principal.company_id, analysis_id=analysis.id)
    async with parts.use_cases.database.read() as connection:
        events = await read_events(connection, wanted, after=0, limit=10)
    assert [event.kind for event in events] == ["analysis.queued", "analysis.annotated"]
    assert events[1].data == {"status": "QUEUED", "added": 2}


async def test_too_many(parts: Parts, principal: Principal, analysis: Analysis) -> None:
    with pytest.raises(TooLarge, match="10000"):
        await parts.use_cases.annotations.add(principal, analysis.id, [box()] * 10_001)


async def test_whose_they_are(parts: Parts, principal: Principal, analysis: Analysis) -> None:
    stranger = await other_company(parts)
    with pytest.raises(NotFound):
        await parts.use_cases.annotations.add(stranger, analysis.id, [box()])
    image = await add_image(parts, principal)
    (ours,) = await ask(parts, principal, image)
    with pytest.raises(Conflict):
        await parts.use_cases.annotations.add(principal, ours.id, [box()])


async def test_filters(parts: Parts, principal: Principal, analysis: Analysis) -> None:
    many = [
        box(class_name="cat", confidence=0.2),
        box(class_name="cat", confidence=0.9),
        box(class_name="dog", confidence=0.9),
        {"annotation_type": "caption", "data": {"text": "a cat"}},
    ]
    await parts.use_cases.annotations.add(principal, analysis.id, many)

    async def count(**wanted: Any) -> int:
        return len(await stored(parts, analysis, AnnotationFilter(**wanted)))

    assert await count() == 4
    assert await count(class_name=("cat",)) == 2
    assert await count(class_name=("cat", "dog"), confidence_from=0.9) == 2
    assert await count(confidence_to=0.5) == 1
    assert await count(annotation_type=("caption",)) == 1
    assert await count(class_name=()) == 0
