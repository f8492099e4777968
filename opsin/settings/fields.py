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


def named(name: str, documented: str) -> AliasChoices:
    """A setting of a legacy API, also under the name that its own documents have for it."""
    return AliasChoices(f"OPSIN_{name}", documented)
