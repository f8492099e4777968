"""Pages of annotations by offset: every page is its part of the whole, in the promised order."""

import json
from typing import Any

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.actors import opsin_itself
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.records import Analysis
from tests.conftest import other_company
from tests.core.house import add_image


async def names(
    parts: Parts, analysis: Analysis, skip: int = 0, limit: int | None = None
) -> list[str]:
    read, reader = (
        parts.use_cases.external_reads.annotation_page,
        opsin_itself(analysis.company_id, "a test"),
    )
    page = await read(reader, analysis.id, skip=skip, limit=limit)
    assert page is not None
    rows = json.loads(page.json)
    whole = await read(reader, analysis.id, with_analysis=False)
    assert whole is not None
    assert page.total == whole.total == len(json.loads(whole.json))
    assert {row["analysis_id"] for row in rows} <= {analysis.id}
    return [row["class_name"] for row in rows]


@pytest.mark.parametrize("at_once", [50_000, 3])
async def test_every_page_is_its_part_of_the_whole(
    parts: Parts, principal: Principal, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsin.core.external_reads._AT_ONCE", at_once)
    use_cases = parts.use_cases
    image = await add_image(parts, principal)
    for orderings in ([None] * 5, [3, None, 1, None, 3, -2, None], [2, 1, 0], []):
        analysis = await use_cases.analyses.tell(
            principal, NewExternalAnalysis(image.id, "yolo", "1")
        )
        found: list[dict[str, Any]] = [
            {"annotation_type": "box", "class_name": f"{n}", "data": {}, "ordering": ordering}
            for n, ordering in enumerate(orderings)
        ]
        for one in found:  # in requests of their own
            await use_cases.annotations.add(principal, analysis.id, [one])
        given = [one["ordering"] for one in found]
        first = sorted((o, n) for n, o in enumerate(given) if o is not None)
        wanted = [f"{n}" for _, n in first] + [f"{n}" for n, o in enumerate(given) if o is None]
        assert await names(parts, analysis) == wanted
        for skip in range(len(found) + 2):
            assert await names(parts, analysis, skip) == wanted[skip:]
            for limit in range(len(found) + 2):
                page = await names(parts, analysis, skip, limit)
                assert page == wanted[skip : skip + limit], (orderings, skip, limit)


async def test_there_is_nothing_of_another_company(parts: Parts, principal: Principal) -> None:
    use_cases = parts.use_cases
    image = await add_image(parts, principal)
    new = NewExternalAnalysis(image.id, "yolo", "1")
    analysis = await use_cases.analyses.tell(principal, new)
    stranger = await other_company(parts)
    await use_cases.annotations.add(
        principal, analysis.id, [{"annotation_type": "box", "data": {}}]
    )
    read = use_cases.external_reads.annotation_page
    for limit in (None, 10):
        for identity in (analysis.id, analysis.id.upper()):
            page = await read(principal, identity, limit=limit)
            assert page is not None
            assert (page.total, len(json.loads(page.json))) == (1, 1)
        assert await read(stranger, analysis.id, limit=limit) is None
        assert await read(principal, image.id, limit=limit) is None
        assert await read(principal, "none", limit=limit) is None
