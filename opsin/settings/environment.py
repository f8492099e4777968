"""The environment, read once; nothing else reads it."""

import os
from typing import Any

from pydantic import AliasChoices, ValidationError
from pydantic_settings import SettingsError

from opsin.core.errors import ConfigurationError
from opsin.settings.settings import Settings

_ALIASES = {
    str(alias)
    for field in Settings.model_fields.values()
    if isinstance(field.validation_alias, AliasChoices)
    for alias in field.validation_alias.choices
}


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment; `overrides` (not None) win, as the command line's options."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "SETTINGS"
        shown = name if name in _ALIASES else f"OPSIN_{name}"
        raise ConfigurationError(f"{shown}: {first['msg']}") from None
    except SettingsError as error:  # a value that must be JSON and is not
        named = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "?")
        raise ConfigurationError(f"OPSIN_{named.upper()} must be JSON") from None


def environment_with(**settings: str | None) -> dict[str, str]:
    """This process's environment for another one, with these settings instead of its own.

    None leaves a setting at its default.
    """
    given = {f"OPSIN_{name.upper()}": value for name, value in settings.items()}
    kept = {name: value for name, value in os.environ.items() if name.upper() not in given}
    return kept | {name: value for name, value in given.items() if value is not None}
