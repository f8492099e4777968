"""The environment, read once; nothing else reads it."""

import os
from difflib import get_close_matches
from typing import Any

from pydantic import AliasChoices, ValidationError
from pydantic_settings import SettingsError

from opsin.core.errors import ConfigurationError
from opsin.settings.settings import Settings

_NAMES = {
    name: [str(alias) for alias in field.validation_alias.choices]
    for name, field in Settings.model_fields.items()
    if isinstance(field.validation_alias, AliasChoices)
}
DOCUMENTED_NAMES = frozenset(
    alias for aliases in _NAMES.values() for alias in aliases if not alias.startswith("OPSIN_")
)
"""Variables without our prefix that are settings all the same, as legacy APIs call them."""


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment; `overrides` (not None) win, as the command line's options."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        raise ConfigurationError(f"{_shown(name)}: {first['msg']}") from None
    except SettingsError as error:  # a value that must be JSON and is not
        named = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "?")
        raise ConfigurationError(f"OPSIN_{named.upper()} must be JSON") from None


def misspelt() -> list[tuple[str, str]]:
    """Variables that are no settings but nearly, each with the name that was probably meant.

    Other `OPSIN_*` names are nobody's mistake: programs that use a server have names of their own.
    """
    known = {f"OPSIN_{name.upper()}" for name in Settings.model_fields}
    known.update(alias for aliases in _NAMES.values() for alias in aliases)
    doubtful = [
        name
        for name in os.environ
        if name.upper().startswith("OPSIN_") and name.upper() not in known
    ]
    near = {name: get_close_matches(name.upper(), known, 1, cutoff=0.9) for name in doubtful}
    return [(name, matches[0]) for name, matches in near.items() if matches]


def _shown(name: str) -> str:
    """The variable that a setting comes from, known by its field or by one of its variables."""
    names = next(
        (known for field, known in _NAMES.items() if name in (field, *known)),
        [f"OPSIN_{name.upper()}"],
    )
    present = {variable.upper() for variable in os.environ}
    return next((one for one in names if one in present), names[0])


def environment_with(**settings: str | None) -> dict[str, str]:
    """This process's environment for another one, with these settings instead of its own.

    None leaves a setting at its default.
    """
    given = {f"OPSIN_{name.upper()}": value for name, value in settings.items()}
    replaced = {*given, *(alias for name in settings for alias in _NAMES.get(name, ()))}
    kept = {name: value for name, value in os.environ.items() if name.upper() not in replaced}
    return kept | {name: value for name, value in given.items() if value is not None}
