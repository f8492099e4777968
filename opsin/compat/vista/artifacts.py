"""Files of analyses, by the path that annotations name them with."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException

from opsin.compat.vista.answers import json_answer
from opsin.compat.vista.door import Door
from opsin.compat.vista.gate import Policy
from opsin.compat.vista.routing import Routes
from opsin.core.errors import BlobNotFound, NotFound
from opsin.core.records import Artifact
from opsin.storage.ids import canonical_id
from opsin.storage.tables import analyses

_ROOT = "ml_outputs"
_SHOWN = frozenset(f"image/{kind}" for kind in ("bmp", "gif", "jpeg", "png", "webp"))


class ArtifactRoutes:
    """`/ml/artifacts/content` and `/ml/artifacts/download`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def add_to(self, routes: Routes) -> None:
        for name, endpoint in (("content", self.content), ("download", self.download)):
            path = f"/ml/artifacts/{name}"
            routes.add("GET", path, endpoint, policy=Policy.ANALYSES, tag="artifacts")

    async def content(self, request: Request, path: Annotated[str, Query()]) -> Response:
        """The file itself."""
        artifact = await self._find(request, path)
        source = self._door.use_cases.artifacts.stream(artifact)
        try:
            first = await anext(source, b"")  # a missing file must be known before the status
        except BlobNotFound:
            raise NotFound("Artifact not found in storage") from None

        async def chunks() -> AsyncIterator[bytes]:
            async with aclosing(source):
                yield first
                async for chunk in source:
                    yield chunk

        # A file from outside must not act in our name, whatever a browser takes it for.
        shown = "inline" if artifact.content_type in _SHOWN else "attachment"
        headers = {
            "cache-control": "private, max-age=3600",
            "content-disposition": f'{shown}; filename="{artifact.name}"',
            "content-length": str(artifact.size_bytes),
            "x-content-type-options": "nosniff",
            "content-security-policy": "default-src 'none'; sandbox",
        }
        return StreamingResponse(chunks(), headers=headers, media_type=artifact.content_type)

    async def download(self, request: Request, path: Annotated[str, Query()]) -> Response:
        """An address of the file that needs no further rights, for a while."""
        artifact = await self._find(request, path)
        url = self._door.use_cases.links.sign(
            f"/artifacts/{artifact.id}/content",
            expires_at=datetime.now(UTC) + self._door.options.link_expiry,
        )
        return json_answer({"url": self._door.absolute(request, url)})

    async def _find(self, request: Request, path: str) -> Artifact:
        parts = path.split("/")
        if parts[0] != _ROOT or len(path) > 1024 or ".." in parts:
            raise HTTPException(400, "Invalid artifact path")
        analysis_id = canonical_id(parts[1]) if len(parts) == 3 else None
        if analysis_id is None:
            raise HTTPException(400, "Invalid analysis ID in path")
        principal = await self._door.reach(request, analyses, analysis_id)
        use_cases = self._door.use_cases
        found = await use_cases.artifacts.find(principal, analysis_id, parts[2])
        if found is None and await use_cases.sent_files.collect(analysis_id):
            found = await use_cases.artifacts.find(principal, analysis_id, parts[2])
        if found is None or found.sha256 is None:
            raise NotFound("Artifact not found in storage")
        return found
