"""Ask and wait: operations run on a picture at once, nothing is stored."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO

from opsin.core.access import Principal
from opsin.core.answers.answers import Answers
from opsin.core.answers.referring import ReferenceStore, with_references
from opsin.core.answers.stored_info import stored_info
from opsin.core.engine import Analyzed, Task
from opsin.core.errors import InvalidInput, TooLarge
from opsin.core.fetch import Fetcher
from opsin.core.images import Images, decode_base64
from opsin.core.imaging import DecodeOptions

_DEFAULT_OPTIONS = DecodeOptions()


@dataclass(frozen=True, slots=True)
class PictureSource:
    """Where the picture comes from; exactly one is given."""

    file: IO[bytes] | None = None
    url: str | None = None
    base64: str | None = None
    image_id: str | None = None


class Immediate:
    """Runs tasks on one picture and waits for all of them."""

    def __init__(
        self,
        answers: Answers,
        images: Images,
        fetcher: Fetcher,
        *,
        max_bytes: int,
        max_tasks: int,
        references: ReferenceStore | None = None,
    ) -> None:
        self._answers = answers
        self._images = images
        self._fetcher = fetcher
        self._max_bytes = max_bytes
        self._max_tasks = max_tasks
        self._references = references

    async def analyze(
        self,
        principal: Principal,
        source: PictureSource,
        tasks: Sequence[Task],
        *,
        options: DecodeOptions = _DEFAULT_OPTIONS,
        deadline: float | None = None,
    ) -> Analyzed:
        """One outcome a task, in order; a task that fails does not fail the others.

        A file stays the caller's, who closes it.
        Raises InvalidImage, TooLarge, FetchFailed or Overloaded when none of them could be run.
        """
        if len(tasks) > self._max_tasks:
            raise TooLarge(f"At most {self._max_tasks} tasks may be asked at once")
        tasks = await with_references(tasks, principal.company_id, self._references)
        if source.image_id is not None:
            _check_one(source)
            image = await self._images.get(principal, source.image_id)
            return await self._answers.analyze(
                partial(self._images.opened, image),
                tasks,
                company_id=principal.company_id,
                content_sha256=image.sha256,
                info=stored_info(image, options),
                options=options,
                deadline=deadline,
            )
        async with self._open(source) as picture:
            return await self._answers.analyze(
                picture,
                tasks,
                company_id=principal.company_id,
                options=options,
                deadline=deadline,
            )

    @asynccontextmanager
    async def _open(self, source: PictureSource) -> AsyncIterator[bytes | IO[bytes]]:
        _check_one(source)
        if source.url is not None:
            with await self._fetcher.fetch(source.url) as fetched:
                yield fetched.file
        elif source.base64 is not None:
            # On a thread: tens of megabytes take long enough for the event loop to be missed.
            yield await asyncio.to_thread(decode_base64, source.base64, self._max_bytes)
        else:
            assert source.file is not None  # exactly one is given
            yield source.file


def _check_one(source: PictureSource) -> None:
    given = [source.file, source.url, source.base64, source.image_id]
    if sum(one is not None for one in given) != 1:
        raise InvalidInput("Give exactly one of file, url, base64 and imageId")
