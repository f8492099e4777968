"""From a picture to its answer: through the flow, into a context, and into the image asked for."""

import asyncio
import time

from starlette.responses import Response

from opsin.compat.pekat.answers import context_answer, image_answer
from opsin.compat.pekat.context import bare_context, full_context
from opsin.compat.pekat.drawing import annotated, heatmap_of
from opsin.compat.pekat.findings import gather
from opsin.compat.pekat.flow import Flows
from opsin.compat.pekat.last_images import Analysed, LastImages
from opsin.compat.pekat.parameters import ResponseType, Wanted
from opsin.core.access import Principal
from opsin.core.engine import TaskStatus
from opsin.core.errors import NotFound
from opsin.core.imaging import (
    DecodedImage,
    DecodeOptions,
    ImageLimits,
    SampleLayout,
    decode_samples,
    encode_png,
)
from opsin.core.immediate import Immediate, KnownPixels, PictureSource
from opsin.core.roles import Permission

DECODING = DecodeOptions(apply_orientation=False, alpha="drop")
"""Pixels as they are stored: a camera's picture and its file give the same answer."""

_COMPRESSION = 1
"""Of the images sent back: they cross a short wire once, and cameras wait for them."""

_BLANK = 64
"""Pixels of each side of the picture of nothing."""


class Analysis:
    """Runs the flow on pictures and remembers the last one."""

    def __init__(
        self, immediate: Immediate, flows: Flows, limits: ImageLimits, *, is_processing: bool
    ) -> None:
        self._immediate = immediate
        self._flows = flows
        self._limits = limits
        self._is_processing = is_processing
        self._last = LastImages()

    async def of_file(
        self, principal: Principal, content: bytes, wanted: Wanted, begun: float
    ) -> Response:
        """An encoded picture; `begun` is when the request came, as time.perf_counter says."""
        if self._is_processing and wanted.kind is ResponseType.CONTEXT:
            # What is known of these bytes needs no pixels.
            return await self._answer(principal, content, content, wanted, begun)
        known = await self._immediate.decode(principal, content, DECODING)
        return await self._answer(principal, known, content, wanted, begun)

    async def of_frame(
        self, principal: Principal, frame: DecodedImage, wanted: Wanted, begun: float
    ) -> Response:
        """Pixels without a file."""
        return await self._answer(principal, KnownPixels(frame), frame, wanted, begun)

    async def last(self, principal: Principal, wanted: Wanted) -> Response:
        """The last picture of the caller's company once more; raises NotFound without one.

        Of their own, for who does not read the whole company.
        """
        analysed = self._last.of(_whose(principal))
        if analysed is None:
            raise NotFound("no image has been analysed yet")
        if wanted.kind is ResponseType.CONTEXT:
            return context_answer(analysed.context)
        image = analysed.picture
        if isinstance(image, bytes):
            image = (await self._immediate.decode_again(principal, image, DECODING)).image
        return await self._image(image, analysed, wanted)

    async def warm(self, principal: Principal) -> None:
        """Have every model of the flow loaded, by a picture of nothing; raises why one is not."""
        blank = decode_samples(
            bytes(_BLANK * _BLANK), _BLANK, _BLANK, SampleLayout.GREY, self._limits
        )
        source = PictureSource(pixels=KnownPixels(blank))
        tasks = self._flows.current().tasks
        analyzed = await self._immediate.analyze(principal, source, tasks, record=False)
        for outcome in analyzed.outcomes:
            if outcome.error is not None and outcome.status is TaskStatus.ERROR:
                raise outcome.error

    async def _answer(
        self,
        principal: Principal,
        given: bytes | KnownPixels,
        kept: bytes | DecodedImage,
        wanted: Wanted,
        begun: float,
    ) -> Response:
        if not self._is_processing:
            assert isinstance(given, KnownPixels)
            info = given.image.info
            seconds = time.perf_counter() - begun
            return context_answer(bare_context((info.width, info.height), seconds))
        source = (
            PictureSource(content=given)
            if isinstance(given, bytes)
            else PictureSource(pixels=given)
        )
        flow = self._flows.current()
        started = time.perf_counter()
        analyzed = await self._immediate.analyze(principal, source, flow.tasks, options=DECODING)
        ended = time.perf_counter()
        size = analyzed.info.width, analyzed.info.height
        findings = gather(flow.steps, analyzed.outcomes, size)
        context = full_context(
            flow,
            analyzed.outcomes,
            findings,
            size,
            data=wanted.data,
            processing_seconds=ended - started,
            complete_seconds=time.perf_counter() - begun,
        )
        analysed = Analysed(kept, size, findings, context)
        self._last.keep(_whose(principal), analysed)
        if wanted.kind is ResponseType.CONTEXT:
            return context_answer(context)
        assert isinstance(given, KnownPixels)  # decoded, because it is to be shown
        return await self._image(given.image, analysed, wanted)

    async def _image(self, image: DecodedImage, analysed: Analysed, wanted: Wanted) -> Response:
        png = await asyncio.to_thread(self._encoded, image, analysed, wanted.kind)
        return image_answer(png, analysed.context, wanted)

    def _encoded(self, image: DecodedImage, analysed: Analysed, kind: ResponseType) -> bytes:
        pixels = image.pixels
        if kind is ResponseType.HEATMAP:
            pixels = heatmap_of(analysed.findings, analysed.size, self._limits)
        elif kind is ResponseType.ANNOTATED_IMAGE:
            pixels = annotated(pixels, analysed.findings, self._limits)
        return encode_png(pixels, _COMPRESSION)


def _whose(principal: Principal) -> str:
    """Whose last picture it is."""
    return principal.company_id if principal.may(Permission.READ) else principal.identity
