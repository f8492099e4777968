"""What somebody wants changed of a thing: each member that is not UNCHANGED, also to None."""

from dataclasses import fields
from enum import Enum
from typing import Any, Final, Literal, TypeAlias


class _Unchanged(Enum):
    UNCHANGED = "UNCHANGED"


Unchanged: TypeAlias = Literal[_Unchanged.UNCHANGED]
UNCHANGED: Final = _Unchanged.UNCHANGED
"""Stands for what it is now, where None means that there is none from now on."""


def named_changes(changes: Any) -> dict[str, Any]:
    """The members of a dataclass of changes that are to be changed, by name."""
    values = {one.name: getattr(changes, one.name) for one in fields(changes)}
    return {name: value for name, value in values.items() if value is not UNCHANGED}
