"""The scalars of the schema beside GraphQL's own."""

from datetime import UTC, date, datetime
from typing import Any, NewType

import strawberry
from starlette.datastructures import UploadFile
from strawberry.schema.config import StrawberryConfig
from strawberry.types.scalar import ScalarDefinition

from opsin.core.errors import InvalidInput
from opsin.core.events import decode_position, encode_position

Cursor = NewType("Cursor", int)
"""A position in the event log; a string on the wire."""

_EXAMPLE = "2026-01-31T12:00:00Z"
_EXAMPLE_DAY = "2026-01-31"

NAMES = frozenset({
    "Boolean", "Cursor", "Date", "DateTime", "Decimal", "Float", "ID", "Int", "JSON", "String",
    "Time", "Upload", "UUID", "Void",
})  # fmt: skip
"""Every scalar that the schema has, or would get from a plugin's field of that type."""


def _parse_cursor(value: object) -> Cursor:
    if not isinstance(value, str):
        raise InvalidInput("A Cursor is a string")
    return Cursor(decode_position(value))


def _parse_moment(value: object) -> datetime:
    """The moment in UTC; a time without a zone could be any of 26 hours, so it is refused."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidInput(f"A DateTime is a string with a time zone, such as {_EXAMPLE}")


def _parse_day(value: object) -> date:
    """Only as it is written: Python knows more forms of ISO 8601 than other readers do."""
    try:
        if isinstance(value, str) and len(value) == len(_EXAMPLE_DAY) and value.isascii():
            return datetime.strptime(value, "%Y-%m-%d").date()
    except ValueError:
        pass
    raise InvalidInput(f"A Date is a string such as {_EXAMPLE_DAY}")


def _parse_upload(value: object) -> UploadFile:
    if isinstance(value, UploadFile):
        return value
    raise InvalidInput(
        "An Upload is a file of a form that follows the GraphQL multipart request specification"
    )


CURSOR = strawberry.scalar(
    name="Cursor",
    description="A position in the event log, as given by an event; opaque. 0 is its beginning.",
    serialize=lambda value: encode_position(int(value)),
    parse_value=_parse_cursor,
)
DATE_TIME = strawberry.scalar(
    name="DateTime",
    description=f"A moment in ISO 8601 with its time zone, such as {_EXAMPLE}.",
    specified_by_url="https://scalars.graphql.org/andimarek/date-time",
    # Always with microseconds, as SQL writes it in compiled reads.
    serialize=lambda moment: moment.isoformat(timespec="microseconds"),
    parse_value=_parse_moment,
)
DATE = strawberry.scalar(
    name="Date",
    description=f"A day, such as {_EXAMPLE_DAY}.",
    serialize=lambda day: day.isoformat(),
    parse_value=_parse_day,
)
UPLOAD = strawberry.scalar(
    name="Upload",
    description="A file sent with the request, by the GraphQL multipart request specification.",
    serialize=str,
    parse_value=_parse_upload,
)


def configuration() -> StrawberryConfig:
    """Strawberry's configuration, with our scalars."""
    scalars: dict[Any, ScalarDefinition] = {
        Cursor: CURSOR,
        date: DATE,
        datetime: DATE_TIME,
        UploadFile: UPLOAD,
    }
    return StrawberryConfig(scalar_map=scalars)
