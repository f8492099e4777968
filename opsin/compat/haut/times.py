"""Times as clients write them: ISO 8601 with or without a zone, and dates."""

from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

_WRONG_TIME = "Datetime has wrong format. Use ISO 8601, such as 2023-04-17T16:10:17.350Z."
_WRONG_DATE = "Date has wrong format. Use ISO 8601, such as 1990-12-31."


def time_of(text: str) -> datetime | None:
    """The time in UTC, where no zone means UTC; None for what is none.

    A zone's `+` may have become a blank, as it does in queries; a date is its first moment.
    """
    text = text.strip()
    if text[-6:-5] == " " and text[-3:-2] == ":" and "T" in text[:-6]:
        text = f"{text[:-6]}+{text[-5:]}"
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _moment(value: object) -> datetime | None:
    if value is None or value == "":
        return None
    found = time_of(value) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("invalid", _WRONG_TIME)
    return found


def _day(value: object) -> date | None:
    """Of a time the day as it was written."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and time_of(value) is not None:
        return datetime.fromisoformat(value.strip()).date()
    raise PydanticCustomError("invalid", _WRONG_DATE)


MaybeMoment = Annotated[datetime | None, BeforeValidator(_moment)]
"""A time, or none, which is also what an empty text is."""
MaybeDay = Annotated[date | None, BeforeValidator(_day)]
"""A day, or none, which is also what an empty text is."""
