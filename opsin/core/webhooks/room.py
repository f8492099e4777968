"""How many webhooks there may be: of a company, of a dataset, and of one form in a dataset."""

from typing import Any, Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.errors import Conflict, LimitReached
from opsin.core.principal import Principal
from opsin.storage.tables import companies
from opsin.storage.webhooks import webhooks

MAX_WEBHOOKS: Final = 100
"""Of one company, that hear of all its datasets."""
MAX_OF_DATASET: Final = 10
"""That hear of one dataset only."""
MAX_OF_DATASETS: Final = 1000
"""Of the second kind in one company."""


async def require_room(
    connection: AsyncConnection, principal: Principal, dataset_id: str | None
) -> None:
    """Raises LimitReached; whoever administers one dataset takes nothing from all the others."""
    # Those who make one at the same time come one after the other.
    hold = select(companies.c.id).where(companies.c.id == principal.company_id)
    await connection.execute(hold.with_for_update(key_share=True))
    mine = webhooks.c.company_id == principal.company_id
    if dataset_id is None:
        if await _count(connection, mine, webhooks.c.dataset_id.is_(None)) >= MAX_WEBHOOKS:
            raise LimitReached(f"A company has at most {MAX_WEBHOOKS} webhooks for all datasets")
        return
    if await _count(connection, mine, webhooks.c.dataset_id == dataset_id) >= MAX_OF_DATASET:
        raise LimitReached(f"A dataset has at most {MAX_OF_DATASET} webhooks")
    if await _count(connection, mine, webhooks.c.dataset_id.is_not(None)) >= MAX_OF_DATASETS:
        raise LimitReached(f"The datasets of a company have at most {MAX_OF_DATASETS} webhooks")


async def require_none(
    connection: AsyncConnection, principal: Principal, values: dict[str, Any]
) -> None:
    """Raises Conflict where the dataset has one of this form.

    Called while the company is held, so that of two who come together one is told."""
    same = select(webhooks.c.id).where(
        webhooks.c.company_id == principal.company_id,
        webhooks.c.dataset_id == values.get("dataset_id"),
        webhooks.c.format == values["format"],
    )
    if (await connection.execute(same.limit(1))).first() is not None:
        raise Conflict("There is such a webhook already")


async def _count(connection: AsyncConnection, *conditions: ColumnElement[bool]) -> int:
    counted = select(func.count()).select_from(webhooks).where(*conditions)
    found: int = (await connection.execute(counted)).scalar_one()
    return found
