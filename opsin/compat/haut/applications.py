"""Applications: the two that every company has, plugins' own, and those that accounts have made."""

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from opsin.compat.haut.answers import moment
from opsin.compat.haut.catalogue import CATALOGUE
from opsin.compat.haut.gate import Call
from opsin.compat.haut.numbers import Algorithms
from opsin.compat.haut.objects import image_type_object
from opsin.compat.haut.options import HautOptions
from opsin.compat.haut.pages import asked, paginated
from opsin.core.applications.records import ApplicationInfo
from opsin.core.capture import image_type
from opsin.core.contract import Step
from opsin.core.use_cases import UseCases


class Applications:
    """Lists what a company may attach."""

    def __init__(self, use_cases: UseCases, options: HautOptions, algorithms: Algorithms) -> None:
        self._use_cases = use_cases
        self._options = options
        self._algorithms = algorithms

    async def listed(self, call: Call) -> Response:
        """Those known to clients first; `q` is part of a name."""
        page = asked(call.request, self._options)
        found = sorted(await self._use_cases.applications.listed(call.principal), key=_known_first)
        if page.text is not None:
            text = page.text.casefold()
            found = [one for one in found if text in f"{one.title}\n{one.name}".casefold()]
        if page.ordering in ("name", "creation_time"):
            found.sort(key=_order(page.ordering), reverse=page.descending)
        authors = await authors_of(self._use_cases, [one.created_by for one in found])
        shown = found[page.skip : page.skip + page.size]
        objects = [await self._object(one, authors) for one in shown]
        return paginated(call.request, self._options, page, objects, len(found))

    async def _object(self, one: ApplicationInfo, authors: dict[str, int]) -> dict[str, Any]:
        operations = dict.fromkeys(step.operation for step in one.steps)
        return {
            "id": one.id,
            "name": one.title,
            "tech_name": one.name,
            "author_id": authors.get(one.created_by or ""),
            "creation_time": moment(one.created_at),
            "image_type": one.image_type and image_type_object(image_type(one.image_type)),
            "algorithms_versions": [await self._algorithms.described(name) for name in operations],
            "description": one.description,
            "preview": None,
            "promote_image_url": None,
            "is_enabled": any(self._is_available(step) for step in one.steps),
            "algorithms_flags": {},
        }

    def _is_available(self, step: Step) -> bool:
        return self._use_cases.applications.unavailable_reason(step) is None


async def authors_of(use_cases: UseCases, ids: Sequence[str | None]) -> dict[str, int]:
    """The numbers of accounts by their ids."""
    wanted = {one for one in ids if one is not None}
    if not wanted:
        return {}
    return {
        one: found.number for one, found in (await use_cases.accounts.find_many(wanted)).items()
    }


def _known_first(one: ApplicationInfo) -> int:
    places = {known.id: place for place, known in enumerate(CATALOGUE.applications)}
    return places.get(one.id, len(places))


def _order(name: str) -> Any:
    if name == "name":
        return lambda one: one.title.casefold()
    return lambda one: (one.created_at is not None, one.created_at)
