"""Files sent to signed addresses of this server, where the store has no addresses of its own."""

import base64
from datetime import UTC, datetime

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from opsin.core.links import Links
from opsin.core.uploads import Uploads

UPLOADS = "/uploads"
"""Below it lies every address of a file to be sent."""


class UploadRoutes:
    """Route `PUT /uploads/{id}`: each address takes one file, of one type, until it expires."""

    def __init__(self, uploads: Uploads, links: Links) -> None:
        self._uploads = uploads
        self._links = links

    def routes(self) -> list[BaseRoute]:
        return [Route(f"{UPLOADS}/{{upload_id:uuid}}", self.put, methods=["PUT"])]

    async def put(self, request: Request) -> Response:
        """Take the file as it comes; the answer tells the digest of what came (RFC 9530)."""
        self._links.verify(request.url.path, request.query_params, datetime.now(UTC))
        content_type = request.headers.get("content-type", "")
        identity = str(request.path_params["upload_id"])
        try:
            stored = await self._uploads.receive(identity, content_type, request.stream())
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        digest = base64.b64encode(bytes.fromhex(stored.sha256)).decode()
        return Response(headers={"repr-digest": f"sha-256=:{digest}:"})
