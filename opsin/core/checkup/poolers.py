"""A pooler in front of PostgreSQL: whether it takes our sessions as they are."""

from collections.abc import AsyncIterator

from opsin.core.checkup.findings import Finding, bad, poor
from opsin.storage.poolers import pooling
from opsin.storage.reader import READER_SETTINGS
from opsin.storage.silent_peers import SERVER_SETTINGS

_PART = "database"
_NAMES = ",".join(sorted({*SERVER_SETTINGS, *READER_SETTINGS}))
"""What Opsin says when it connects, beside what every pooler takes."""


async def look_for_pooler(url: str) -> AsyncIterator[Finding]:
    """Nothing is found where there is none, or one that does no harm."""
    found = await pooling(url)
    if found.refused is not None:
        yield bad(
            _PART,
            f"a pooler in between refuses connections with the setting {found.refused!r}",
            f"PgBouncer: ignore_startup_parameters = {_NAMES}",
        )
        return
    if found.shares_sessions:
        yield bad(
            _PART,
            "a pooler in between gives one session to several connections: prepared statements, "
            "LISTEN and locks of sessions do not work through it",
            "PgBouncer: pool_mode = session, for Opsin's database or user; or connect past it",
        )
    if not found.keeps_settings:
        yield poor(
            _PART,
            "a pooler in between drops what Opsin sets for its sessions: a node that vanishes in "
            "a transaction would keep its locks",
            "ALTER ROLE ... SET idle_in_transaction_session_timeout = '60s', for Opsin's user",
        )
