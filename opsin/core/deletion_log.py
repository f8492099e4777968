"""What was done to images, by whom and why: a list that outlives them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.pages import Listing
from opsin.core.records import Image
from opsin.storage.curation import image_deletions
from opsin.storage.ids import new_id


class DeletionAction(StrEnum):
    """What happened to an image."""

    SOFT_DELETE = "soft_delete"
    FORCE_DELETE = "force_delete"
    RESTORE = "restore"
    HARD_DELETE = "hard_delete"
    DELETE_FILE = "delete_file"
    EXPIRE_FILE = "expire_file"
    EXPIRE_RESULTS = "expire_results"
    FILE_WHEN_READY = "file_when_ready"


@dataclass(frozen=True, slots=True)
class ImageDeletion:
    """One thing that happened to an image, by whom and why."""

    id: str
    company_id: str
    dataset_id: str
    image_id: str
    filename: str
    action: DeletionAction
    actor: str
    reason: str | None
    created_at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "action", DeletionAction(self.action))


LISTING = Listing(image_deletions, ImageDeletion, parent="dataset_id")


async def note(
    connection: AsyncConnection,
    image: Image,
    action: DeletionAction,
    actor: str,
    reason: str | None = None,
) -> None:
    """One more line, in the transaction that does what it tells of."""
    await connection.execute(
        insert(image_deletions).values(
            id=new_id(),
            company_id=image.company_id,
            dataset_id=image.dataset_id,
            image_id=image.id,
            filename=image.filename,
            action=action.value,
            actor=actor[:320],
            reason=reason,
            created_at=datetime.now(UTC),
        )
    )
