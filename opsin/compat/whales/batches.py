"""An archive of pictures: read one after the other, answered together, in the archive's order."""

import asyncio
import logging
from collections import deque
from http import HTTPStatus
from typing import IO

from opsin.compat.whales.answers import Refused
from opsin.compat.whales.identification import Answered, Identifier
from opsin.compat.whales.options import WhalesOptions
from opsin.compat.whales.texts import UNREADABLE_ZIP
from opsin.core.access import Principal
from opsin.core.archives import Archive, Entry
from opsin.core.errors import InvalidInput, OperationFailed
from opsin.core.imaging.structure import sniff

log = logging.getLogger(__name__)

MOST_PICTURES = 64
"""Of one archive in the engine at once: enough for full batches while the next are read."""
MOST_BYTES = 128 << 20
"""Of them all, encoded."""
_HEAD_BYTES = 16
_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


class Batches:
    """Keeps the engine busy with an archive, and holds no more of it than that takes."""

    def __init__(self, identifier: Identifier, options: WhalesOptions) -> None:
        self._identifier = identifier
        self._options = options

    async def answered(self, principal: Principal, file: IO[bytes]) -> list[Answered]:
        """One answer for each image, in the archive's order; what is no image is left out.

        Raises Refused for what is no archive, TooLarge for one beyond the limits, and what no
        picture could be answered for.
        """
        try:
            archive = await asyncio.to_thread(Archive, file, self._options.archive)
        except InvalidInput:
            raise Refused(HTTPStatus.BAD_REQUEST, UNREADABLE_ZIP) from None
        try:
            return await self._stream(principal, archive)
        finally:
            archive.close()

    async def _stream(self, principal: Principal, archive: Archive) -> list[Answered]:
        answers: list[Answered] = []
        failures: list[OperationFailed] = []
        under_way: deque[tuple[int, asyncio.Task[Answered]]] = deque()
        held = 0

        async def take_first() -> None:
            nonlocal held
            size, task = under_way[0]
            answers.append(await task)
            under_way.popleft()
            held -= size

        try:
            for entry in archive.entries:
                content = await asyncio.to_thread(self._content, archive, entry)
                if content is None:
                    continue
                while under_way and (
                    len(under_way) >= MOST_PICTURES or held + len(content) > MOST_BYTES
                ):
                    await take_first()
                one = self._one(principal, entry.name, content, failures)
                under_way.append((len(content), asyncio.create_task(one)))
                held += len(content)
            while under_way:
                await take_first()
        finally:
            for _, task in under_way:
                task.cancel()
            await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)
        if failures and len(failures) == len(answers):
            raise failures[0]  # it is not the pictures
        return answers

    async def _one(
        self, principal: Principal, name: str, content: bytes, failures: list[OperationFailed]
    ) -> Answered:
        """One picture's answer; that an operation stumbles over it is nobody else's trouble."""
        if not content:
            return self._identifier.damaged(name)
        try:
            return await self._identifier.one_of_many(principal, name, content)
        except OperationFailed as error:
            log.warning("a picture of an archive has no answer: %s", error.message)
            failures.append(error)
            return self._identifier.damaged(name)

    def _content(self, archive: Archive, entry: Entry) -> bytes | None:
        """The bytes of an image, none of them for one that cannot be read; None for all else."""
        head = archive.head(entry, _HEAD_BYTES)
        if head is None:  # encrypted, or damaged at its beginning: only the name tells
            return b"" if entry.name.lower().endswith(_IMAGE_ENDINGS) else None
        if sniff(head) is None:
            return None
        if entry.size > self._options.max_picture_bytes:
            return b""
        return archive.read(entry) or b""
