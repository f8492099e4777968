"""A list whose rows come one by one, and the JSON that Python makes of them.

The first row of such a statement has what stands around the list; every other row has one item, and
its cursor where the page's ends matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from opsin.graphql.compiler.rules import NotCompiled, Unusual

LIST = "\x1c"
"""Stands for the items in the text around them."""
PAGE_INFO = "\x1e"
"""Stands for a PageInfo there: Python sees where the page ends."""
_LIST, _PAGE_INFO = LIST.encode(), PAGE_INFO.encode()

Rows: TypeAlias = Sequence[Sequence[bytes | None]]


@dataclass(frozen=True, slots=True)
class Page:
    """What Python must know of the page: where its size is given, and what is asked of PageInfo."""

    site: int
    has_previous: bool
    members: tuple[tuple[str, str], ...]

    def text(self, rows: Rows, first: int) -> bytes | None:
        """The whole JSON; None when there is no row around the list.

        Raises Unusual for a row without an item: a value is missing in it.
        """
        if not rows:
            return None
        around = rows[0][0]
        if around is not None and _LIST not in around:
            return None  # an item: what it belongs to is not shown, as a deleted image
        shown = rows[1 : first + 1]  # one more tells that others follow
        items = [item for item, *_ in shown if item is not None]
        if around is None or len(items) < len(shown):
            raise Unusual
        if self.members:
            info = {key: self._member(name, shown, len(rows) - 1) for key, name in self.members}
            around = around.replace(_PAGE_INFO, orjson.dumps(info))
        before, _, after = around.partition(_LIST)
        return b"".join((before, b",".join(items), after))

    def _member(self, name: str, shown: Rows, found: int) -> object:
        match name:
            case "__typename":
                return "PageInfo"
            case "hasNextPage":
                return found > len(shown)
            case "hasPreviousPage":
                return self.has_previous
            case "startCursor":
                return _cursor(shown[0]) if shown else None
            case "endCursor":
                return _cursor(shown[-1]) if shown else None
        raise NotCompiled(f"{name} of a page")


def _cursor(row: Sequence[bytes | None]) -> str:
    if row[1] is None:
        raise Unusual
    return row[1].decode()


@dataclass(frozen=True, slots=True)
class Listed:
    """SQL: the text around the list, its rows, and what Python makes of them."""

    around: str
    rows: str
    page: Page
