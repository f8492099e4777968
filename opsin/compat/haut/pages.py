"""Lists in pages: which one is asked for, and where the next and the previous one are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from opsin.compat.haut.answers import answer, not_found
from opsin.compat.haut.options import HautOptions
from opsin.core.pages import Order

_LARGEST = 2**31


@dataclass(frozen=True, slots=True)
class Asked:
    """A page by its number, from 1, with what is looked for and in which order."""

    page: int
    size: int
    text: str | None
    """Part of a name."""
    ordering: str | None
    """A field's name, without the `-` of `descending`."""
    descending: bool

    @property
    def skip(self) -> int:
        return (self.page - 1) * self.size

    def order(self, columns: Mapping[str, str]) -> Order:
        """By one of `columns`, which are ours by the clients' names; else oldest first."""
        if self.ordering is None or self.ordering not in columns:
            return Order()
        return Order(columns[self.ordering], self.descending)


def asked(request: Request, options: HautOptions) -> Asked:
    """What the query says: `page`, `page_size`, `q`, `ordering`; Refused 404 for no page at all."""
    query = request.query_params
    number = number_in(query.get("page", "1"))
    if number is None:
        raise not_found("Invalid page.")
    size = number_in(query.get("page_size", "")) or options.page_size
    ordering = query.get("ordering", "").strip()
    return Asked(
        page=number,
        size=min(size, options.largest_page),
        text=query.get("q", "").strip() or None,
        ordering=ordering.removeprefix("-") or None,
        descending=ordering.startswith("-"),
    )


def paginated(
    request: Request, options: HautOptions, page: Asked, results: Sequence[Any], count: int
) -> Response:
    """The page as clients expect it; Refused 404 for one that lies behind the last."""
    if page.page > 1 and page.skip >= count:
        raise not_found("Invalid page.")

    def link(number: int) -> str:
        url = request.url.include_query_params(page=number).remove_query_params("token")
        return f"{base_of(request, options)}{url.path}?{url.query}"

    return answer(
        {
            "count": count,
            "next": link(page.page + 1) if page.skip + page.size < count else None,
            "previous": link(page.page - 1) if page.page > 1 else None,
            "results": results,
        }
    )


def base_of(request: Request, options: HautOptions) -> str:
    """Scheme and host of this server as the client sees them, without a slash."""
    base = options.public_url or f"{request.url.scheme}://{request.url.netloc}"
    return base.rstrip("/")


def number_in(text: str) -> int | None:
    """A whole number from 1 on."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    number = int(text)
    return number if 1 <= number < _LARGEST else None
