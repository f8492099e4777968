"""What a request asks for besides its picture: query parameters, and fields of a form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import parse_qsl

from opsin.core.errors import InvalidInput

_MOST_PARAMETERS = 1_000
_MOST_DIGITS = 9
_OFF = frozenset({"0", "false", "no"})


class ResponseType(StrEnum):
    CONTEXT = "context"
    IMAGE = "image"
    ANNOTATED_IMAGE = "annotated_image"
    HEATMAP = "heatmap"


class Parameters:
    """By name, the first of each; those of the query before those of a form."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    @classmethod
    def of_query(cls, query: bytes) -> Self:
        """Of a URL; raises InvalidInput for far too many."""
        text = query.decode("latin-1")
        try:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
        except ValueError:
            raise InvalidInput(f"at most {_MOST_PARAMETERS} parameters") from None
        return cls(_first_of_each(pairs))

    def with_form(self, fields: Sequence[tuple[str, str]]) -> "Parameters":
        return Parameters(_first_of_each(fields) | dict(self._given))

    def get(self, name: str) -> str | None:
        return self._given.get(name)

    def is_on(self, name: str) -> bool:
        """Whether a switch is there, and does not say that it is off."""
        value = self._given.get(name)
        return value is not None and value.strip().lower() not in _OFF

    def side(self, name: str) -> int:
        """Width or height; raises InvalidInput."""
        text = (self._given.get(name) or "").strip()
        if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS or int(text) < 1:
            raise InvalidInput(f"{name} must be given, as a positive integer")
        return int(text)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the answer is to look."""

    kind: ResponseType
    in_body: bool
    """The context comes behind the image instead of in a header."""
    data: str = ""
    """What the caller wants to find in the context."""

    @classmethod
    def of(cls, parameters: Parameters) -> Self:
        """Raises InvalidInput for a response type that there is not."""
        name = parameters.get("response_type") or ResponseType.CONTEXT
        if name not in tuple(ResponseType):
            known = ", ".join(ResponseType)
            raise InvalidInput(f"response_type must be one of: {known}")
        return cls(
            ResponseType(name), parameters.is_on("context_in_body"), parameters.get("data") or ""
        )


def _first_of_each(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    first: dict[str, str] = {}
    for name, value in pairs:
        first.setdefault(name, value)
    return first
