"""The client for ordinary programs: every call returns when it is done."""

import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, Self

import httpx

from opsin.client.analyses import PAGE, AnalysisCalls
from opsin.client.annotations import Annotation, Finding
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
from opsin.client.runs import Run
from opsin.client.session import Session
from opsin.client.signing import Dialect
from opsin.client.transport import Transport
from opsin.client.uploads import Progress, Source
from opsin.client.wire import NoAnswer


class Client:
    """One server and one set of credentials; may be used by several threads.

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
        http: httpx.Client | None = None,
    ) -> None:
        """`chunk` is how many annotations go into one request, `timeout` is in seconds.

        `http` replaces the httpx client, for proxies and certificates of your own.
        """
        self._session = Session(
            url, api_key, secret, user_email, proxy_secret, dialect, prefix, retries or Retries()
        )
        self._analyses = AnalysisCalls(self._session, chunk)
        self._pictures = PictureCalls(self._session)
        self._transport = Transport(http or httpx.Client(timeout=timeouts(timeout)))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def analysis(
        self,
        image: Image | UploadedImage | str,
        *,
        model: str,
        version: str,
        parameters: Mapping[str, Any] | None = None,
        description: str | None = None,
    ) -> Run:
        """All six steps as a block: completed at its end, failed by what it raises."""

        def begin() -> Analysis:
            steps = self._analyses.begin(id_of(image), model, version, parameters, description)
            return self._transport.run(steps)

        return Run(self, begin)

    def create_analysis(
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
        return self._transport.run(steps)

    def set_status(
        self, analysis_id: str, status: str, error_message: str | None = None
    ) -> Analysis:
        """Step 2: `processing`, `completed`, `failed` or `cancelled`."""
        return self._transport.run(self._analyses.set_status(analysis_id, status, error_message))

    def upload_artifact(
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
        return self._transport.run(steps)

    def add_annotations(self, analysis_id: str, findings: Iterable[Finding]) -> int:
        """Step 5: send findings as they come, a chunk at a time; gives how many there were.

        Each chunk is stored once and whole.  InvalidFinding names the first bad one; chunks before
        its own are stored by then.
        """
        return self._transport.run(self._analyses.add(analysis_id, findings))

    def finalize(
        self,
        analysis_id: str,
        status: str = "completed",
        *,
        summary: Mapping[str, Any] | None = None,
        error_message: str | None = None,
    ) -> Analysis:
        """Step 6: `completed`, `failed` or `cancelled`; nothing leads back from there."""
        return self._transport.run(
            self._analyses.finalize(analysis_id, status, summary, error_message)
        )

    def get_analysis(self, analysis_id: str) -> Analysis:
        return self._transport.run(self._analyses.read(analysis_id))

    def analyses(self, image: Image | UploadedImage | str) -> list[Analysis]:
        """The newest 500 analyses of an image, newest first."""
        return self._transport.run(self._analyses.listed(id_of(image)))

    def count_annotations(self, analysis_id: str) -> int:
        return self._transport.run(self._analyses.count(analysis_id))

    def annotations(self, analysis_id: str) -> Iterator[Annotation]:
        """All that is stored, page by page, in the order in which it came."""
        skip = 0
        while True:
            page = self._transport.run(self._analyses.annotations_page(analysis_id, skip))
            yield from page
            skip += len(page)
            if len(page) < PAGE:
                return

    def create_project(
        self, name: str, *, group: str | None = None, description: str | None = None
    ) -> Project:
        """A new project of one of your groups, by default of your key's company or your own.

        It is not sent again when its answer is lost.
        """
        return self._transport.run(self._pictures.create_project(name, group, description))

    def projects(self) -> list[Project]:
        return self._transport.run(self._pictures.projects())

    def image(self, image_id: str) -> Image:
        return self._transport.run(self._pictures.image(image_id))

    def images(
        self, project: Project | str, *, without: Model | None = None, follow: bool = False
    ) -> Iterator[Image]:
        """The images of a project, oldest first; with `follow`, new ones as they come, for ever.

        `without` leaves out those that the model has analysed, or is at; what failed comes again.
        """
        after, cursor, listed = None, None, Listed()
        while True:
            page = self._transport.run(self._pictures.image_page(id_of(project), after, without))
            cursor, after = cursor or page.event_cursor, page.next
            listed.note(page)
            yield from page.images
            if after is None:
                break
        if follow:
            with closing(self.new_images(project, after=cursor, without=without)) as new:
                yield from (one.image for one in new if listed.is_new(one.image))

    def new_images(
        self, project: Project | str, *, after: str | None = None, without: Model | None = None
    ) -> Generator[Arrival, None, None]:
        """Images that come from now on, or behind the cursor `after`; none is lost or repeated."""
        after = after or self._transport.run(self._pictures.event_cursor())
        following = Following(self._session, id_of(project), after, without)
        while True:
            answer, reason = None, "the server ended the stream"
            try:
                with self._transport.opened(following.request(), SILENCE) as response:
                    if response.status_code != 200:
                        answer = answer_of(response, response.read())
                        reason = f"status {answer.status}"
                        following.check(answer)
                    else:
                        for part in response.iter_bytes():
                            yield from following.received(part)
            except NoAnswer as lost:
                reason = str(lost)
            time.sleep(following.pause(reason, answer))

    def read_image(self, image: Image | UploadedImage | str) -> bytes:
        """The file as it was taken in."""
        parts: list[bytes] = []
        self._transport.run(self._pictures.download(id_of(image), parts.clear, parts.append))
        return b"".join(parts)

    def download_image(
        self, image: Image | UploadedImage | str, path: "str | os.PathLike[str]"
    ) -> None:
        """Write the file to `path`, which has all of it or is as it was."""
        download = Download(path)
        try:
            self._transport.run(
                self._pictures.download(id_of(image), download.begin, download.receive)
            )
            download.finish()
        finally:
            download.abandon()

    def upload_image(
        self,
        project: Project | str,
        source: Source,
        filename: str | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> UploadedImage:
        """Add a picture to a project unless its very file is there already."""
        return self._transport.run(
            self._pictures.upload(id_of(project), source, filename, metadata, progress)
        )
