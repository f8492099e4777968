"""Pictures on their way through the engine: opened, decoded, worked on, and let go of again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from opsin.core.engine.decoding import Decoder, Picture
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.opening import Opener, opened
from opsin.core.engine.plan import PicturePlan, Terms
from opsin.core.engine.region_cache import RegionCache
from opsin.core.engine.requests import Requests
from opsin.core.engine.runners import Runners
from opsin.core.engine.steps import Step
from opsin.core.imaging import DecodedImage, Source


class Pictures:
    """Plans the work on each, and waits for its end; on the event loop."""

    def __init__(
        self,
        decoder: Decoder,
        requests: Requests,
        runners: Runners,
        regions: RegionCache,
        mailbox: Mailbox,
    ) -> None:
        self._decoder = decoder
        self._requests = requests
        self._runners = runners
        self._regions = regions
        self._mailbox = mailbox

    async def carry_out(
        self,
        source: Source | Opener | DecodedImage,
        steps: Sequence[Step],
        tasks: int,
        terms: Terms,
    ) -> PicturePlan:
        """Have the picture decoded, unless it is, and the steps done; raises as `analyze` does."""
        plan = self._plan(steps, tasks, terms)
        picture = None
        try:
            if isinstance(source, DecodedImage):
                await self._requests.carry_out(plan, partial(plan.decoded, source, 0.0))
                return plan
            async with opened(source) as readable:
                picture = Picture(readable, terms.options, plan.decoded, terms.content)
                start = partial(self._decoder.start, picture, terms.priority)
                await self._requests.carry_out(plan, start)
                return plan
        finally:
            if picture is not None:
                self._decoder.release(picture)
            # An error's traceback holds this frame, and through it the pixels.
            del plan, picture

    @asynccontextmanager
    async def decoded(self, source: Source, terms: Terms) -> AsyncIterator[DecodedImage]:
        """The picture, which counts as in use until the end."""
        plan = self._plan((), 0, terms)
        picture = Picture(source, terms.options, plan.decoded, terms.content)
        try:
            await self._requests.carry_out(plan, partial(self._decoder.start, picture, 0))
            assert plan.image is not None  # or the plan would have failed
            yield plan.image
        finally:
            self._decoder.release(picture)
            del plan, picture  # as in `carry_out`

    def _plan(self, steps: Sequence[Step], tasks: int, terms: Terms) -> PicturePlan:
        return PicturePlan(
            tasks,
            steps,
            self._runners,
            self._regions,
            self._mailbox,
            asyncio.get_running_loop().create_future(),
            self._requests.item_ended,
            terms,
        )
