"""The VISTA API as one application, mounted at each of its prefixes."""

from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount

from opsin.compat.vista.analyses import AnalysisRoutes
from opsin.compat.vista.artifacts import ArtifactRoutes
from opsin.compat.vista.callbacks import CallbackRoutes
from opsin.compat.vista.callers import Callers
from opsin.compat.vista.comments import CommentRoutes
from opsin.compat.vista.deletion import DeletionRoutes
from opsin.compat.vista.door import Door
from opsin.compat.vista.gate import PREFIXES, Gate
from opsin.compat.vista.headers import SecurityHeaders
from opsin.compat.vista.health import HealthRoutes
from opsin.compat.vista.images import ImageRoutes
from opsin.compat.vista.labels import LabelRoutes
from opsin.compat.vista.metadata import MetadataRoutes
from opsin.compat.vista.options import VistaOptions
from opsin.compat.vista.projects import ProjectRoutes
from opsin.compat.vista.routing import Routes
from opsin.compat.vista.users import UserRoutes
from opsin.core.use_cases import UseCases


def vista_api(use_cases: UseCases, options: VistaOptions) -> FastAPI:
    """The application; what it serves depends on the prefix that it is mounted at."""
    app = FastAPI(
        title="Opsin: VISTA API",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # A client that leaves the content type out means JSON.
        strict_content_type=False,
    )
    door = Door(use_cases, options)
    callers = Callers(use_cases.access, use_cases.accounts, options)
    routes = Routes(app, Gate(callers, use_cases.signed_answers, options))
    HealthRoutes().add_to(routes)
    for kind in (
        UserRoutes,
        ProjectRoutes,
        DeletionRoutes,
        ImageRoutes,
        LabelRoutes,
        CommentRoutes,
        MetadataRoutes,
        AnalysisRoutes,
        CallbackRoutes,
        ArtifactRoutes,
    ):
        kind(door).add_to(routes)
    return app


def vista_routes(app: FastAPI) -> list[BaseRoute]:
    """The same application at `/api`, `/api-key` and `/api-ml`."""
    return [Mount(prefix, SecurityHeaders(app)) for prefix in PREFIXES]
