"""The company that `--company` names: who calls for it, and the parts of this installation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from opsin.core.errors import NotFound

if TYPE_CHECKING:
    from opsin.assembly import Parts
    from opsin.core.access import Access, Principal
    from opsin.settings import Settings


async def caller_for(access: "Access", company: str) -> "Principal":
    """The command line as a caller of the company, which must be there."""
    found = await access.find_company(company)
    if found is None:
        raise NotFound(f"there is no company {company!r}; `opsin keys create` makes it")
    return as_caller(found.id)


def as_caller(company_id: str) -> "Principal":
    """The command line as a caller of the company with that id."""
    from opsin.core.actors import operator

    return operator(company_id)


@asynccontextmanager
async def running_for(
    settings: "Settings", company: str
) -> AsyncIterator[tuple["Parts", "Principal"]]:
    """The parts of this installation at work, and the command line as a caller of the company."""
    from opsin.assembly import assemble
    from opsin.core.access import LOCAL_COMPANY

    async with assemble(settings).running() as parts:
        access = parts.use_cases.access
        if company == LOCAL_COMPANY:
            await access.local()  # made when it is not there, as in dev mode
        yield parts, await caller_for(access, company)
