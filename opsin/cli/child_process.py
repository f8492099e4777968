"""One process of several as its parent sees it: from its start, through its word, to its end."""

import asyncio
import logging
import signal
import socket
import time
from asyncio.subprocess import Process

log = logging.getLogger(__name__)

_START_SECONDS = 600.0
"""For a process to become ready, models to warm included."""
_LAST_WORDS = 5.0


class ChildProcess:
    """One process, from its start to its end."""

    def __init__(self, process: Process, line: socket.socket) -> None:
        self._process = process
        self._line = line
        self.pid = process.pid
        self.started = time.monotonic()
        self.ended = asyncio.create_task(process.wait())

    async def is_ready(self) -> bool:
        """True once it is; False when it ends before, or takes too long."""
        reading = asyncio.create_task(asyncio.get_running_loop().sock_recv(self._line, 64))
        try:
            await asyncio.wait(
                [reading, self.ended],
                timeout=_START_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not reading.done():
                return False
            return bool(reading.result())
        except OSError:
            return False
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def tell(self, number: int) -> None:
        if not self.ended.done():
            self._process.send_signal(number)

    async def stop(self, number: int, seconds: float) -> int:
        """Ask it to end, by force when that does not help; gives its exit code."""
        self.tell(number)
        await asyncio.wait([self.ended], timeout=seconds)
        if not self.ended.done():
            log.warning("process %d does not end and is killed", self.pid)
            self.tell(signal.SIGKILL)
        return await self.close()

    async def give_up(self, seconds: float) -> int:
        """End one that did not become ready; most often it is about to end by itself."""
        await asyncio.wait([self.ended], timeout=_LAST_WORDS)
        return await self.stop(signal.SIGTERM, seconds)

    async def close(self) -> int:
        """Once it has ended, or is about to: its exit code, negative for a signal."""
        code = await self.ended
        self._line.close()
        return code
