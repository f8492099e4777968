"""The GraphQL endpoint: Strawberry's view, held to the GraphQL over HTTP specification."""

import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from cross_web import AsyncHTTPRequestAdapter
from cross_web import HTTPException as StrawberryHTTPException
from graphql import GraphQLError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import MissingQueryError
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData, GraphQLRequestProtocol
from strawberry.schema import BaseSchema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult, SubscriptionExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType
from strawberry.types.unset import UNSET, UnsetType

from opsin.core.errors import Forbidden, OpsinError, Unauthenticated
from opsin.graphql import http_rules
from opsin.graphql.errors import BAD_REQUEST
from opsin.graphql.event_stream import EventStream
from opsin.graphql.sockets import OpenSockets, SocketHandler
from opsin.graphql.trusted_documents import TrustedDocuments
from opsin.graphql.wire import encode_json
from opsin.storage.json_text import parse_json
from opsin.web.graphiql_page import graphiql_response

log = logging.getLogger(__name__)

_INIT_TIMEOUT = timedelta(seconds=10)
MALFORMED_FORM = "The form does not follow the GraphQL multipart request specification."

ENDS_ITSELF = "opsin.ends_itself"
"""In the state of a socket's scope: it is closed by us when the server is about to end."""

ContextGetter = Callable[[Request | WebSocket, Response | WebSocket], Awaitable[Any]]


def _told(
    error: HTTPException | StrawberryHTTPException | Unauthenticated,
) -> tuple[int, str, Mapping[str, str] | None, str]:
    """Status, message, headers and code of a request that was not run."""
    if isinstance(error, Unauthenticated):
        return 401, error.message, {"WWW-Authenticate": "Bearer"}, error.code
    code = Unauthenticated.code if error.status_code == 401 else BAD_REQUEST
    if isinstance(error, HTTPException):
        return error.status_code, error.detail, error.headers, code
    return error.status_code, error.reason, None, code


def refused_operation(operation_type: OperationType) -> HTTPException:
    if operation_type is OperationType.MUTATION:
        return HTTPException(405, "Mutations must be sent by POST.", {"Allow": "POST"})
    return HTTPException(
        406, "Subscriptions need a WebSocket, or the header Accept: text/event-stream."
    )


@dataclass
class _UnknownDocument(GraphQLRequestData):
    """A request for a document that the server does not have."""

    error: GraphQLError = field(kw_only=True)


async def _once(result: ExecutionResult) -> AsyncGenerator[ExecutionResult, None]:
    yield result


