"""The client for asyncio: as `Client`, with `await`, `async with` and `async for`."""

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Self

import httpx
from anyio import sleep

from opsin.client.analyses import PAGE, AnalysisCalls, note_stored
from opsin.client.annotations import Annotation, Finding
from opsin.client.async_runs import AsyncRun
from opsin.client.async_transport import AsyncTransport
from opsin.client.chunks import Chunker
from opsin.client.downloads import Download
from opsin.client.following import SILENCE, Following
from opsin.client.http import answer_of, timeouts
from opsin.client.pictures import Listed, Model, PictureCalls
from opsin.client.records import (
    Analysis,
    Arrival,
    Artifact,
    Image,
    Project,
    UploadedImage,
    id_of,
)
from opsin.client.retries import Retries
from opsin.client.session import Session
from opsin.client.signing import Dialect
from opsin.client.uploads import Progress, Source
from opsin.client.wire import NoAnswer


class AsyncClient:
    """One server and one set of credentials; for any number of tasks.

    `api_key` is a user's; `secret` signs what a pipeline says of its analyses; `user_email` and
    `proxy_secret` stand in for the key behind a proxy.  With the secret alone, analyses that are
    there can be carried on, but none can be made and no image be read, except in dev mode.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        secret: str | None = None,
        user_email: str | None = None,
        proxy_secret: str | None = None,
        dialect: Dialect = "timestamped",
        prefix: str = "/api",
        chunk: int = 1000,
        timeout: float = 60.0,
        retries: Retries | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """`chunk` is how many annotations go into one request, `timeout` is in seconds.

        `http` replaces the httpx client, for proxies and certificates of your own.
        """
        self._session = Session(
            url, api_key, secret, user_email, proxy_secret, dialect, prefix, retries or Retries()
        )
        self._analyses = AnalysisCalls(self._session, chunk)
        self._pictures = PictureCalls(self._session)
        self._transport = AsyncTransport(http or httpx.AsyncClient(timeout=timeouts(timeout)))

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def analysis(
        self,
        image: Image | UploadedImage | str,
        *,
        model: str,
        version: str,
        parameters: Mapping[str, Any] | None = None,
        description: str | None = None,
    ) -> AsyncRun:
        """All six steps as a block: completed at its end, failed by what it raises."""

        async def begin() -> Analysis:
            steps = self._analyses.begin(id_of(image), model, version, parameters, description)
            return await self._transport.run(steps)

        return AsyncRun(self, begin)

    async def create_analysis(
        self,
        image: Image | UploadedImage | str,
        *,
        model: str,
        version: str,
        parameters: Mapping[str, Any] | None = None,
        description: str | None = None,
    ) -> Analysis:
        """Step 1: say that a model begins to work on an image; however often it is sent, once."""
        steps = self._analyses.create(id_of(image), model, version, parameters, description)
        return await self._transport.run(steps)

    async def set_status(
        self, analysis_id: str, status: str, error_message: str | None = None
    ) -> Analysis:
        """Step 2: `processing`, `completed`, `failed` or `cancelled`."""
        return await self._transport.run(
            self._analyses.set_status(analysis_id, status, error_message)
        )

    async def upload_artifact(
        self,
        analysis_id: str,
        source: Source,
        name: str | None = None,
        *,
        content_type: str | None = None,
        progress: Progress | None = None,
    ) -> Artifact:
        """Steps 3 and 4: send a file of any size; `name` and type are those of its path."""
        steps = self._analyses.upload(analysis_id, source, name, content_type, progress)
        return await self._transport.run(steps)

    async def add_annotations(
        self, analysis_id: str, findings: Iterable[Finding] | AsyncIterable[Finding]
    ) -> int:
        """Step 5: send findings as they come, a chunk at a time; gives how many there were.

        Each chunk is stored once and whole.  InvalidFinding names the first bad one; chunks before
        its own are stored by then.  An ordinary iterable must not take long for the next one.
        """
        if not isinstance(findings, AsyncIterable):
            return await self._transport.run(self._analyses.add(analysis_id, findings))
        stored, chunker = 0, Chunker(self._analyses.chunk)
        try:
            async for finding in findings:
                for chunk in chunker.push(finding):
                    stored += await self._transport.run(
                        self._analyses.add_chunk(analysis_id, chunk)
                    )
            for chunk in chunker.rest():
                stored += await self._transport.run(self._analyses.add_chunk(analysis_id, chunk))
        except Exception as error:
            note_stored(error, stored)
            raise
        return stored

    async def finalize(
        self,
        analysis_id: str,
        status: str = "completed",
        *,
        summary: Mapping[str, Any] | None = None,
        error_message: str | None = None,
    ) -> Analysis:
        """Step 6: `completed`, `failed` or `cancelled`; nothing leads back from there."""
        return await self._transport.run(
            self._analyses.finalize(analysis_id, status, summary, error_message)
        )

    async def get_analysis(self, analysis_id: str) -> Analysis:
        return await self._transport.run(self._analyses.read(analysis_id))

    async def analyses(self, image: Image | UploadedImage | str) -> list[Analysis]:
        """The newest 500 analyses of an image, newest first."""
        return await self._transport.run(self._analyses.listed(id_of(image)))

    async def count_annotations(self, analysis_id: str) -> int:
        return await self._transport.run(self._analyses.count(analysis_id))

    async def annotations(self, analysis_id: str) -> AsyncIterator[Annotation]:
        """All that is stored, page by page, in the order in which it came."""
        skip = 0
        while True:
            page = await self._transport.run(self._analyses.annotations_page(analysis_id, skip))
            for one in page:
                yield one
            skip += len(page)
            if len(page) < PAGE:
                return

    async def create_project(
        self, name: str, *, group: str | None = None, description: str | None = None
    ) -> Project:
        """A new project of one of your groups, by default of your key's company or your own.

        It is not sent again when its answer is lost.
        """
        return await self._transport.run(self._pictures.create_project(name, group, description))

    async def projects(self) -> list[Project]:
        return await self._transport.run(self._pictures.projects())

    async def image(self, image_id: str) -> Image:
        return await self._transport.run(self._pictures.image(image_id))

    async def images(
        self, project: Project | str, *, without: Model | None = None, follow: bool = False
    ) -> AsyncIterator[Image]:
        """The images of a project, oldest first; with `follow`, new ones as they come, for ever.

        `without` leaves out those that the model has analysed, or is at; what failed comes again.
        """
        after, cursor, listed = None, None, Listed()
        while True:
            page = await self._transport.run(
                self._pictures.image_page(id_of(project), after, without)
            )
            cursor, after = cursor or page.event_cursor, page.next
            listed.note(page)
            for image in page.images:
                yield image
            if after is None:
                break
        if follow:
            async with aclosing(self.new_images(project, after=cursor, without=without)) as new:
                async for one in new:
                    if listed.is_new(one.image):
                        yield one.image

    async def new_images(
        self, project: Project | str, *, after: str | None = None, without: Model | None = None
    ) -> AsyncGenerator[Arrival, None]:
        """Images that come from now on, or behind the cursor `after`; none is lost or repeated."""
        after = after or await self._transport.run(self._pictures.event_cursor())
        following = Following(self._session, id_of(project), after, without)
        while True:
            answer, reason = None, "the server ended the stream"
            try:
                async with self._transport.opened(following.request(), SILENCE) as response:
                    if response.status_code != 200:
                        answer = answer_of(response, await response.aread())
                        reason = f"status {answer.status}"
                        following.check(answer)
                    else:
                        async for part in response.aiter_bytes():
                            for arrival in following.received(part):
                                yield arrival
            except NoAnswer as lost:
                reason = str(lost)
            await sleep(following.pause(reason, answer))

    async def read_image(self, image: Image | UploadedImage | str) -> bytes:
        """The file as it was taken in."""
        parts: list[bytes] = []
        await self._transport.run(self._pictures.download(id_of(image), parts.clear, parts.append))
        return b"".join(parts)

    async def download_image(
        self, image: Image | UploadedImage | str, path: "str | os.PathLike[str]"
    ) -> None:
        """Write the file to `path`, which has all of it or is as it was."""
        download = Download(path)
        try:
            await self._transport.run(
                self._pictures.download(id_of(image), download.begin, download.receive)
            )
            download.finish()
        finally:
            download.abandon()

    async def upload_image(
        self,
        project: Project | str,
        source: Source,
        filename: str | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> UploadedImage:
        """Add a picture to a project unless its very file is there already."""
        return await self._transport.run(
            self._pictures.upload(id_of(project), source, filename, metadata, progress)
        )
