"""Keys that have ended and are shown all the same: noted, at most once a minute each."""

import logging
import time
from collections.abc import Callable

from opsin.core import audit
from opsin.core.bounded_cache import BoundedCache
from opsin.core.errors import OpsinError
from opsin.core.principal import Principal
from opsin.storage.database import Database

log = logging.getLogger(__name__)

_SECONDS = 60.0
_MOST_KEYS = 10_000


class RefusedKeys:
    """Whoever tries a key again and again must not fill the audit."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._told: BoundedCache[str, float] = BoundedCache(_MOST_KEYS)

    async def note(self, stranger: Principal, key_id: str, reason: str) -> None:
        """That somebody has shown the whole of this key, and was refused.

        Says nothing of whether it could be written: the caller is refused in any case.  Of a key
        whose secret is wrong nothing is noted: the time it took would tell that there is such a
        key.
        """
        now = self._clock()
        last = self._told.get(key_id)
        if last is not None and now - last < _SECONDS:
            return
        self._told.put(key_id, now, 1)
        try:
            await audit.note_read(
                self._database, stranger, "key.refuse", ("key", key_id), reason=reason
            )
        except OpsinError:
            log.warning("a key that was refused could not be noted")
