"""The graphql-transport-ws protocol, in which one operation's mistake is no other's end."""

import asyncio
from collections.abc import Mapping
from types import UnionType
from typing import Any, Protocol, cast

from graphql import GraphQLError
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    Message,
    SubscribeMessage,
)

from opsin.core.errors import Overloaded
from opsin.graphql.trusted_documents import TrustedDocuments

MOST_OPERATIONS = 100
"""At once on one socket."""
SERVICE_RESTART = 1012
"""The close code by which clients know that they shall come back."""

_TYPES: dict[str, dict[str, type | UnionType]] = {
    "connection_init": {"payload": dict | None},
    "subscribe": {"id": str, "payload": dict},
    "complete": {"id": str},
}
_REQUEST: dict[str, type | UnionType] = {
    "query": str | None,  # none where a document is asked for by its id
    "variables": dict | None,
    "operationName": str | None,
}


def _is_well_formed(message: Any) -> bool:
    """Whether the message has the members of the protocol, as far as Strawberry trusts in them."""
    if not isinstance(message, dict):
        return False
    if message.get("type") == "connection_init" and message.get("payload") is None:
        message["payload"] = {}  # null is allowed, too
    if not _have(message, _TYPES.get(str(message.get("type")), {})):
        return False
    return message.get("type") != "subscribe" or _have(message["payload"], _REQUEST)


def _have(values: dict[str, Any], types: Mapping[str, type | UnionType]) -> bool:
    return all(isinstance(values.get(name), kind) for name, kind in types.items())


class TrustingView(Protocol):
    """What a socket asks of the view beside what Strawberry wants of it."""

    trusted: TrustedDocuments
    sockets: "OpenSockets"


class OpenSockets:
    """The sockets of a server, which are ended in order when the server is about to end."""

    def __init__(self) -> None:
        self._handlers: set[SocketHandler] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._is_ending = False

    def end(self) -> None:
        """Let what is under way be answered, then tell each client to come back soon."""
        self._is_ending = True
        for handler in self._handlers:
            self._end(handler)

    def add(self, handler: "SocketHandler") -> None:
        self._handlers.add(handler)
        if self._is_ending:
            self._end(handler)

    def discard(self, handler: "SocketHandler") -> None:
        self._handlers.discard(handler)

    def _end(self, handler: "SocketHandler") -> None:
        task = asyncio.create_task(handler.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def _too_many() -> GraphQLError:
    return GraphQLError(
        f"At most {MOST_OPERATIONS} operations may run at once on one socket",
        extensions={"code": Overloaded.code, "retryAfter": 1.0},
    )


class SocketHandler(BaseGraphQLTransportWSHandler[Any, None]):
    """One socket; an error of one operation leaves the others running."""

    _is_ending = False

    async def handle(self) -> None:
        sockets = cast(TrustingView, self.view).sockets
        sockets.add(self)
        try:
            await super().handle()
        finally:
            sockets.discard(self)

    async def end(self) -> None:
        """Close it once what was asked is answered; whoever follows has been let go of before.

        What the client asks from now on is left to its next socket, as the code makes it do.
        """
        self._is_ending = True
        running = [one.task for one in self.operations.values() if one.task is not None]
        if running:
            await asyncio.wait(running)
        await self.websocket.close(SERVICE_RESTART, "The server restarts")

    async def handle_message(self, message: Message) -> None:
        if _is_well_formed(message):
            await super().handle_message(message)
        else:
            await self.handle_invalid_message("Failed to parse message")

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        if not self.connection_acknowledged:
            await super().handle_subscribe(message)  # which closes the socket
            return
        if self._is_ending:
            return
        if len(self.operations) >= MOST_OPERATIONS:
            await self._refuse(message["id"], _too_many())
            return
        try:
            query = cast(TrustingView, self.view).trusted.text(message["payload"])
        except GraphQLError as error:
            await self._refuse(message["id"], error)
            return
        message["payload"]["query"] = query or ""
        await super().handle_subscribe(message)

    async def _refuse(self, operation_id: str, error: GraphQLError) -> None:
        await self.send_message({"id": operation_id, "type": "error", "payload": [error.formatted]})

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:
        return None  # Strawberry would end the whole socket for a document that cannot be parsed
