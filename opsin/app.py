"""The ASGI application: every door on one port, and the worker beside them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from opsin import __version__
from opsin.assembly import Parts, assemble
from opsin.core.errors import OpsinError
from opsin.core.plugin_host import PluginSource
from opsin.core.queue.depth import queue_depth
from opsin.core.request_counts import RequestCounts
from opsin.doors import LegacyApi, legacy_apis
from opsin.graphql.context import Context, ContextFactory
from opsin.graphql.direct import PATH, DirectDoor
from opsin.graphql.http import GraphQLApp
from opsin.graphql.limits import Limits
from opsin.graphql.schema import build_schema
from opsin.graphql.trusted_documents import load_trusted
from opsin.settings import Settings, load_settings
from opsin.web.body_limit import BodyLimit
from opsin.web.collectors import Figures
from opsin.web.error_forms import ErrorForms
from opsin.web.exports import ExportRoutes
from opsin.web.files import Files
from opsin.web.graphiql_page import STATIC_DIR
from opsin.web.health import Health
from opsin.web.metrics import Metrics
from opsin.web.openapi import ApiDocuments
from opsin.web.own_routes import OWN
from opsin.web.reports import ReportRoutes
from opsin.web.request_counter import RequestCounter
from opsin.web.uploads import UPLOADS, UploadRoutes
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
    legacy = legacy_apis(settings, use_cases)
    requests = RequestCounts()
    forms = ErrorForms({path: form for api in legacy for path, form in api.error_forms.items()})

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with parts.running(), _background(settings, parts):
            yield

    app = Starlette(
        routes=[
            *Viewer().routes(),
            *Health(__version__, lambda: use_cases.engine.device).routes(),
            *_metrics(parts, graphql, legacy, requests).routes(),
            *graphql.routes,
            *Files(use_cases.images, use_cases.artifacts, use_cases.links).routes(),
            *ReportRoutes(use_cases.reports, use_cases.images, use_cases.links).routes(),
            *ExportRoutes(use_cases.exports, use_cases.access, use_cases.links).routes(),
            *UploadRoutes(use_cases.uploads, use_cases.links).routes(),
            *ApiDocuments(
                __version__, [OWN, *(one for api in legacy for one in api.described)]
            ).routes(),
            *(route for api in legacy for route in api.routes),
        ],
        middleware=[
            Middleware(RequestCounter, counts=requests),
            graphql.direct,
            *_middleware(settings, legacy, forms),
        ],
        exception_handlers={OpsinError: forms.answer, HTTPException: forms.answer_http},
        lifespan=lifespan,
    )
    # For whoever runs the server: what goes on for ever would hold up its end.
    app.state.end_streams = use_cases.events.stop
    return app


def _metrics(
    parts: Parts, graphql: "_GraphQL", legacy: Sequence[LegacyApi], requests: RequestCounts
) -> Metrics:
    use_cases = parts.use_cases
    figures = Figures(
        use_cases.engine, use_cases.answers, requests, graphql.reads, use_cases.recorder
    )
    documented = [api.metrics for api in legacy if api.metrics is not None]
    return Metrics(figures, documented, lambda: queue_depth(use_cases.database))


@dataclass(frozen=True, slots=True)
class _GraphQL:
    """The door's routes, what takes the usual requests before anything else sees them, counts."""

    routes: list[BaseRoute]
    direct: Middleware
    reads: Callable[[], Mapping[str, int]]


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
        max_bytes=settings.request_limit,
    )
    routes = [
        Route(PATH, door),
        WebSocketRoute(PATH, door),
        Mount("/static/graphiql", StaticFiles(directory=STATIC_DIR)),
    ]
    return _GraphQL(routes, direct, lambda: asdict(schema.compiler.counts))


def _middleware(
    settings: Settings, legacy: Sequence[LegacyApi], forms: ErrorForms
) -> list[Middleware]:
    limits = {path: most for api in legacy for path, most in api.body_limits.items()}
    limits[UPLOADS] = settings.vista_max_artifact_bytes
    middleware = [
        Middleware(BodyLimit, max_bytes=settings.request_limit, limits=limits, forms=forms)
    ]
    if settings.cors_origins:
        middleware.insert(
            0,
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.cors_origins),
                allow_methods=["DELETE", "GET", "PATCH", "POST", "PUT"],
                allow_headers=["*"],
                # Opsin knows no cookies, but a proxy that tells who calls may; no page of any
                # origin whatever may come with them.
                allow_credentials="*" not in settings.cors_origins,
                expose_headers=["Content-Disposition", "Retry-After"],
            ),
        )
    if settings.auth == "dev":
        # A foreign page may point a name of its own at loopback; it cannot change the Host header.
        middleware.insert(0, Middleware(TrustedHostMiddleware, allowed_hosts=list(_LOCAL_NAMES)))
    return middleware


@asynccontextmanager
async def _background(settings: Settings, parts: Parts) -> AsyncIterator[None]:
    """What runs beside the doors for as long as the server does; first, the models to warm."""
    parts.use_cases.engine.preload(settings.warm)
    tasks = [
        asyncio.create_task(_sweep(parts)),
        asyncio.create_task(parts.use_cases.sent_files.watch()),
        asyncio.create_task(parts.backfill.run()),
        asyncio.create_task(parts.use_cases.retention.watch()),
    ]
    if parts.use_cases.recorder is not None:
        tasks.append(asyncio.create_task(parts.use_cases.recorder.run()))
    if settings.worker:
        tasks.append(asyncio.create_task(parts.worker.run()))
    if settings.webhooks:
        tasks.append(asyncio.create_task(parts.sender.run()))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _sweep(parts: Parts) -> None:
    use_cases = parts.use_cases
    sweeps: Sequence[Callable[[], Awaitable[int]]] = (
        use_cases.sent_files.sweep,
        use_cases.image_deletions.purge,
        use_cases.signed_answers.sweep,
        use_cases.predictions.sweep,
        use_cases.rate_limits.sweep,
        use_cases.sessions.sweep,
        partial(parts.sweep.run, older_than=_SWEEP_EVERY),
    )
    while True:
        await asyncio.sleep(_SWEEP_EVERY.total_seconds())
        for sweep in sweeps:
            try:
                await sweep()
            except Exception as error:  # the next time does it, and the others go on
                expected = isinstance(error, OpsinError)
                log.warning("what is over could not be swept", exc_info=not expected)
