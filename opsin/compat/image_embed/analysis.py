"""From a picture and what is asked of it to the results, by the names that the caller gave."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import orjson

from opsin.compat.image_embed.answers import (
    UNDOWNLOADED,
    UNPROCESSED,
    NoPicture,
    unexpected,
)
from opsin.compat.image_embed.crops import Crops
from opsin.compat.image_embed.options import ImageEmbedOptions
from opsin.compat.image_embed.requests import TaskRequest, normal_url
from opsin.compat.image_embed.results import Told, refused, told
from opsin.compat.image_embed.tasks import Refusal, read_task
from opsin.core.access import Principal
from opsin.core.contract import Box, Target
from opsin.core.engine import Outcome, Task
from opsin.core.errors import (
    FetchFailed,
    InvalidImage,
    InvalidInput,
    OpsinError,
    Overloaded,
    TooLarge,
)
from opsin.core.immediate import Immediate, PictureSource
from opsin.core.plugin_host import PluginHost

_AT_ONCE = 16
"""Pictures of one request under way: enough for full batches, and for slow servers between."""
_MOST_TRIES = 8
"""Of one picture of several, while the server is busy with others' requests."""

Results = dict[str, Told]


class Analysis:
    """Runs tasks on pictures; one that fails is a result like the others."""

    def __init__(self, immediate: Immediate, host: PluginHost, options: ImageEmbedOptions) -> None:
        self._immediate = immediate
        self._host = host
        self._options = options

    async def of_url(self, caller: Principal, url: str, asked: Sequence[TaskRequest]) -> Results:
        """Raises NoPicture, and what the engine raises for the whole."""
        async with AsyncExitStack() as stack:
            try:
                fetched = await stack.enter_async_context(self._immediate.fetched(caller, url))
            except (FetchFailed, InvalidInput, TooLarge) as error:
                raise NoPicture(UNDOWNLOADED + error.message) from None
            try:
                return await self.of_file(caller, fetched, asked)
            except TooLarge as error:
                raise NoPicture(UNPROCESSED + error.message) from None

    async def of_file(
        self, caller: Principal, sent: PictureSource, asked: Sequence[TaskRequest]
    ) -> Results:
        """Of a source with a file.

        Raises NoPicture, TooLarge, and what else the engine raises for the whole.
        """
        read = [read_task(self._host, one) for one in asked]
        tasks = [one for one in read if isinstance(one, Task)]
        try:
            if any(_may_be_cut(task) for task in tasks):
                return await self._cutting(caller, sent, tasks, asked, read)
            return await self._whole(caller, sent, tasks, asked, read)
        except InvalidImage as error:
            raise NoPicture(UNPROCESSED + error.message) from None

    async def of_urls(
        self, caller: Principal, urls: Sequence[str], asked: Sequence[TaskRequest]
    ) -> AsyncGenerator[bytes, None]:
        """A JSON document of one entry a URL, in their order, each as soon as it can be sent."""
        waiting = iter(urls)
        under_way: deque[asyncio.Task[bytes]] = deque()

        def begin() -> None:
            for url in waiting:
                under_way.append(asyncio.create_task(self._entry(caller, url, asked)))
                if len(under_way) >= _AT_ONCE:
                    break

        try:
            begin()
            separator = b'{"images":['
            while under_way:
                entry = await under_way[0]
                under_way.popleft()
                begin()
                yield separator + entry
                separator = b","
            yield b"]}"
        finally:  # the client may be gone
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _entry(self, caller: Principal, text: str, asked: Sequence[TaskRequest]) -> bytes:
        url = normal_url(text)
        message = None
        results: Results = {}
        try:
            if url is None:
                raise NoPicture(UNDOWNLOADED + "the URL is not valid")
            results = await self._patiently(caller, url, asked)
        except NoPicture as error:
            message = str(error)
        except OpsinError as error:
            message = error.message
        except Exception as error:
            message = unexpected(error)
        entry: dict[str, Any] = {
            "image_url": url or text,
            "status": "success" if message is None else "error",
            "results": results,
            "error_message": message,
        }
        return orjson.dumps(entry)

    async def _patiently(
        self, caller: Principal, url: str, asked: Sequence[TaskRequest]
    ) -> Results:
        """As `of_url`; a picture that there was no room for is tried again."""
        for _ in range(_MOST_TRIES - 1):
            try:
                return await self.of_url(caller, url, asked)
            except Overloaded as error:
                await asyncio.sleep(error.retry_after)
        return await self.of_url(caller, url, asked)

    async def _cutting(
        self,
        caller: Principal,
        sent: PictureSource,
        tasks: Sequence[Task],
        asked: Sequence[TaskRequest],
        read: Sequence[Task | Refusal],
    ) -> Results:
        """With the pixels at hand, of which regions are cut."""
        assert sent.file is not None
        options = self._options.decoding
        async with self._immediate.decoded(caller, sent.file, options) as known:
            source = PictureSource(pixels=known, filename=sent.filename)
            analyzed = await self._immediate.analyze(caller, source, tasks, options=options)
            crops = Crops(known.image)
            return await asyncio.to_thread(_gather, asked, read, analyzed.outcomes, crops.base64)

    async def _whole(
        self,
        caller: Principal,
        sent: PictureSource,
        tasks: Sequence[Task],
        asked: Sequence[TaskRequest],
        read: Sequence[Task | Refusal],
    ) -> Results:
        """What is known of the whole picture needs no pixels."""
        options = self._options.decoding
        analyzed = await self._immediate.analyze(caller, sent, tasks, options=options)
        return _gather(asked, read, analyzed.outcomes, _uncut)


def _may_be_cut(task: Task) -> bool:
    """Whether its result may be that of a region; a classifier chooses one of its own."""
    operation = task.operation
    is_whole = task.target is Target.WHOLE_IMAGE and operation.uses_picture
    return operation.crop and not is_whole


def _gather(
    asked: Sequence[TaskRequest],
    read: Sequence[Task | Refusal],
    outcomes: Sequence[Outcome],
    cut: Callable[[Box], str],
) -> Results:
    """By name in the order of the first of each; of tasks of one name the last one's."""
    results: Results = {}
    rest = iter(outcomes)
    for request, one in zip(asked, read, strict=True):
        result = (
            refused(one)
            if isinstance(one, Refusal)
            else told(next(rest), request.params or {}, cut)
        )
        results[request.operation_id] = result
    return results


def _uncut(box: Box) -> str:
    raise AssertionError("a task on the whole picture looked at a region")
