"""When what is made with a token ends: no later than a token whose own end is set."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.errors import InvalidInput
from opsin.core.live_keys import SESSION
from opsin.storage.tables import api_keys


async def ends_with(
    connection: AsyncConnection, key_id: str | None, expires_at: datetime | None, now: datetime
) -> datetime | None:
    """When a token ends that is made with the token `key_id`, if with any; None: never.

    Without a wish it ends with the one it is made with, where that ends.  A session is no such
    limit: whoever is signed in can do so again.  Raises InvalidInput for a time that is over, or
    later than that of the other.
    """
    if expires_at is not None and expires_at <= now:
        raise InvalidInput("It would have expired already")
    if key_id is None:
        return expires_at
    maker = select(api_keys.c.expires_at).where(api_keys.c.id == key_id, api_keys.c.kind != SESSION)
    limit: datetime | None = (await connection.execute(maker)).scalar()
    if limit is None or expires_at is None:
        return expires_at or limit
    if expires_at > limit:
        raise InvalidInput("It would outlive the token that you make it with")
    return expires_at
