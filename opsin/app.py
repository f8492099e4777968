"""The ASGI application: every door on one port, and the worker beside them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
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
from opsin.assembly.duties import duties
from opsin.assembly.figures import figures_of
from opsin.assembly.telemetry import traced
from opsin.core.backlog import backlog
from opsin.core.errors import OpsinError
from opsin.core.plugin_host import PluginSource
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
from opsin.web.collectors import ReadCounts
from opsin.web.error_forms import ErrorForms
from opsin.web.exports import ExportRoutes
from opsin.web.files import Files
from opsin.web.graphiql_page import STATIC_DIR
from opsin.web.health import Health
from opsin.web.metrics import Metrics
from opsin.web.openapi import ApiDocuments
from opsin.web.own_routes import OWN, OWN_DOORS
from opsin.web.reports import ReportRoutes
from opsin.web.request_watch import HEADER as REQUEST_ID
from opsin.web.request_watch import RequestWatch
from opsin.web.siblings import Siblings
from opsin.web.slow_bodies import SlowBodies
from opsin.web.uploads import UPLOADS, UploadRoutes
from opsin.web.viewer import Viewer

_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


def create_app(
    settings: Settings | None = None,
    more_plugins: Sequence[PluginSource] = (),
    *,
    siblings: Siblings | None = None,
) -> Starlette:
    """The application for these settings, by default those of the environment.

    `siblings` are the other processes of one server, None where there is one process.
    """
    settings = settings or load_settings()
    settings.check_exposure()
    parts = assemble(settings, more_plugins)
    use_cases = parts.use_cases
    graphql = _graphql(settings, parts)
    legacy = legacy_apis(settings, use_cases)
    requests = RequestCounts()
    forms = ErrorForms({path: form for api in legacy for path, form in api.error_forms.items()})
    metrics = Metrics(
        figures_of(parts, requests, graphql.reads),
        partial(backlog, parts.use_cases.database),
        [api.metrics for api in legacy if api.metrics is not None],
        siblings,
    )

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with (
            parts.running(),
            traced(settings, parts),
            duties(settings, parts),
            metrics.told_to_siblings(),
        ):
            yield

    app = Starlette(
        routes=[
            *Viewer().routes(),
            *Health(__version__, lambda: use_cases.engine.device, parts.readiness).routes(),
            *metrics.routes(),
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
            Middleware(RequestWatch, counts=requests, routes=_doors(legacy), forms=forms),
            Middleware(SlowBodies, seconds=settings.body_seconds, forms=forms),
            graphql.direct,
            *_middleware(settings, legacy, forms),
        ],
        exception_handlers={OpsinError: forms.answer, HTTPException: forms.answer_http},
        lifespan=lifespan,
    )

    def end_streams() -> None:
        use_cases.events.stop()
        graphql.end_sockets()

    # For whoever runs the server: what goes on for ever would hold up its end.
    app.state.end_streams = end_streams
    app.state.is_draining = False
    app.state.is_warm = lambda: use_cases.engine.is_warm
    return app


def _doors(legacy: Sequence[LegacyApi]) -> dict[str, str]:
    """The door behind each path and all below it, by the few names that requests are counted by."""
    return {path: api.name for api in legacy for path in api.error_forms} | OWN_DOORS


@dataclass(frozen=True, slots=True)
class _GraphQL:
    """The door's routes, what takes the usual requests before anything else sees them, counts."""

    routes: list[BaseRoute]
    direct: Middleware
    reads: ReadCounts
    end_sockets: Callable[[], None]


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
    return _GraphQL(routes, direct, schema.compiler.counts, door.sockets.end)


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
                expose_headers=["Content-Disposition", "Retry-After", REQUEST_ID],
            ),
        )
    if settings.auth == "dev":
        # A foreign page may point a name of its own at loopback; it cannot change the Host header.
        middleware.insert(0, Middleware(TrustedHostMiddleware, allowed_hosts=list(_LOCAL_NAMES)))
    return middleware
