"""What several settings are made of: comma lists, and the documented names of legacy APIs."""

from typing import Annotated

from pydantic import AliasChoices
from pydantic.functional_validators import BeforeValidator
from pydantic_settings import NoDecode


def _comma_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_list)]


def named(name: str, *documented: str) -> AliasChoices:
    """A setting also under the names that the documents of a legacy API have for it."""
    return AliasChoices(f"OPSIN_{name}", *documented)
