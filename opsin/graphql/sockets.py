"""The graphql-transport-ws protocol, in which one operation's mistake is no other's end."""

from typing import Any

from graphql import GraphQLError
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    Message,
    SubscribeMessage,
)

from opsin.core.errors import Overloaded

MOST_OPERATIONS = 100
"""At once on one socket."""


class SocketHandler(BaseGraphQLTransportWSHandler[Any, None]):
    """One socket; an error of one operation leaves the others running."""

    async def handle_message(self, message: Message) -> None:
        try:
            await super().handle_message(message)
        except (AttributeError, TypeError):  # not an object, or not of the protocol's types
            await self.handle_invalid_message("Failed to parse message")

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        if self.connection_acknowledged and len(self.operations) >= MOST_OPERATIONS:
            await self._refuse(message["id"])
        else:
            await super().handle_subscribe(message)

    async def _refuse(self, operation_id: str) -> None:
        error = GraphQLError(
            f"At most {MOST_OPERATIONS} operations may run at once on one socket",
            extensions={"code": Overloaded.code},
        )
        await self.send_message({"id": operation_id, "type": "error", "payload": [error.formatted]})

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:
        return None  # Strawberry would end the whole socket for a document that cannot be parsed
