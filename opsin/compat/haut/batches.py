"""Batches: the images that were taken of a subject at one time."""

from starlette.responses import Response

from opsin.compat.haut.answers import answer
from opsin.compat.haut.bodies import json_object
from opsin.compat.haut.gate import Call, Gate, Row
from opsin.compat.haut.objects import batch_object
from opsin.compat.haut.options import HautOptions
from opsin.compat.haut.pages import asked, paginated
from opsin.compat.haut.paths import BATCH, SUBJECT
from opsin.compat.haut.times import time_of
from opsin.core.use_cases import UseCases

_ORDERS = {"creation_time": "taken_at"}


class BatchRoutes:
    """`batches` and `batches/{id}` of a subject."""

    def __init__(self, use_cases: UseCases, options: HautOptions, _gate: Gate) -> None:
        self._batches = use_cases.batches
        self._options = options

    def rows(self) -> list[Row]:
        return [
            Row(f"{SUBJECT}/batches", {"GET": self.listed, "POST": self.create}),
            Row(BATCH, {"GET": self.read, "DELETE": self.delete}),
        ]

    async def create(self, call: Call) -> Response:
        """A new batch of now, or of `creation_time` where that can be read."""
        sent = (await json_object(call.request)).get("creation_time")
        taken_at = time_of(sent) if isinstance(sent, str) else None
        made = await self._batches.create(
            call.principal, call.dataset.id, call.subject.id, taken_at=taken_at
        )
        return answer(batch_object(made), 201)

    async def listed(self, call: Call) -> Response:
        page = asked(call.request, self._options)
        found, count = await self._batches.page(
            call.principal,
            call.dataset.id,
            call.subject.id,
            skip=page.skip,
            limit=page.size,
            order=page.order(_ORDERS),
        )
        results = [batch_object(one) for one in found]
        return paginated(call.request, self._options, page, results, count)

    async def read(self, call: Call) -> Response:
        return answer(batch_object(call.batch))

    async def delete(self, call: Call) -> Response:
        """Delete a batch with its images and their results."""
        await self._batches.delete(call.principal, call.batch.id)
        return answer({})
