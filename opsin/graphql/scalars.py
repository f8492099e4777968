"""The scalars of the schema beside GraphQL's own."""

from typing import Any, NewType

import strawberry
from strawberry.schema.config import StrawberryConfig

from opsin.core.errors import InvalidInput
from opsin.core.events import decode_position, encode_position

Cursor = NewType("Cursor", int)
"""A position in the event log; a string on the wire."""


def _parse_cursor(value: object) -> Cursor:
    if not isinstance(value, str):
        raise InvalidInput("A Cursor is a string")
    return Cursor(decode_position(value))


CURSOR = strawberry.scalar(
    name="Cursor",
    description="A position in the event log, as given by an event; opaque.",
    serialize=lambda value: encode_position(int(value)),
    parse_value=_parse_cursor,
)


def configuration() -> StrawberryConfig:
    """Strawberry's configuration, with our scalars."""
    scalars: dict[Any, Any] = {Cursor: CURSOR}
    return StrawberryConfig(scalar_map=scalars)
