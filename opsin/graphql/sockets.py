"""The graphql-transport-ws protocol, in which one operation's mistake is no other's end."""

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


def _too_many() -> GraphQLError:
    return GraphQLError(
        f"At most {MOST_OPERATIONS} operations may run at once on one socket",
        extensions={"code": Overloaded.code, "retryAfter": 1.0},
    )


class SocketHandler(BaseGraphQLTransportWSHandler[Any, None]):
    """One socket; an error of one operation leaves the others running."""

    async def handle_message(self, message: Message) -> None:
        if _is_well_formed(message):
            await super().handle_message(message)
        else:
            await self.handle_invalid_message("Failed to parse message")

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        if not self.connection_acknowledged:
            await super().handle_subscribe(message)  # which closes the socket
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
