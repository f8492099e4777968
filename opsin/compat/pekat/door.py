"""The routes of the PEKAT VISION API: methods, bodies and forms that its clients use."""

import asyncio
import hmac
import time
from collections.abc import Collection, Sequence
from http import HTTPStatus

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from opsin.compat.endpoint import Endpoint, Handler
from opsin.compat.pekat.analysis import Analysis
from opsin.compat.pekat.answers import error_answer, told
from opsin.compat.pekat.callers import Callers
from opsin.compat.pekat.flow import Flows
from opsin.compat.pekat.frames import decode_frame, decode_shared_frame
from opsin.compat.pekat.multipart import is_form, read_form
from opsin.compat.pekat.options import SHARED_MEMORY_VERSION, PekatOptions
from opsin.compat.pekat.parameters import Parameters, Wanted
from opsin.compat.pekat.shared_memory import check_support
from opsin.compat.presence import while_present
from opsin.core.access import Principal
from opsin.core.errors import Forbidden, InvalidImage, NotFound
from opsin.core.roles import Permission
from opsin.core.use_cases import UseCases

PATHS = (
    *("/ping", "/version", "/analyze_image", "/analyze_raw_image"),
    *("/analyze_image_shared_memory", "/last_image", "/stop"),
)
"""Those of this API."""

_READ = ("GET", "HEAD")
_WITH_BODY = ("POST", "PUT", "GET")


class PekatDoor:
    """One flow, and the routes through which pictures reach it."""

    def __init__(self, use_cases: UseCases, options: PekatOptions) -> None:
        """Raises ConfigurationError for a flow, or for shared memory, that cannot be had."""
        if options.shares_memory:
            check_support()
        self._options = options
        self._limits = use_cases.answers.limits
        self._callers = Callers(use_cases.access, options)
        self._analysis = Analysis(
            use_cases.immediate,
            Flows(
                options.flow,
                use_cases.host,
                use_cases.availability,
                most=options.max_operations,
            ),
            self._limits,
            is_processing=options.is_processing,
        )

    @property
    def analyze_image(self) -> ASGIApp:
        """The path that is another API's as well, and therefore is routed by who knows both."""
        return _endpoint(self._file, _WITH_BODY)

    def routes(self) -> list[BaseRoute]:
        """All routes but that of `analyze_image`."""
        table: tuple[tuple[str, Handler, Collection[str]], ...] = (
            ("/ping", self._ping, _READ),
            ("/version", self._version, _READ),
            ("/analyze_raw_image", self._frame, _WITH_BODY),
            ("/analyze_image_shared_memory", self._shared_frame, ("POST",)),
            ("/last_image", self._last_image, ("GET",)),
            ("/stop", self._stop, _READ),
        )
        return [Route(path, _endpoint(handler, methods)) for path, handler, methods in table]

    async def _ping(self, request: Request) -> Response:
        """At once; with `init_model`, when the models of the flow are in memory."""
        parameters = Parameters.of_query(request.scope["query_string"])
        if parameters.is_on("init_model"):
            caller = await self._analyst(request, parameters)
            await while_present(request, self._analysis.warm(caller))
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def _version(self, request: Request) -> Response:
        """Clients that read a version here send arrays through shared memory."""
        if not self._options.shares_memory:
            raise NotFound("no version is told here")
        return PlainTextResponse(SHARED_MEMORY_VERSION)

    async def _file(self, request: Request) -> Response:
        begun = time.perf_counter()
        parameters = Parameters.of_query(request.scope["query_string"])
        caller = await self._analyst(request, parameters)
        body, parameters = await _body(request, parameters)
        wanted = Wanted.of(parameters)
        if not body:
            raise InvalidImage("the request has no image")
        return await while_present(request, self._analysis.of_file(caller, body, wanted, begun))

    async def _frame(self, request: Request) -> Response:
        begun = time.perf_counter()
        parameters = Parameters.of_query(request.scope["query_string"])
        caller = await self._analyst(request, parameters)
        body, parameters = await _body(request, parameters)
        wanted = Wanted.of(parameters)
        frame = await asyncio.to_thread(decode_frame, body, parameters, self._limits)
        return await while_present(request, self._analysis.of_frame(caller, frame, wanted, begun))

    async def _shared_frame(self, request: Request) -> Response:
        begun = time.perf_counter()
        if not self._options.shares_memory or not is_of_this_machine(request):
            raise NotFound("pictures are not taken from shared memory here")
        parameters = Parameters.of_query(request.scope["query_string"])
        caller = await self._analyst(request, parameters)
        wanted = Wanted.of(parameters)
        frame = await asyncio.to_thread(decode_shared_frame, parameters, self._limits)
        return await while_present(request, self._analysis.of_frame(caller, frame, wanted, begun))

    async def _last_image(self, request: Request) -> Response:
        parameters = Parameters.of_query(request.scope["query_string"])
        caller = await self._callers.caller(request, parameters)
        return await self._analysis.last(caller, Wanted.of(parameters))

    async def _analyst(self, request: Request, parameters: Parameters) -> Principal:
        """The caller, who may have pictures analysed; asked before any of a picture is read."""
        caller = await self._callers.caller(request, parameters)
        caller.require(Permission.ANALYZE)
        return caller

    async def _stop(self, request: Request) -> Response:
        """Only for whoever started the server, and gave it the key."""
        expected, stop = self._options.stop_key, self._options.stop
        if not expected or stop is None:
            raise NotFound("this server is not stopped from here")
        key = Parameters.of_query(request.scope["query_string"]).get("key") or ""
        if not hmac.compare_digest(key.encode("utf-8", "surrogatepass"), expected.encode()):
            raise Forbidden("wrong or missing key")
        return Response(
            b'{"status":"stopping"}', media_type="application/json", background=BackgroundTask(stop)
        )


def _endpoint(handler: Handler, methods: Collection[str]) -> Endpoint:
    return Endpoint(dict.fromkeys(methods, handler), refused=_refused, failed=error_answer)


def _refused(methods: Sequence[str]) -> Response:
    allowed = ", ".join(methods)
    text = f"the method must be one of: {allowed}"
    return told(text, HTTPStatus.METHOD_NOT_ALLOWED, allow=allowed)


async def _body(request: Request, parameters: Parameters) -> tuple[bytes, Parameters]:
    """The bytes of the picture, and the parameters with those of a form."""
    body = await request.body()
    content_type = request.headers.get("content-type", "")
    if not is_form(content_type):
        return body, parameters
    form = await asyncio.to_thread(read_form, content_type, body)
    return form.picture, parameters.with_form(form.fields)


def is_of_this_machine(request: Request) -> bool:
    """Whether the connection goes from one address to the same."""
    server, client = request.scope.get("server"), request.client
    return bool(server and client and client.host == server[0])
