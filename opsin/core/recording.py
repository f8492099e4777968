"""Recording: what was answered at once becomes stored images with analyses, behind the answers."""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any, Protocol

from opsin.core.access import Principal
from opsin.core.engine import Analyzed
from opsin.core.errors import InvalidInput, StorageError
from opsin.core.imaging import DecodedImage

log = logging.getLogger(__name__)

_GATHERING_SECONDS = 0.05
"""Until a call is looked at: its answer is out by then, and others share its transaction."""
_AT_ONCE = 32
"""Calls in one transaction."""
_LEAST_BYTES = 64 * 2**10
"""Counted for a call however small its picture is: its results take memory as well."""
_RETRY_SECONDS = 5.0
_LAST_SECONDS = 10.0
"""For which a server that stops goes on to write what waits."""
_COMPLAIN_SECONDS = 60.0


class OpenedAgain:
    """A file that its owner may close: the bytes of its beginning stay readable."""

    def __init__(self, file: IO[bytes]) -> None:
        self._descriptor = os.dup(file.fileno())

    def __len__(self) -> int:
        return os.fstat(self._descriptor).st_size

    def read(self) -> bytes:
        """All bytes, wherever the owner has read to."""
        parts, offset = [], 0
        while part := os.pread(self._descriptor, 1 << 24, offset):
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def close(self) -> None:
        os.close(self._descriptor)


Kept = bytes | OpenedAgain | DecodedImage
"""A picture as it was sent; pixels where there was no file."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was answered; it belongs to an image that is stored already, or to `picture`.

    `api` is whose call it was, in words; the images of each lie in a dataset of its own.
    """

    principal: Principal
    api: str
    begun: datetime
    ended: datetime
    analyzed: Analyzed
    image_id: str | None = None
    picture: Kept | None = None
    filename: str | None = None

    @property
    def size_bytes(self) -> int:
        """What it holds while it waits, in memory or on the disk."""
        picture = self.picture
        if picture is None:
            return _LEAST_BYTES
        if isinstance(picture, DecodedImage):
            return max(picture.pixels.nbytes, _LEAST_BYTES)
        return max(len(picture), _LEAST_BYTES)

    def close(self) -> None:
        if isinstance(self.picture, OpenedAgain):
            self.picture.close()


def kept(picture: bytes | IO[bytes] | DecodedImage) -> Kept | None:
    """The picture as it can be read later; None of one that cannot.

    Nothing large is copied: what is on the disk stays there.
    """
    if isinstance(picture, bytes | DecodedImage):
        return picture
    try:
        # A spooled file has a name once it is on the disk, and asking for more would put it there.
        if getattr(picture, "name", None) is None:
            position = picture.tell()
            picture.seek(0)
            content = picture.read()
            picture.seek(position)
            return content
        return OpenedAgain(picture)
    except (OSError, ValueError):
        return None


class Writer(Protocol):
    """Stores calls, all of them or none.

    Gives how many: of an image that was deleted nothing is stored.  Raises StorageError for what
    may go well another time.
    """

    async def write(self, calls: Sequence[Call]) -> int: ...


@dataclass(slots=True)
class RecordingCounts:
    """Calls since the start."""

    recorded: int = 0
    dropped: int = 0
    """There was no room for them, or the server stopped before they were written."""
    failed: int = 0
    """They could not be stored."""


class Recorder:
    """A bounded queue of calls, and the one task that stores them; lives on the event loop.

    Whoever hands a call over never waits: a call for which there is no room is dropped and counted.
    """

    def __init__(self, writer: Writer, *, max_bytes: int) -> None:
        self.counts = RecordingCounts()
        self._writer = writer
        self._max_bytes = max_bytes
        self._waiting: deque[Call] = deque()
        self._bytes = 0
        self._there = asyncio.Event()
        self._complained = -_COMPLAIN_SECONDS
        self._untold = 0

    @property
    def waiting(self) -> int:
        """Calls that are not stored yet."""
        return len(self._waiting)

    def add(self, call: Call) -> None:
        """Have the call stored soon, if there is room."""
        if self._waiting and self._bytes + call.size_bytes > self._max_bytes:
            call.close()
            self._drop(1)
            return
        self._waiting.append(call)
        self._bytes += call.size_bytes
        self._there.set()

    async def run(self) -> None:
        """Store calls until it is cancelled, then what still waits, as far as that goes soon."""
        try:
            while True:
                await self._there.wait()
                await asyncio.sleep(_GATHERING_SECONDS)
                if not await _whole(self._write_some()):
                    await asyncio.sleep(_RETRY_SECONDS)
        finally:
            await self._finish()

    async def _finish(self) -> None:
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                while self._waiting and await self._write_some():
                    pass
        except TimeoutError:
            pass
        left, self._waiting = self._waiting, deque()
        self._bytes = 0
        for call in left:
            call.close()
        if left:
            self._drop(len(left))

    async def _write_some(self) -> bool:
        """Store the oldest calls; whether the next may be tried at once."""
        calls = [self._waiting[n] for n in range(min(_AT_ONCE, len(self._waiting)))]
        try:
            self.counts.recorded += await self._writer.write(calls)
        except StorageError:
            log.warning("calls cannot be recorded now; they are tried again")
            return False
        except Exception:
            log.exception("%d calls cannot be recorded together", len(calls))
            for call in calls:
                await self._write_alone(call)
        for call in calls:
            self._waiting.popleft()
            self._bytes -= call.size_bytes
            call.close()
        if not self._waiting:
            self._there.clear()
        return True

    async def _write_alone(self, call: Call) -> None:
        """Whatever is wrong with one of them must not cost the others."""
        try:
            self.counts.recorded += await self._writer.write([call])
        except Exception as error:
            self.counts.failed += 1
            # What was sent may be unfit to be stored; anything else is worth a look.
            unfit = isinstance(error, InvalidInput)
            log.warning("a call of %s cannot be recorded: %s", call.api, error, exc_info=not unfit)

    def _drop(self, count: int) -> None:
        """Count calls that are not recorded; say so, though not for each."""
        self.counts.dropped += count
        self._untold += count
        now = time.monotonic()
        if now - self._complained >= _COMPLAIN_SECONDS:
            log.warning("%d calls were not recorded: there was no room for them", self._untold)
            self._complained, self._untold = now, 0


async def _whole(writing: Coroutine[Any, Any, bool]) -> bool:
    """Not to be broken off: nobody would know whether the calls are stored."""
    task = asyncio.ensure_future(writing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_LAST_SECONDS)
        raise
