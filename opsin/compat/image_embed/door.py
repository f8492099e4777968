"""The routes of the image_embed API, each with and without a slash at its end."""

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from opsin.compat.endpoint import Endpoint, Handler
from opsin.compat.image_embed.analysis import Analysis
from opsin.compat.image_embed.answers import Entries, answer, error_answer
from opsin.compat.image_embed.bodies import json_body, upload
from opsin.compat.image_embed.callers import Callers
from opsin.compat.image_embed.operations import listed
from opsin.compat.image_embed.options import ImageEmbedOptions
from opsin.compat.image_embed.requests import (
    AnalyzeManyRequest,
    AnalyzeRequest,
    check_length,
    read_body,
    read_tasks,
)
from opsin.compat.presence import while_present
from opsin.core.access import Principal
from opsin.core.roles import Permission
from opsin.core.use_cases import UseCases

SHARED_PATH = "/analyze_image"
"""Without the slash it is another API's, too."""
PATHS = (
    *("/analyze_image/", "/analyze_image_upload"),
    *("/analyze_images", "/available_operations"),
)
"""Those of this API alone."""


class ImageEmbedDoor:
    """Three documented routes, and one for several pictures."""

    def __init__(self, use_cases: UseCases, options: ImageEmbedOptions) -> None:
        self._options = options
        self._host = use_cases.host
        self._availability = use_cases.availability
        self._callers = Callers(use_cases.access, options)
        self._analysis = Analysis(use_cases.immediate, use_cases.host, options)

    @property
    def analyze_image(self) -> ASGIApp:
        """The path that is another API's as well, and therefore is routed by who knows both."""
        return _endpoint(self._analyze, "POST")

    def routes(self) -> list[BaseRoute]:
        """All routes but that of `SHARED_PATH` without a slash."""
        table: tuple[tuple[str, Handler, str], ...] = (
            ("/analyze_image_upload", self._analyze_upload, "POST"),
            ("/analyze_images", self._analyze_many, "POST"),
            ("/available_operations", self._operations, "GET"),
        )
        routes = [Route(f"{SHARED_PATH}/", self.analyze_image)]
        for path, handler, method in table:
            endpoint = _endpoint(handler, method)
            routes += [Route(path, endpoint), Route(f"{path}/", endpoint)]
        return [*routes]

    async def _analyze(self, request: Request) -> Response:
        caller = await self._analyst(request)
        content = await json_body(request)
        body = read_body(AnalyzeRequest, content, self._options.max_tasks)
        url = str(body.image_url)
        results = await while_present(request, self._analysis.of_url(caller, url, body.tasks))
        return answer({"image_url": url, "results": results})

    async def _analyze_upload(self, request: Request) -> Response:
        caller = await self._analyst(request)
        async with upload(request) as given:
            # Before the picture is looked at, as it has always been.
            tasks = read_tasks(given.tasks, self._options.max_tasks)
            results = await while_present(
                request, self._analysis.of_file(caller, given.picture, tasks)
            )
            return answer({"image_url": given.name, "results": results})

    async def _analyze_many(self, request: Request) -> Response:
        caller = await self._analyst(request)
        content = await json_body(request)
        body = read_body(AnalyzeManyRequest, content, self._options.max_tasks)
        check_length(len(body.image_urls), self._options.max_images, "image_urls")
        entries = self._analysis.of_urls(caller, body.image_urls, body.tasks)
        return Entries(entries)

    async def _operations(self, request: Request) -> Response:
        await self._callers.caller(request)
        return answer(await asyncio.to_thread(listed, self._host, self._availability))

    async def _analyst(self, request: Request) -> Principal:
        """The caller, who may have pictures analysed; asked before any of the body is read."""
        caller = await self._callers.caller(request)
        caller.require(Permission.ANALYZE)
        return caller


def _endpoint(handler: Handler, method: str) -> Endpoint:
    methods = (method, "HEAD") if method == "GET" else (method,)
    return Endpoint(dict.fromkeys(methods, handler), refused=_refused, failed=error_answer)


def _refused(methods: Sequence[str]) -> Response:
    refusal = answer({"detail": "Method Not Allowed"}, 405)
    refusal.headers["allow"] = methods[0]
    return refusal
