"""All claimed analyses of one image: its tasks asked together, each ending told of at once."""

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from opsin.core import tracing
from opsin.core.answers.answers import Answers
from opsin.core.answers.earlier_results import is_restorable
from opsin.core.answers.referring import ReferenceStore, with_references
from opsin.core.answers.stored_info import stored_info
from opsin.core.engine import Outcome, Task, make_task
from opsin.core.errors import BlobNotFound
from opsin.core.images import Images
from opsin.core.imaging import DecodeOptions
from opsin.core.patience import Pauses, patiently
from opsin.core.plugin_host import PluginHost
from opsin.core.queue.claimed import Claimed
from opsin.core.queue.endings import ending_after, ending_of
from opsin.core.queue.pacing import ByteBudget
from opsin.core.records import Analysis, Image

_PICTURE_BYTES = 256 * 2**20
"""Files held in memory at once, beside one that is larger."""
_DECODING = DecodeOptions()


class ImageWork:
    """Has the analyses of images answered; a picture is read only for what is not known yet."""

    def __init__(
        self,
        images: Images,
        answers: Answers,
        host: PluginHost,
        references: ReferenceStore | None,
        *,
        first_pause: float,
    ) -> None:
        self.references = references
        self._images = images
        self._answers = answers
        self._host = host
        self._first_pause = first_pause
        self._bytes = ByteBudget(_PICTURE_BYTES)

    async def run(self, work: Claimed, image: Image | None, asked: Sequence[Analysis]) -> None:
        """Say of each analysis of an image how it ended; never raises for one of them."""
        tasks: list[Task] = []
        left: dict[int, Analysis] = {}
        for analysis in asked:
            name, params = analysis.operation or "", analysis.parameters
            follow = partial(work.wrote, analysis)
            try:
                task = make_task(self._host, analysis.id, name, params, progress=follow)
                tasks.append(replace(task, reuse=analysis.reuse))
                left[len(tasks) - 1] = analysis
            except Exception as error:  # the plugin's params may have validators of their own
                work.ended(ending_after(analysis, error))
        if image is None or not tasks:
            return  # a deleted image takes its analyses with it

        def settled(number: int, outcome: Outcome) -> None:
            ending = ending_of(left.pop(number), outcome)
            if outcome.result_key is not None and ending.result is not None:
                key = outcome.result_key if is_restorable(outcome) else None
                ending = replace(ending, result_key=key)
                if key is None:
                    work.reservation.is_in_vain(outcome.task.operation.name)
            work.ended(ending)

        try:
            with _span(asked):
                tasks = await with_references(tasks, image.company_id, self.references)
                await self._answers.analyze(
                    partial(self._open, image),
                    tasks,
                    company_id=image.company_id,
                    content_sha256=image.sha256,
                    info=stored_info(image, _DECODING),
                    on_outcome=settled,
                    reservation=work.reservation,
                )
        except Exception as error:
            for analysis in left.values():
                work.ended(ending_after(analysis, error))

    @contextlib.asynccontextmanager
    async def _open(self, image: Image) -> AsyncIterator[bytes]:
        async with self._bytes.hold(image.size_bytes):
            yield await self._content(image)

    async def _content(self, image: Image) -> bytes:
        async def read() -> bytes | BlobNotFound:
            try:
                return await self._images.content(image)
            except BlobNotFound as error:
                return error  # waiting would not bring it back

        content = await patiently(read, "pictures cannot be read now", Pauses(self._first_pause))
        if isinstance(content, BlobNotFound):
            raise content
        return content


def _span(asked: Sequence[Analysis]) -> contextlib.AbstractContextManager[tracing.Span]:
    """The work on an image, in the trace that asked for it first, with links to the others."""
    if tracing.tracer is None:
        return tracing.NO_SPAN
    places = list(dict.fromkeys(one.traceparent for one in asked if one.traceparent is not None))
    parent = places[0] if places else tracing.NOWHERE
    if places:
        first = min(one.created_at for one in asked if one.traceparent == parent)
        now = time.monotonic()
        waited = (datetime.now(UTC) - first).total_seconds()
        tracing.record("wait in the queue", now - max(waited, 0.0), now, parent=parent)
    return tracing.span(
        "work on an image",
        {
            "opsin.analyses": len(asked),
            "opsin.operations": ", ".join(sorted({one.operation or "" for one in asked})),
            "opsin.image_id": asked[0].image_id,
        },
        kind="consumer",
        parent=parent,
        links=places[1:],
    )
