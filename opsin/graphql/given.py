"""What callers give, checked as far as the schema's own types cannot."""

from collections.abc import Sequence
from typing import Any

from opsin.core.errors import InvalidInput
from opsin.core.storable import check_json, is_storable_text
from opsin.storage.ids import canonical_id


def json_object(value: Any, name: str) -> dict[str, Any] | None:
    """The JSON object, or None; InvalidInput for any other JSON and for what cannot be stored."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} must be a JSON object")
    check_json(value, name)
    return value


def plain_text(value: str | None, name: str) -> str | None:
    """The text, or None; InvalidInput for characters that no database can store or look for."""
    if value is not None and not is_storable_text(value):
        raise InvalidInput(f"{name}: NULs and lone surrogates cannot be stored")
    return value


def plain_texts(values: Sequence[str] | None, name: str) -> tuple[str, ...] | None:
    """The same for a list."""
    if values is None:
        return None
    for value in values:
        plain_text(value, name)
    return tuple(values)


def filter_id(identity: str | None) -> str | None:
    """The id of what is followed; one that is none matches nothing, rather than everything."""
    if identity is None:
        return None
    return canonical_id(identity) or "00000000-0000-0000-0000-000000000000"
