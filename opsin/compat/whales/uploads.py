"""The file of a request's form, checked in the documented order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from opsin.compat.whales.answers import Refused, problem, unprocessable
from opsin.compat.whales.texts import UNREADABLE_BODY

_MOST_PARTS = 100
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_LONGEST_SHOWN = 1000


@dataclass(frozen=True, slots=True)
class Upload:
    """One part with a file; `content_type` is the part's own, as it was sent."""

    name: str
    content_type: str
    size: int
    file: IO[bytes]


@asynccontextmanager
async def uploaded(request: Request, field: str) -> AsyncIterator[Upload]:
    """The last part of this name, in memory or, if it is large, in a file that goes again.

    Raises Refused: 422 without such a part, or when it is no file.
    """
    form = await _form(request)
    try:
        part = form.get(field)
        if part is None:
            raise unprocessable(problem("missing", ("body", field), "Field required", None))
        if not isinstance(part, UploadFile):
            message = f"Value error, Expected UploadFile, received: {type(part)}"
            shown = problem("value_error", ("body", field), message, part[:_LONGEST_SHOWN])
            raise unprocessable({**shown, "ctx": {"error": {}}})
        yield Upload(part.filename or "unknown", part.content_type or "", part.size or 0, part.file)
    finally:
        await form.close()


async def _form(request: Request) -> FormData:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _FORMS:
        return FormData()
    try:
        return await request.form(max_files=_MOST_PARTS, max_fields=_MOST_PARTS)
    except HTTPException:  # a form that ends too early, or has no boundary
        raise Refused(HTTPStatus.BAD_REQUEST, UNREADABLE_BODY) from None
