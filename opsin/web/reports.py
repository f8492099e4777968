"""Reports of images as PDF, for whoever holds a signed link."""

import asyncio
from datetime import UTC, datetime
from pathlib import PurePath
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from opsin.core.images import Images
from opsin.core.links import Links
from opsin.core.reports import Reports

MEDIA_TYPE = "application/pdf"
DEADLINE_SECONDS = 60.0
"""For so long a caller is kept waiting."""


class ReportRoutes:
    """Route `/images/{id}/report`: written anew each time, from what is known then."""

    def __init__(self, reports: Reports, images: Images, links: Links) -> None:
        self._reports = reports
        self._images = images
        self._links = links

    def routes(self) -> list[BaseRoute]:
        return [Route("/images/{image_id:uuid}/report", self.report)]

    async def report(self, request: Request) -> Response:
        """The PDF, named as the picture."""
        self._links.verify(request.url.path, request.query_params, datetime.now(UTC))
        image = await self._images.by_id(str(request.path_params["image_id"]))
        name = f"{PurePath(image.filename).stem}.pdf"
        headers = {
            "content-disposition": f"inline; filename*=UTF-8''{quote(name)}",
            "cache-control": "private, no-store",
            "x-content-type-options": "nosniff",
        }
        if request.method == "HEAD":
            return Response(media_type=MEDIA_TYPE, headers=headers)
        deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS
        content = await self._reports.pdf_by_id(image.id, deadline=deadline)
        return Response(content, media_type=MEDIA_TYPE, headers=headers)
