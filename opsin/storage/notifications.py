"""Hearing of other processes' commits: one PostgreSQL connection that listens."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from opsin.storage.event_log import CHANNEL
from opsin.storage.silent_peers import SERVER_SETTINGS, connection_class

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_CONNECT_SECONDS = 10.0


class Notifications:
    """Tells `heard` the last position of each commit that the database tells of.

    None is told whenever a connection begins to listen: what was committed before was not heard.
    """

    def __init__(
        self, connect_arguments: Mapping[str, Any], heard: Callable[[int | None], None]
    ) -> None:
        self.listening = False
        self._connect_arguments = connect_arguments
        self._heard = heard

    async def run(self) -> None:
        """Listen until cancelled; a connection that is lost is opened again."""
        import asyncpg

        pause = _FIRST_PAUSE
        while True:
            try:
                await self._listen()
                pause = _FIRST_PAUSE
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                log.debug("the database cannot be listened to now", exc_info=True)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _listen(self) -> None:
        """One connection, until it is lost."""
        import asyncpg

        connection = await asyncpg.connect(
            **self._connect_arguments,
            timeout=_CONNECT_SECONDS,
            connection_class=connection_class(),
            server_settings=SERVER_SETTINGS,
        )
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _connection: lost.set())
            await connection.add_listener(CHANNEL, self._notified)
            self.listening = True
            self._heard(None)
            await lost.wait()
        finally:
            self.listening = False
            connection.terminate()

    def _notified(self, _connection: Any, _process: int, _channel: str, payload: str) -> None:
        self._heard(int(payload))
