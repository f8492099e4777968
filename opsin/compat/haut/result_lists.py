"""Lists of results: an image's, and those of all of a subject's images."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from starlette.responses import Response, StreamingResponse

from opsin.compat.haut.answers import answer
from opsin.compat.haut.bodies import Body, checked
from opsin.compat.haut.gate import Call
from opsin.compat.haut.results import Filters, Item, Results, text_of
from opsin.compat.haut.times import MaybeMoment
from opsin.storage.ids import canonical_id


class AskedFilters(Body):
    """Which results; an empty text asks for nothing."""

    application_run_id: str | None = None
    application_id: str | None = None
    application_name: str | None = None


class AskedTimes(Body):
    """From when to when the images were taken, both included."""

    date_from: MaybeMoment = None
    date_to: MaybeMoment = None


class ResultLists:
    """Plain lists, newest first."""

    def __init__(self, results: Results) -> None:
        self._results = results

    async def of_image(self, call: Call) -> Response:
        """What has ended so far; nothing yet is an empty list."""
        asked = checked(call.request.query_params, AskedFilters)
        filters = Filters(
            _identity(asked.application_run_id),
            _identity(asked.application_id),
            asked.application_name or None,
        )
        items = await self._results.of_image(call.principal, call.image.id, filters)
        return answer(items)

    async def of_subject(self, call: Call) -> Response:
        """Sent while it is read: a subject may have thousands of images."""
        asked = checked(call.request.query_params, AskedTimes)
        pages = self._results.of_subject(
            call.principal, call.subject.id, asked.date_from, asked.date_to
        )
        # What cannot be read must be known before the status is sent.
        first: list[Item] = await anext(pages, [])
        return StreamingResponse(_written(first, pages), media_type="application/json")


async def _written(first: list[Item], pages: AsyncIterator[list[Item]]) -> AsyncIterator[bytes]:
    yield b"["
    is_first = True
    async with aclosing(pages):  # type: ignore[type-var]  # it is a generator
        for item in first:
            yield _part(item, is_first)
            is_first = False
        async for page in pages:
            for item in page:
                yield _part(item, is_first)
                is_first = False
    yield b"]"


def _part(item: Item, is_first: bool) -> bytes:
    return text_of(item) if is_first else b"," + text_of(item)


def _identity(given: str | None) -> str | None:
    """An id as it is stored; another text is that of nothing."""
    return (canonical_id(given) or given) if given else None
