"""The report of an image as PDF, from a service whose paths are its own."""

import asyncio
from http import HTTPStatus
from typing import Annotated

from pydantic import Field
from starlette.responses import Response

from opsin.compat.haut.answers import SERVER, VALIDATION, Refused, fault
from opsin.compat.haut.bodies import Body, checked, json_object
from opsin.compat.haut.gate import Call
from opsin.compat.haut.paths import API, IMAGE
from opsin.core.errors import DeadlineExceeded
from opsin.core.use_cases import UseCases

PATH = f"/service/pdf-generator{IMAGE.removeprefix(API)}/pdf"
_LONGEST_MILLISECONDS = 120_000


class Asked(Body):
    """How long to wait, in milliseconds; what clients say of browsers besides is no matter."""

    timeout: Annotated[int, Field(ge=1)] | None = None


class ImageReports:
    """Makes reports."""

    def __init__(self, use_cases: UseCases) -> None:
        self._reports = use_cases.reports

    async def pdf(self, call: Call) -> Response:
        """An attachment; 422 for a body that cannot be used, 504 when it takes too long."""
        milliseconds = min(await _timeout(call), _LONGEST_MILLISECONDS)
        deadline = asyncio.get_running_loop().time() + milliseconds / 1000
        image = call.image
        try:
            content = await self._reports.pdf(call.principal, image.id, deadline=deadline)
        except DeadlineExceeded as error:
            raise Refused(
                HTTPStatus.GATEWAY_TIMEOUT, [fault("timeout", error.message)], kind=SERVER
            ) from None
        headers = {
            "content-disposition": f'attachment; filename="report-{image.id}.pdf"',
            "cache-control": "private, no-store",
        }
        return Response(content, media_type="application/pdf", headers=headers)


async def _timeout(call: Call) -> int:
    try:
        asked = checked(await json_object(call.request), Asked)
    except Refused as error:
        if error.status != HTTPStatus.BAD_REQUEST:
            raise
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, error.errors, kind=VALIDATION) from None
    return _LONGEST_MILLISECONDS if asked.timeout is None else asked.timeout
