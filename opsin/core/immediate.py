"""Ask and wait: operations run on a picture at once; what came of them may be recorded."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import partial
from typing import IO

from opsin.core.access import Principal
from opsin.core.answers.answers import Answers
from opsin.core.answers.content_digest import content_name, digest_of
from opsin.core.answers.referring import NoReferences, ReferenceStore, with_references
from opsin.core.answers.stored_info import stored_info
from opsin.core.engine import Analyzed, Task
from opsin.core.errors import InvalidInput, TooLarge
from opsin.core.fetch import Fetcher
from opsin.core.images import Images, decode_base64
from opsin.core.imaging import DecodedImage, DecodeOptions, Source
from opsin.core.recording import Call, Recorder, kept
from opsin.core.roles import Permission

_DEFAULT_OPTIONS = DecodeOptions()


@dataclass(frozen=True, slots=True)
class KnownPixels:
    """A picture that is decoded already; `sha256` names the bytes it came from, if there were any.

    Without it nothing is known of the picture from before, and nothing is kept.
    """

    image: DecodedImage
    sha256: str | None = None
    source: Source | None = None
    """Those bytes, while whoever gave them has them."""


@dataclass(frozen=True, slots=True)
class PictureSource:
    """Where the picture comes from; exactly one is given, besides what the client calls it."""

    file: IO[bytes] | None = None
    content: bytes | None = None
    pixels: "KnownPixels | None" = None
    url: str | None = None
    base64: str | None = None
    image_id: str | None = None
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class _Opened:
    """A picture ready to be analysed, and what it is called where it comes from."""

    picture: bytes | IO[bytes] | DecodedImage
    filename: str | None


class Immediate:
    """Runs tasks on one picture and waits for all of them.

    With a `recorder` every call is handed to it as one of `api`, once it is answered.
    """

    def __init__(
        self,
        answers: Answers,
        images: Images,
        fetcher: Fetcher,
        *,
        max_bytes: int,
        max_tasks: int,
        references: ReferenceStore | None = None,
        recorder: Recorder | None = None,
        api: str = "GraphQL",
    ) -> None:
        self._answers = answers
        self._images = images
        self._fetcher = fetcher
        self._max_bytes = max_bytes
        self._max_tasks = max_tasks
        self._references = references
        self._recorder = recorder
        self._api = api

    def of_api(self, api: str) -> "Immediate":
        """The same for another API, which is called so where its calls are recorded."""
        other = copy(self)
        other._api = api
        return other

    async def analyze(
        self,
        principal: Principal,
        source: PictureSource,
        tasks: Sequence[Task],
        *,
        options: DecodeOptions = _DEFAULT_OPTIONS,
        deadline: float | None = None,
        priority: int = 0,
        record: bool = True,
    ) -> Analyzed:
        """One outcome a task, in order; a task that fails does not fail the others.

        A file stays the caller's, who closes it.  Without `record` it is no call of a client's.
        Raises InvalidImage, TooLarge, FetchFailed or Overloaded when none of them could be run,
        Forbidden without the permission to analyze: in the image's dataset, or in the company.
        """
        if len(tasks) > self._max_tasks:
            raise TooLarge(f"At most {self._max_tasks} tasks may be asked at once")
        begun = datetime.now(UTC)
        keep = partial(self._keep, principal, begun) if record else _forget
        of_company = principal.may(Permission.READ)
        references = self._references if of_company else NoReferences()
        tasks = await with_references(tasks, principal.company_id, references)
        if source.image_id is not None:
            _check_one(source)
            image = await self._images.get(principal, source.image_id)
            principal.require(Permission.ANALYZE, image.dataset_id)
            analyzed = await self._answers.analyze(
                partial(self._images.opened, image),
                tasks,
                company_id=principal.company_id,
                content_sha256=image.sha256,
                info=stored_info(image, options),
                options=options,
                deadline=deadline,
                priority=priority,
            )
            keep(analyzed, image_id=image.id)
            return analyzed
        principal.require(Permission.ANALYZE)
        pixels = source.pixels
        async with self._open(principal, source) as opened:
            analyzed = await self._answers.analyze(
                opened.picture,
                tasks,
                company_id=principal.company_id,
                content_sha256=pixels.sha256 if pixels is not None else None,
                options=options,
                deadline=deadline,
                priority=priority,
            )
            sent = pixels.source if pixels is not None else None
            keep(analyzed, picture=sent or opened.picture, filename=opened.filename)
            return analyzed

    def _keep(
        self,
        principal: Principal,
        begun: datetime,
        analyzed: Analyzed,
        *,
        image_id: str | None = None,
        picture: bytes | IO[bytes] | DecodedImage | None = None,
        filename: str | None = None,
    ) -> None:
        """Hand the call to the recorder, if there is one; takes no time worth speaking of."""
        if self._recorder is None:
            return
        again = None if picture is None else kept(picture)
        if image_id is None and again is None:
            return
        ended = datetime.now(UTC)
        self._recorder.add(
            Call(principal, self._api, begun, ended, analyzed, image_id, again, filename)
        )

    @asynccontextmanager
    async def decoded(
        self, principal: Principal, source: Source, options: DecodeOptions = _DEFAULT_OPTIONS
    ) -> AsyncIterator[KnownPixels]:
        """The picture, to be analysed and looked at; raises InvalidImage or TooLarge.

        Raises Forbidden before it is looked at, for who may have nothing analysed.  Its pixels
        count as in use until the end, as `Engine.decoded` says.
        """
        principal.require(Permission.ANALYZE)
        async with self._decoded(principal, source, options) as known:
            yield known

    @asynccontextmanager
    async def _decoded(
        self, principal: Principal, source: Source, options: DecodeOptions
    ) -> AsyncIterator[KnownPixels]:
        sha256 = await digest_of(source, self._max_bytes)
        name = None if sha256 is None else content_name(principal.company_id, sha256)
        async with self._answers.engine.decoded(source, options=options, content=name) as image:
            yield KnownPixels(image, sha256, source)

    async def decode(
        self, principal: Principal, content: bytes, options: DecodeOptions = _DEFAULT_OPTIONS
    ) -> KnownPixels:
        """As `decoded`; the pixels are the caller's, and count no more."""
        async with self.decoded(principal, content, options) as known:
            return known

    async def decode_again(
        self, principal: Principal, content: bytes, options: DecodeOptions = _DEFAULT_OPTIONS
    ) -> KnownPixels:
        """As `decode`, of a picture that was analysed before, for whoever may see it."""
        async with self._decoded(principal, content, options) as known:
            return known

    @asynccontextmanager
    async def fetched(self, principal: Principal, url: str) -> AsyncIterator[PictureSource]:
        """The file behind a URL, which lasts until the end; raises as `Fetcher.fetch` does.

        Raises Forbidden before anything is asked for, for who may have nothing analysed.
        """
        principal.require(Permission.ANALYZE)
        with await self._fetcher.fetch(url) as fetched:
            yield PictureSource(file=fetched.file, filename=fetched.filename)

    @asynccontextmanager
    async def _open(self, principal: Principal, source: PictureSource) -> AsyncIterator[_Opened]:
        _check_one(source)
        name = source.filename
        if source.pixels is not None:
            yield _Opened(source.pixels.image, name)
        elif source.content is not None:
            yield _Opened(source.content, name)
        elif source.url is not None:
            async with self.fetched(principal, source.url) as fetched:
                assert fetched.file is not None
                yield _Opened(fetched.file, name or fetched.filename)
        elif source.base64 is not None:
            # On a thread: tens of megabytes take long enough for the event loop to be missed.
            content = await asyncio.to_thread(decode_base64, source.base64, self._max_bytes)
            yield _Opened(content, name)
        else:
            assert source.file is not None  # exactly one is given
            yield _Opened(source.file, name)


def _forget(_analyzed: Analyzed, **_what: object) -> None:
    """For calls that are not recorded."""


def _check_one(source: PictureSource) -> None:
    given = (getattr(source, field.name) for field in fields(source) if field.name != "filename")
    if sum(one is not None for one in given) != 1:
        raise InvalidInput("Give exactly one of file, url, base64 and imageId")
