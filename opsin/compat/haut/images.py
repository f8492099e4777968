"""Images: sent as base64 text into a batch, or into a batch of their own; listed and deleted."""

import asyncio
import io
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from opsin.compat.haut.answers import answer, invalid, telling
from opsin.compat.haut.bodies import Body, body_of
from opsin.compat.haut.files import signed_url
from opsin.compat.haut.gate import Call, Gate, Row
from opsin.compat.haut.objects import UNTYPED, image_object, numbered, type_of
from opsin.compat.haut.options import HautOptions
from opsin.compat.haut.pages import asked, base_of, paginated
from opsin.compat.haut.paths import BATCH, IMAGE, SUBJECT
from opsin.compat.haut.times import time_of
from opsin.core.access import Principal
from opsin.core.errors import InvalidImage
from opsin.core.images import NewImage, decode_base64
from opsin.core.records import Batch, Dataset, Image
from opsin.core.roles import Permission
from opsin.core.use_cases import UseCases

_ORDERS = {"creation_time": "taken_at", "name": "filename"}


class SentImage(Body):
    b64data: str = Field(min_length=1, repr=False)
    side_id: int | None = None
    light_id: int | None = None
    name: str | None = None
    creation_time: Any = None

    @property
    def taken_at(self) -> datetime | None:
        """When it was taken; None where that was not said, or cannot be read."""
        return time_of(self.creation_time) if isinstance(self.creation_time, str) else None


class ImageRoutes:
    """`images` of a batch and of a subject, and `images/{id}`."""

    def __init__(self, use_cases: UseCases, options: HautOptions, _gate: Gate) -> None:
        self._use_cases = use_cases
        self._options = options

    def rows(self) -> list[Row]:
        return [
            Row(
                f"{BATCH}/images",
                {"GET": self.listed, "POST": self.create},
                absent=self._absent,
            ),
            Row(f"{SUBJECT}/images", {"POST": self.create_with_batch}, absent=self._absent),
            Row(IMAGE, {"GET": self.read, "DELETE": self.delete}),
        ]

    async def create(self, call: Call) -> Response:
        """Take an image in, and have it analysed."""
        _require_uploads(call)
        sent = await body_of(call.request, SentImage)
        file = await self._file(sent)
        return await self._stored(call, sent, file, call.batch)

    async def create_with_batch(self, call: Call) -> Response:
        """The same with a new batch of its own, which is there only if the image is."""
        _require_uploads(call)
        sent = await body_of(call.request, SentImage)
        file = await self._file(sent)
        batches = self._use_cases.batches
        batch = await batches.create(
            call.principal, call.dataset.id, call.subject.id, taken_at=sent.taken_at
        )
        try:
            return await self._stored(call, sent, file, batch)
        except BaseException:
            await batches.undo(call.principal, batch)
            raise

    async def listed(self, call: Call) -> Response:
        page = asked(call.request, self._options)
        found, count = await self._use_cases.image_pages.page(
            call.principal,
            batch_id=call.batch.id,
            skip=page.skip,
            limit=page.size,
            order=page.order(_ORDERS),
        )
        results = [self._object(call.request, image, call.dataset) for image in found]
        return paginated(call.request, self._options, page, results, count)

    async def read(self, call: Call) -> Response:
        return answer(self._object(call.request, call.image, call.dataset))

    async def delete(self, call: Call) -> Response:
        """Delete an image with its results."""
        await self._use_cases.images.delete(call.principal, call.image.id)
        return answer({})

    async def _file(self, sent: SentImage) -> io.BytesIO:
        """What was sent, decoded on a thread, because it may be many megabytes."""
        most = self._options.max_picture_bytes
        with telling("b64data"):
            return io.BytesIO(await asyncio.to_thread(decode_base64, sent.b64data, most))

    async def _stored(
        self, call: Call, sent: SentImage, file: io.BytesIO, batch: Batch
    ) -> Response:
        dataset = call.dataset
        kind = type_of(dataset) or UNTYPED
        new = NewImage(
            dataset.id,
            sent.name or "",
            subject_id=call.subject.id,
            batch_id=batch.id,
            side=numbered(kind.sides, sent.side_id, "side_id") or kind.sides[0].name,
            light=numbered(kind.lights, sent.light_id, "light_id") or kind.lights[0].name,
            taken_at=sent.taken_at or batch.taken_at,
        )
        try:
            image = await self._use_cases.images.add(call.principal, new, file)
        except InvalidImage as error:
            raise invalid("b64data", error.message) from error
        return answer(self._object(call.request, image, dataset), 201)

    async def _absent(self, principal: Principal, ids: Mapping[str, str]) -> None:
        """Refused 400 where it is the subject that is gone: nothing of it is taken any more."""
        await self._use_cases.places.find(principal, {"dataset": ids["dataset"]})
        if await self._use_cases.subjects.find(principal, None, ids["subject"]) is None:
            text = "This subject does not exist, or has been deleted."
            raise invalid(None, text, "does_not_exist")

    def _object(self, request: Request, image: Image, dataset: Dataset) -> dict[str, Any]:
        def original(of: Image) -> str:
            return base_of(request, self._options) + signed_url(self._use_cases.links, of)

        return image_object(image, dataset, original)


def _require_uploads(call: Call) -> None:
    """Raises Forbidden before any of the picture is read."""
    call.principal.require(Permission.UPLOAD, call.dataset.id)