class GraphQLApp(GraphQL[Any, None]):
    """GET, POST, uploads, server-sent events, graphql-transport-ws and GraphiQL, on one path.

    `context_getter` makes the resolvers' context.  `on_connect` gets the context of a socket once
    Strawberry has put the connection_init payload into its `connection_params`.  Either refuses the
    caller by raising Unauthenticated.  `allowed_origins` are the other sites whose pages may open
    sockets and post uploads, `trusted` the documents that clients may ask for by their ids.
    """

    graphql_transport_ws_handler_class = SocketHandler

    def __init__(
        self,
        schema: BaseSchema,
        *,
        context_getter: ContextGetter,
        on_connect: Callable[[Any], Awaitable[None]] | None = None,
        allowed_origins: Sequence[str] = (),
        trusted: TrustedDocuments | None = None,
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            multipart_uploads_enabled=True,
            allowed_origins=allowed_origins,
            # Until then anybody has a socket.
            connection_init_wait_timeout=_INIT_TIMEOUT,
        )
        self._context_getter = context_getter
        self._on_connect = on_connect
        self.trusted = trusted or TrustedDocuments()
        self.sockets = OpenSockets()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
            await response(scope, receive, send)
        finally:
            await request.close()  # lets go of an upload's temporary files

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})[ENDS_ITSELF] = True
        try:
            await super().__call__(scope, receive, send)
        except OpsinError as error:
            # The socket is open by then; 4403 and 4500 are the protocol's words.
            known = isinstance(error, Unauthenticated | Forbidden)
            code, reason = (4403, "Forbidden") if known else (4500, "Internal server error")
            if not known:
                log.error("a socket could not be served", exc_info=error)
            with contextlib.suppress(RuntimeError):  # the client has gone
                await send({"type": "websocket.close", "code": code, "reason": reason})

    async def _answer(self, request: Request) -> Response:
        try:
            if request.method == "POST":
                http_rules.check_body_type(request.headers)
                http_rules.check_forgery(request.headers, self.allowed_origins)
            elif request.method != "GET":
                raise HTTPException(
                    405, "GraphQL is served by GET and POST.", {"Allow": "GET, POST"}
                )
            elif "query" not in request.query_params and http_rules.wants_page(request.headers):
                return graphiql_response()
            return await self.run(request)
        except (HTTPException, StrawberryHTTPException, Unauthenticated) as error:
            # Who has no key, and asks for what nobody can read, is told of the key.
            refusal = getattr(request.state, "refusal", None)
            status, message, headers, code = _told(refusal or error)
        except Forbidden as error:  # to act for the company that was named
            status, message, headers, code = 403, error.message, None, error.code
        body = encode_json({"errors": [{"message": message, "extensions": {"code": code}}]})
        media_type = http_rules.response_media_type(request.headers)
        return Response(body, status, headers, f"{media_type}; charset=utf-8")

    def should_render_graphql_ide(self, request: object) -> bool:
        return False  # _answer serves the page, before any context is made

    def encode_json(self, data: object) -> str:
        # Text, because Strawberry would send bytes to a socket in binary frames.
        return encode_json(data).decode()

    def decode_json(self, data: str | bytes) -> object:
        return parse_json(data)

    def parse_json(self, data: str | bytes) -> dict[str, Any]:
        value = super().parse_json(data)
        if not isinstance(value, dict | None):
            raise HTTPException(400, "A JSON object is expected; batches are not served.")
        return value or {}

    async def parse_multipart(self, request: AsyncHTTPRequestAdapter) -> dict[str, Any]:
        try:
            operations: object = await super().parse_multipart(request)
        # Strawberry follows the client's `map` into its `operations`, and the two need not agree.
        except (MultiPartException, AttributeError, LookupError, TypeError, ValueError) as error:
            raise HTTPException(400, MALFORMED_FORM) from error
        if not isinstance(operations, dict):  # the field came as a file
            raise HTTPException(400, MALFORMED_FORM)
        return operations

    async def get_context(
        self, request: Request | WebSocket, response: Response | WebSocket
    ) -> Any:
        context = await self._context_getter(request, response)
        request.state.refusal = getattr(context, "refusal", None)
        return context

    async def on_ws_connect(self, context: Any) -> UnsetType | dict[str, object] | None:
        if self._on_connect is not None:
            await self._on_connect(context)
        return cast("UnsetType", UNSET)

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        """What is asked for; `_UnknownDocument` for an id that this server does not know."""
        streamed = http_rules.prefers_event_stream(request.headers.get("accept", ""))
        protocol: GraphQLRequestProtocol = "sse" if streamed else "http"
        members = await self._members(request)
        variables, extensions = members.get("variables"), members.get("extensions")
        for member, value in (("variables", variables), ("extensions", extensions)):
            if not isinstance(value, dict | None):
                raise HTTPException(400, f"The parameter `{member}` must be an object or null.")
        name = members.get("operationName")
        try:
            query = self.trusted.text(members)
        except GraphQLError as error:
            return _UnknownDocument(None, variables, name, extensions, protocol, error=error)
        if not isinstance(query, str | None):
            raise HTTPException(400, "The parameter `query` must be a string.")
        return GraphQLRequestData(query, variables, name, extensions, protocol)

    async def _members(self, request: AsyncHTTPRequestAdapter) -> dict[str, Any]:
        if request.method == "GET":
            return self.parse_query_params(request.query_params)
        media_type, _ = http_rules.parse_media_type(request.content_type or "")
        if media_type == http_rules.MULTIPART:
            return await self.parse_multipart(request)
        return self.parse_json(await request.get_body())

    async def execute_operation(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        request_data: GraphQLRequestData | list[GraphQLRequestData],
        context: Any,
        root_value: None,
        sub_response: Response,
    ) -> ExecutionResult | list[ExecutionResult] | SubscriptionExecutionResult:
        if isinstance(request_data, _UnknownDocument):
            refusal = PreExecutionError(data=None, errors=[request_data.error])
            if request_data.protocol == "http":
                return refusal
            return cast("SubscriptionExecutionResult", _once(refusal))
        return await super().execute_operation(
            request, request_adapter, request_data, context, root_value, sub_response
        )

    # The base class would also run a subscription here, as if it were a query.
    async def execute_single(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        sub_response: Response,
        context: Any,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        try:
            return await self.schema.execute(
                request_data.query,
                variable_values=request_data.variables,
                context_value=context,
                operation_name=request_data.operation_name,
                allowed_operation_types=OperationType.from_http(request_adapter.method)
                - {OperationType.SUBSCRIPTION},
                operation_extensions=request_data.extensions,
            )
        except MissingQueryError as error:
            raise HTTPException(400, "The parameter `query` is missing.") from error
        except CannotGetOperationTypeError as error:
            raise HTTPException(400, error.as_http_error_reason()) from error
        except InvalidOperationTypeError as error:
            raise refused_operation(error.operation_type) from error

    async def process_result(
        self, request: Request, result: ExecutionResult
    ) -> GraphQLHTTPResponse:
        return cast("GraphQLHTTPResponse", http_rules.response_members(result))

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        response = await super().get_sub_response(request)
        response.media_type = http_rules.response_media_type(request.headers)
        return response

    async def _create_streaming_response(
        self,
        request: Request,
        result: SubscriptionExecutionResult,
        protocol: GraphQLRequestProtocol,
        sub_response: Response,
    ) -> Response:
        return EventStream(result)  # the only protocol that is allowed

    def create_response(
        self, response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse], sub_response: Response
    ) -> Response:
        assert not isinstance(response_data, list)  # batches are not served
        media_type = sub_response.media_type
        response = Response(
            encode_json(response_data),
            sub_response.status_code or http_rules.status_of(response_data, media_type),
            media_type=f"{media_type}; charset=utf-8",
            background=sub_response.background,
        )
        response.headers.raw.extend(sub_response.headers.raw)
        return response
