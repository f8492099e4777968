"""Reports as PDF: read for their owner, written on threads of their own, a few at a time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from importlib import util

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.actors import holder_of_link
from opsin.core.errors import (
    BlobNotFound,
    DeadlineExceeded,
    MissingExtra,
    NotFound,
    Overloaded,
)
from opsin.core.history import History
from opsin.core.images import Images
from opsin.core.imaging import ImageLimits
from opsin.core.plugin_host import PluginHost
from opsin.core.records import Image
from opsin.core.reports.budget import Budget
from opsin.core.reports.contents import Contents
from opsin.core.reports.reading import Reader
from opsin.storage.database import Database

_PACKAGES = ("fpdf", "matplotlib", "uharfbuzz")
_RETRY_SECONDS = 5.0


class Reports:
    """Writes reports, `most_at_once` at the same time, while `most_waiting` may wait."""

    def __init__(
        self,
        database: Database,
        host: PluginHost,
        images: Images,
        history: History,
        limits: ImageLimits,
        *,
        most_at_once: int = 2,
        most_waiting: int = 32,
        seconds: float = 60.0,
    ) -> None:
        self._database = database
        self._images = images
        self._reader = Reader(database, host, history)
        self.limits = limits
        self._seconds = seconds
        self._turns = asyncio.Semaphore(most_at_once)
        self._most = most_at_once + most_waiting
        self._asked = 0
        # Its own, so that the caches of fonts, which are kept for each thread, are few.
        self._threads = ThreadPoolExecutor(most_at_once, thread_name_prefix="report")

    @property
    def is_available(self) -> bool:
        """Whether the extra `reports` is installed."""
        return all(util.find_spec(name) is not None for name in _PACKAGES)

    @property
    def waiting(self) -> int:
        """Reports that somebody waits for, those that are being written among them."""
        return self._asked

    async def pdf(
        self, principal: Principal, image_id: str, *, deadline: float | None = None
    ) -> bytes:
        """The report of an image; `deadline` is a time of the loop's clock.

        Raises NotFound, MissingExtra without the extra `reports`, Overloaded when too many wait,
        DeadlineExceeded.
        """
        image = await self._images.get(principal, image_id)
        return await self._pdf(principal, image, deadline)

    async def pdf_by_id(self, image_id: str, *, deadline: float | None = None) -> bytes:
        """The same of any company's image: for signed links only."""
        image = await self._images.by_id(image_id)
        if image.deleted_at is not None:
            raise NotFound("Image not found")
        return await self._pdf(holder_of_link(image.company_id), image, deadline)

    async def close(self) -> None:
        """End the threads; a report that is being written is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _pdf(self, principal: Principal, image: Image, deadline: float | None) -> bytes:
        if not self.is_available:
            raise MissingExtra("a report as PDF", "reports")
        if self._asked >= self._most:
            raise Overloaded("Too many reports are being written; try again", _RETRY_SECONDS)
        latest = asyncio.get_running_loop().time() + self._seconds
        until = latest if deadline is None else min(deadline, latest)
        self._asked += 1
        try:
            async with asyncio.timeout_at(until):
                await self._turns.acquire()
                try:
                    contents = await self._reader.contents(principal, image)
                    content = await self._content(image)
                    subject = ("image", image.id)
                    await audit.note_read(
                        self._database, principal, "image.report", subject,
                        dataset_id=image.dataset_id,
                    )  # fmt: skip
                    written = self._begin(contents, content, until)
                except BaseException:
                    self._turns.release()
                    raise
                return await written
        except TimeoutError:
            raise DeadlineExceeded("The report was not ready in time") from None
        finally:
            self._asked -= 1

    async def _content(self, image: Image) -> bytes | None:
        """The picture's bytes; None where they are gone."""
        try:
            return await self._images.content(image)
        except BlobNotFound:
            return None

    def _begin(
        self, contents: Contents, content: bytes | None, until: float
    ) -> "asyncio.Future[bytes]":
        """Write on a thread, whose turn ends with it, also when nobody waits for it any more."""
        from opsin.core.reports.document import write_pdf

        loop = asyncio.get_running_loop()
        budget = Budget(until - loop.time())
        running = loop.run_in_executor(
            self._threads, write_pdf, contents, content, self.limits, budget
        )
        answered: asyncio.Future[bytes] = loop.create_future()

        def ended(done: "asyncio.Future[bytes]") -> None:
            self._turns.release()
            if answered.done():
                return
            if (error := done.exception()) is not None:
                answered.set_exception(error)
            else:
                answered.set_result(done.result())

        running.add_done_callback(ended)
        # Cancelling what waits must not cancel what runs: it would seem to have ended.
        answered.add_done_callback(lambda _: budget.stop())
        return answered
