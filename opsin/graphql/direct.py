"""The usual GraphQL requests, answered with nothing between the server and the schema.

A request goes this way when all is as nearly every client sends it; whatever is unusual about it,
and every mistake, is left to the ordinary way, which alone knows what to say of it.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from graphql import GraphQLError
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from strawberry.exceptions import MissingQueryError
from strawberry.schema.base import BaseSchema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.graphql import OperationType

from opsin.core.errors import OpsinError
from opsin.graphql import forms, http_rules
from opsin.graphql.context import Context, ContextFactory
from opsin.graphql.trusted_documents import TrustedDocuments
from opsin.graphql.wire import encode_answer
from opsin.storage.json_text import parse_json

PATH = "/graphql"

_TYPES = {
    "GET": frozenset({OperationType.QUERY}),
    "POST": frozenset({OperationType.QUERY, OperationType.MUTATION}),
}
_JSON_TYPES = frozenset({b"application/json", b"application/json; charset=utf-8"})
_REFUSALS = (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError)
"""What the schema raises before anything is run."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What a well-formed request asks for."""

    query: str
    variables: dict[str, Any] | None
    name: str | None
    extensions: dict[str, Any] | None


class NotUsual(Exception):
    """The ordinary way is to answer this request."""


class DirectDoor:
    """ASGI middleware around everything else.

    `hosts` are the only names under which the server may be asked for, None: any.  With
    `shares_origins` answers to pages of other sites need headers that another middleware adds.
    """

    def __init__(
        self,
        ordinary: ASGIApp,
        schema: BaseSchema,
        contexts: ContextFactory,
        trusted: TrustedDocuments,
        *,
        hosts: Collection[str] | None,
        shares_origins: bool,
        max_bytes: int,
    ) -> None:
        self._ordinary = ordinary
        self._schema = schema
        self._contexts = contexts
        self._trusted = trusted
        self._is_our_name = _name_pattern(hosts).fullmatch
        self._shares_origins = shares_origins
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._ordinary(scope, receive, send)
            return
        # Of two headers of one name the first counts, as it does for Starlette.
        headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        media_type = self._media_type(scope["method"], headers)
        if media_type is None:
            await self._ordinary(scope, receive, send)
            return
        try:
            context = await self._contexts.of_headers(headers, scope)
        except OpsinError:
            # Before the body: of whoever is not let in, nothing is kept in memory.
            await self._ordinary(scope, receive, send)
            return
        body = b""
        if scope["method"] == "POST":
            received = await _body(receive)
            if received is None:
                return  # the client has gone
            body = received
        try:
            status, answer = await self._answer(scope, headers, body, media_type, context)
        except NotUsual:
            await self._ordinary(scope, _Replayed(body, receive), send)
            return
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", _CONTENT_TYPES[media_type]),
                    (b"content-length", b"%d" % sum(map(len, answer))),
                ],
            }
        )
        for part in answer[:-1]:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": answer[-1]})

    def _media_type(self, method: str, headers: Mapping[bytes, bytes]) -> str | None:
        """In which type to answer; None for a request that is not of the usual form."""
        if method == "POST":
            most = self._max_bytes
            if headers.get(b"content-type") not in _JSON_TYPES:
                # A form: of a size to hold in memory, and not from a browser's page.
                most = min(most, forms.MOST_BYTES)
                if b"origin" in headers or not forms.is_form(headers.get(b"content-type", b"")):
                    return None
            length = headers.get(b"content-length", b"")
            if not length.isdigit() or int(length) > most:
                return None
        elif method != "GET":
            return None
        if self._shares_origins and b"origin" in headers:
            return None
        if self._is_our_name(headers.get(b"host", b"")) is None:
            return None
        return _answered_type(headers.get(b"accept", b""))

    async def _answer(
        self,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        body: bytes,
        media_type: str,
        context: Context,
    ) -> tuple[int, list[bytes]]:
        method = scope["method"]
        try:
            content_type = headers.get(b"content-type", b"")
            operation = self._operation(_members(method, content_type, body, scope["query_string"]))
            result = await self._schema.execute(
                operation.query,
                variable_values=operation.variables,
                context_value=context,
                operation_name=operation.name,
                allowed_operation_types=_TYPES[method],
                operation_extensions=operation.extensions,
            )
        # Nothing has been changed by then: what a mutation raises is in its result.
        except (OpsinError, *_REFUSALS) as error:
            raise NotUsual from error
        members = http_rules.response_members(result)
        return http_rules.status_of(members, media_type), encode_answer(members)

    def _operation(self, members: Mapping[str, Any]) -> Operation:
        variables, name = members.get("variables"), members.get("operationName")
        extensions = members.get("extensions")
        try:
            query = self._trusted.text(members)
        except GraphQLError as error:
            raise NotUsual from error
        if not (
            isinstance(query, str)
            and (variables is None or isinstance(variables, dict))
            and (name is None or isinstance(name, str))
            and (extensions is None or isinstance(extensions, dict))
        ):
            raise NotUsual
        return Operation(query, variables, name, extensions)


class _Replayed:
    """Gives the body that was read already, then what the server has to say."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


async def _body(receive: Receive) -> bytes | None:
    """The whole body, which the server holds to its declared length; None when it broke off."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part = message.get("body", b"")
        if not message.get("more_body", False):
            return b"".join([*parts, part]) if parts else part
        parts.append(part)


def _members(method: str, content_type: bytes, body: bytes, query_string: bytes) -> dict[str, Any]:
    """The members of a request, from its body or its address."""
    members: Any
    try:
        if method == "GET":
            members = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
            for name in ("variables", "extensions"):
                if members.get(name):
                    members[name] = parse_json(members[name])
        elif content_type in _JSON_TYPES:
            members = parse_json(body)
        else:
            members = forms.members_of(content_type, body)
    except ValueError as error:
        raise NotUsual from error
    if not isinstance(members, dict):
        raise NotUsual
    return members


@lru_cache(maxsize=64)
def _answered_type(accept: bytes) -> str | None:
    """In which type a client that accepts this is answered; None for a stream or a page."""
    text = accept.decode("latin-1")
    if "text/html" in text.lower() or http_rules.prefers_event_stream(text):
        return None
    return http_rules.accepted_media_type(text)


def _name_pattern(hosts: Collection[str] | None) -> re.Pattern[bytes]:
    if hosts is None:
        return re.compile(rb".*", re.DOTALL)
    names = "|".join(re.escape(name) for name in hosts)
    return re.compile(rf"(?:{names})(?::\d{{1,5}})?".encode())


_CONTENT_TYPES = {
    media_type: f"{media_type}; charset=utf-8".encode()
    for media_type in (http_rules.JSON, http_rules.GRAPHQL_RESPONSE)
}
