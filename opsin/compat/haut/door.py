"""The routes of the Haut API: one table, each path in both forms, errors in the API's own form."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from opsin.compat.endpoint import Endpoint, Handler
from opsin.compat.haut.answers import Refused, error_answer, fault, not_found
from opsin.compat.haut.batches import BatchRoutes
from opsin.compat.haut.calculations import CalculationRoutes
from opsin.compat.haut.datasets import DatasetRoutes
from opsin.compat.haut.dictionaries import DictionaryRoutes
from opsin.compat.haut.files import FileRoutes
from opsin.compat.haut.gate import Gate, OpenHandle, Row
from opsin.compat.haut.images import ImageRoutes
from opsin.compat.haut.options import HautOptions
from opsin.compat.haut.paths import API
from opsin.compat.haut.sign_in import SignInRoutes
from opsin.compat.haut.subjects import SubjectRoutes
from opsin.compat.haut.tenants import TenantRoutes
from opsin.compat.haut.tokens import TokenRoutes
from opsin.core.use_cases import UseCases

PREFIXES = (API, "/service/pdf-generator", "/notifications")
"""Below which errors look as this API has them."""
OPEN_BODIES = (f"{API}/login", f"{API}/auth/login", f"{API}/refresh", f"{API}/auth/refresh")
"""Where anybody may send something."""


class Rows(Protocol):
    """A part of the API."""

    def rows(self) -> Sequence[Row]: ...


class HautDoor:
    """Every part of the API, behind one gate."""

    def __init__(self, use_cases: UseCases, options: HautOptions) -> None:
        self.gate = Gate(use_cases.access, use_cases.places, options)
        given = (use_cases, options, self.gate)
        self._calculations = CalculationRoutes(*given)
        self._parts: tuple[Rows, ...] = (
            SignInRoutes(*given),
            TokenRoutes(*given),
            TenantRoutes(*given),
            DictionaryRoutes(*given),
            DatasetRoutes(*given),
            SubjectRoutes(*given),
            BatchRoutes(*given),
            ImageRoutes(*given),
            FileRoutes(*given),
            self._calculations,
        )

    def table(self) -> list[Row]:
        """Every path; of two that could both be meant, the one that says more comes first."""
        rows = [row for part in self._parts for row in part.rows()]
        return sorted(rows, key=lambda row: row.path.count("{"))

    def routes(self) -> list[BaseRoute]:
        routes: list[BaseRoute] = list(self._calculations.sockets())
        for row in self.table():
            endpoint = self._endpoint(row)
            forms = (row.path,) if row.path.endswith(".jpg") else (row.path, f"{row.path}/")
            routes += [Route(form, endpoint) for form in forms]
        # So that nobody else answers what is below.
        nowhere = Endpoint({}, refused=_nowhere, failed=error_answer)
        return [*routes, Route(API, nowhere), Route(f"{API}/{{rest:path}}", nowhere)]

    def _endpoint(self, row: Row) -> Endpoint:
        handlers: dict[str, Handler] = {
            **{method: self._gated(row, method) for method in row.methods},
            **{method: _opened(row, handle) for method, handle in row.open.items()},
        }
        if "GET" in handlers:
            handlers["HEAD"] = handlers["GET"]  # the server leaves the body out
        return Endpoint(handlers, refused=_refused, failed=error_answer)

    def _gated(self, row: Row, method: str) -> Handler:
        handle = row.methods[method]
        absent = row.absent if method == "POST" else None

        async def handler(request: Request) -> Response:
            _check_accept(row, request)
            return await handle(await self.gate.passed(request, absent))

        return handler


def _opened(row: Row, handle: OpenHandle) -> Handler:
    async def handler(request: Request) -> Response:
        _check_accept(row, request)
        return await handle(request)

    return handler


def _check_accept(row: Row, request: Request) -> None:
    """Raises Refused 406 for whoever takes no JSON, where that is what is answered."""
    if not row.json:
        return
    ranges = request.headers.get("accept", "").split(",")
    kinds = {one.partition(";")[0].strip().lower() for one in ranges} - {""}
    if kinds and kinds.isdisjoint({"*/*", "application/*", "application/json"}):
        text = "Could not satisfy the request Accept header."
        raise Refused(HTTPStatus.NOT_ACCEPTABLE, [fault("not_acceptable", text)])


def _refused(methods: Sequence[str]) -> Response:
    allowed = ", ".join(methods)
    return error_answer(
        Refused(
            HTTPStatus.METHOD_NOT_ALLOWED,
            [fault("method_not_allowed", f"Method not allowed; this path has {allowed}.")],
            headers={"allow": allowed},
        )
    )


def _nowhere(_methods: Sequence[str]) -> Response:
    return error_answer(not_found())
