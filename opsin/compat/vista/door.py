"""What every endpoint of the VISTA API starts from: the use cases, and the caller's rights."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from fastapi import Request
from sqlalchemy import Table

from opsin.compat.vista.callers import Caller
from opsin.compat.vista.options import VistaOptions
from opsin.compat.vista.routing import admission
from opsin.core.access import Principal
from opsin.core.actors import signer
from opsin.core.errors import NotFound, Unauthenticated
from opsin.core.use_cases import UseCases
from opsin.storage.curation import image_classes, image_classifications, image_comments
from opsin.storage.tables import analyses, datasets, images

PIPELINE = "pipeline"
"""Who acts where a signature is all that was sent."""

_NAMES: Mapping[str, str] = {
    table.name: name
    for table, name in (
        (analyses, "Analysis"),
        (datasets, "Project"),
        (images, "Image"),
        (image_classes, "Image class"),
        (image_classifications, "Classification"),
        (image_comments, "Comment"),
    )
}


@dataclass(frozen=True, slots=True)
class Door:
    """The use cases, as far as the caller of a request may use them."""

    use_cases: UseCases
    options: VistaOptions

    def caller(self, request: Request) -> Caller:
        """The user; Unauthenticated where only a signature was sent."""
        found = admission(request).caller
        if found is None:
            raise Unauthenticated("Authentication required.")
        return found

    async def reach(self, request: Request, table: Table, identity: object) -> Principal:
        """The caller within the company that the row is of.

        Raises NotFound where there is no such row, Forbidden where its company is another.
        """
        company_id = await self.use_cases.owners.company_of(table, str(identity))
        if company_id is None:
            raise NotFound(f"{_NAMES[table.name]} not found")
        caller = admission(request).caller
        reached = caller.principal(company_id) if caller else signer(company_id, PIPELINE)
        request.state.company_id = company_id  # of whose things the answer tells
        return reached

    async def _presume(self, request: Request, table: Table, identity: object) -> Principal:
        """As `reach`, for what the use case itself looks up within the principal's company.

        A caller of one company is not asked about before; only when nothing was found there is
        it told apart whether there is such a row elsewhere.
        """
        caller = admission(request).caller
        if caller is None or len(caller.groups) > 1:
            return await self.reach(request, table, identity)
        request.state.reach = partial(self.reach, request, table, identity)
        request.state.company_id = caller.home.company_id
        return caller.home

    async def project(self, request: Request, identity: object) -> Principal:
        return await self.reach(request, datasets, identity)

    async def image(self, request: Request, identity: object) -> Principal:
        return await self._presume(request, images, identity)

    async def analysis(self, request: Request, identity: object) -> Principal:
        return await self._presume(request, analyses, identity)

    def absolute(self, request: Request, url: str) -> str:
        """The address as clients reach it; one that is absolute stays as it is."""
        if not url.startswith("/"):
            return url
        base = self.options.public_url or f"{request.url.scheme}://{request.url.netloc}"
        return base.rstrip("/") + url
