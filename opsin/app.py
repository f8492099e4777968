"""The ASGI application: every door on one port, and the worker beside them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from opsin import __version__
from opsin.assembly import Parts, assemble
from opsin.core.errors import OpsinError
from opsin.core.plugin_host import PluginSource
from opsin.doors import legacy_routes
from opsin.graphql.context import Context, ContextFactory
from opsin.graphql.direct import PATH, DirectDoor
from opsin.graphql.http import GraphQLApp
from opsin.graphql.limits import Limits
from opsin.graphql.schema import build_schema
from opsin.graphql.trusted_documents import load_trusted
from opsin.settings import Settings, load_settings
from opsin.web.body_limit import BodyLimit
from opsin.web.exports import ExportRoutes
from opsin.web.files import Files
from opsin.web.graphiql_page import STATIC_DIR
from opsin.web.http_errors import answer_error
from opsin.web.uploads import UploadRoutes
from opsin.web.viewer import Viewer

log = logging.getLogger(__name__)

_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_SWEEP_EVERY = timedelta(hours=1)


def create_app(
    settings: Settings | None = None, more_plugins: Sequence[PluginSource] = ()
) -> Starlette:
    """The application for these settings, by default those of the environment."""
    settings = settings or load_settings()
    settings.check_exposure()
    parts = assemble(settings, more_plugins)
    use_cases = parts.use_cases
    graphql = _graphql(settings, parts)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with parts.running(), _background(settings, parts):
            yield

    app = Starlette(
        routes=[
            *Viewer().routes(),
            Route("/health", _health),
            *graphql.routes,
            *Files(use_cases.images, use_cases.artifacts, use_cases.links).routes(),
            *ExportRoutes(use_cases.exports, use_cases.access, use_cases.links).routes(),
            *UploadRoutes(use_cases.uploads, use_cases.links).routes(),
            *legacy_routes(settings, use_cases),
        ],
        middleware=[graphql.direct, *_middleware(settings)],
        exception_handlers={OpsinError: answer_error},
        lifespan=lifespan,
    )
    # For whoever runs the server: what goes on for ever would hold up its end.
    app.state.end_streams = use_cases.events.stop
    return app


@dataclass(frozen=True, slots=True)
class _GraphQL:
    """The door's routes, and what takes the usual requests before anything else sees them."""

    routes: list[BaseRoute]
    direct: Middleware


def _graphql(settings: Settings, parts: Parts) -> _GraphQL:
    limits = Limits(
        depth=settings.graphql_max_depth,
        fields=settings.graphql_max_fields,
        aliases=settings.graphql_max_aliases,
        tokens=settings.graphql_max_tokens,
        breadth=settings.graphql_max_breadth,
        document_bytes=settings.graphql_max_document_bytes,
        page=settings.graphql_max_page,
        rows=settings.graphql_max_rows,
    )
    trusted = load_trusted(settings.graphql_documents, only=settings.graphql_trusted_only)
    schema = build_schema(
        parts.use_cases.host, limits, trusted=trusted, introspection=settings.graphql_introspection
    )
    contexts = ContextFactory(
        parts.use_cases, public_url=settings.public_url, max_page=settings.graphql_max_page
    )
    door = GraphQLApp(
        schema,
        context_getter=contexts,
        on_connect=Context.authenticate,
        allowed_origins=settings.cors_origins,
        trusted=trusted,
    )
    direct = Middleware(
        DirectDoor,
        schema=schema,
        contexts=contexts,
        trusted=trusted,
        hosts=_LOCAL_NAMES if settings.auth == "dev" else None,
        shares_origins=bool(settings.cors_origins),
        max_bytes=settings.max_request_bytes,
    )
    routes = [
        Route(PATH, door),
        WebSocketRoute(PATH, door),
        Mount("/static/graphiql", StaticFiles(directory=STATIC_DIR)),
    ]
    return _GraphQL(routes, direct)


def _middleware(settings: Settings) -> list[Middleware]:
    middleware = [Middleware(BodyLimit, max_bytes=settings.max_request_bytes)]
    if settings.cors_origins:
        middleware.insert(
            0,
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.cors_origins),
                allow_methods=["DELETE", "GET", "PATCH", "POST", "PUT"],
                allow_headers=["*"],
            ),
        )
    if settings.auth == "dev":
        # A foreign page may point a name of its own at loopback; it cannot change the Host header.
        middleware.insert(0, Middleware(TrustedHostMiddleware, allowed_hosts=list(_LOCAL_NAMES)))
    return middleware


@asynccontextmanager
async def _background(settings: Settings, parts: Parts) -> AsyncIterator[None]:
    """The worker and the sweeper, for as long as the server runs; first, the models to warm."""
    parts.use_cases.engine.preload(settings.warm)
    tasks = [asyncio.create_task(_sweep(parts))]
    if settings.worker:
        tasks.append(asyncio.create_task(parts.worker.run()))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _sweep(parts: Parts) -> None:
    while True:
        await asyncio.sleep(_SWEEP_EVERY.total_seconds())
        try:
            await parts.use_cases.uploads.sweep()
            await parts.use_cases.image_deletions.purge()
            await parts.use_cases.signed_answers.sweep()
            await parts.sweep.run(older_than=_SWEEP_EVERY)
        except Exception as error:  # the next one does it
            expected = isinstance(error, OpsinError)
            log.warning("what is over could not be swept", exc_info=not expected)


async def _health(_request: Request) -> Response:
    """Says that the server answers; waits for no database and no device."""
    return JSONResponse({"status": "ok", "version": __version__})
