"""Whose a thing is: told of what there is, however its id is written, and of nothing else."""

from sqlalchemy import Table

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.storage.tables import analyses, datasets, images
from tests.conftest import other_company
from tests.core.house import add_image


async def test_the_company_of_a_thing(parts: Parts, principal: Principal) -> None:
    owners = parts.use_cases.owners
    for owner in (principal, await other_company(parts)):
        image = await add_image(parts, owner)
        new = NewExternalAnalysis(image.id, "yolo_v8", "1")
        analysis = await parts.use_cases.analyses.tell(owner, new)
        things: list[tuple[Table, str]] = [
            (images, image.id),
            (datasets, image.dataset_id),
            (analyses, analysis.id),
        ]
        for table, identity in things:
            for form in (identity, identity.upper(), identity.replace("-", "")):
                assert await owners.company_of(table, form) == owner.company_id
        assert await owners.company_of(images, analysis.id) is None
    for nothing in ("", "none", "00000000-0000-7000-8000-000000000000", "\x00", "' OR 1=1 --"):
        assert await owners.company_of(images, nothing) is None
